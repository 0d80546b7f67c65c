"""Runs: create, get, update, delete, restore, tags."""

from house import case, each


@case(since=1)
def create(c):
    return c.client.create_run(c.experiment())


@case
def create_with_everything(c):
    return c.client.create_run(c.experiment(), start_time=1234, tags={"a": "1", "mlflow.user": "ada"}, run_name="first")


@case(since=1)
def get(c):
    return c.client.get_run(c.run(tags={"a": "1"}))


@case
def name_in_the_tag(c):
    return c.client.get_run(c.run(tags={"mlflow.runName": "tagged"})).info.run_name


@case
def name_and_the_same_tag(c):
    return c.client.get_run(c.run(run_name="same", tags={"mlflow.runName": "same"})).data.tags


@case
def name_and_another_tag(c):
    return c.client.get_run(c.run(run_name="one", tags={"mlflow.runName": "two"})).data.tags


@each([("empty", ""), ("of 250", "n" * 250), ("odd", "a/b c:d \"e\" ü🙂"), ("blank", "  ")])
def create_named(c, name):
    found = c.client.get_run(c.run(run_name=name))
    return found.info.run_name, found.data.tags


@each([("unknown", "999999"), ("letters", "abc"), ("empty", "")], since=1)
def create_in(c, experiment_id):
    return c.client.create_run(experiment_id)


@case(since=1)
def create_in_deleted(c):
    made = c.experiment()
    c.client.delete_experiment(made)
    return c.client.create_run(made)


@each([
    ("bad key", {"a$b": "v"}), ("key of 251", {"k" * 251: "v"}), ("empty key", {"": "v"}),
    ("value of 8001", {"k": "v" * 8001}), ("empty value", {"k": ""}), ("number", {"k": 5}),
])
def create_tagged(c, tags):
    found = c.client.get_run(c.run(tags=tags)).data.tags
    return {key: len(value) if len(value) > 100 else value for key, value in found.items()}


@each([("unknown", "0123456789abcdef0123456789abcdef"), ("odd", "a b/c"), ("empty", ""), ("long", "a" * 300)], since=1)
def get_of(c, run_id):
    return c.client.get_run(run_id)


@case(since=1)
def end(c):
    run = c.run()
    c.client.set_terminated(run, end_time=5000)
    return c.client.get_run(run).info


@each(["FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED"])
def end_with(c, status):
    run = c.run()
    c.client.set_terminated(run, status, 5000)
    return c.client.get_run(run).info.status


@case
def end_with_no_such_status(c):
    return c.client.set_terminated(c.run(), "SLEEPING")


@case
def start_again(c):
    run = c.run()
    c.client.set_terminated(run, end_time=5000)
    c.client.update_run(run, status="RUNNING")
    found = c.client.get_run(run).info
    return found.status, found.end_time


@case
def update_name(c):
    run = c.run(run_name="before")
    c.client.update_run(run, name="after")
    found = c.client.get_run(run)
    return found.info.run_name, found.data.tags


@case
def update_name_to_nothing(c):
    run = c.run(run_name="before")
    c.client.update_run(run, name="")
    return c.client.get_run(run).info.run_name


@case
def update_both(c):
    run = c.run(run_name="before")
    c.client.update_run(run, status="FAILED", name="after")
    found = c.client.get_run(run).info
    return found.run_name, found.status


@case
def update_of_unknown(c):
    return c.client.update_run("0123456789abcdef0123456789abcdef", status="FAILED")


@case(since=1)
def delete_and_restore(c):
    run = c.run()
    found = [c.client.delete_run(run), c.client.get_run(run).info.lifecycle_stage]
    return found + [c.client.restore_run(run), c.client.get_run(run).info.lifecycle_stage]


@case
def delete_twice(c):
    run = c.run()
    return c.client.delete_run(run), c.client.delete_run(run)


@case
def restore_an_active_one(c):
    return c.client.restore_run(c.run())


@case
def delete_of_unknown(c):
    return c.client.delete_run("0123456789abcdef0123456789abcdef")


@case
def restore_of_unknown(c):
    return c.client.restore_run("0123456789abcdef0123456789abcdef")


