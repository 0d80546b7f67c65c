"""What people do with each other's models through the real client of MLflow 3: evaluate them, and register them."""

import json
import os
import subprocess

import mlflow_house
from clients import make

LOG = """
import json, mlflow, numpy
from sklearn.linear_model import LinearRegression
mlflow.set_experiment("shared")
with mlflow.start_run() as run:
    fitted = LinearRegression().fit(numpy.array([[0.0], [1.0], [2.0]]), numpy.array([0.0, 1.0, 2.0]))
    made = mlflow.sklearn.log_model(fitted, name="model", pip_requirements=["scikit-learn"])
    mlflow.log_metric("acc", 0.5, model_id=made.model_id)
print(json.dumps([run.info.run_id, made.model_id]))
"""

REGISTER = """
import json, mlflow, sys
for source in sys.argv[2:]:
    made = mlflow.register_model(source, sys.argv[1])
versions = mlflow.MlflowClient().search_model_versions(f"name = '{sys.argv[1]}'")
loaded = mlflow.pyfunc.load_model(f"models:/{sys.argv[1]}/{made.version}").predict([[5.0]])
print(json.dumps([len(versions), round(float(loaded[0]), 6)]))
"""

EVALUATE = """
import json, mlflow, pandas, sys
model_id = sys.argv[1]
data = pandas.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.0, 1.0, 2.0, 3.5]})
mlflow.set_experiment("shared")
mlflow.set_active_model(model_id=model_id)
with mlflow.start_run() as run:
    mlflow.log_metric("checked", 1.0)
    mlflow.models.evaluate(f"models:/{model_id}", data, targets="y", model_type="regressor", evaluator_config={"log_explainer": False})
shown = mlflow.get_logged_model(model_id).metrics
print(json.dumps([run.info.run_id, sorted({(m.key, m.run_id) for m in shown})]))
"""


def python(server, folder, who, code, *arguments):
    """Runs code with MLflow's client for a user; gives the JSON that it printed last."""
    token = dict(who.metadata)["authorization"].split()[-1]
    environment = dict(
        os.environ, HOME=str(folder), MLFLOW_TRACKING_URI=f"http://{server.address}", MLFLOW_TRACKING_TOKEN=token,
        MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_TRACE_SAMPLING_RATIO="0", PYTHONWARNINGS="ignore",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false", GIT_PYTHON_REFRESH="quiet", MPLBACKEND="Agg")
    done = subprocess.run(
        [mlflow_house.python(3), "-c", code, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_colleagues_model_is_registered_and_evaluated(server, tmp_path):
    ann, ben, trainer = make(server, "ann", "data_scientist"), make(server, "ben", "data_scientist"), make(server, "trainer", "trainer")
    run_id, model_id = python(server, tmp_path, ann, LOG)
    for who, name in ((ben, "of-ben"), (ann, "of-ann")):
        sources = [f"models:/{model_id}", f"models:/{model_id}", f"runs:/{run_id}/model"]
        assert python(server, tmp_path, who, REGISTER, name, *sources) == [3, 5.0]
    # A trainer makes no registered models, and registers into that of somebody else.
    assert python(server, tmp_path, trainer, REGISTER, "of-ann", f"models:/{model_id}", f"runs:/{run_id}/model") == [5, 5.0]
    for who in (ben, trainer):
        own_run, shown = python(server, tmp_path, who, EVALUATE, model_id)
        mine = {key for key, run in shown if run == own_run}
        assert {"checked", "mean_squared_error", "r2_score"} <= mine, shown
        assert ["acc", run_id] in shown, shown
