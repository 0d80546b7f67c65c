"""The main job, through generated clients, as most users will call it."""

import json
import pathlib
import sqlite3
import subprocess
import sys
import threading
import time

from clients import admin, make, refused, verdict

MODEL = "my_enet_model"


def upload(who, run_id, path, data):
    from stagegate.v1 import artifact_pb2 as artifact

    def parts():
        yield artifact.UploadArtifactRequest(header=artifact.UploadArtifactHeader(run_id=run_id, path=path, size=len(data)))
        for start in range(0, len(data), 1000):
            yield artifact.UploadArtifactRequest(chunk=data[start : start + 1000])

    return who.UploadArtifact(parts())


def download(who, **request):
    from stagegate.v1 import artifact_pb2 as artifact

    parts = list(who.DownloadArtifact(artifact.DownloadArtifactRequest(**request)))
    return parts[0].header, b"".join(part.chunk for part in parts[1:])


def train(trainer, experiment_id, rmse):
    from stagegate.v1 import metric_pb2 as metric, run_pb2 as run

    made = trainer.CreateRun(run.CreateRunRequest(experiment_id=experiment_id)).run.info
    points = [run.Metric(key="rmse", value=rmse, timestamp=1, step=0)]
    points += [run.Metric(key="path", value=value, timestamp=step, step=step) for step, value in enumerate([1.0, float("nan"), float("inf"), 0.5])]
    trainer.LogBatch(metric.LogBatchRequest(run_id=made.run_id, metrics=points, params=[run.Param(key="alpha", value="0.01")]))
    dataset = run.Dataset(name="diabetes", digest="d1", source_type="code", source="sklearn")
    trainer.LogInputs(metric.LogInputsRequest(run_id=made.run_id, datasets=[run.DatasetInput(dataset=dataset)]))
    upload(trainer, made.run_id, "model/model.json", json.dumps({"rmse": rmse}).encode() * 500)
    trainer.UpdateRun(run.UpdateRunRequest(run_id=made.run_id, status=run.RUN_STATUS_FINISHED, end_time=5))
    return made.run_id


