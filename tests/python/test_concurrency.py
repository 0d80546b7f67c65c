"""Many at once: exactly one transition, consecutive numbers, nothing acknowledged is lost."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from clients import Clients, admin, basic, make, verdict

MANY = 32


def at_once(calls):
    """Runs all calls at the same moment; gives answers and errors."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        except grpc.RpcError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_many_versions_get_consecutive_numbers(server):
    from stagegate.v1 import model_version_pb2 as version, registered_model_pb2 as model

    root = admin(server)
    root.CreateRegisteredModel(model.CreateRegisteredModelRequest(name="numbers"))
    made = at_once([lambda: root.CreateModelVersion(version.CreateModelVersionRequest(name="numbers", source="s3://b/m"))] * MANY)
    numbers = sorted(int(answer.model_version.version) for answer in made)
    assert numbers == list(range(1, MANY + 1))


def test_many_approvals_end_in_one_transition(server):
    from stagegate.v1 import ledger_messages_pb2 as ledger, model_version_pb2 as version, registered_model_pb2 as model
    from stagegate.v1 import transition_request_pb2 as request

    ann = make(server, "asker", "data_scientist")
    managers = [make(server, f"manager-{n}", "manager") for n in range(8)]
    ann.CreateRegisteredModel(model.CreateRegisteredModelRequest(name="race"))
    ann.CreateModelVersion(version.CreateModelVersionRequest(name="race", source="s3://b/m"))
    filed = ann.CreateTransitionRequest(request.CreateTransitionRequestRequest(name="race", version="1", stage="Production")).request
    approval = request.ApproveTransitionRequestRequest(request_id=filed.request_id, evidence_digest=filed.evidence_digest)
    answers = at_once([lambda m=managers[n % 8]: m.ApproveTransitionRequest(approval) for n in range(MANY)])
    won = [answer for answer in answers if not isinstance(answer, grpc.RpcError)]
    lost = {answer.code().name for answer in answers if isinstance(answer, grpc.RpcError)}
    assert len(won) == 1 and lost <= {"FAILED_PRECONDITION", "ALREADY_EXISTS"}, lost
    holdings = admin(server).ListHoldings(version.ListHoldingsRequest(name="race", target="Production")).holdings
    assert len(holdings) == 1 and holdings[0].request_id == filed.request_id
    rows = admin(server).ListLedgerEntries(ledger.ListLedgerEntriesRequest(
        filter=ledger.LedgerFilter(registered_model="race", action="ApproveTransitionRequest", outcome=ledger.LEDGER_OUTCOME_OK))).entries
    assert sorted(row.object_kind for row in rows) == ["model_version", "transition_request"]


def test_one_name_is_given_once(server):
    from stagegate.v1 import access_messages_pb2 as access

    root = admin(server)
    made = at_once([lambda: root.CreateUser(access.CreateUserRequest(user_name="once"))] * 20)
    errors = [answer.code().name for answer in made if isinstance(answer, grpc.RpcError)]
    assert errors == ["ALREADY_EXISTS"] * 19


def test_the_last_admin_stays(server):
    from stagegate.v1 import access_messages_pb2 as access

    second = make(server, "second-admin", "admin")
    root = admin(server)
    outcomes = at_once([
        lambda: root.UpdateUser(access.UpdateUserRequest(user_name="second-admin", active=False)),
        lambda: second.UpdateUser(access.UpdateUserRequest(user_name="admin", active=False)),
    ])
    assert sum(isinstance(outcome, grpc.RpcError) for outcome in outcomes) >= 1
    survivor = second if isinstance(outcomes[0], grpc.RpcError) else root
    survivor.UpdateUser(access.UpdateUserRequest(user_name="admin", active=True))


def test_a_watcher_misses_nothing(server):
    from stagegate.v1 import experiment_pb2 as experiment, ledger_messages_pb2 as ledger

    root = admin(server)
    start = verdict(root).entries
    seen, done = [], threading.Event()

    def watch():
        try:
            for message in root.WatchLedger(ledger.WatchLedgerRequest(from_position=start)):
                seen.extend(entry.position for entry in message.entries)
                if done.is_set() and message.next_position >= start + 16 * 20:
                    return
        except grpc.RpcError:
            return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()

    def write(writer):
        for n in range(20):
            root.CreateExperiment(experiment.CreateExperimentRequest(name=f"watched {writer} {n}"))

    at_once([lambda n=n: write(n) for n in range(16)])
    done.set()
    deadline = time.time() + 20
    while time.time() < deadline and len(set(seen)) < 320:
        time.sleep(0.05)
    assert seen == sorted(seen) and set(seen) >= set(range(start, start + 320))


def test_kill_loses_nothing_that_was_acknowledged(server):
    from stagegate.v1 import experiment_pb2 as experiment, ledger_messages_pb2 as ledger, metric_pb2 as metric, run_pb2 as run

    made = admin(server).CreateRun(run.CreateRunRequest(experiment_id="0")).run.info.run_id
    acknowledged, points, stop = [], [], threading.Event()

    def write(writer):
        from conftest import ADMIN_PASSWORD

        who = Clients(server.channel, basic("admin", ADMIN_PASSWORD))
        n = 0
        while not stop.is_set():
            n += 1
            try:
                if writer % 2:
                    name = f"kept {writer} {n}"
                    who.CreateExperiment(experiment.CreateExperimentRequest(name=name))
                    acknowledged.append(name)
                else:
                    step = writer * 1_000_000 + n
                    who.LogMetric(metric.LogMetricRequest(run_id=made, key="m", value=1.0, timestamp=1, step=step))
                    points.append(step)
            except (grpc.RpcError, ValueError):
                return

    writers = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(16)]
    for writer in writers:
        writer.start()
    time.sleep(3)
    server.kill()
    stop.set()
    for writer in writers:
        writer.join(20)
    server.start()
    root = admin(server)
    found = set()
    token = ""
    while True:
        page = root.SearchExperiments(experiment.SearchExperimentsRequest(max_results=1000, page_token=token))
        found.update(one.name for one in page.experiments)
        token = page.next_page_token
        if not token:
            break
    history = root.GetMetricHistory(metric.GetMetricHistoryRequest(run_id=made, metric_key="m"))
    steps = {point.step for point in history.metrics}
    print(f"\nkill -9 on {server.engine}: {len(acknowledged)} experiments and {len(points)} points acknowledged, "
          f"{len(found & set(acknowledged))} and {len(steps & set(points))} found")
    assert acknowledged and points
    assert found >= set(acknowledged) and steps >= set(points)
    assert verdict(root).sound
