"""Logged models, which mlflow 3 puts between runs and the registry."""

import time

from house import case, each

UNKNOWN = "m-0123456789abcdef0123456789abcdef"


def model(c, name="net", **options):
    return c.client.create_logged_model(c.experiment(), name=name, **options)


@case(since=3)
def create(c):
    return model(c)


@case(since=3)
def create_with_everything(c):
    run = c.run()
    experiment = c.client.get_run(run).info.experiment_id
    made = c.client.create_logged_model(experiment, "net", run, {"a": "1"}, {"lr": "0.1", "n": "5"}, "classifier")
    return made, c.client.get_logged_model(made.model_id)


@case(since=3)
def create_without_name(c):
    return bool(c.client.create_logged_model(c.experiment()).name)


@each(["", "a/b", "a:b", "a.b", "a%b", "a'b", 'a"b', "a b", "ü", "n" * 250, "n" * 300], since=3)
def create_named(c, name):
    return model(c, name).name


@case(since=3)
def create_in_unknown_experiment(c):
    return c.client.create_logged_model("999999", name="net")


@case(since=3)
def create_in_deleted_experiment(c):
    experiment = c.experiment()
    c.client.delete_experiment(experiment)
    return c.client.create_logged_model(experiment, name="net")


@case(since=3)
def create_with_many_params(c):
    made = model(c, params={f"p{n:03}": str(n) for n in range(250)})
    return len(c.client.get_logged_model(made.model_id).params)


@case(since=3)
def get_of_unknown(c):
    return c.client.get_logged_model(UNKNOWN)


@case(since=3)
def get_of_no_id(c):
    return c.client.get_logged_model("abc")


@each(["READY", "FAILED"], since=3)
def finalize(c, status):
    made = model(c)
    return c.client.finalize_logged_model(made.model_id, status), c.client.get_logged_model(made.model_id).status


@case(since=3)
def finalize_twice(c):
    made = model(c)
    c.client.finalize_logged_model(made.model_id, "READY")
    return c.client.finalize_logged_model(made.model_id, "FAILED").status


@case(since=3)
def finalize_unknown(c):
    return c.client.finalize_logged_model(UNKNOWN, "READY")


@case(since=3)
def tags(c):
    made = model(c, tags={"a": "0"})
    c.client.set_logged_model_tags(made.model_id, {"a": "1", "b": "2"})
    c.client.delete_logged_model_tag(made.model_id, "b")
    return c.client.get_logged_model(made.model_id).tags


@case(since=3)
def delete_tag_that_is_not_there(c):
    return c.client.delete_logged_model_tag(model(c).model_id, "a")


@case(since=3)
def set_tags_of_unknown(c):
    return c.client.set_logged_model_tags(UNKNOWN, {"a": "1"})


@case(since=3)
def params(c):
    made = model(c, params={"a": "1"})
    c.client.log_model_params(made.model_id, {"b": "2", "c": 3})
    return c.client.get_logged_model(made.model_id).params


@case(since=3)
def param_again(c):
    made = model(c, params={"a": "1"})
    return c.client.log_model_params(made.model_id, {"a": "1"})


@case(since=3)
def delete(c):
    made = model(c)
    c.client.delete_logged_model(made.model_id)
    return c.client.get_logged_model(made.model_id)


@case(since=3)
def delete_twice(c):
    made = model(c)
    return c.client.delete_logged_model(made.model_id), c.client.delete_logged_model(made.model_id)


@case(since=3)
def delete_of_unknown(c):
    return c.client.delete_logged_model(UNKNOWN)


@case(since=3)
def metrics(c):
    from mlflow.entities import Metric
    run = c.run()
    made = c.client.create_logged_model(c.client.get_run(run).info.experiment_id, "net", run)
    c.client.log_metric(run, "acc", 0.5, 1, 1, model_id=made.model_id)
    c.client.log_metric(run, "acc", 0.7, 2, 2, model_id=made.model_id, dataset_name="iris", dataset_digest="d1")
    c.client.log_batch(run, metrics=[Metric("loss", 0.1, 3, 1, model_id=made.model_id)])
    found = c.client.get_logged_model(made.model_id).metrics
    return sorted((m.key, m.value, m.step, m.timestamp, m.dataset_name) for m in found), c.client.get_run(run).data.metrics


