"""What mlflow's client deletes is purged by one call, as `mlflow gc` would do it, and what a version needs stays."""

import json

from clients import make
from test_colleagues import python

DELETED = """
import json, mlflow, numpy
from sklearn.linear_model import LinearRegression
client = mlflow.MlflowClient()
doomed = mlflow.set_experiment("doomed").experiment_id
runs = []
for number in range(3):
    with mlflow.start_run() as run:
        mlflow.log_params({"p": number})
        for step in range(50):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        mlflow.log_text("x" * 10_000, "notes.txt")
        runs.append(run.info.run_id)
kept = mlflow.set_experiment("kept").experiment_id
with mlflow.start_run() as run:
    mlflow.log_text("weights", "model/weights.txt")
client.create_registered_model("fraud")
client.create_model_version("fraud", f"runs:/{run.info.run_id}/model", run.info.run_id)
client.delete_run(run.info.run_id)
client.delete_run(runs[0])
client.delete_experiment(doomed)
print(json.dumps({"runs": runs, "bound": run.info.run_id, "doomed": doomed}))
"""

PURGED = """
import json, os, requests, sys, mlflow
told = json.loads(sys.argv[1])
client = mlflow.MlflowClient()
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/stagegate/v1/purge-deleted"
header = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
ask = lambda **fields: requests.post(url, json=fields, headers=header, timeout=60)
missing, young = ask(), ask(older_than_ms=3_600_000)
dry, done = ask(older_than_ms=0, dry_run=True), ask(older_than_ms=0)
def gone(call):
    try:
        call()
    except mlflow.exceptions.MlflowException as error:
        return error.error_code
made = client.create_experiment("doomed")
print(json.dumps({
    "missing": [missing.status_code, missing.json()["message"]], "young": young.json(), "dry": dry.json(), "done": done.json(),
    "run": gone(lambda: client.get_run(told["runs"][0])), "experiment": gone(lambda: client.get_experiment(told["doomed"])),
    "bound": client.get_run(told["bound"]).info.lifecycle_stage, "again": made != told["doomed"],
    "weights": open(mlflow.artifacts.download_artifacts("models:/fraud/1/weights.txt", dst_path=".")).read(),
}))
"""


def test_one_call_does_what_gc_does(server, tmp_path):
    ann, root = make(server, "ann", "data_scientist"), make(server, "root", "admin")
    told = python(server, tmp_path, ann, DELETED)
    seen = python(server, tmp_path, root, PURGED, json.dumps(told))
    assert seen["missing"][0] == 400 and seen["missing"][1].startswith("older_than_ms: is required"), seen["missing"]
    assert not any(int(count) for count in seen["young"].get("purged", {}).values()), seen["young"]
    assert int(seen["dry"]["purged"]["runs"]) == 3 and int(seen["dry"]["purged"]["experiments"]) == 1, seen["dry"]
    purged = {key: int(value) for key, value in seen["done"]["purged"].items()}
    print("purged", purged)
    assert (purged["runs"], purged["experiments"], purged["files"], purged["freed_bytes"]) == (3, 1, 3, 30_000), purged
    assert int(seen["done"]["kept"]) == 1 and '"fraud"' in seen["done"]["kept_reason"], seen["done"]
    assert (seen["run"], seen["experiment"], seen["again"]) == ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_DOES_NOT_EXIST", True), seen
    assert (seen["bound"], seen["weights"]) == ("deleted", "weights"), seen
