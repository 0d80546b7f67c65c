"""A stop answers what was accepted, ends streams with what their clients need to go on, and waits for nobody for long."""

import queue
import shutil
import struct
import subprocess
import threading
import time

import grpc
import pytest
from clients import admin
from conftest import POSTGRES, Server
from hpack import Decoder
from raw import ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, Http2, connect, frame, grpc_block, http1

SIGN_IN = "/stagegate.v1.AccessService/SignIn"


@pytest.fixture
def stopping(tmp_path):
    server = Server(tmp_path, "sqlite")
    yield server
    server.stop()
    shutil.rmtree(tmp_path, ignore_errors=True)


def stopped(server, within):
    """The seconds until the server has ended, which it does well."""
    begun = time.monotonic()
    assert server.process.wait(within) == 0
    return time.monotonic() - begun


def test_what_was_accepted_is_answered(stopping):
    from stagegate.v1 import access_messages_pb2 as access

    request = access.SignInRequest(user_name="admin", password="correct horse battery").SerializeToString()
    message = b"\0" + struct.pack(">I", len(request)) + request
    with Http2(stopping) as client:
        client.send(frame(HEADERS, END_HEADERS, 1, grpc_block(stopping, SIGN_IN)) + frame(DATA, 0, 1, message[:10]))
        assert client.is_alive()
        stopping.process.terminate()
        assert client.until(GOAWAY)
        client.send(frame(DATA, END_STREAM, 1, message[10:]))
        decoder, seen, body = Decoder(), {}, b""
        while "grpc-status" not in seen:
            kind, _, _, content = client.until(HEADERS, DATA)
            if kind == HEADERS:
                seen.update(decoder.decode(content))
            else:
                body += content
        assert seen["grpc-status"] == "0"
        assert access.SignInResponse.FromString(body[5:]).token
    assert stopped(stopping, 20) < 5


def test_writes_are_answered_or_not_done_and_what_was_answered_is_there(stopping):
    from stagegate.v1 import experiment_pb2

    signed = admin(stopping)
    kept, failed = [], []

    def write(worker):
        for number in range(10_000):
            name = f"e-{worker}-{number}"
            try:
                signed.CreateExperiment(experiment_pb2.CreateExperimentRequest(name=name))
                kept.append(name)
            except grpc.RpcError as error:
                failed.append(error.code())
                return

    workers = [threading.Thread(target=write, args=[worker]) for worker in range(8)]
    for worker in workers:
        worker.start()
    time.sleep(1)
    stopping.process.terminate()
    for worker in workers:
        worker.join()
    assert stopped(stopping, 20) < 5
    # The connection ends after all answers; the next call finds none.
    assert len(kept) > 20 and set(failed) == {grpc.StatusCode.UNAVAILABLE}
    stopping.start()
    found = admin(stopping).SearchExperiments(experiment_pb2.SearchExperimentsRequest(max_results=50_000)).experiments
    assert set(kept) <= {experiment.name for experiment in found}
    # At most the one call of each worker that broke off may be there besides.
    assert len(found) <= len(kept) + 1 + len(workers)


def outcome(answers):
    """How a stream ends."""
    try:
        for _ in answers:
            pass
    except grpc.RpcError as error:
        return error
    return None


def test_streams_end_with_what_it_takes_to_go_on(stopping):
    from stagegate.v1 import ledger_messages_pb2, metric_pb2, run_pb2

    signed = admin(stopping)
    run = signed.CreateRun(run_pb2.CreateRunRequest(experiment_id="0")).run.info.run_id
    watch = signed.WatchLedger(ledger_messages_pb2.WatchLedgerRequest(from_position=0))
    next(watch)
    messages = queue.Queue()
    messages.put(metric_pb2.LogStreamRequest(run_id=run, sequence=7, metrics=[run_pb2.Metric(key="m", value=1, timestamp=1)]))
    log = signed.LogStream(iter(messages.get, None))
    assert next(log).acknowledged_sequence == 7
    healthy = stopping.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    assert next(healthy) == b"\x08\x01"
    stopping.process.terminate()
    assert next(healthy) == b"\x08\x02"
    assert "resume from position" in outcome(watch).details()
    ended = outcome(log)
    assert ended.code() == grpc.StatusCode.UNAVAILABLE and "not acknowledged" in ended.details()
    assert outcome(healthy) is None
    assert stopped(stopping, 20) < 5
    messages.put(None)


def test_stuck_clients_hold_a_stop_for_ten_seconds_and_no_longer(stopping):
    host = f"host: {stopping.address}\r\n".encode()
    with connect(stopping) as half_head, connect(stopping) as half_body, connect(stopping), Http2(stopping) as silent, Http2(stopping) as half:
        half_head.sendall(b"GET /health HTTP/1.1\r\n")
        half_body.sendall(b"POST " + SIGN_IN.encode() + b" HTTP/1.1\r\n" + host + b"content-type: application/grpc\r\ncontent-length: 99\r\n\r\nhalf")
        silent.send(frame(HEADERS, END_HEADERS, 1, grpc_block(stopping, SIGN_IN)))
        half.send(frame(HEADERS, 0, 1, grpc_block(stopping, SIGN_IN)) + frame(CONTINUATION, 0, 1))
        assert silent.is_alive()
        stopping.process.terminate()
        assert 8 < stopped(stopping, 30) < 14
    assert "cut off" in (stopping.folder / "server.log").read_text()


def test_idle_clients_do_not_hold_a_stop(stopping):
    with connect(stopping) as used, connect(stopping), Http2(stopping) as idle:
        used.sendall(f"GET /health HTTP/1.1\r\nhost: {stopping.address}\r\n\r\n".encode())
        assert used.recv(65536).endswith(b"OK")
        assert idle.is_alive()
        stopping.process.terminate()
        asked = idle.until(PING)
        idle.send(frame(PING, ACK, 0, asked[3]))
        assert stopped(stopping, 20) < 5


@pytest.mark.skipif(not POSTGRES, reason="STAGEGATE_TEST_POSTGRES_URL is not set")
def test_health_says_when_the_database_is_away(tmp_path):
    server = Server(tmp_path, "postgres")

    def allow(connections):
        sql = f"ALTER DATABASE {server.database} ALLOW_CONNECTIONS {connections}"
        away = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{server.database}'"
        subprocess.run(["psql", "-q", POSTGRES, "-c", sql, "-c", away], check=True, stdout=subprocess.DEVNULL)

    def becomes(status):
        until = time.monotonic() + 30
        while (got := http1(server, "GET", "/health"))[0] != status and time.monotonic() < until:
            time.sleep(0.2)
        return got[0]

    try:
        assert becomes(200) == 200
        allow("false")
        assert becomes(503) == 503
        allow("true")
        assert becomes(200) == 200
    finally:
        server.stop()
