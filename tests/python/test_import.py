"""`stagegate import mlflow`: from databases and servers of the real MLflow, compared through the API; twice, killed in between,
beside a running server, into a server that has objects of the same names."""

import math
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

import mlflow_house
from clients import admin
from conftest import BINARY


def lines(report):
    """The report's counts: kind -> (there, here, new)."""
    found = {}
    for line in report.splitlines():
        match = re.match(r"(\S.*?)\s{2,}(\d+)\s+(\d+)\s+(\d+)", line)
        if match:
            found[match[1]] = tuple(map(int, match.groups()[1:]))
    return found


@pytest.fixture(scope="module", params=[3, 2], ids=["mlflow3", "mlflow2"])
def source(request, server, tmp_path_factory):
    """A database that the real client filled, one for each server: tests go on with it."""
    folder = tmp_path_factory.mktemp(f"mlflow{request.param}")
    uri = f"sqlite:///{folder}/mlflow.db"
    ids = mlflow_house.run(request.param, mlflow_house.FILL, uri, folder / "mlruns", folder / "files", folder=folder).split()
    return request.param, folder, uri, ids


@pytest.fixture(scope="module")
def imported(server, source):
    """The first import, beside the running server."""
    _, folder, uri, _ = source
    return server.command("import", "mlflow", "--from", uri, "--artifacts", str(folder / "mlruns"), "--source", str(folder))


def test_the_report_counts_both_sides(imported, source):
    counts = lines(imported.stdout)
    assert imported.returncode == 3, imported.stdout + imported.stderr
    for kind, (there, here, _) in counts.items():
        assert there == here, kind
    assert counts["runs"] == (3, 3, 3)
    assert counts["metric points"][0] == 3006 + (source[0] == 3)
    assert counts["model versions"][0] == 3 + (source[0] == 3)
    assert counts["versions in a stage"][0] == 2 and counts["aliases"][0] == 1
    assert counts["logged models"][0] == (1 if source[0] == 3 else 0)
    assert counts["artifact files"][0] == 2 + 2 * (source[0] == 3)
    # Two names that our rules refuse.
    assert "\nRenamed (" in imported.stdout and "mixed_fr_ud-" in imported.stdout and "p_yments-" in imported.stdout


def test_runs_are_what_they_were(server, source, imported):
    from stagegate.v1 import experiment_pb2, metric_pb2, run_pb2

    clients = admin(server)
    run_id, deleted, running = source[3]
    run = clients.GetRun(run_pb2.GetRunRequest(run_id=run_id)).run
    assert (run.info.run_name, run.info.user_id, run.info.status) == ("first", "jo", run_pb2.RUN_STATUS_FINISHED)
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_005_000)
    assert {param.key: param.value for param in run.data.params} == {"lr": "0.1", "empty": ""}
    assert {tag.key: tag.value for tag in run.data.tags}["mlflow.user"] == "jo"
    latest = {metric.key: metric for metric in run.data.metrics}
    assert (latest["loss"].value, latest["loss"].step, latest["acc"].step) == (-3.5, 2, 2999)
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest, used.tags[0].value) == ("d", "abc", "train")
    history = clients.GetMetricHistory(metric_pb2.GetMetricHistoryRequest(run_id=run_id, metric_key="loss")).metrics
    values = [point.value for point in history]
    assert math.isnan(values[1]) and values[:1] + values[2:] == [1.0, math.inf, -math.inf, -3.5]
    assert [(point.timestamp, point.step) for point in history] == [(1000 + step, step - 2) for step in range(5)]
    history = clients.GetMetricHistory(metric_pb2.GetMetricHistoryRequest(run_id=run_id, metric_key="acc")).metrics
    assert [(point.value, point.timestamp, point.step) for point in history] == [(i / 3, 1000 + i, i) for i in range(3000)]

    experiment = clients.GetExperiment(experiment_pb2.GetExperimentRequest(experiment_id=run.info.experiment_id)).experiment
    assert experiment.name == "alpha" and [(tag.key, tag.value) for tag in experiment.tags] == [("team", "risk")]
    info = clients.GetRun(run_pb2.GetRunRequest(run_id=deleted)).run.info
    assert info.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED
    gone = clients.GetExperiment(experiment_pb2.GetExperimentRequest(experiment_id=info.experiment_id)).experiment
    assert gone.name == "gone" and gone.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED
    assert clients.GetRun(run_pb2.GetRunRequest(run_id=running)).run.info.status == run_pb2.RUN_STATUS_RUNNING


def test_the_registry_is_what_it_was(server, source, imported):
    from stagegate.v1 import artifact_pb2, model_version_pb2, registered_model_pb2

    clients = admin(server)
    name = re.search(r'registered model "enet" is here "(enet-\w+)"', imported.stdout)
    name = name[1] if name else "enet"
    model = clients.GetRegisteredModel(registered_model_pb2.GetRegisteredModelRequest(name=name)).registered_model
    assert (model.description, [(tag.key, tag.value) for tag in model.tags]) == ("d", [("a", "b")])
    version = lambda number: clients.GetModelVersion(model_version_pb2.GetModelVersionRequest(name=name, version=number)).model_version
    third = version("3")
    assert (third.current_stage, third.description, third.run_id, list(third.aliases)) == ("Production", "v2", source[3][0], ["champion"])
    assert version("1").current_stage == "Archived"
    # The files of its run became its own manifest.
    assert third.source_digest != "unverified"
    files = clients.ListArtifacts(artifact_pb2.ListArtifactsRequest(model_name=name, model_version="3")).files
    assert [(file.path, file.file_size) for file in files] == [("empty file", 0), ("f.txt", 5)]
    # Numbers of deleted versions are not given again.
    made = clients.CreateModelVersion(model_version_pb2.CreateModelVersionRequest(name=name, source="s3://bucket/x")).model_version
    assert made.version == ("6" if source[0] == 3 else "5")

    holdings = clients.ListHoldings(model_version_pb2.ListHoldingsRequest(name=name)).holdings
    assert {(held.target, held.version, held.authority, held.moved_by) for held in holdings} == {
        ("Production", "3", "import", ""), ("@champion", "3", "import", "")}