@each([
    ("log_metric", lambda client, run: client.log_metric(run, "m", 1.0)),
    ("log_param", lambda client, run: client.log_param(run, "p", 1)),
    ("set_tag", lambda client, run: client.set_tag(run, "t", 1)),
    ("delete_tag", lambda client, run: client.delete_tag(run, "before")),
    ("update_run", lambda client, run: client.update_run(run, name="after")),
    ("set_terminated", lambda client, run: client.set_terminated(run)),
    ("get_metric_history", lambda client, run: client.get_metric_history(run, "before")),
    ("log_batch", lambda client, run: client.log_batch(run, tags=[])),
])
def on_a_deleted_run(c, call):
    run = c.run(tags={"before": "1"})
    c.client.log_metric(run, "before", 1.0, 1, 1)
    c.client.delete_run(run)
    return call(c.client, run)


@case(since=1)
def a_finished_run_takes_more(c):
    run = c.run()
    c.client.set_terminated(run)
    c.client.log_metric(run, "m", 1.0, 1, 1)
    c.client.log_param(run, "p", 1)
    c.client.set_tag(run, "t", 1)
    return c.client.get_run(run).data


@each([
    ("empty value", "k", ""), ("number", "k", 5), ("none", "k", None), ("value of 5000", "k", "v" * 5000),
    ("value of 8000", "k", "v" * 8000), ("value of 8001", "k", "v" * 8001), ("value of 65536", "k", "v" * 65536), ("key of 250", "k" * 250, "v"),
    ("key of 251", "k" * 251, "v"), ("empty key", "", "v"), ("odd key", "a b.c-d/e_f", "v"), ("key with colon", "a:b", "v"),
    ("key with dollar", "a$b", "v"), ("key of other letters", "schlüssel", "v"), ("double slash", "a//b", "v"),
    ("dots", "../a", "v"), ("dot", ".", "v"), ("leading slash", "/a", "v"), ("trailing slash", "a/", "v"),
    ("line break in value", "k", "a\nb"), ("quote in key", "a'b", "v"), ("dot inside", "a/./b", "v"),
])
def set_tag(c, key, value):
    run = c.run()
    c.client.set_tag(run, key, value)
    return {k: len(v) if len(v) > 100 else v for k, v in c.client.get_run(run).data.tags.items()}


@case(since=1)
def tags(c):
    run = c.run()
    c.client.set_tag(run, "a", "1")
    c.client.set_tag(run, "b", "2")
    c.client.set_tag(run, "a", "3")
    c.client.delete_tag(run, "b")
    return c.client.get_run(run).data.tags


@case
def delete_tag_that_is_not_there(c):
    return c.client.delete_tag(c.run(), "a")


@case
def delete_tag_of_unknown_run(c):
    return c.client.delete_tag("0123456789abcdef0123456789abcdef", "a")


@case
def the_tag_of_the_name_renames(c):
    run = c.run(run_name="before")
    c.client.set_tag(run, "mlflow.runName", "after")
    return c.client.get_run(run).info.run_name


@case
def delete_the_tag_of_the_name(c):
    run = c.run(run_name="before")
    c.client.delete_tag(run, "mlflow.runName")
    found = c.client.get_run(run)
    return found.info.run_name, found.data.tags


@case
def set_tag_on_unknown(c):
    return c.client.set_tag("0123456789abcdef0123456789abcdef", "a", "1")


@case
def parent_run(c):
    parent = c.run(run_name="parent")
    child = c.client.create_run("0", tags={"mlflow.parentRunId": parent}, run_name="child").info.run_id
    return c.client.get_parent_run(child).info.run_name, c.client.get_parent_run(parent)


@case
def link_that_is_no_run(c):
    child = c.run(tags={"mlflow.parentRunId": "0123456789abcdef0123456789abcdef"})
    return c.client.get_parent_run(child)


@each([100, 101, 150, 500])
def create_with_tags(c, count):
    run = c.run(tags={f"t{number}": "v" for number in range(count)})
    return len(c.client.get_run(run).data.tags)


@each([("log-batch", "log-batch", {"tags": [], "params": [], "metrics": []}), ("log-inputs", "log-inputs", {"datasets": []}),
       ("delete", "delete", {}), ("get", "get", None), ("set-tag", "set-tag", {"key": "k", "value": "v"})])
def unnamed(c, path, body):
    return c.call("GET" if body is None else "POST", f"runs/{path}", body)
