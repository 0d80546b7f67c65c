"""The ledger as others follow it: tiles, sinks, and witnesses that cosign."""

import hashlib
import struct
import time

import pytest
from conftest import ADMIN_PASSWORD, POSTGRES, Server
from monitor import Receiver, Witness, get, path_of, root, subtree, tiles
from tamper import Copy, cut
from test_ledger_seal import add
from verify_export import Key


def token(server):
    made = server.command("token", "create", "--user", "admin", "--ttl", "1h")
    assert made.returncode == 0, made.stderr
    return "Bearer " + made.stdout.strip()


def key_of(server):
    return server.command("ledger", "export").stdout.split('"verifier_key":"')[1].split('"')[0]


def checkpoint(server):
    status, headers, note = get(server.address, "/ledger/checkpoint")
    assert status == 200 and headers["content-type"] == "text/plain; charset=utf-8" and "max-age=1" in headers["cache-control"]
    return Key(key_of(server)).checkpoint(note.decode())


def fill(server, rows):
    """Many rows at once: a batch of experiments over REST."""
    import json
    import urllib.request

    bearer = token(server)
    for number in range(rows):
        body = json.dumps({"name": f"experiment-{number}"}).encode()
        request = urllib.request.Request(f"http://{server.address}/api/2.0/mlflow/experiments/create", body,
                                         {"authorization": bearer, "content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()
    assert server.command("ledger", "verify").returncode == 0


def test_a_monitor_recomputes_the_root_from_tiles(server):
    fill(server, 270)
    origin, size, signed = checkpoint(server)
    assert size > 256 and origin.startswith("stagegate.")
    held = {}
    for level, number, width in tiles(size):
        status, headers, data = get(server.address, path_of(level, number, width))
        assert status == 200 and len(data) == 32 * width, (level, number, width)
        assert headers["content-type"] == "application/octet-stream" and "immutable" in headers["cache-control"]
        held[level, number] = [data[at:at + 32] for at in range(0, len(data), 32)]
    leaves = [leaf for (level, number), hashes in sorted(held.items()) if level == 0 for leaf in hashes]
    assert len(leaves) == size and root(leaves) == signed
    assert held[1, 0][0] == subtree(held[0, 0]), "a level stands on the one below"

    bearer, read = token(server), []
    for level, number, width in tiles(size):
        if level == 0:
            path = path_of("entries", number, width)
            assert get(server.address, path)[0] == 401, "rows are for those who may read the ledger"
            status, headers, data = get(server.address, path, bearer)
            assert status == 200 and "private" in headers["cache-control"]
            while data:
                length = struct.unpack(">H", data[:2])[0]
                read.append(hashlib.sha256(b"\x00" + data[2:2 + length]).digest())
                data = data[2 + length:]
    assert read == leaves
    for path in ("/ledger/tile/0/000.p/0", "/ledger/tile/0/999", "/ledger/tile/64/000", "/ledger/tile/0/0", "/ledger/tile/0", "/ledger/tile/x/000"):
        assert get(server.address, path)[0] == 404, path


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_witnesses_cosign_and_are_counted(engine, tmp_path):
    if engine == "postgres" and not POSTGRES:
        pytest.skip("STAGEGATE_TEST_POSTGRES_URL is not set")
    (tmp_path / "data").mkdir()
    keys = {}
    one = Witness("witness.example.com/w1", lambda: keys["log"])
    away = Witness("witness.example.com/w2", lambda: keys["log"])
    away.server.shutdown()
    away.server.server_close()
    options = ["--witness", f"{one.vkey}@{one.url}/w", "--witness", f"{away.vkey}@{away.url}/w"]
    server = Server(tmp_path / "data", engine)
    keys["log"] = key_of(server)
    server.stop()
    server.options = options
    server.start()
    for name in ("one", "two", "three"):
        add(server, name)
        deadline = time.time() + 60
        while one.name not in get(server.address, "/ledger/checkpoint")[2].decode() and time.time() < deadline:
            time.sleep(0.1)
        assert one.name in get(server.address, "/ledger/checkpoint")[2].decode(), (server.folder / "server.log").read_text()
    assert 422 not in one.refused and one.size == checkpoint(server)[1]
    counted = ["--witness", one.vkey, "--witness", away.vkey]
    for more in ([], ["--export", str(tmp_path / "export")]):
        if more:
            assert server.command("ledger", "export", "--output", more[1]).returncode == 0
        said = server.command("ledger", "verify", *more, *counted)
        assert said.returncode == 0 and "1 of 2 witnesses cosigned" in said.stdout, said
        assert f"w1 ({one.size} rows)" in said.stdout and "w2 (0 rows)" in said.stdout, said
    exported = (tmp_path / "export").read_text()
    line = [line for line in exported.splitlines() if '"checkpoint"' in line and one.name in line][-1]
    at = line.rindex('"}') - 10
    (tmp_path / "export").write_text(exported.replace(line, line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1:]))
    said = server.command("ledger", "verify", "--export", str(tmp_path / "export"), *counted)
    assert said.returncode == 1 and "cosignature" in said.stdout, said
    assert "w2" in (server.folder / "server.log").read_text(), "a witness that is away is told"
    server.stop()

    # Cut, with the seal gone as well: the witness remembers.
    copy = Copy(server, tmp_path / "older")
    copy.change("DROP TABLE ledger_cosignatures", "CREATE TABLE ledger_cosignatures (size BIGINT, witness TEXT, line TEXT, created BIGINT, PRIMARY KEY (size, witness))")
    cut(copy, one.size)
    (copy.folder / "ledger-checkpoint").unlink()
    server.folder, server.data = copy.folder, copy.data
    server.start()
    deadline = time.time() + 20
    while "ALARM: the witness cosigned another ledger" not in (copy.folder / "server.log").read_text() and time.time() < deadline:
        time.sleep(0.2)
    assert "ALARM: the witness cosigned another ledger" in (copy.folder / "server.log").read_text()
    server.stop()


def test_a_url_gets_each_newest_checkpoint(tmp_path):
    got, fail = [], [3]

    def handle(method, path, body, headers):
        if fail[0]:
            fail[0] -= 1
            return 503, "text/plain", ""
        got.append((method, path, body, headers["authorization"]))
        return 204, "text/plain", ""

    sink = Receiver(handle)
    (tmp_path / "data").mkdir()
    url = sink.url.replace("http://", "http://robot:s3cret%23@") + "/put/here"
    server = Server(tmp_path / "data", "sqlite", ["--checkpoint-sink", url])
    add(server, "one")
    deadline = time.time() + 20
    while not got and time.time() < deadline:
        time.sleep(0.1)
    server.stop()
    newest = (server.folder / "ledger-checkpoint").read_text()
    method, path, body, authorization = got[-1]
    assert (method, path, body) == ("PUT", "/put/here", newest), "the last one is sent before the server has stopped"
    assert authorization == "Basic cm9ib3Q6czNjcmV0Iw=="
    log = (server.folder / "server.log").read_text()
    assert "answered 503" in log and "s3cret" not in log, "failures are told, passwords are not"
    assert ADMIN_PASSWORD not in log
