"""A tool of the field that sends GETs with their fields in a JSON body: mlflow-export-import 1.2.0 exports a registered model."""

import json
import os
import subprocess
import urllib.parse

import mlflow_house
from conftest import ADMIN_PASSWORD

FILL = """
import mlflow
from mlflow.tracking import MlflowClient
client = MlflowClient()
client.create_registered_model("other")
client.create_registered_model("fraud", description="of claims")
with mlflow.start_run() as run:
    mlflow.log_param("alpha", "0.1")
    mlflow.log_metric("rmse", 0.5)
    mlflow.log_text("flavors: {}", "model/MLmodel")
client.create_model_version("fraud", f"runs:/{run.info.run_id}/model", run.info.run_id)
client.transition_model_version_stage("fraud", "1", "Staging")
"""


def test_a_registered_model_is_exported(server, tmp_path):
    python = mlflow_house.python("2")
    # The tool knows credentials in the address only.
    address = f"http://admin:{urllib.parse.quote(ADMIN_PASSWORD)}@{server.address}"
    environment = dict(os.environ, HOME=str(tmp_path), MLFLOW_TRACKING_URI=address, MLFLOW_DISABLE_TELEMETRY="true",
                       GIT_PYTHON_REFRESH="quiet", PYTHONWARNINGS="ignore")

    def run(*arguments):
        done = subprocess.run([python, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    run("-c", FILL)
    told = run("-m", "mlflow_export_import.model.export_model", "--model", "fraud", "--output-dir", str(tmp_path / "out"))
    assert (tmp_path / "out" / "model.json").exists(), told
    exported = json.loads((tmp_path / "out" / "model.json").read_text())
    model = exported["mlflow"]["registered_model"]
    assert (model["name"], model["description"]) == ("fraud", "of claims"), told
    assert [(version["version"], version["current_stage"]) for version in model["versions"]] == [("1", "Staging")], told
    assert list((tmp_path / "out").rglob("MLmodel")), told
