"""Floods over HTTP/2: their connection ends or bears it, others do not notice, and memory stays."""

import gzip
import struct
import time

import grpc
import pytest
from hpack import Decoder
from raw import (
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, Http2, Others, PING, REFUSED_STREAM,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, field, frame, grpc_block, number,
)

SIGN_IN = "/stagegate.v1.AccessService/SignIn"


@pytest.fixture
def others(one_server):
    watched = Others(one_server)
    with watched:
        yield watched
    assert watched.slowest < 1, f"others waited {watched.slowest} s"
    assert watched.grown < 48, f"memory grew by {watched.grown} MiB"


def reset(stream):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def begun(server, stream):
    """A call whose body does not come."""
    return frame(HEADERS, END_HEADERS, stream, grpc_block(server, SIGN_IN))


def test_a_burst_of_5000_resets(one_server, others):
    with Http2(one_server) as client:
        attack = b"".join(begun(one_server, stream) + reset(stream) for stream in range(1, 10_000, 2))
        client.send_or_closed(attack)
        assert client.goaway()[0] == ENHANCE_YOUR_CALM


def accepted(server, client, streams, last):
    """Begins calls and waits until all are accepted: the answer to the last one, of its own, says so."""
    client.send(b"".join(begun(server, stream) for stream in streams))
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, last, block(server)))
    return client.until(HEADERS, GOAWAY)[0] == HEADERS


def paced(server, client, count, first=1):
    """Resets so many streams, each after it was accepted."""
    for stream in range(first, first + count * 22 // 10, 22):
        ten = range(stream, stream + 20, 2)
        assert accepted(server, client, ten, stream + 20)
        client.send(b"".join(reset(one) for one in ten))


def test_resets_have_a_budget_of_400_a_minute(one_server, others):
    with Http2(one_server) as client:
        paced(one_server, client, 400)
        assert client.is_alive(), "400 are within the budget"
        assert accepted(one_server, client, [2001], 2003)
        client.send(reset(2001))
        assert client.goaway() == (ENHANCE_YOUR_CALM, "too_many_resets")


def window_overflow(server, stream):
    return begun(server, stream) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**31 - 1))


def empty_window_update(server, stream):
    return begun(server, stream) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0))


def data_after_the_end(server, stream):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(server)) + frame(DATA, 0, stream, b"more")


def more_than_its_length(server, stream):
    return frame(HEADERS, END_HEADERS, stream, grpc_block(server, SIGN_IN, content_length="1")) + frame(DATA, 0, stream, b"more")


def upper_case(server, stream):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(server) + field("Upper", "case"))


@pytest.mark.parametrize("fault", [window_overflow, empty_window_update, data_after_the_end, more_than_its_length, upper_case])
def test_streams_that_the_server_must_reset_count_as_well(one_server, others, fault):
    """The library ends the connection at the first fault of some kinds; the others have the budget."""
    resets = 0
    with Http2(one_server) as client:
        for stream in range(1, 4_000, 2):
            if not client.send_or_closed(fault(one_server, stream)):
                break
            got = client.until(RST_STREAM, GOAWAY)
            if got is None or got[0] == GOAWAY:
                break
            resets += 1
    print(f"{fault.__name__}: {resets} resets")
    assert resets <= 401


def test_10000_continuations(one_server, others):
    with Http2(one_server) as client:
        attack = frame(HEADERS, 0, 1, block(one_server)) + frame(CONTINUATION, 0, 1, field("x", "y" * 100)) * 10_000
        client.send_or_closed(attack)
        assert client.goaway()[0] == ENHANCE_YOUR_CALM


def test_10000_empty_continuations(one_server, others):
    with Http2(one_server) as client:
        client.send_or_closed(frame(HEADERS, 0, 1, block(one_server)) + frame(CONTINUATION, 0, 1) * 10_000)
        assert client.goaway()[0] == ENHANCE_YOUR_CALM


def test_an_hpack_bomb(one_server, others):
    """Ten kilobytes that unpack to forty megabytes, a hundred times."""
    with Http2(one_server) as client:
        kept = field("bomb", "x" * 4_000, first=b"\x40")
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(one_server) + kept))
        assert client.until(HEADERS, stream=1)
        bomb = block(one_server) + number(0x80, 7, 62) * 10_000
        for stream in range(3, 203, 2):
            if not client.send_or_closed(frame(HEADERS, END_HEADERS | END_STREAM, stream, bomb)):
                break
            got = client.until(HEADERS, RST_STREAM, GOAWAY)
            if got is None or got[0] == GOAWAY:
                break
            assert got[0] == RST_STREAM or dict(Decoder().decode(got[3]))[":status"] == "431"
        else:
            assert client.is_alive()


@pytest.mark.parametrize("kind, content", [(PING, b"flooding"), (SETTINGS, b"\0\4\0\0\xff\xff")])
def test_floods_of_frames_that_must_be_answered(one_server, others, kind, content):
    """Nothing of the answers is read, so they pile up somewhere: at the sender."""
    with Http2(one_server, timeout=5) as client:
        flood = frame(kind, 0, 0, content) * 1_000
        sent = 0
        until = time.monotonic() + 2
        try:
            while sent < 1_000 and time.monotonic() < until:
                client.send(flood)
                sent += 1
        except OSError:
            pass
        assert sent > 1


def test_no_more_than_200_streams(one_server):
    with Http2(one_server) as client:
        settings = client.until(SETTINGS)[3]
        announced = {settings[at:at + 2]: settings[at + 2:at + 6] for at in range(0, len(settings), 6)}
        assert int.from_bytes(announced[b"\0\3"], "big") == 200
        client.send(b"".join(begun(one_server, stream) for stream in range(1, 403, 2)))
        _, _, stream, code = client.until(RST_STREAM)
        assert (stream, int.from_bytes(code, "big")) == (401, REFUSED_STREAM)


def grpc_status(client, decoder):
    """The status that ends a call, as the client sees it."""
    seen = {}
    while "grpc-status" not in seen:
        kind, _, _, content = client.until(HEADERS, GOAWAY)
        assert kind == HEADERS
        seen.update(decoder.decode(content))
    return int(seen["grpc-status"])


def test_a_message_of_200_mb(one_server, others):
    """Declared: refused at its head. Packed: 200 MB of zeros in 200 kB are never unpacked."""
    decoder = Decoder()
    with Http2(one_server) as client:
        declared = frame(DATA, 0, 1, b"\0" + struct.pack(">I", 200_000_000) + b"\0" * 1_000)
        client.send(begun(one_server, 1) + declared)
        assert grpc_status(client, decoder) in (grpc.StatusCode.OUT_OF_RANGE.value[0], grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
        packed = gzip.compress(bytes(200_000_000), 9)
        message = b"\1" + struct.pack(">I", len(packed)) + packed
        client.send(frame(HEADERS, END_HEADERS, 3, grpc_block(one_server, SIGN_IN, grpc_encoding="gzip")))
        for at in range(0, len(message), 16_000):
            client.send(frame(DATA, 0, 3, message[at:at + 16_000]))
        client.send(frame(DATA, END_STREAM, 3))
        assert grpc_status(client, decoder) == grpc.StatusCode.UNIMPLEMENTED.value[0]
        assert client.is_alive()
