"""A training script as MLflow's tutorials have them; nothing in it knows which server it talks to.

    MLFLOW_TRACKING_URI=… MLFLOW_TRACKING_TOKEN=… python tests/mlflow/tutorial.py
"""

import mlflow
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split

mlflow.set_experiment("Iris tutorial")

features, classes = load_iris(return_X_y=True, as_frame=True)
train_x, test_x, train_y, test_y = train_test_split(features, classes, test_size=0.3, random_state=42)

for strength in (0.01, 0.1, 1.0):
    with mlflow.start_run(run_name=f"C={strength}") as run:
        params = {"C": strength, "max_iter": 1000, "random_state": 42}
        model = LogisticRegression(**params).fit(train_x, train_y)
        predicted = model.predict(test_x)
        mlflow.log_params(params)
        mlflow.log_metric("accuracy", accuracy_score(test_y, predicted))
        mlflow.log_metric("f1", f1_score(test_y, predicted, average="macro"))
        mlflow.set_tag("stage of work", "tutorial")
        mlflow.sklearn.log_model(model, "iris_model", signature=infer_signature(train_x, model.predict(train_x)),
                                 input_example=train_x.head(3), pip_requirements=["scikit-learn"])
        print(f"C={strength}: accuracy {accuracy_score(test_y, predicted):.3f}")

best = mlflow.search_runs(order_by=["metrics.accuracy DESC", "params.C ASC"], max_results=1).iloc[0]
print("the best run has C =", best["params.C"], "and an accuracy of", round(best["metrics.accuracy"], 3))

version = mlflow.register_model(f"runs:/{best.run_id}/iris_model", "iris-classifier")
client = MlflowClient()
client.set_registered_model_alias("iris-classifier", "champion", version.version)
client.set_model_version_tag("iris-classifier", version.version, "validated", "yes")

champion = mlflow.pyfunc.load_model("models:/iris-classifier@champion")
print("version", version.version, "is @champion; its accuracy after loading is",
      round(accuracy_score(test_y, champion.predict(test_x)), 3))

mlflow.sklearn.autolog()
with mlflow.start_run(run_name="autologged") as run:
    LogisticRegression(max_iter=500).fit(train_x, train_y)
logged = client.get_run(run.info.run_id).data
print("autologging kept", len(logged.params), "params and", sorted(logged.metrics))
