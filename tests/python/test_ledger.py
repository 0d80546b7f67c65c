"""What both verifiers of exports, ours and the independent one, say of an export that was tampered with."""

import json
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).with_name("verify_export.py")


def exported(server, folder):
    """The lines of an export, the key and a kept checkpoint."""
    file = folder / "export.jsonl"
    for name in ("one", "two"):
        made = server.command("user", "create", f"{name}-{server.engine}", "--persona", "viewer", "--password-stdin", input="a long password\n")
        assert made.returncode == 0, made.stderr
        assert server.command("ledger", "verify").returncode == 0, "a running server vouches for all rows within a second"
    assert server.command("ledger", "export", "--output", str(file)).returncode == 0
    kept = folder / "kept"
    kept.write_text(server.command("ledger", "checkpoint").stdout)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return lines, lines[0]["verifier_key"], kept


def verdicts(server, folder, lines, *options):
    """The exit statuses of both verifiers, and what they say."""
    file = folder / "changed.jsonl"
    file.write_text("".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines))
    ours = server.command("ledger", "verify", "--export", str(file), *options)
    theirs = subprocess.run([sys.executable, SCRIPT, file, *options], capture_output=True, text=True)
    return (ours.returncode, theirs.returncode), ours.stdout + ours.stderr + theirs.stdout + theirs.stderr


def test_exports_are_sound_only_with_payloads_and_checkpoints(server, tmp_path):
    lines, key, kept = exported(server, tmp_path)
    entries = [line for line in lines if line["type"] == "entry"]
    checkpoints = [line for line in lines if line["type"] == "checkpoint"]
    assert len(entries) > 2 and len(checkpoints) > 1 and lines[-2]["type"] == "checkpoint"
    for options in ([], ["--key", key], ["--key", key, "--against", str(kept)]):
        assert verdicts(server, tmp_path, lines, *options)[0] == (0, 0)

    without = [json.loads(json.dumps(line)) for line in lines]
    for line in without:
        if line["type"] == "entry":
            line["entry"]["payload"] = None
    for options in ([], ["--key", key], ["--key", key, "--against", str(kept)]):
        found, said = verdicts(server, tmp_path, without, *options)
        assert found == (1, 1) and "row 0" in said and "payload was removed" in said, said

    # Without its checkpoints nothing vouches for a rewritten row.
    cut = [json.loads(json.dumps(line)) for line in lines if line["type"] != "checkpoint"]
    cut[1]["entry"]["actor_name"] = "bob"
    found, said = verdicts(server, tmp_path, cut, "--key", key)
    assert found == (3, 3) and said.count("NOT vouched for") == 2, said
    assert verdicts(server, tmp_path, cut, "--key", key, "--against", str(kept))[0] == (1, 1)

    # Without the last one, the rows after the one before it are named.
    last = [line for line in lines if line is not checkpoints[-1]]
    found, said = verdicts(server, tmp_path, last, "--key", key)
    assert found == (3, 3) and said.count("NOT vouched for") == 2, said
    assert verdicts(server, tmp_path, last, "--key", key, "--against", str(kept))[0] == (0, 0), "the kept one vouches"
