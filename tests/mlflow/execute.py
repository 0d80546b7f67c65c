"""Runs the table against one server, in the environment of one mlflow version, and writes what came as JSON.

Started by run.py with MLFLOW_TRACKING_URI (and MLFLOW_TRACKING_TOKEN) set: execute.py OUT [PATTERN…]
"""

import fnmatch
import importlib
import json
import os
import pathlib
import shutil
import sys
import time
import traceback
import warnings

import urllib3

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
seen = []


def watch_requests():
    """Notes the status of every answer: the client's exceptions do not tell it, and it hides a 5xx behind its retries."""
    pool = urllib3.connectionpool.HTTPConnectionPool
    make = pool._make_request

    def noting(self, connection, method, url, *arguments, **options):
        answer = make(self, connection, method, url, *arguments, **options)
        seen.append((method, url.split("?")[0], answer.status))
        return answer
    pool._make_request = noting


def outcome(run, context, normaliser):
    from house import FixtureFailed
    try:
        return {"result": normaliser(run(context))}
    except FixtureFailed as error:
        return {"fixture": str(error)}
    except Exception as error:
        code = getattr(error, "error_code", None)
        status = seen[-1][2] if seen and seen[-1][2] >= 400 else None
        found = {"type": type(error).__name__, "code": code, "status": status}
        return {"error": found, "message": normaliser(str(error)), "trace": traceback.format_exc(limit=-3)}


def end_fluent_state(mlflow):
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.tracking.fluent._active_experiment_id = None
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


def main():
    out, patterns = sys.argv[1], sys.argv[2:]
    watch_requests()
    import mlflow
    from house import CASES, Context
    from normalise import Normaliser
    mlflow.tracking.fluent._logger.setLevel("ERROR")
    for file in sorted((HERE / "cases").glob("*.py")):
        importlib.import_module("cases." + file.stem)
    major = int(mlflow.__version__.split(".")[0])
    uri, token = os.environ["MLFLOW_TRACKING_URI"], os.environ.get("MLFLOW_TRACKING_TOKEN")
    found = {}
    for case in CASES:
        if not case.since <= major <= case.until:
            continue
        if patterns and not any(fnmatch.fnmatchcase(case.name, p) or case.group == p for p in patterns):
            continue
        if case.name in found:
            raise SystemExit(f"two cases are named {case.name}")
        normaliser = Normaliser(uri)
        context = Context(mlflow, case.name, uri, token, normaliser)
        seen.clear()
        begun = time.monotonic()
        made = outcome(case.function, context, normaliser)
        end_fluent_state(mlflow)
        made.update(group=case.group, calls=len(seen), seconds=round(time.monotonic() - begun, 3),
                    broken=[call for call in seen if call[2] >= 500])
        if context._folder:
            shutil.rmtree(context._folder, ignore_errors=True)
        found[case.name] = made
    pathlib.Path(out).write_text(json.dumps({"mlflow": mlflow.__version__, "cases": found}, indent=1, sort_keys=True))


main()
