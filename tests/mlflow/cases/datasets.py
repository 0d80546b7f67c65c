"""Inputs of runs: datasets with their tags."""

from house import case, each


def dataset(name="iris", digest="d1", source_type="local", source="{}", schema=None, profile=None, tags=()):
    from mlflow.entities import Dataset, DatasetInput, InputTag
    return DatasetInput(Dataset(name, digest, source_type, source, schema, profile), [InputTag(k, v) for k, v in tags])


def stored(c, run):
    found = c.client.get_run(run).inputs.dataset_inputs
    return sorted(([d.dataset.name, d.dataset.digest, d.dataset.source, d.dataset.source_type, d.dataset.schema, d.dataset.profile],
                   sorted((t.key, t.value) for t in d.tags)) for d in found)


@case
def log(c):
    run = c.run()
    c.client.log_inputs(run, [dataset(schema="{}", profile="{\"rows\": 1}", tags=[("mlflow.data.context", "train")])])
    return stored(c, run)


@case
def log_two(c):
    run = c.run()
    c.client.log_inputs(run, [dataset(), dataset("wine", "d2", tags=[("a", "1"), ("b", "2")])])
    return stored(c, run)


@case
def again_with_other_contents(c):
    run = c.run()
    c.client.log_inputs(run, [dataset(source="first", tags=[("mlflow.data.context", "train")])])
    c.client.log_inputs(run, [dataset(source="second", tags=[("mlflow.data.context", "eval")])])
    return stored(c, run)


@case
def one_dataset_in_two_runs(c):
    experiment = c.experiment()
    found = []
    for context in ("train", "eval"):
        run = c.client.create_run(experiment).info.run_id
        c.client.log_inputs(run, [dataset(tags=[("mlflow.data.context", context)])])
        found.append(stored(c, run))
    return found


@case
def none(c):
    run = c.run()
    c.client.log_inputs(run, [])
    return stored(c, run)


@case
def of_unknown_run(c):
    return c.client.log_inputs("0123456789abcdef0123456789abcdef", [dataset()])


@case
def of_deleted_run(c):
    run = c.run()
    c.client.delete_run(run)
    return c.client.log_inputs(run, [dataset()])


@each([
    ("name of 500", {"name": "n" * 500}), ("name of 501", {"name": "n" * 501}), ("digest of 36", {"digest": "d" * 36}),
    ("digest of 37", {"digest": "d" * 37}), ("empty name", {"name": ""}), ("empty digest", {"digest": ""}),
    ("source of 65536", {"source": "s" * 65536}), ("tag key of 256", {"tags": [("k" * 256, "v")]}),
    ("tag value of 501", {"tags": [("k", "v" * 501)]}), ("tag value of 500", {"tags": [("k", "v" * 500)]}),
    ("empty source", {"source": ""}), ("two equal tags", {"tags": [("k", "1"), ("k", "1")]}),
])
def limits(c, fields):
    run = c.run()
    c.client.log_inputs(run, [dataset(**fields)])
    return len(stored(c, run))


@case
def fluent(c):
    import pandas
    c.mlflow.set_experiment(c.name)
    data = c.mlflow.data.from_pandas(pandas.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}), name="small")
    with c.mlflow.start_run() as run:
        c.mlflow.log_input(data, context="train", tags={"x": "y"} if c.major > 2 else None)
    return stored(c, run.info.run_id)


@case
def fluent_without_context(c):
    import numpy
    c.mlflow.set_experiment(c.name)
    with c.mlflow.start_run() as run:
        c.mlflow.log_input(c.mlflow.data.from_numpy(numpy.arange(6).reshape(3, 2)))
    return stored(c, run.info.run_id)
