"""Bytes on the wire as no well-behaved client sends them, and what others notice of it."""

import contextlib
import socket
import struct
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 1, 7, 8, 11


def connect(server, timeout=20):
    host, port = server.address.split(":")
    connection = socket.create_connection((host, int(port)), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def until_closed(connection, within=20):
    """What comes until the server closes."""
    connection.settimeout(within)
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


def exchange(server, request, within=20):
    """Sends bytes; gives all that comes until the server closes."""
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        return until_closed(connection, within)


def http1(server, method, path, body=b"", host=None, **headers):
    """One request; gives the status, the headers in lower case, and the body."""
    fields = {"host": host or server.address, "connection": "close", "content-length": str(len(body))}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    return parsed(exchange(server, head.encode("latin-1") + body))


def parsed(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split(" ")[1]), headers, body


def frame(kind, flags, stream, content=b""):
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def number(prefix, bits, value):
    """An integer of HPACK."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([prefix | value])
    encoded = bytes([prefix | most])
    value -= most
    while value >= 128:
        encoded += bytes([value % 128 + 128])
        value //= 128
    return encoded + bytes([value])


def field(name, value, first=b"\0"):
    """A header as a literal that is not indexed, or is, with `first` 0x40."""
    name, value = name.encode(), value.encode("latin-1")
    return first + number(0, 7, len(name)) + name + number(0, 7, len(value)) + value


def block(server, path="/version", method="GET", authority=None, **extra):
    given = {":method": method, ":scheme": "http", ":path": path, ":authority": authority or server.address}
    given.update({name.replace("_", "-"): value for name, value in extra.items()})
    return b"".join(field(name, value) for name, value in given.items())


def grpc_block(server, path, **extra):
    return block(server, path, "POST", content_type="application/grpc", te="trailers", **extra)


class Http2:
    """A connection that speaks frames."""

    def __init__(self, server, timeout=20):
        self.connection = connect(server, timeout)
        self.buffer = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, data):
        self.connection.sendall(data)

    def send_or_closed(self, data):
        """False when the server has closed."""
        try:
            self.send(data)
            return True
        except ConnectionError:
            return False

    def receive(self):
        """The next frame as (kind, flags, stream, content); none when the server has closed."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                part = self.connection.recv(65536)
            except ConnectionError:
                return None
            if not part:
                return None
            self.buffer += part
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
        content, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        if kind == SETTINGS and not flags & ACK:
            # The server holds to its settings only once they are acknowledged.
            self.send_or_closed(frame(SETTINGS, ACK, 0))
        return kind, flags, stream, content

    def until(self, *kinds, stream=None):
        """The next frame of these kinds; none when the server closes before."""
        while (got := self.receive()) is not None:
            if got[0] in kinds and stream in (None, got[2]):
                return got
        return None

    def goaway(self):
        """The error code and text of GOAWAY; none when the server just closes."""
        got = self.until(GOAWAY)
        return got and (int.from_bytes(got[3][4:8], "big"), got[3][8:].decode())

    def is_alive(self):
        self.send(frame(PING, 0, 0, b"whoisit?"))
        return self.until(PING) is not None


def memory(server):
    """Resident memory in MiB."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024


class Others:
    """Other clients while something happens: how long the slowest of them waited, and what memory grew."""

    def __init__(self, server):
        self.server = server
        self.slowest = 0
        self.calls = 0
        self.done = threading.Event()

    def __enter__(self):
        assert http1(self.server, "GET", "/health")[0] == 200
        self.memory = memory(self.server)
        self.thread = threading.Thread(target=self.call)
        self.thread.start()
        return self

    def call(self):
        while True:
            begun = time.monotonic()
            try:
                assert http1(self.server, "GET", "/health")[0] == 200
            except Exception:  # noqa: BLE001: whatever it is, they were not served
                self.slowest = float("inf")
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.calls += 1
            if self.done.wait(0.02):
                return

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.grown = memory(self.server) - self.memory
        print(f"others: {self.calls} calls, the slowest {self.slowest:.3f} s; memory grew by {self.grown} MiB")
