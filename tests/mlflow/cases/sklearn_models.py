"""Models of scikit-learn: autologging, log_model, registering and loading by version, stage and alias."""

import numpy
from sklearn.linear_model import ElasticNet, LogisticRegression

from house import case, each

X = numpy.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0], [4.0, 5.0], [5.0, 3.0]])
Y = numpy.array([0.5, 1.0, 2.5, 3.0, 5.5, 5.0])


def log(c, registered=None, name="model"):
    """A run with a logged model; returns the run's id."""
    import mlflow.sklearn
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        fitted = ElasticNet(alpha=0.1, random_state=1).fit(X, Y)
        options = {"name": name} if c.major > 2 else {"artifact_path": name}
        options.update({"pip_requirements": ["scikit-learn"], "registered_model_name": registered})
        mlflow.sklearn.log_model(fitted, **options)
    return run.info.run_id


def registered(c):
    """A model with three versions: 1 in Production, 2 in Staging and `champion`, 3 nowhere."""
    for _ in range(3):
        log(c, registered=c.name)
    c.client.transition_model_version_stage(c.name, "1", "Production")
    c.client.transition_model_version_stage(c.name, "2", "Staging")
    if c.major > 1:
        c.client.set_registered_model_alias(c.name, "champion", "2")
    return c.name


def predict(c, uri):
    import mlflow.pyfunc
    return [round(float(v), 9) for v in mlflow.pyfunc.load_model(uri).predict(X)]


@case(since=1)
def log_model(c):
    run = log(c)
    found = c.client.get_run(run)
    return found.info.status, sorted(found.data.tags) if c.major > 2 else "mlflow.log-model.history" in found.data.tags


@case(since=1)
def log_and_load_by_run(c):
    return predict(c, f"runs:/{log(c)}/model")


@case(since=3)
def log_and_load_by_model_id(c):
    run = log(c)
    found = c.client.get_run(run).outputs.model_outputs[0].model_id
    return predict(c, f"models:/{found}")


@case(since=3)
def log_model_makes_a_logged_model(c):
    run = log(c)
    found = c.client.get_logged_model(c.client.get_run(run).outputs.model_outputs[0].model_id)
    return found.name, found.status, found.source_run_id == run, sorted(f.path for f in c.client.list_logged_model_artifacts(found.model_id))


@case(since=1)
def log_model_and_register(c):
    log(c, registered=c.name)
    log(c, registered=c.name)
    found = c.client.get_model_version(c.name, "2")
    return found.version, found.status, bool(found.run_id), found.current_stage


@each([("version", "/1"), ("last version", "/3"), ("stage", "/Production"), ("other stage", "/Staging"), ("latest", "/latest")], since=1)
def load_by(c, place):
    return predict(c, f"models:/{c.fixture(registered)}{place}")


@case
def load_by_alias(c):
    return predict(c, f"models:/{c.fixture(registered)}@champion")


@each(["/9", "/Archived", "@nobody", "/Nowhere", "/", "/1/2"])
def load_by_what_is_not_there(c, place):
    return predict(c, f"models:/{c.fixture(registered)}{place}")


