"""What MLflow's client prints when code asks for what this server does not keep, and what stops it."""

import os
import subprocess

import pytest

import mlflow_house
from conftest import ADMIN_PASSWORD

TRACING = """
import mlflow
{before}

@mlflow.trace
def work():
    return 1

work()
mlflow.flush_trace_async_logging()
print("done")
"""
TOLD = "Stagegate has no traces; `mlflow.tracing.disable()` or MLFLOW_TRACE_SAMPLING_RATIO=0"


def python(server, folder, code, **variables):
    """Runs code with MLflow's client, signed in as the admin."""
    environment = dict(
        os.environ, HOME=str(folder), MLFLOW_TRACKING_URI=f"http://{server.address}", MLFLOW_TRACKING_USERNAME="admin",
        MLFLOW_TRACKING_PASSWORD=ADMIN_PASSWORD, MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", **variables)
    return subprocess.run([mlflow_house.python(3), "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def traced(server, folder, before="", **variables):
    """Runs code that traces; gives what it printed as errors."""
    done = python(server, folder, TRACING.format(before=before), **variables)
    assert done.returncode == 0 and "done" in done.stdout, done.stderr
    return done.stderr


def test_code_that_traces_is_told_so_and_how_to_stop(one_server, tmp_path):
    assert TOLD in traced(one_server, tmp_path)
    assert "Stagegate" not in traced(one_server, tmp_path, before="mlflow.tracing.disable()")
    assert "Stagegate" not in traced(one_server, tmp_path, MLFLOW_TRACE_SAMPLING_RATIO="0")


@pytest.mark.parametrize("code, told", [
    ("import mlflow.genai.datasets as d; d.search_datasets()", "Stagegate has no evaluation data sets"),
    ("import mlflow.genai.scorers as s; s.list_scorers(experiment_id='0')", "Stagegate has no scorers"),
    ("from mlflow.tracking import MlflowClient; MlflowClient().list_webhooks()", "Stagegate has no webhooks"),
])
def test_what_is_not_there_is_named(one_server, tmp_path, code, told):
    done = python(one_server, tmp_path, code)
    assert done.returncode != 0 and told in done.stderr, done.stderr[-2000:]
    assert "ENDPOINT_NOT_FOUND" in done.stderr, done.stderr[-2000:]
