"""The sealed checkpoint: a server does not go on with an older or another log, and says what to do."""

import os
import shutil
import subprocess
import time

from conftest import BINARY, Server
from tamper import Copy, cut


def add(server, name):
    made = server.command("user", "create", name, "--persona", "viewer", "--password-stdin", input="a long password\n")
    assert made.returncode == 0, made.stderr
    assert server.command("ledger", "verify").returncode == 0


def start(data, *options):
    """What a server says that must not start."""
    done = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", *data, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done
    last = done.stderr.strip().splitlines()[-1]
    return last


def sealed(folder):
    return int((folder / "ledger-checkpoint").read_text().splitlines()[1])


def test_an_older_log_is_not_served_until_the_loss_is_recorded(server, tmp_path):
    add(server, "one")
    add(server, "two")
    server.stop()
    size = sealed(server.folder)
    copy = Copy(server, tmp_path / "older")
    cut(copy, size)
    said = start(copy.data)
    assert "ledger-checkpoint" in said and f"covers {size} rows" in said and "new-origin" in said, said
    found = subprocess.run([BINARY, "ledger", "verify", *copy.data], capture_output=True, text=True)
    assert found.returncode == 1 and "sealed checkpoint" in found.stdout, found
    begun = subprocess.run([BINARY, "ledger", "new-origin", "--reason", "the disk was lost", *copy.data], capture_output=True, text=True)
    assert begun.returncode == 0 and "/2-" in begun.stdout, begun
    assert (copy.folder / "ledger-checkpoint").read_text() == begun.stdout, "the seal is renewed"
    after = subprocess.run([BINARY, "ledger", "verify", *copy.data], capture_output=True, text=True)
    assert after.returncode == 0 and f"had {size} rows or more" in after.stdout, after
    # A replica that was off meanwhile has the seal of the lost part; the ledger admits the loss, and it starts.
    shutil.copy(server.folder / "ledger-checkpoint", copy.folder / "ledger-checkpoint")
    again = subprocess.Popen([BINARY, "serve", "--listen", "127.0.0.1:0", *copy.data], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert "listens" in again.stdout.readline()
    time.sleep(1.5)
    assert "/2-" in (copy.folder / "ledger-checkpoint").read_text()
    again.terminate()
    again.wait(20)
    server.start()


def test_an_emptied_database_is_no_new_server(one_server, tmp_path):
    folder = tmp_path / "data"
    until = time.monotonic() + 20
    while not (one_server.folder / "ledger-checkpoint").exists():
        assert time.monotonic() < until, "the first checkpoint is sealed soon after the start"
        time.sleep(0.1)
    shutil.copytree(one_server.folder, folder, ignore=shutil.ignore_patterns(".ledger-checkpoint.*"))
    for name in os.listdir(folder):
        if name.startswith("stagegate.db"):
            (folder / name).unlink()
    said = start(["--data-dir", str(folder)])
    assert "the database is empty" in said and "restore the whole database" in said, said
    (folder / "ledger-checkpoint").unlink()
    # The artifacts are marked as the old database's.
    shutil.rmtree(folder / "artifacts")
    begun = subprocess.Popen([BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert "listens" in begun.stdout.readline(), "a new one begins once the seal is gone"
    begun.terminate()
    begun.wait(20)


def test_a_folder_as_sink_is_a_seal_and_never_grows_older(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "sink").mkdir()
    sink = ["--checkpoint-sink", str(tmp_path / "sink")]
    server = Server(tmp_path / "data", "sqlite", sink)
    add(server, "one")
    early = (tmp_path / "sink" / "ledger-checkpoint").read_text()
    add(server, "two")
    server.stop()
    size = sealed(tmp_path / "sink")
    assert size == sealed(server.folder) > int(early.splitlines()[1])
    # The log and the seal beside it are both taken back: the sink still tells.
    copy = Copy(server, tmp_path / "older")
    cut(copy, size)
    (copy.folder / "ledger-checkpoint").write_text(early)
    assert f"covers {size} rows" in start(copy.data, *sink)
    found = subprocess.run([BINARY, "ledger", "verify", *copy.data, *sink], capture_output=True, text=True)
    assert found.returncode == 1, found
    assert subprocess.run([BINARY, "ledger", "verify", *copy.data], capture_output=True).returncode == 0, "nothing here shows it"
    assert sealed(tmp_path / "sink") == size
    # An older seal is a prefix, and fine; the server renews it.
    (server.folder / "ledger-checkpoint").write_text(early)
    server.start()
    time.sleep(1.5)
    assert sealed(server.folder) >= size
    server.stop()


def verify(*arguments):
    return subprocess.run([BINARY, "ledger", "verify", *map(str, arguments)], capture_output=True, text=True)


def test_what_cannot_be_compared_is_told(tmp_path):
    (tmp_path / "data").mkdir()
    server = Server(tmp_path / "data", "sqlite")
    add(server, "one")
    server.stop()
    data = ["--data-dir", server.folder]
    assert verify(*data).returncode == 0
    # A sink that is misspelt, or not mounted.
    (tmp_path / "empty").mkdir()
    for sink, told in ((tmp_path / "missing", "is not there"), (tmp_path / "empty", "holds no checkpoint")):
        found = verify(*data, "--checkpoint-sink", sink)
        assert found.returncode == 2 and told in found.stderr, found
    assert "is not there" in start(data, "--checkpoint-sink", tmp_path / "missing")
    export = tmp_path / "export.jsonl"
    subprocess.run([BINARY, "ledger", "export", "--output", export, *data], check=True)
    found = verify("--export", export, "--checkpoint-sink", tmp_path / "empty")
    assert found.returncode == 2 and "--against" in found.stderr, found
    # The database is gone, or another one is there, and the seal beside it says that there was a ledger.
    (server.folder / "stagegate.db").unlink()
    found = verify(*data)
    assert found.returncode == 1 and "NOT sound" in found.stdout, found
    assert "database is empty" in start(data)
    found = verify(*data)
    assert found.returncode == 1 and "NOT sound" in found.stdout, found
