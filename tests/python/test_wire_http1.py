"""HTTP/1.1 as no client should speak it: requests hidden in others, heads without end, bodies that never come."""

import concurrent.futures
import contextlib
import os
import resource
import socket
import threading
import time

import pytest
from conftest import Server
from raw import Http2, Others, END_HEADERS, HEADERS, RST_STREAM, DATA, block, connect, exchange, frame, grpc_block, http1, parsed, until_closed

SIGN_IN = "/stagegate.v1.AccessService/SignIn"


def statuses(received):
    return [int(line.split(b" ")[1]) for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def head(server, *fields, method="POST", path="/version", version="1.1"):
    return "\r\n".join([f"{method} {path} HTTP/{version}", f"host: {server.address}", *fields, "", ""]).encode("latin-1")


HIDDEN = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize("fields", [
    ["content-length: {length}", "transfer-encoding: chunked"],
    ["transfer-encoding: chunked", "content-length: {length}"],
    ["transfer-encoding: chunked", "content-length: nonsense"],
    ["content-length: {length}", "transfer-encoding: gzip, chunked"],
])
def test_a_request_with_both_lengths_is_the_last_of_its_connection(one_server, fields):
    body = "0\r\n\r\n" + HIDDEN
    fields = [field.format(length=len(body)) for field in fields]
    received = exchange(one_server, head(one_server, *fields) + body.encode())
    assert len(statuses(received)) == 1, received
    assert b"OK" not in received


@pytest.mark.parametrize("fields", [
    ["content-length: 5", "content-length: 6"], ["content-length: 5, 6"], ["content-length: +5"], ["content-length: -5"],
    ["content-length: 0x5"], ["content-length: 5 5"], ["content-length: 99999999999999999999"], ["content-length: "],
    ["transfer-encoding: chunked, identity"], ["transfer-encoding: xchunked"], ["transfer-encoding: identity"],
    ["transfer-encoding: chunked", "transfer-encoding: identity"], ["transfer-encoding : chunked"], ["content-length : 5"],
    ["content-length: 5\r\n content-length: 6"], ["x: y\rcontent-length: 5"],
])
def test_odd_lengths_are_bad_requests(one_server, fields):
    received = exchange(one_server, head(one_server, *fields) + b"0\r\n\r\n" + HIDDEN.encode())
    assert statuses(received) == [400], received


def test_chunks_of_old_clients_are_bad_requests(one_server):
    received = exchange(one_server, head(one_server, "transfer-encoding: chunked", version="1.0") + b"0\r\n\r\n" + HIDDEN.encode())
    assert statuses(received) == [400], received


@pytest.mark.parametrize("chunk", ["-1\r\n", "0x1\r\nx\r\n", "fffffffffffffffff\r\n", "1;" + "x" * 100_000, "1\r\nxyz", "\r\n\r\n", "g\r\n"])
def test_odd_chunks_end_the_connection(one_server, chunk):
    fields = ["transfer-encoding: chunked", "content-type: application/grpc"]
    received = exchange(one_server, head(one_server, *fields, path=SIGN_IN) + chunk.encode() + b"0\r\n\r\n" + HIDDEN.encode())
    assert len(statuses(received)) == 1 and b"\r\n\r\nOK" not in received, received


@pytest.mark.parametrize("fields, path, status", [
    (["x: " + "y" * 20_000], "/health", 431),
    (["x: " + "y" * 200_000], "/health", 431),
    (["x: y"] * 101, "/health", 431),
    ([], "/" + "x" * 65_536, 414),
    ([], "/" + "x" * 60_000, 401),
])
def test_heads_have_limits(one_server, fields, path, status):
    assert statuses(exchange(one_server, head(one_server, *fields, "connection: close", method="GET", path=path))) == [status]


@pytest.mark.parametrize("given", [[], ["Bearer x", "Bearer x"], ["Bearer " + "x" * 9_000], ["Bearer"], ["Basic !"], ["Digest x"]])
def test_bad_credentials(one_server, given):
    fields = [f"authorization: {value}" for value in given]
    status, headers, body = parsed(exchange(one_server, head(one_server, *fields, "connection: close", method="GET", path="/nowhere")))
    assert (status, headers["content-type"]) == (401, "application/json")
    assert b"UNAUTHENTICATED" in body


def test_500_connections_under_a_low_limit_of_files(tmp_path):
    """More than the process can have open: the others wait to be accepted, and accepting goes on when some have gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    server = Server(tmp_path, "sqlite", prefix=["sh", "-c", 'ulimit -n 96; exec "$@"', "sh"])
    try:
        host, port = server.address.split(":")
        with contextlib.ExitStack() as stack:
            for _ in range(500):
                waiting = stack.enter_context(socket.socket())
                # The last of them find the system's queue full.
                waiting.setblocking(False)
                waiting.connect_ex((host, int(port)))
            time.sleep(1)
            assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 96, "some are left for the database and the files"
        begun = time.monotonic()
        assert http1(server, "GET", "/health")[0] == 200
        assert time.monotonic() - begun < 2
        assert "could not be accepted" not in (tmp_path / "server.log").read_text(), "none was taken that there was no room for"
    finally:
        server.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def held(server, begin, again=None, last=b""):
    """Holds a connection open until the server closes it; gives the seconds. `again` is sent every 2 seconds,
    `last` is how the last answer begins."""
    begun = time.monotonic()
    received = b""
    with connect(server) as connection:
        connection.sendall(begin)
        while time.monotonic() - begun < 58:
            connection.settimeout(2)
            try:
                part = connection.recv(65536)
                if not part:
                    assert received.startswith(last), received
                    return time.monotonic() - begun
                received += part
            except TimeoutError:
                with contextlib.suppress(ConnectionError):
                    if again:
                        connection.sendall(again)
            except ConnectionError:
                return time.monotonic() - begun
    return float("inf")


def stalled_call(server):
    """Seconds until a gRPC call is given up whose message does not come; its connection lives on."""
    begun = time.monotonic()
    with Http2(server, timeout=58) as client:
        client.send(frame(HEADERS, END_HEADERS, 1, grpc_block(server, SIGN_IN)) + frame(DATA, 0, 1, b"\0\0\0\1\0"))
        assert client.until(HEADERS, RST_STREAM, stream=1)
        taken = time.monotonic() - begun
        assert client.is_alive()
    return taken


def test_slow_clients_are_dropped_and_others_do_not_wait(one_server):
    """All of them at once, because each takes its time."""
    from raw import PREFACE

    body = ["content-type: application/grpc", "content-length: 1000"]
    # Whoever is not known is told that, and the rest of the body is waited for no longer than anybody's.
    strange, rest = (head(one_server, "content-type: application/json", "content-length: 1000", path=path)
                     for path in ("/api/2.0/mlflow/experiments/create", "/api/stagegate/v1/sign-in"))
    cases = {
        "half heads": (200, held, [b"GET /health HTTP/1.1\r\nhost: local"], 8, 25),
        "heads that drip": (20, held, [b"GET /health HTTP/1.1\r\n", b"x: y\r\n"], 8, 25),
        "half bodies": (100, held, [head(one_server, *body, path=SIGN_IN) + b"half"], 25, 55),
        "half bodies of JSON": (100, held, [rest + b'{"name":', None, b"HTTP/1.1 408 "], 25, 55),
        "bodies of JSON that drip": (20, held, [rest, b" ", b"HTTP/1.1 408 "], 25, 55),
        "strangers' half bodies": (20, held, [strange + b'{"name":', None, b"HTTP/1.1 401 "], 25, 55),
        "bodies that drip": (20, held, [head(one_server, *body, path=SIGN_IN) + b"\0\0\0\1\0", b"x"], 25, 55),
        "nothing": (20, held, [b""], 8, 25),
        "half a preface": (20, held, [PREFACE[:5]], 8, 25),
        "half a head in HTTP/2": (20, held, [PREFACE + frame(HEADERS, 0, 1, block(one_server))], 8, 25),
        "half a message in HTTP/2": (20, stalled_call, [], 25, 55),
    }
    with Others(one_server) as others, concurrent.futures.ThreadPoolExecutor(600) as pool:
        running = {name: [pool.submit(what, one_server, *given) for _ in range(count)] for name, (count, what, given, _, _) in cases.items()}
        taken = {name: [future.result() for future in futures] for name, futures in running.items()}
    for name, (_, _, _, least, most) in cases.items():
        print(f"{name}: {min(taken[name]):.1f} to {max(taken[name]):.1f} s")
        assert least < min(taken[name]) and max(taken[name]) < most, f"{name}: {min(taken[name])} to {max(taken[name])}"
    assert others.slowest < 2
