#!/usr/bin/env python3
"""Runs one table of calls through the real mlflow client against MLflow's own server and against Stagegate, and compares.

    python3 tests/mlflow/run.py [--versions 3,2,1] [--engines sqlite,postgres] [--messages] [PATTERN…]

PATTERN selects cases: a group (`stages`) or a name with wildcards (`search_runs.filter*`). What each case answered stays
in target/mlflow/VERSION-SERVER.json. Differences must stand in differences.toml, with their reason; the rules by which
answers are made comparable stand in normalise.py. `--itself` compares two runs against MLflow's server.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import compare
import servers

HERE = pathlib.Path(__file__).parent
OUT = servers.ROOT / "target" / "mlflow"


def interpreter(major):
    """The Python that can run a major version; None if there is none. mlflow 1.27's packages end at Python 3.11."""
    if major > 1 or sys.version_info < (3, 12):
        return sys.executable
    return shutil.which("python3.11") or shutil.which("python3.10")


def install(major):
    """The client and server of one major version, in a virtual environment that is kept while its list stands."""
    wanted = (HERE / f"requirements-{major}.txt").read_text()
    kept = servers.venv(major) / "requirements.txt"
    if kept.exists() and kept.read_text() == wanted:
        return
    subprocess.run([interpreter(major), "-m", "venv", servers.venv(major)], check=True)
    subprocess.run([servers.venv(major) / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check",
                    "-r", HERE / f"requirements-{major}.txt"], check=True)
    kept.write_text(wanted)


def environment(server, major):
    """What a client needs; without retries, so that a 5xx shows at once."""
    return dict(
        server.environment(), MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_HTTP_REQUEST_TIMEOUT="60",
        MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false", GIT_PYTHON_REFRESH="quiet",
        MPLBACKEND="Agg", LOGNAME="tester", OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore",
        PATH=f"{servers.venv(major)}/bin:{os.environ['PATH']}")


def start(server, major, patterns):
    """Starts the table against one server; returns the process and the file of its answers."""
    out = OUT / f"{major}-{server.label}.json"
    out.unlink(missing_ok=True)
    log = open(OUT / f"{major}-{server.label}.log", "wb")
    process = subprocess.Popen([servers.venv(major) / "bin" / "python", HERE / "execute.py", out, *patterns],
                               env=environment(server, major), stdout=log, stderr=log, cwd=server.folder)
    return process, out


def tutorial(server, major):
    """Runs a tutorial's script, which knows nothing of servers; returns the lines that it prints."""
    done = subprocess.run([servers.venv(major) / "bin" / "python", HERE / "tutorial.py"], env=environment(server, major),
                          cwd=server.folder, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if server.uri not in line]
    return lines if done.returncode == 0 else lines + done.stderr.splitlines()[-8:]


def compare_tutorials(pair, major):
    """Prints what the script printed against the last server; returns a failure for each that printed something else."""
    printed = {server.label: tutorial(server, major) for server in pair}
    print("\n== tutorial.py, unchanged, against " + pair[-1].label)
    print("\n".join("   " + line for line in printed[pair[-1].label]))
    expected = printed["mlflow"]
    return [f"[tutorial.py] {label} made it print {lines}, MLflow's server {expected}"
            for label, lines in printed.items() if lines != expected]


def answers(major, pair, patterns):
    """Runs the table against some servers at once; returns the answers of each."""
    started = [start(server.ready(), major, patterns) for server in pair]
    found = []
    for process, out in started:
        if process.wait() != 0:
            raise SystemExit(f"the table did not run through, see {out.with_suffix('.log')}:\n"
                             + out.with_suffix(".log").read_text()[-3000:])
        found.append(json.loads(out.read_text()))
    return found


def make(major, choice):
    return {
        "mlflow": lambda: servers.MlflowServer(major),
        "itself": lambda: servers.MlflowServer(major, "itself"),
    }.get(choice, lambda: servers.StagegateServer(choice))()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", default="3,2,1")
    parser.add_argument("--engines", default="sqlite,postgres" if servers.POSTGRES else "sqlite")
    parser.add_argument("--itself", action="store_true")
    parser.add_argument("--reuse", action="store_true", help="take the answers of MLflow's server from the run before")
    parser.add_argument("--messages", action="store_true", help="show both error messages of each refused call")
    parser.add_argument("patterns", nargs="*")
    asked = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    others = ["itself"] if asked.itself else asked.engines.split(",")
    differences = [] if asked.itself else compare.listed()
    failures, ran, summary = [], set(), []
    for major in (int(v) for v in asked.versions.split(",")):
        if not interpreter(major):
            print(f"\n!! SKIPPED: mlflow {major}.x. It needs Python 3.10 or 3.11 beside {sys.version.split()[0]}: install python3.11.")
            continue
        install(major)
        begun, pair = time.monotonic(), []
        kept = OUT / f"{major}-mlflow.json"
        reference = json.loads(kept.read_text()) if asked.reuse and kept.exists() else None
        try:
            pair = [make(major, choice) for choice in ([] if reference else ["mlflow"]) + others]
            found = answers(major, pair, asked.patterns)
            theirs, *ours = [reference, *found] if reference else found
            if major == 3 and not asked.patterns and not reference:
                failures += compare_tutorials(pair, major)
            if reference:
                theirs["cases"] = {name: made for name, made in theirs["cases"].items() if name in ours[0]["cases"]}
        finally:
            for server in pair:
                server.stop()
        for other, answered in zip(others, ours):
            print(f"\n== mlflow {theirs['mlflow']}, its own server against {other}")
            if asked.itself:
                for made in answered["cases"].values():
                    made["broken"] = []  # MLflow's server answers some bad input with 5xx
            bad, groups = compare.compare(major, theirs["cases"], answered["cases"], differences, asked.messages)
            failures += [f"[{theirs['mlflow']}, {other}] {text}" for text in bad]
            for group, (compared, equal, different, calls) in sorted(groups.items()):
                print(f"   {group:22} compared {compared:4}, equal {equal:4}, different {different:3}, requests {calls:5}")
            totals = [sum(counts[i] for counts in groups.values()) for i in range(4)]
            summary.append((theirs["mlflow"], other, *totals))
        ran |= {(name, major) for name in theirs["cases"]}
        print(f"   {time.monotonic() - begun:.0f} s")
    failures += compare.stale(differences, ran)
    print()
    for version, other, compared, equal, different, calls in summary:
        print(f"mlflow {version} / {other}: {compared} compared, {equal} equal, {different} different, {calls} requests")
    for text in failures:
        print("FAILED", text)
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