def test_story(server, tmp_path):
    from stagegate.v1 import experiment_pb2 as experiment, ledger_messages_pb2 as ledger, metric_pb2 as metric
    from stagegate.v1 import model_version_pb2 as version, registered_model_pb2 as model, run_pb2 as run
    from stagegate.v1 import transition_request_pb2 as request

    ann, eve, max_ = make(server, "ann", "data_scientist"), make(server, "eve", "ml_engineer"), make(server, "max", "manager")
    trainer, deployer, ada = make(server, "trainer", "trainer"), make(server, "deployer", "deployer"), make(server, "ada", "auditor")

    experiment_id = ann.CreateExperiment(experiment.CreateExperimentRequest(name="diabetes")).experiment_id
    refused("PERMISSION_DENIED", trainer.CreateExperiment, experiment.CreateExperimentRequest(name="other"))
    runs = {rmse: train(trainer, experiment_id, rmse) for rmse in (71.5, 63.8, 67.3, 60.7)}
    found = ann.SearchRuns(run.SearchRunsRequest(
        experiment_ids=[experiment_id], filter="metrics.rmse < 70 AND params.alpha = '0.01'", order_by=["metrics.rmse ASC"]))
    assert [r.info.run_id for r in found.runs] == [runs[60.7], runs[63.8], runs[67.3]]
    history = ann.GetMetricHistory(metric.GetMetricHistoryRequest(run_id=runs[60.7], metric_key="path")).metrics
    assert [str(point.value) for point in history] == ["1.0", "nan", "inf", "0.5"]

    ann.CreateRegisteredModel(model.CreateRegisteredModelRequest(name=MODEL))
    for rmse in (60.7, 71.5):
        source = f"runs:/{runs[rmse]}/model"
        made = trainer.CreateModelVersion(version.CreateModelVersionRequest(name=MODEL, source=source)).model_version
    assert made.version == "2" and made.run_id == runs[71.5] and len(made.source_digest) == 64
    header, data = download(trainer, model_name=MODEL, model_version="1", path="model.json")
    assert json.loads(data[: len(data) // 500]) == {"rmse": 60.7} and header.size == len(data)
    trainer.SetModelVersionTag(version.SetModelVersionTagRequest(name=MODEL, version="1", key="prediction_works", value="true"))

    def to(stage, number="1"):
        return version.TransitionModelVersionStageRequest(name=MODEL, version=number, stage=stage)

    max_.TransitionModelVersionStage(to("Production", "2"))
    eve.TransitionModelVersionStage(to("staging"))
    assert "`stages.transition`" in refused("PERMISSION_DENIED", ann.TransitionModelVersionStage, to("Production"))
    assert "CreateTransitionRequest" in refused("PERMISSION_DENIED", eve.TransitionModelVersionStage, to("Production"))

    events = []
    watch = deployer.WatchLedger(ledger.WatchLedgerRequest(filter=ledger.LedgerFilter(registered_model=MODEL)))
    listener = threading.Thread(target=lambda: collect(watch, events), daemon=True)
    listener.start()
    time.sleep(0.5)

    def file():
        asked = request.CreateTransitionRequestRequest(name=MODEL, version="1", stage="Production", comment="better")
        return ann.CreateTransitionRequest(asked).request

    first = file()
    listed = max_.ListTransitionRequests(request.ListTransitionRequestsRequest(approvable_by_me=True)).requests
    assert [one.request_id for one in listed] == [first.request_id]
    assert not ann.ListTransitionRequests(request.ListTransitionRequestsRequest(approvable_by_me=True)).requests
    shown = max_.GetTransitionRequest(request.GetTransitionRequestRequest(request_id=first.request_id))
    assert shown.evidence.candidate.tags[0].key == "prediction_works"
    assert {m.key: m.value for m in shown.evidence.candidate.metrics}["rmse"] == 60.7
    assert shown.evidence.holder.version == "2" and not shown.differences
    refused("INVALID_ARGUMENT", max_.RejectTransitionRequest, request.RejectTransitionRequestRequest(request_id=first.request_id))
    max_.RejectTransitionRequest(request.RejectTransitionRequestRequest(request_id=first.request_id, comment="why?"))
    second = file()
    approval = request.ApproveTransitionRequestRequest(request_id=second.request_id, evidence_digest=second.evidence_digest)
    approved = max_.ApproveTransitionRequest(approval).request
    assert approved.state == request.TRANSITION_REQUEST_STATE_APPROVED and approved.decisions[0].user_name == "max"

    versions = ada.SearchModelVersions(version.SearchModelVersionsRequest(filter=f"name = '{MODEL}'", order_by=["version_number ASC"]))
    assert [v.current_stage for v in versions.model_versions] == ["Production", "Archived"]
    holders = ada.ListHoldings(version.ListHoldingsRequest(name=MODEL, target="Production")).holdings
    assert [(h.version, h.authority) for h in holders] == [("1", "request"), ("2", "direct")]
    assert holders[1].until_time == holders[0].from_time
    deadline = time.time() + 10
    while time.time() < deadline and not any(e.action.endswith("/ApproveTransitionRequest") for e in events):
        time.sleep(0.05)
    assert any(e.action.endswith("/ApproveTransitionRequest") and e.object_kind == "model_version" for e in events)
    header, _ = download(deployer, model_name=MODEL, model_version="Production", path="model.json")
    assert header.version == "1"
    # What a gated target holds is protected, and its bytes do not follow the run.
    refused("FAILED_PRECONDITION", eve.DeleteModelVersion, version.DeleteModelVersionRequest(name=MODEL, version="1"))
    refused("FAILED_PRECONDITION", eve.DeleteRun, run.DeleteRunRequest(run_id=runs[60.7]))
    upload(trainer, runs[60.7], "model/model.json", b"replaced")
    assert download(deployer, model_name=MODEL, model_version="Production", path="model.json")[1] == data

    rows = ada.ListLedgerEntries(ledger.ListLedgerEntriesRequest(filter=ledger.LedgerFilter(registered_model=MODEL), max_results=1000)).entries
    assert sum(row.outcome == ledger.LEDGER_OUTCOME_DENIED for row in rows) == 2
    assert verdict(ada).sound
    verify_exports(server, tmp_path)


def collect(watch, events):
    try:
        for message in watch:
            events.extend(message.entries)
    except Exception:  # the stream ends with the server
        pass


def verify_exports(server, tmp_path):
    """Both verifiers, ours and the independent one, on a sound and on a changed export."""
    time.sleep(1.5)  # a checkpoint is signed at least once a second while rows come
    export, changed = tmp_path / "export.jsonl", tmp_path / "changed.jsonl"
    note = server.command("ledger", "checkpoint")
    assert note.returncode == 0, note.stderr
    (tmp_path / "checkpoint").write_text(note.stdout)
    stated = server.command("ledger", "verify", "--state")
    assert stated.returncode == 0 and "no difference" in stated.stdout, stated.stdout + stated.stderr
    assert server.command("ledger", "export", "--output", str(export)).returncode == 0
    changed.write_text(export.read_text().replace('\\"comment\\":\\"why?\\"', '\\"comment\\":\\"why!\\"', 1))
    assert changed.read_text() != export.read_text()
    script = pathlib.Path(__file__).with_name("verify_export.py")
    for against in ([], ["--against", str(tmp_path / "checkpoint")]):
        for file, code in ((export, 0), (changed, 1)):
            ours = server.command("ledger", "verify", "--export", str(file), *against)
            theirs = subprocess.run([sys.executable, script, file, *against], capture_output=True, text=True)
            assert (ours.returncode, theirs.returncode) == (code, code), (ours.stdout, ours.stderr, theirs.stdout, theirs.stderr)
            if code:
                named = [word for word in theirs.stdout.split() if word.isdigit()][0]
                assert f"row {named}" in ours.stdout + ours.stderr
    a_new_origin_is_followed(server, tmp_path, script)
    if server.engine == "sqlite":
        tamper_with_the_database(server)


def a_new_origin_is_followed(server, tmp_path, script):
    """Both verifiers follow the ledger into a new origin, with checkpoint and key of the old one."""
    kept, export = tmp_path / "checkpoint", tmp_path / "restored.jsonl"
    lost = server.command("ledger", "new-origin", "--reason", "nothing is lost", "--against", str(kept))
    assert lost.returncode == 2 and "nothing is lost" in lost.stderr, lost
    begun = server.command("ledger", "new-origin", "--reason", "as after a restore")
    assert begun.returncode == 0 and "/2-" in begun.stdout, begun
    (tmp_path / "second").write_text(begun.stdout)
    admin(server)
    make(server, "after-" + server.engine, "viewer")
    time.sleep(1.5)  # a checkpoint of the new origin
    assert server.command("ledger", "export", "--output", str(export)).returncode == 0
    assert export.read_text().count("/2-") > 3
    for against in (kept, tmp_path / "second"):
        ours = server.command("ledger", "verify", "--export", str(export), "--against", str(against))
        theirs = subprocess.run([sys.executable, script, export, "--against", against], capture_output=True, text=True)
        assert (ours.returncode, theirs.returncode) == (0, 0), (ours.stdout, ours.stderr, theirs.stdout, theirs.stderr)
        assert "as after a restore" in ours.stdout and "as after a restore" in theirs.stdout
    # One who forges the row cannot sign behind it; one who leaves it out breaks the tree.
    lines = [line for line in export.read_text().splitlines(True) if "stagegate.ledger.NewOrigin" not in line]
    export.write_text("".join(lines))
    ours = server.command("ledger", "verify", "--export", str(export))
    theirs = subprocess.run([sys.executable, script, export], capture_output=True, text=True)
    assert (ours.returncode, theirs.returncode) == (1, 1), (ours.stdout, theirs.stdout)


def tamper_with_the_database(server):
    """A byte of a row changed past its trigger is named; here through SQL, with the trigger dropped."""
    database = sqlite3.connect(server.folder / "stagegate.db", timeout=10)
    trigger = database.execute("SELECT sql FROM sqlite_master WHERE name = 'ledger_entries_no_update'").fetchone()[0]
    row, payload = database.execute(
        "SELECT p.position, e.payload FROM ledger_entries e JOIN ledger_positions p ON p.entry = e.id WHERE e.payload LIKE '%why?%'").fetchone()
    change = "UPDATE ledger_entries SET payload = ? WHERE payload = ?"
    try:
        database.execute(change, (payload.replace("why?", "why!"), payload))
        raise AssertionError("the trigger refuses updates")
    except sqlite3.IntegrityError:
        pass
    with database:
        database.execute("DROP TRIGGER ledger_entries_no_update")
        database.execute(change, (payload.replace("why?", "why!"), payload))
    found = server.command("ledger", "verify")
    assert found.returncode == 1 and f"row {row}" in found.stdout + found.stderr, found
    with database:
        database.execute(change, (payload, payload.replace("why?", "why!")))
        database.execute(trigger)
    assert server.command("ledger", "verify").returncode == 0
    database.close()


def test_command_line_beside_the_server(server):
    from stagegate.v1 import access_messages_pb2 as access
    from clients import Clients

    made = server.command("user", "create", "cli-user", "--persona", "viewer", "--password-stdin", input="a password from stdin\n")
    assert made.returncode == 0, made.stderr
    token = server.command("token", "create", "--user", "cli-user", "--ttl", "1h").stdout.strip()
    assert token.count(".") == 2
    who = Clients(server.channel, "Bearer " + token)
    shown = who.WhoAmI(access.WhoAmIRequest())
    assert shown.user.user_name == "cli-user" and shown.token.origin == access.TOKEN_ORIGIN_COMMAND_LINE
    assert server.command("token", "revoke", shown.token.token_id).returncode == 0
    deadline = time.time() + 1.5
    while time.time() < deadline:
        try:
            who.WhoAmI(access.WhoAmIRequest())
        except Exception:
            break
        time.sleep(0.05)
    refused("UNAUTHENTICATED", who.WhoAmI, access.WhoAmIRequest())
    again = server.command("user", "create", "CLI-user", "--persona", "viewer")
    assert again.returncode == 2 and len(again.stderr.strip().splitlines()) == 1


def test_no_secret_is_logged(server):
    from clients import sign_in

    sign_in(server, "admin", "correct horse battery")
    token = server.command("token", "create", "--user", "admin").stdout.strip()
    from clients import Clients
    from stagegate.v1 import access_messages_pb2 as access

    Clients(server.channel, "Bearer " + token).WhoAmI(access.WhoAmIRequest())
    refused("UNAUTHENTICATED", Clients(server.channel, "Bearer " + token + "x").WhoAmI, access.WhoAmIRequest())
    log = (server.folder / "server.log").read_text()
    assert token not in log and "correct horse battery" not in log
    assert admin(server)