def test_the_ledger_says_where_it_comes_from_and_is_sound(server, source, imported):
    from stagegate.v1 import ledger_messages_pb2 as ledger

    clients = admin(server)
    rows = clients.ListLedgerEntries(ledger.ListLedgerEntriesRequest(filter=ledger.LedgerFilter(object_id=source[3][0]))).entries
    created = [row for row in rows if row.action == "stagegate.v1.TrackingService/CreateRun"]
    assert [row.credential for row in created] == ["command_line"] and str(source[1]) in created[0].payload
    time.sleep(1.5)
    verified = server.command("ledger", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_second_import_brings_only_what_is_new(server, source, imported):
    from stagegate.v1 import run_pb2

    major, folder, uri, (_, _, running) = source
    again = ["import", "mlflow", "--from", uri, "--artifacts", str(folder / "mlruns"), "--source", str(folder)]
    second = server.command(*again)
    assert second.returncode == 3, second.stdout + second.stderr
    assert {new for _, _, new in lines(second.stdout).values()} == {0}

    mlflow_house.run(major, mlflow_house.GO_ON, uri, running, folder=folder)
    third = server.command(*again)
    counts = lines(third.stdout)
    assert counts["metric points"][2] == 1 and counts["params"][2] == 1 and counts["runs"][2] == 0
    run = admin(server).GetRun(run_pb2.GetRunRequest(run_id=running)).run
    assert run.info.status == run_pb2.RUN_STATUS_KILLED
    # Promotions there are no promotions here.
    assert third.returncode == 1, third.stdout
    assert "stage Production of version 1" in third.stdout and 'alias "champion"' in third.stdout


def test_a_killed_import_goes_on(server, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow_house.run(3, "import sys\nfrom mlflow.tracking import MlflowClient\nMlflowClient(sys.argv[1]).search_experiments()", uri, folder=tmp_path)
    mlflow_house.run(3, mlflow_house.BULK, tmp_path / "mlflow.db", 400, 400, folder=tmp_path)
    command = [BINARY, "import", "mlflow", "--from", uri, *server.data]
    killed = 0
    for seconds in (0.6, 1.2, 2.4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed > 0, "every import was done before it could be killed"
    done = server.command("import", "mlflow", "--from", uri)
    counts = lines(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert counts["runs"][:2] == (400, 400) and counts["metric points"][:2] == (160_000, 160_000) and counts["params"][:2] == (4000, 4000)
    assert counts["runs"][2] < 400, "nothing was there of the killed ones"


def test_an_import_from_a_server_is_the_same(server, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = dict(os.environ, PATH=f"{mlflow_house.python(3).parent}:{os.environ['PATH']}", MLFLOW_DISABLE_TELEMETRY="true")
    log = open(tmp_path / "log", "wb")
    process = subprocess.Popen(
        [mlflow_house.python(3).parent / "mlflow", "server", "--port", str(port), "--workers", "1", "--backend-store-uri",
         "sqlite:///mlflow.db", "--artifacts-destination", "./mlartifacts"],
        cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(url + "/health", timeout=5)
                break
            except OSError:
                time.sleep(0.2)
        mlflow_house.run(3, mlflow_house.FILL, url, "", tmp_path / "files", folder=tmp_path)
        done = server.command("import", "mlflow", "--from", url, "--artifacts", url, "--source", str(tmp_path))
        counts = lines(done.stdout)
        for kind, (there, here, _) in counts.items():
            assert there == here, f"{kind}: {done.stdout}"
        assert (counts["runs"][0], counts["metric points"][0], counts["model versions"][0]) == (3, 3007, 4), done.stdout
        assert (counts["logged models"][0], counts["artifact files"][0], counts["their uses by runs"][0]) == (1, 4, 1), done.stdout
        assert done.returncode == 3
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize(("arguments", "said"), [
    (["--from", "sqlite:///nowhere.db"], "there is no SQLite file"),
    (["--from", "mysql://h/d"], "from its running server"),
    (["--from", "http://127.0.0.1:9"], "cannot be reached"),
    (["--from", "{empty}"], "mlflow db upgrade"),
    (["--from", "{old}"], "mlflow db upgrade"),
])
def test_what_cannot_be_read_is_refused_in_one_line(server, tmp_path, arguments, said):
    import sqlite3

    for name, revision in [("empty", None), ("old", "451aebb31d03")]:
        with sqlite3.connect(tmp_path / name) as database:
            database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            if revision:
                database.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
    arguments = [argument.format(empty=f"sqlite:///{tmp_path}/empty", old=f"sqlite:///{tmp_path}/old") for argument in arguments]
    refused = server.command("import", "mlflow", *arguments)
    assert refused.returncode == 2 and said in refused.stderr and len(refused.stderr.strip().splitlines()) == 1, refused.stderr
