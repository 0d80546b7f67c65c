"""The table of tampering: each way against each verification, with the exit status. Run with -s to see it."""

import subprocess
import sys

import pytest
import tamper
from conftest import BINARY, POSTGRES, Server
from tamper import Copy
from test_ledger import SCRIPT

# Exit statuses: of `verify` without the seal and the master key, as an auditor with the database alone has it; with the
# master key; of `verify --export --key`, ours and the independent verifier; of these `--against` a kept checkpoint; of
# `verify` on the machine itself, which has the seal; of `verify --state` with the database alone; and whether a server
# starts there.
COLUMNS = ["verify", "+master", "export --key", "--against", "seal", "--state", "start"]
WAYS = {
    # Untouched first: everything is vouched for.
    "nothing": (lambda copy, size: None, [0, 0, 0, 0, 0, 0, "starts"]),
    "edit": (tamper.edit, [1, 1, 1, 1, 1, 1, "starts"]),
    "remove payloads": (tamper.payloads, [1, 1, 1, 1, 1, 1, "starts"]),
    "drop": (tamper.drop, [1, 1, 1, 1, 1, 1, "starts"]),
    "swap": (tamper.swap, [1, 1, 1, 1, 1, 1, "starts"]),
    # The tables still hold what the rows that were cut off had said.
    "cut": (tamper.cut, [0, 0, 0, 1, 1, 1, "refuses"]),
    "cut checkpoints": (tamper.uncheck, [3, 3, 3, 0, 1, 3, "refuses"]),
    "rebuild": (tamper.rebuild, [1, 1, 3, 1, 1, 1, "refuses"]),
    "rebuild below checkpoints": (tamper.rebuild_below_checkpoints, [1, 1, 1, 1, 1, 1, "refuses"]),
    "re-sign": (tamper.resign, [1, 1, 1, 1, 1, 1, "refuses"]),
    # The row that was rewritten says the same of the state as before.
    "own key": (tamper.own_key, [0, 1, 1, 1, 1, 0, "refuses"]),
    "forge": (tamper.forge, [1, 1, 3, 3, 1, 1, "starts"]),
    "forge and hash": (tamper.forge_and_hash, [1, 1, 3, 3, 1, 1, "starts"]),
    # Changes of the state touch no row, so that nothing but `--state` shows them.
    "state: grant made admin": (tamper.grant_made_admin, [0, 0, 0, 0, 0, 1, "starts"]),
    "state: grant deleted": (tamper.grant_deleted, [0, 0, 0, 0, 0, 1, "starts"]),
    "state: user reactivated": (tamper.user_reactivated, [0, 0, 0, 0, 0, 1, "starts"]),
    "state: user added": (tamper.user_added, [0, 0, 0, 0, 0, 1, "starts"]),
    "state: persona added": (tamper.persona_added, [0, 0, 0, 0, 0, 1, "starts"]),
    "state: gate made easier": (tamper.gate_made_easier, [0, 0, 0, 0, 0, 1, "starts"]),
}


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def row_of(server, folder, name, way, size, key, kept):
    copy = Copy(server, folder / name.replace(" ", "-"))
    way(copy, size)
    said = {}
    said["seal"] = run(BINARY, "ledger", "verify", *copy.data)
    (copy.folder / "ledger-checkpoint").rename(copy.folder / "set-aside")
    said["+master"] = run(BINARY, "ledger", "verify", *copy.data)
    said["verify"] = run(BINARY, "ledger", "verify", *copy.data, "--master-key-file", copy.folder / "none")
    said["--state"] = run(BINARY, "ledger", "verify", "--state", *copy.data, "--master-key-file", copy.folder / "none")
    export = copy.folder / "export.jsonl"
    exported, why = run(BINARY, "ledger", "export", "--output", export, *copy.data)
    assert exported == 0, why
    for column, options in (("export --key", ["--key", key]), ("--against", ["--key", key, "--against", kept])):
        ours = run(BINARY, "ledger", "verify", "--export", export, *options)
        theirs = run(sys.executable, SCRIPT, export, *options)
        assert ours[0] == theirs[0], (name, column, ours, theirs)
        said[column] = ours
    # Against a kept checkpoint the database gives what its export gives, or more.
    beside = run(BINARY, "ledger", "verify", *copy.data, "--master-key-file", copy.folder / "none", "--against", kept)
    assert (beside[0] == 0) <= (said["--against"][0] == 0), (name, beside)
    (copy.folder / "set-aside").rename(copy.folder / "ledger-checkpoint")
    started = subprocess.Popen([BINARY, "serve", "--listen", "127.0.0.1:0", *copy.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said["start"] = ("starts" if "listens on" in started.stdout.readline() else "refuses", "")
    started.terminate()
    said["start"] = (said["start"][0], started.communicate(timeout=20)[1])
    return said


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_every_way_against_every_verification(engine, tmp_path):
    if engine == "postgres" and not POSTGRES:
        pytest.skip("STAGEGATE_TEST_POSTGRES_URL is not set")
    (tmp_path / "data").mkdir()
    server = Server(tmp_path / "data", engine)
    for number in range(5):
        made = server.command("user", "create", f"user-{number}", "--persona", "viewer", "--password-stdin", input="a long password\n")
        assert made.returncode == 0, made.stderr
        if number in (1, 4):
            assert server.command("ledger", "verify").returncode == 0
    assert server.command("user", "deactivate", "user-2").returncode == 0
    server.stop()
    key = server.command("ledger", "export").stdout.split('"verifier_key":"')[1].split('"')[0]
    kept = tmp_path / "kept"
    kept.write_text(server.command("ledger", "checkpoint").stdout)
    size = int(kept.read_text().splitlines()[1])
    assert (server.folder / "ledger-checkpoint").read_text() == kept.read_text(), "the newest checkpoint is sealed"

    found, table = {}, [f"{engine:<26}" + "".join(f"{column:>14}" for column in COLUMNS)]
    for name, (way, _) in WAYS.items():
        said = row_of(server, tmp_path, name, way, size, key, kept)
        found[name] = [said[column][0] for column in COLUMNS]
        table.append(f"{name:<26}" + "".join(f"{status!s:>14}" for status in found[name]))
        if name.startswith("state: "):
            assert "the tables are not what they say" in said["--state"][1], said["--state"]
        if said["start"][0] == "refuses":
            assert "LEDGER" in said["start"][1] or "ledger" in said["start"][1], said["start"]
    print("\n" + "\n".join(table))
    assert found == {name: expected for name, (_, expected) in WAYS.items()}
    # What a kept checkpoint or the seal could show is never at 0. Checkpoints that were cut out of an export change no
    # row, and the kept one vouches for all of them.
    for name in WAYS.keys() - {"nothing"}:
        if name.startswith("state: "):
            continue
        assert found[name][4] == 1 and (found[name][3] != 0 or name == "cut checkpoints"), name