@case(since=3)
def metric_of_unknown_model(c):
    return c.client.log_metric(c.run(), "acc", 0.5, model_id=UNKNOWN)


@case(since=3)
def inputs_and_outputs(c):
    from mlflow.entities import LoggedModelInput, LoggedModelOutput
    run = c.run()
    experiment = c.client.get_run(run).info.experiment_id
    one, two = (c.client.create_logged_model(experiment, name, run).model_id for name in ("one", "two"))
    c.client.log_inputs(run, models=[LoggedModelInput(one)])
    c.client.log_inputs(run, models=[LoggedModelInput(one)])
    c.client.log_outputs(run, [LoggedModelOutput(two, 3)])
    found = c.client.get_run(run)
    return ([m.model_id for m in found.inputs.model_inputs], [(m.model_id, m.step) for m in found.outputs.model_outputs])


@case(since=3)
def output_twice(c):
    from mlflow.entities import LoggedModelOutput
    run = c.run()
    made = c.client.create_logged_model(c.client.get_run(run).info.experiment_id, "one", run).model_id
    c.client.log_outputs(run, [LoggedModelOutput(made, 0)])
    return c.client.log_outputs(run, [LoggedModelOutput(made, 0)])


@case(since=3)
def output_of_unknown_run(c):
    from mlflow.entities import LoggedModelOutput
    return c.client.log_outputs("0123456789abcdef0123456789abcdef", [LoggedModelOutput(UNKNOWN, 0)])


def models(c):
    experiment = c.experiment()
    made = []
    for number, (name, kind, params, tags, acc) in enumerate([
            ("one", "net", {"lr": "0.1"}, {"env": "prod"}, 0.9), ("two", "tree", {"lr": "0.2"}, {"env": "dev"}, 0.8),
            ("three", "net", {}, {}, None), ("Two", "tree", {"depth": "3"}, {"a b": "x"}, 0.95)]):
        run = c.client.create_run(experiment).info.run_id
        found = c.client.create_logged_model(experiment, name, run, tags, params, kind).model_id
        if acc:
            c.client.log_metric(run, "acc", acc, 5, 1, model_id=found, dataset_name="iris", dataset_digest=f"d{number % 2}")
        made.append(found)
        time.sleep(0.003)  # times of the objects differ
    gone = c.client.create_logged_model(experiment, "gone").model_id
    c.client.delete_logged_model(gone)
    return {"experiment_id": experiment, "models": made}


def search(c, filter_string=None, **options):
    made = c.fixture(models)
    return [m.name for m in c.client.search_logged_models([made["experiment_id"]], filter_string, **options)]


@each([
    "name = 'two'", "attributes.name = 'two'", "name != 'two'", "name LIKE 't%'", "name ILIKE 'T%'", "name IN ('one', 'two')",
    "name NOT IN ('one')", "model_type = 'net'", "params.lr = '0.1'", "params.lr != '0.1'", "params.lr LIKE '0%'",
    "tags.env = 'prod'", "tags.`a b` = 'x'", "metrics.acc > 0.85", "metrics.acc <= 0.9", "metrics.acc = 0.8",
    "metrics.acc > 0.5 AND params.lr = '0.1'", "creation_timestamp > 0", "last_updated_timestamp > 0",
    "params.none = 'x'", "metrics.none > 0", "source_run_id = 'x'", "model_id = 'x'",
    # refused
    "metric.acc > 0.5", "param.lr = '0.1'", "tag.env = 'prod'", "name > 'a'", "nothing = 'a'", "metrics.acc > 'a'", "name",
    "name = 'a' OR name = 'b'", "metrics.acc LIKE 'a'", "params.lr > '0.1'", "name = 'unclosed",
], since=3)
def filter(c, text):
    return search(c, text)


@each([
    [{"field_name": "name"}], [{"field_name": "name", "ascending": False}], [{"field_name": "metrics.acc"}],
    [{"field_name": "metrics.acc", "ascending": False}], [{"field_name": "creation_timestamp"}], [],
    [{"field_name": "metrics.acc", "dataset_name": "iris", "dataset_digest": "d0"}],
    [{"field_name": "model_type"}, {"field_name": "name", "ascending": False}],
    [{"field_name": "nothing"}], [{"field_name": "params.lr"}], [{"field_name": ""}],
], since=3)
def order(c, order_by):
    return search(c, order_by=order_by)


