"""The fluent API, as training scripts use it."""

import pandas

from house import case, each


@case(since=1)
def a_run(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run(run_name="first") as run:
        c.mlflow.log_param("alpha", 0.01)
        c.mlflow.log_params({"l1": 0.5, "n": 3})
        c.mlflow.log_metric("rmse", 0.7)
        c.mlflow.log_metrics({"mae": 0.5, "r2": 0.9}, step=2)
        c.mlflow.set_tag("a", "1")
        c.mlflow.set_tags({"b": "2", "c": "3"})
    found = c.client.get_run(run.info.run_id)
    return found.info.status, found.data.metrics, found.data.params, {k: v for k, v in found.data.tags.items() if len(k) == 1}


@case(since=1)
def set_experiment(c):
    made = c.mlflow.set_experiment(c.name)
    again = c.mlflow.set_experiment(c.name)
    return made.name, made.experiment_id == again.experiment_id, c.mlflow.get_experiment_by_name(c.name).lifecycle_stage


@case
def set_experiment_that_is_deleted(c):
    c.client.delete_experiment(c.experiment())
    return c.mlflow.set_experiment(c.name)


@case
def set_experiment_by_id(c):
    return c.mlflow.set_experiment(experiment_id=c.experiment()).name


@case
def set_experiment_by_unknown_id(c):
    return c.mlflow.set_experiment(experiment_id="999999")


@case(since=1)
def a_failing_run(c):
    c.mlflow.set_experiment(c.name)
    try:
        with c.mlflow.start_run() as run:
            raise RuntimeError("no luck")
    except RuntimeError:
        return c.client.get_run(run.info.run_id).info.status


@case(since=1)
def nested(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run(run_name="parent") as parent:
        for number in range(2):
            with c.mlflow.start_run(run_name=f"child {number}", nested=True):
                c.mlflow.log_metric("m", number)
    found = c.client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'",
                                 order_by=["metrics.m"])
    return [r.data.tags["mlflow.runName"] for r in found]


@case(since=1)
def resumed(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        c.mlflow.log_metric("m", 1.0)
    with c.mlflow.start_run(run_id=run.info.run_id):
        inside = c.client.get_run(run.info.run_id).info.status
        c.mlflow.log_metric("m", 2.0, step=1)
    found = c.client.get_run(run.info.run_id)
    return inside, found.info.status, found.data.metrics


@case
def resumed_unknown(c):
    with c.mlflow.start_run(run_id="0123456789abcdef0123456789abcdef"):
        pass


@case
def resumed_deleted(c):
    run = c.run()
    c.client.delete_run(run)
    with c.mlflow.start_run(run_id=run):
        pass


@case
def described(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run(description="what it is", tags={"k": "v"}) as run:
        pass
    tags = c.client.get_run(run.info.run_id).data.tags
    return tags["mlflow.note.content"], tags["k"]


@case
def many_params(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        c.mlflow.log_params({f"p{n}": n for n in range(250)})
    return len(c.client.get_run(run.info.run_id).data.params)


@case
def many_metrics(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        c.mlflow.log_metrics({f"m{n}": n for n in range(1200)})
    return len(c.client.get_run(run.info.run_id).data.metrics)


@case
def asynchronous(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        for step in range(20):
            c.mlflow.log_metric("m", step, step=step, synchronous=False)
        c.mlflow.log_param("p", 1, synchronous=False).wait()
        c.mlflow.flush_async_logging()
    found = c.client.get_run(run.info.run_id).data
    return found.metrics, found.params, len(c.client.get_metric_history(run.info.run_id, "m"))


@case(since=1)
def search_runs_as_a_table(c):
    c.mlflow.set_experiment(c.name)
    for number in range(3):
        with c.mlflow.start_run():
            c.mlflow.log_metric("m", number)
            c.mlflow.log_param("p", number)
    found = c.mlflow.search_runs(filter_string="metrics.m > 0", order_by=["metrics.m DESC"])
    return list(found["metrics.m"]), list(found["params.p"]), list(found["status"])


@case
def search_runs_by_names(c):
    for suffix in "ab":
        c.mlflow.set_experiment(c.name + suffix)
        with c.mlflow.start_run(run_name="of " + suffix):
            pass
    found = c.mlflow.search_runs(experiment_names=[c.name + "a", c.name + "b"], order_by=["run_name"])
    return list(found["tags.mlflow.runName"])


@case
def search_all_experiments(c):
    c.experiment()
    found = c.mlflow.search_experiments(filter_string=f"name = '{c.name}'")
    return [e.name for e in found]


@case
def delete_things(c):
    run = c.run()
    c.mlflow.delete_run(run)
    c.mlflow.delete_experiment(c.client.get_run(run).info.experiment_id)
    return c.client.get_run(run).info.lifecycle_stage


@case(since=1)
def artifacts(c):
    c.mlflow.set_experiment(c.name)
    (c.folder / "a.txt").write_text("one")
    with c.mlflow.start_run() as run:
        c.mlflow.log_artifact(str(c.folder / "a.txt"))
        c.mlflow.log_artifacts(str(c.folder), "all")
        c.mlflow.log_text("two", "b.txt")
        c.mlflow.log_dict({"c": 3}, "c.json")
        uri = c.mlflow.get_artifact_uri()
    return uri, sorted(f.path for f in c.client.list_artifacts(run.info.run_id))


@case
def table(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run():
        c.mlflow.log_table(pandas.DataFrame({"a": [1], "b": ["x"]}), "t.json")
    return c.mlflow.load_table("t.json").to_dict("list")


@case
def last_active_run(c):
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        pass
    return c.mlflow.last_active_run().info.run_id == run.info.run_id


@case
def experiment_tags(c):
    c.mlflow.set_experiment(c.name)
    c.mlflow.set_experiment_tags({"a": 1, "b": "2"})
    c.mlflow.set_experiment_tag("c", 3)
    return c.mlflow.get_experiment_by_name(c.name).tags


@each([("model", "models:/no such model/1"), ("stage", "models:/no such model/Production"), ("alias", "models:/no such model@a"),
       ("run", "runs:/0123456789abcdef0123456789abcdef/model")])
def load_what_is_not_there(c, uri):
    return c.mlflow.pyfunc.load_model(uri)