@case
def download_by_version(c):
    import pathlib
    found = pathlib.Path(c.mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{c.fixture(registered)}/1"))
    return sorted(p.name for p in found.iterdir())


@case(since=1)
def load_as_scikit_learn(c):
    import mlflow.sklearn
    loaded = mlflow.sklearn.load_model(f"models:/{c.fixture(registered)}/2")
    return type(loaded).__name__, loaded.alpha


@case
def model_info(c):
    found = c.mlflow.models.get_model_info(f"models:/{c.fixture(registered)}/1")
    return sorted(found.flavors)


@case(since=1)
def register_a_logged_model(c):
    run = log(c)
    found = c.mlflow.register_model(f"runs:/{run}/model", c.name)
    return found.version, found.name, predict(c, f"models:/{c.name}/1")


@case(since=1)
def register_twice(c):
    run = log(c)
    return [c.mlflow.register_model(f"runs:/{run}/model", c.name).version for _ in range(2)]


@case
def register_what_is_not_there(c):
    return c.mlflow.register_model(f"runs:/{c.run()}/model", c.name)


@case
def register_with_tags(c):
    run = log(c)
    return c.mlflow.register_model(f"runs:/{run}/model", c.name, tags={"a": "1"}).tags


@case
def copy_a_version_and_load_it(c):
    log(c, registered=c.name)
    c.client.copy_model_version(f"models:/{c.name}/1", c.name + "-prod")
    return predict(c, f"models:/{c.name}-prod/1")


@case
def load_after_a_rename(c):
    log(c, registered=c.name)
    c.client.rename_registered_model(c.name, c.name + "-new")
    return predict(c, f"models:/{c.name}-new/1")


@case
def load_after_the_run_is_deleted(c):
    run = log(c, registered=c.name)
    c.client.delete_run(run)
    return predict(c, f"models:/{c.name}/1")


@case
def signature_and_example(c):
    import mlflow.sklearn
    from mlflow.models import infer_signature
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        fitted = ElasticNet(alpha=0.1).fit(X, Y)
        options = {"name": "model"} if c.major > 2 else {"artifact_path": "model"}
        mlflow.sklearn.log_model(fitted, signature=infer_signature(X, Y), input_example=X[:2], pip_requirements=["scikit-learn"], **options)
    return str(c.mlflow.models.get_model_info(f"runs:/{run.info.run_id}/model").signature)


@case
def autolog(c):
    import mlflow.sklearn
    c.mlflow.set_experiment(c.name)
    mlflow.sklearn.autolog(log_post_training_metrics=True)
    try:
        with c.mlflow.start_run() as run:
            ElasticNet(alpha=0.1, l1_ratio=0.5).fit(X, Y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = c.client.get_run(run.info.run_id)
    kept = {k: v for k, v in found.data.tags.items() if not k.startswith("mlflow.")}
    return (found.info.status, found.data.params, {k: round(v, 9) for k, v in found.data.metrics.items()}, kept,
            sorted(f.path for f in c.client.list_artifacts(run.info.run_id)), len(found.inputs.dataset_inputs))


@case
def autolog_of_a_classifier(c):
    import mlflow.sklearn
    c.mlflow.set_experiment(c.name)
    mlflow.sklearn.autolog()
    try:
        with c.mlflow.start_run() as run:
            fitted = LogisticRegression().fit(X, Y > 2)
        fitted.score(X, Y > 2)
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = c.client.get_run(run.info.run_id)
    return (sorted(found.data.metrics), sorted(f.path for f in c.client.list_artifacts(run.info.run_id)))


@case
def autolog_of_a_grid_search(c):
    import mlflow.sklearn
    from sklearn.model_selection import GridSearchCV
    c.mlflow.set_experiment(c.name)
    mlflow.sklearn.autolog(max_tuning_runs=3)
    try:
        with c.mlflow.start_run() as run:
            GridSearchCV(ElasticNet(), {"alpha": [0.1, 0.5, 1.0]}, cv=2).fit(X, Y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    children = c.client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'",
                                    order_by=["params.alpha"])
    return [r.data.params["alpha"] for r in children], c.client.get_run(run.info.run_id).data.params["best_alpha"]


@case(since=1)
def the_story_of_the_post(c):
    """Log elastic nets with a plot and the model, search the best, register, load, tag and move it."""
    import mlflow.pyfunc
    import mlflow.sklearn
    from matplotlib import pyplot
    experiment = c.mlflow.set_experiment(c.name)
    for l1_ratio in (0.01, 0.75, 0.5, 1):
        with c.mlflow.start_run():
            fitted = ElasticNet(alpha=0.01, l1_ratio=l1_ratio, random_state=42).fit(X, Y)
            c.mlflow.log_param("alpha", 0.01)
            c.mlflow.log_param("l1_ratio", l1_ratio)
            c.mlflow.log_metric("rmse", float(numpy.sqrt(((fitted.predict(X) - Y) ** 2).mean())))
            drawn, axes = pyplot.subplots()
            axes.plot(fitted.coef_)
            drawn.savefig(c.folder / "path.png")
            pyplot.close(drawn)
            c.mlflow.log_artifact(str(c.folder / "path.png"))
            mlflow.sklearn.log_model(fitted, "model", pip_requirements=["scikit-learn"])
    best = c.mlflow.search_runs([experiment.experiment_id], order_by=["metrics.rmse ASC"], max_results=1).iloc[0]
    made = c.mlflow.register_model(f"runs:/{best.run_id}/model", c.name)
    loaded = mlflow.pyfunc.load_model(f"models:/{c.name}/{made.version}")
    works = bool(numpy.abs(loaded.predict(X) - Y).max() < 1)
    c.client.set_model_version_tag(c.name, made.version, "prediction_works", str(works).lower())
    c.client.transition_model_version_stage(c.name, made.version, "Staging")
    c.client.transition_model_version_stage(c.name, made.version, "Production", archive_existing_versions=True)
    found = c.client.get_model_version(c.name, made.version)
    return (best["params.l1_ratio"], found.version, found.tags, found.current_stage, found.run_id == best.run_id,
            [round(float(v), 9) for v in mlflow.pyfunc.load_model(f"models:/{c.name}/Production").predict(X)],
            "path.png" in [f.path for f in c.client.list_artifacts(best.run_id)])


@case(since=1)
def log_a_model_with_a_wide_signature(c):
    """120 columns: a client before 3 sends the whole signature along, of which the server keeps nothing."""
    import mlflow.sklearn
    from mlflow.models.signature import ModelSignature
    from mlflow.types.schema import ColSpec, Schema
    columns = [ColSpec("double", f"a rather long name of column number {number:03}") for number in range(120)]
    signature = ModelSignature(Schema(columns), Schema([ColSpec("double")]))
    fitted = ElasticNet(alpha=0.1, random_state=1).fit(X, Y)
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        options = {"name": "model"} if c.major > 2 else {"artifact_path": "model"}
        mlflow.sklearn.log_model(fitted, signature=signature, pip_requirements=["scikit-learn"], **options)
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    return len(loaded.metadata.get_input_schema().inputs), loaded.metadata.get_input_schema().input_names()[-1]


@each([("runs", lambda c, run: f"runs:/{run}/model"), ("artifact uri", lambda c, run: f"{c.client.get_run(run).info.artifact_uri}/model")],
      since=3)
def register_through_the_run(c, source):
    """What scripts of MLflow 2 do with what MLflow 3 logged. On MLflow the version is made, and cannot be loaded."""
    run = log(c)
    c.client.create_registered_model(c.name)
    made = c.client.create_model_version(c.name, source(c, run), run)
    return made.version, predict(c, f"models:/{c.name}/1")