@each([[{"dataset_name": "iris", "dataset_digest": "d0"}], [{"dataset_name": "wine", "dataset_digest": "d0"}]], since=3)
def datasets(c, datasets):
    return search(c, "metrics.acc > 0.1", datasets=datasets)


@case(since=3)
def pages(c):
    made = c.fixture(models)
    found, token = [], None
    while True:
        page = c.client.search_logged_models([made["experiment_id"]], max_results=3, page_token=token,
                                             order_by=[{"field_name": "name"}])
        found.append([m.name for m in page])
        token = page.token
        if not token:
            return found


@case(since=3)
def search_in_no_experiment(c):
    return c.client.search_logged_models([])


@case(since=3)
def search_in_unknown_experiment(c):
    return c.client.search_logged_models(["999999"])


@case(since=3)
def garbage_as_token(c):
    return search(c, page_token="garbage")


@case(since=3)
def register(c):
    run = c.run()
    experiment = c.client.get_run(run).info.experiment_id
    made = c.client.create_logged_model(experiment, "net", run, {}, {"lr": "1"})
    (c.folder / "MLmodel").write_text("flavors: {}")
    c.client.log_model_artifacts(made.model_id, str(c.folder))
    version = c.client.create_model_version(c.model(), f"models:/{made.model_id}", model_id=made.model_id)
    found = c.mlflow.artifacts.list_artifacts(f"models:/{c.name}/1")
    return version, c.client.get_logged_model(made.model_id).tags, [f.path for f in found]


@case(since=3)
def register_without_files(c):
    made = c.client.create_logged_model(c.experiment(), "net")
    return c.client.create_model_version(c.model(), f"models:/{made.model_id}", model_id=made.model_id).version


@case(since=3)
def register_with_another_source(c):
    made = c.client.create_logged_model(c.experiment(), "net")
    return c.client.create_model_version(c.model(), f"models:/{UNKNOWN}", model_id=made.model_id)


@case(since=3)
def artifacts(c):
    made = model(c)
    (c.folder / "a.txt").write_text("hello")
    c.client.log_model_artifact(made.model_id, str(c.folder / "a.txt"))
    c.client.log_model_artifacts(made.model_id, str(c.folder))
    return [(f.path, f.is_dir, f.file_size) for f in c.client.list_logged_model_artifacts(made.model_id)]


@case(since=3)
def server_info(c):
    status, body = c.http("GET", "/api/3.0/mlflow/server-info")
    return status, isinstance(body, dict), body.get("workspaces_enabled")


def many_points(c):
    """Two models: `one` with a metric of several steps and runs, `two` with one point."""
    run, other = c.run(), c.client.create_run(c.experiment("-other")).info.run_id
    experiment = c.client.get_run(run).info.experiment_id
    one, two = (c.client.create_logged_model(experiment, name, run).model_id for name in ("one", "two"))
    for step, value in enumerate([0.2, 0.9, 0.4]):
        c.client.log_metric(run, "acc", value, 10 + step, step, model_id=one)
    c.client.log_metric(other, "acc", 0.6, 20, 0, model_id=one, dataset_name="iris", dataset_digest="d1")
    c.client.log_metric(run, "acc", 0.5, 10, 0, model_id=two)
    return experiment, one, two


@case(since=3)
def every_point_shows(c):
    _, one, _ = many_points(c)
    return sorted((m.key, m.value, m.step, m.timestamp, m.dataset_name) for m in c.client.get_logged_model(one).metrics)


@each([(text, text) for text in ("metrics.acc > 0.8", "metrics.acc < 0.3", "metrics.acc = 0.5", "metrics.acc > 0.55 AND metrics.acc < 0.7",
                                 "metrics.acc != 0.5", "metrics.acc >= 0.9")], since=3)
def filter_of_many_points(c, text):
    experiment, _, _ = many_points(c)
    found = c.client.search_logged_models([experiment], filter_string=text)
    return sorted(model.name for model in found)


@each([("up", True), ("down", False)], since=3)
def order_of_many_points(c, ascending):
    experiment, _, _ = many_points(c)
    found = c.client.search_logged_models([experiment], order_by=[{"field_name": "metrics.acc", "ascending": ascending}])
    return [model.name for model in found]
