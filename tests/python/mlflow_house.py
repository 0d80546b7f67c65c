"""MLflow's own client and database, in virtual environments of their own, and what is done with them."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENTS = {
    3: (ROOT / "target" / "venv-mlflow-3", ROOT / "tests" / "mlflow" / "requirements-3.txt"),
    "2": (ROOT / "target" / "venv-mlflow-2", ROOT / "tests" / "mlflow" / "requirements-2.txt"),
    2: (ROOT / "target" / "venv-mlflow-2-sql", ROOT / "tests" / "python" / "requirements-mlflow-2.txt"),
}


def python(major):
    """The interpreter of the environment with mlflow's major version; it is made when it is not there or outdated."""
    venv, requirements = ENVIRONMENTS[major]
    kept = venv / "requirements.txt"
    if not kept.exists() or kept.read_text() != requirements.read_text():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements], check=True)
        kept.write_text(requirements.read_text())
    return venv / "bin" / "python"


def run(major, script, *arguments, folder):
    """Runs a script with mlflow; gives what it printed."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet",
                   "LOGNAME": "tester", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([python(major), "-c", script, *map(str, arguments)], cwd=folder, env=environment, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# Through the real client, on a database of its own: what an import has to bring, the awkward cases included.
FILL = r"""
import pathlib, sqlite3, sys
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric
from mlflow.tracking import MlflowClient
import mlflow

uri, artifacts, files = sys.argv[1], sys.argv[2], sys.argv[3]
client = MlflowClient(uri)
place = {} if uri.startswith("http") else {"artifact_location": artifacts + "/alpha"}
alpha = client.create_experiment("alpha", tags={"team": "risk"}, **place)
gone = client.create_experiment("gone")
client.create_experiment("mixed fr\u202eud")
run = client.create_run(alpha, tags={"mlflow.user": "jo"}, run_name="first", start_time=1_700_000_000_000)
run_id = run.info.run_id
for step, value in enumerate([1.0, float("nan"), float("inf"), float("-inf"), -3.5]):
    client.log_metric(run_id, "loss", value, timestamp=1000 + step, step=step - 2)
for first in range(0, 3000, 1000):
    client.log_batch(run_id, metrics=[Metric("acc", i / 3, 1000 + i, i) for i in range(first, first + 1000)])
client.log_param(run_id, "lr", "0.1")
client.log_param(run_id, "empty", "")
client.log_inputs(run_id, [DatasetInput(Dataset("d", "abc", "local", "/x", schema="{}"), [InputTag("mlflow.data.context", "train")])])
pathlib.Path(files).mkdir(parents=True)
pathlib.Path(files, "f.txt").write_text("hello")
pathlib.Path(files, "empty file").write_text("")
client.log_artifacts(run_id, files, "model")
client.set_terminated(run_id, end_time=1_700_000_005_000)
other = client.create_run(gone)
client.log_metric(other.info.run_id, "m", 1.0)
client.delete_run(other.info.run_id)
client.delete_experiment(gone)
running = client.create_run(alpha, run_name="still running")
client.create_registered_model("enet", description="d", tags={"a": "b"})
for number in range(4):
    client.create_model_version("enet", run.info.artifact_uri + "/model", run_id, tags={"i": str(number)}, description=f"v{number}")
client.delete_model_version("enet", "2")
client.delete_model_version("enet", "4")
client.transition_model_version_stage("enet", "1", "Archived")
client.transition_model_version_stage("enet", "3", "Production")
client.set_registered_model_alias("enet", "champion", "3")
client.create_registered_model("p\u200byments")
client.create_model_version("p\u200byments", "s3://bucket/model")
if mlflow.__version__.startswith("3."):
    model = client.create_logged_model(alpha, name="tree", source_run_id=run_id, params={"depth": "3"}, tags={"t": "1"}, model_type="sk")
    client.log_model_artifacts(model.model_id, files)
    client.finalize_logged_model(model.model_id, "READY")
    from mlflow.entities import LoggedModelOutput, LoggedModelInput
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 7)])
    client.log_metric(run_id, "f1", 0.5, timestamp=5, step=1, model_id=model.model_id)
    client.create_model_version("enet", "models:/" + model.model_id, model_id=model.model_id)
print(run_id, other.info.run_id, running.info.run_id)
"""

# The run that was still running ends, and logs on before.
GO_ON = r"""
import sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
client.log_metric(sys.argv[2], "late", 2.0, timestamp=7, step=1)
client.log_param(sys.argv[2], "late", "yes")
client.set_terminated(sys.argv[2], "KILLED")
client.transition_model_version_stage("enet", "1", "Production")
client.set_registered_model_alias("enet", "champion", "1")
"""

# Runs and points by SQL, for what takes the client too long.
BULK = r"""
import sqlite3, sys, uuid
database, runs, points = sqlite3.connect(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(runs):
    run = uuid.UUID(int=number + 1).hex
    database.execute("INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)"
                     " VALUES (?, ?, 'LOCAL', 'jo', 'FINISHED', ?, ?, 'active', '', 0)", (run, f"bulk-{number}", number, number + 1))
    database.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", [(f"p{i}", str(i), run) for i in range(10)])
    database.executemany("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)",
                         [(f"m{i % 10}", i / 7, i, run, i // 10) for i in range(points)])
database.commit()
"""
