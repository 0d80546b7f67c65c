"""Experiments: create, get, rename, delete, restore, tags."""

from house import case, each


@case(since=1)
def create_and_get(c):
    made = c.client.create_experiment(c.name)
    return c.client.get_experiment(made)


@case
def create_with_tags_and_location(c):
    made = c.client.create_experiment(c.name, artifact_location="s3://bucket/folder", tags={"a": "1", "team": "fraud"})
    return c.client.get_experiment(made)


@case
def default_location_names_the_experiment(c):
    return c.client.get_experiment(c.experiment()).artifact_location


@case(since=1)
def the_default_experiment(c):
    found = c.client.get_experiment("0")
    return found.name, found.experiment_id, found.lifecycle_stage, found.artifact_location


@case(since=1)
def get_by_name(c):
    c.experiment()
    return c.client.get_experiment_by_name(c.name)


@case(since=1)
def get_by_name_of_none(c):
    return c.client.get_experiment_by_name("there is no such experiment")


@case
def get_by_name_of_deleted(c):
    c.client.delete_experiment(c.experiment())
    return c.client.get_experiment_by_name(c.name)


@case(since=1)
def create_twice(c):
    c.experiment()
    return c.experiment()


@case
def create_the_name_of_a_deleted_one(c):
    c.client.delete_experiment(c.experiment())
    return c.experiment()


@each([
    ("empty", ""), ("of 500 characters", "n" * 500), ("of 501 characters", "n" * 501), ("of blanks", "   "),
    ("with slash and colon", "a/b:c"), ("with quotes", "it's \"so\""), ("of other letters", "Währung 実験 🙂"),
    ("with percent", "100%_"), ("with a line break", "two\nlines"),
])
def create_named(c, name):
    return c.client.get_experiment(c.client.create_experiment(name))


@each([
    ("http", "http://example.com/a"), ("s3", "s3://bucket/a"), ("fragment", "s3://bucket/a#b"), ("runs", "runs:/x/y"),
    ("dots in query", "s3://bucket/a?x=../../y"), ("gs", "gs://bucket/a"),
    ("too long", "s3://bucket/" + "a" * 2050),
])
def create_located(c, location):
    return c.client.get_experiment(c.client.create_experiment(c.name, artifact_location=location))


@each([("unknown", "999999"), ("letters", "abc"), ("negative", "-1"), ("empty", ""), ("huge", "9" * 30)])
def get(c, experiment_id):
    return c.client.get_experiment(experiment_id)


@case(since=1)
def rename(c):
    made = c.experiment()
    return c.client.rename_experiment(made, c.name + "-new"), c.client.get_experiment(made).name


@case
def rename_to_its_own_name(c):
    made = c.experiment()
    return c.client.rename_experiment(made, c.name), c.client.get_experiment(made).name


@case
def rename_to_a_taken_name(c):
    c.experiment("-taken")
    return c.client.rename_experiment(c.experiment(), c.name + "-taken")


@case
def rename_of_deleted(c):
    made = c.experiment()
    c.client.delete_experiment(made)
    return c.client.rename_experiment(made, c.name + "-new")


@each([("unknown", "999999"), ("letters", "abc")])
def rename_of(c, experiment_id):
    return c.client.rename_experiment(experiment_id, c.name)


@case
def rename_to_nothing(c):
    return c.client.rename_experiment(c.experiment(), "")


@case
def rename_to_too_much(c):
    return c.client.rename_experiment(c.experiment(), "n" * 501)


@case
def rename_changes_the_time_of_the_last_update(c):
    made = c.client.get_experiment(c.experiment())
    c.client.rename_experiment(made.experiment_id, c.name + "-new")
    found = c.client.get_experiment(made.experiment_id)
    return found.last_update_time > made.last_update_time, found.creation_time == made.creation_time


@case(since=1)
def delete_and_restore(c):
    made = c.experiment()
    stages = [c.client.delete_experiment(made), c.client.get_experiment(made).lifecycle_stage]
    return stages + [c.client.restore_experiment(made), c.client.get_experiment(made).lifecycle_stage]


@case
def delete_twice(c):
    made = c.experiment()
    c.client.delete_experiment(made)
    return c.client.delete_experiment(made)


@case
def restore_an_active_one(c):
    return c.client.restore_experiment(c.experiment())


@each([("unknown", "999999"), ("letters", "abc")])
def delete_of(c, experiment_id):
    return c.client.delete_experiment(experiment_id)


@each([("unknown", "999999"), ("letters", "abc")])
def restore_of(c, experiment_id):
    return c.client.restore_experiment(experiment_id)


@case
def runs_are_deleted_and_restored_with_it(c):
    made = c.experiment()
    run = c.client.create_run(made).info.run_id
    c.client.delete_experiment(made)
    found = [c.client.get_run(run).info.lifecycle_stage]
    c.client.restore_experiment(made)
    return found + [c.client.get_run(run).info.lifecycle_stage]


@case(since=1)
def tags(c):
    made = c.experiment()
    c.client.set_experiment_tag(made, "a", "1")
    c.client.set_experiment_tag(made, "b", "2")
    c.client.set_experiment_tag(made, "a", "3")
    return c.client.get_experiment(made).tags


@each([
    ("empty value", "k", ""), ("number", "k", 5), ("long value", "k", "v" * 5000), ("value of 20000", "k", "v" * 20000),
    ("value of 20001", "k", "v" * 20001), ("key of 250", "k" * 250, "v"), ("key of 251", "k" * 251, "v"),
    ("empty key", "", "v"), ("odd key", "a b.c-d/e_f", "v"), ("bad key", "a$b", "v"), ("note", "mlflow.note.content", "x"),
])
def set_tag(c, key, value):
    made = c.experiment()
    c.client.set_experiment_tag(made, key, value)
    return c.client.get_experiment(made).tags


@case
def set_tag_on_deleted(c):
    made = c.experiment()
    c.client.delete_experiment(made)
    return c.client.set_experiment_tag(made, "a", "1")


@case
def set_tag_on_unknown(c):
    return c.client.set_experiment_tag("999999", "a", "1")


@case(since=3)
def delete_tag(c):
    made = c.experiment()
    c.client.set_experiment_tag(made, "a", "1")
    c.client.set_experiment_tag(made, "b", "1")
    return c.client.delete_experiment_tag(made, "a"), c.client.get_experiment(made).tags


@case(since=3)
def delete_tag_that_is_not_there(c):
    return c.client.delete_experiment_tag(c.experiment(), "a")


@case(since=1, until=1)
def list_all_by_pages(c):
    """What clients before MLflow 2 call."""
    made = {c.experiment(suffix) for suffix in "abc"}
    found, token = [], None
    while True:
        page = c.client.list_experiments(max_results=2, page_token=token)
        found += [e.name for e in page if e.experiment_id in made]
        token = page.token
        if not token:
            return found


@each([("experiments/search", "POST"), ("registered-models/search", "GET"), ("model-versions/search", "GET"), ("runs/search", "POST")], since=3)
def pages_of_nothing(c, path, method):
    asked = {"max_results": 0}
    if method == "GET":
        return c.call("GET", path, params=list(asked.items()))
    if path == "runs/search":
        asked["experiment_ids"] = [c.experiment()]
    return c.call("POST", path, asked)


@each([("absent", {}), ("empty", {"new_name": ""})])
def rename_without_a_name(c, given):
    made = c.experiment()
    answer = c.call("POST", "experiments/update", {"experiment_id": made, **given})
    return answer, c.client.get_experiment(made).name
