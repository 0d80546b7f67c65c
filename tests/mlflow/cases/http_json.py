"""The wire itself: JSON, query strings and statuses, without the client. Compared with mlflow 3's own server."""

from house import case, each


def body(c, path, **options):
    return c.call("GET", path, **options)


@case(since=3)
def the_body_of_a_run(c):
    run = c.run(run_name="first", start_time=1234, tags={"a": "1"})
    c.client.log_metric(run, "m", 1.0, 5, 2)
    c.client.log_param(run, "p", "v")
    return body(c, "runs/get", params={"run_id": run})


@case(since=3)
def the_body_of_a_bare_run(c):
    made = c.call("POST", "runs/create", {"experiment_id": c.experiment(), "run_name": "bare"})
    return made


@case(since=3)
def the_body_of_an_experiment(c):
    return body(c, "experiments/get", params={"experiment_id": c.experiment()})


@case(since=3)
def the_body_of_a_model(c):
    name = c.version(2)
    c.client.set_registered_model_alias(name, "a", "1")
    c.client.set_registered_model_tag(name, "t", "1")
    return body(c, "registered-models/get", params={"name": name})


@case(since=3)
def the_body_of_a_version(c):
    name = c.version()
    c.client.set_registered_model_alias(name, "a", "1")
    return body(c, "model-versions/get", params={"name": name, "version": "1"})


@case(since=3)
def the_body_of_a_version_in_a_search(c):
    name = c.version()
    c.client.set_registered_model_alias(name, "a", "1")
    return body(c, "model-versions/search", params={"filter": f"name = '{name}'"})


@case(since=3)
def the_body_of_a_created_version(c):
    return c.call("POST", "model-versions/create", {"name": c.model(), "source": "s3://b/x", "description": "", "run_link": ""})


@case(since=3)
def the_body_of_a_created_model(c):
    return c.call("POST", "registered-models/create", {"name": c.name, "description": ""})


@case(since=3)
def the_body_of_a_history(c):
    run = c.run()
    for value in ("NaN", "Infinity", "-Infinity", 1, 0.5):
        c.call("POST", "runs/log-metric", {"run_id": run, "key": "m", "value": value, "timestamp": 5})
    return body(c, "metrics/get-history", params={"run_id": run, "metric_key": "m"})


@case(since=3)
def the_body_of_an_update(c):
    run = c.run(run_name="first")
    return c.call("POST", "runs/update", {"run_id": run, "status": "FINISHED", "end_time": 9})


@case(since=3)
def the_body_of_a_search(c):
    run = c.run(run_name="first", start_time=0)
    c.client.log_metric(run, "m", float("nan"), 5, 0)
    return c.call("POST", "runs/search", {"experiment_ids": [c.client.get_run(run).info.experiment_id]})


@case(since=3)
def an_empty_search(c):
    return [c.call("POST", "runs/search", {"experiment_ids": []}), body(c, "registered-models/search", params={"filter": "name = 'zz'"}),
            body(c, "model-versions/search", params={"filter": "name = 'zz'"}),
            c.call("POST", "experiments/search", {"max_results": 5, "filter": "name = 'zz'"})]


@each([("set-tag", "runs/set-tag", {"key": "a", "value": "1"}), ("log-metric", "runs/log-metric", {"key": "a", "value": 1, "timestamp": 1}),
       ("log-parameter", "runs/log-parameter", {"key": "a", "value": "1"}), ("log-batch", "runs/log-batch", {}),
       ("log-inputs", "runs/log-inputs", {})], since=3)
def answers_nothing(c, path, fields):
    return c.call("POST", path, dict(fields, run_id=c.run()))


@case(since=3)
def int64_as_text(c):
    run = c.run()
    made = c.call("POST", "runs/log-metric", {"run_id": run, "key": "m", "value": "1.5", "timestamp": "17", "step": "3"})
    return made, body(c, "metrics/get-history", params={"run_id": run, "metric_key": "m"})


@case(since=3)
def int64_as_float(c):
    run = c.run()
    made = c.call("POST", "runs/log-metric", {"run_id": run, "key": "m", "value": 2, "timestamp": 17.0, "step": 3.0})
    return made, body(c, "metrics/get-history", params={"run_id": run, "metric_key": "m"})


@each([("number", {"value": 1}), ("text number", {"value": "1.5"}), ("nan", {"value": "NaN"}), ("words", {"value": "abc"}),
       ("none", {}), ("null", {"value": None}), ("object", {"value": {}}), ("true", {"value": True})], since=3)
def metric_value(c, fields):
    run = c.run()
    made = c.call("POST", "runs/log-metric", dict(fields, run_id=run, key="m", timestamp=5))
    return made, body(c, "metrics/get-history", params={"run_id": run, "metric_key": "m"})


@case(since=3)
def enums_by_number(c):
    run = c.run(run_name="first")
    return c.call("POST", "runs/update", {"run_id": run, "status": 4, "end_time": 9})


@each(["ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3], since=3)
def view_type(c, view):
    kept = c.run(run_name="kept")
    experiment = c.client.get_run(kept).info.experiment_id
    gone = c.client.create_run(experiment, run_name="gone").info.run_id
    c.client.delete_run(gone)
    found = c.call("POST", "runs/search", {"experiment_ids": [experiment], "run_view_type": view, "order_by": ["run_name"]})
    return [r["info"]["run_name"] for r in found["runs"]]


@case(since=3)
def run_uuid_for_run_id(c):
    run = c.run(run_name="first")
    c.call("POST", "runs/set-tag", {"run_uuid": run, "key": "a", "value": "1"})
    c.call("POST", "runs/log-parameter", {"run_uuid": run, "run_id": run, "key": "p", "value": "1"})
    return body(c, "runs/get", params={"run_uuid": run})["run"]["data"]


@case(since=3)
def null_is_absent(c):
    return c.call("POST", "registered-models/create", {"name": c.name, "description": None, "tags": None})


@case(since=3)
def unknown_fields_are_ignored(c):
    return (c.call("POST", "registered-models/create", {"name": c.name, "nothing": {"a": [1]}}),
            body(c, "registered-models/get", params={"name": c.name, "nothing": "x"})["registered_model"]["name"])


@case(since=3)
def arrays_in_a_query(c):
    c.version(2)
    c.client.transition_model_version_stage(c.name, "1", "Production")
    found = body(c, "registered-models/get-latest-versions", params=[("name", c.name), ("stages", "Production"), ("stages", "None")])
    return sorted((v["version"], v["current_stage"]) for v in found["model_versions"])


@case(since=3)
def order_by_in_a_query(c):
    c.version(3)
    found = body(c, "model-versions/search", params=[("filter", f"name = '{c.name}'"), ("order_by", "name DESC"), ("order_by", "version_number ASC")])
    return [v["version"] for v in found["model_versions"]]


@each([("body", "json"), ("query", "params")], since=3)
def delete_by(c, place):
    name = c.model()
    made = c.call("DELETE", "registered-models/delete", **{place: {"name": name}}) if place == "params" else \
        c.call("DELETE", "registered-models/delete", {"name": name})
    return made, body(c, "registered-models/get", params={"name": name})


@case(since=3)
def search_experiments_by_get(c):
    made = c.experiment()
    found = body(c, "experiments/search", params={"max_results": 5, "filter": f"name = '{c.name}'", "view_type": "ALL"})
    return [e["name"] for e in found["experiments"]]


@case(since=3)
def search_experiments_without_max_results(c):
    return c.call("POST", "experiments/search", {})


@each([
    ("GET experiments/get", "GET", "experiments/get", {}), ("GET experiments/get-by-name", "GET", "experiments/get-by-name", {}), ("POST experiments/create", "POST", "experiments/create", {}), ("POST experiments/update", "POST", "experiments/update", {}),
    ("POST experiments/delete", "POST", "experiments/delete", {}), ("POST experiments/set-experiment-tag", "POST", "experiments/set-experiment-tag", {"key": "a"}), ("GET runs/get", "GET", "runs/get", {}),
    ("POST runs/update", "POST", "runs/update", {}), ("POST runs/delete", "POST", "runs/delete", {}), ("POST runs/set-tag", "POST", "runs/set-tag", {"key": "a", "value": "b"}),
    ("POST runs/log-metric", "POST", "runs/log-metric", {"key": "m"}), ("POST runs/log-batch", "POST", "runs/log-batch", {}), ("POST runs/delete-tag", "POST", "runs/delete-tag", {}),
    ("GET metrics/get-history", "GET", "metrics/get-history", {}), ("POST registered-models/create", "POST", "registered-models/create", {}), ("GET registered-models/get", "GET", "registered-models/get", {}),
    ("POST registered-models/rename", "POST", "registered-models/rename", {}), ("DELETE registered-models/delete", "DELETE", "registered-models/delete", {}), ("PATCH registered-models/update", "PATCH", "registered-models/update", {}),
    ("POST registered-models/set-tag", "POST", "registered-models/set-tag", {}), ("POST registered-models/alias", "POST", "registered-models/alias", {"name": "x"}), ("GET registered-models/alias", "GET", "registered-models/alias", {}),
    ("POST model-versions/create", "POST", "model-versions/create", {}), ("GET model-versions/get", "GET", "model-versions/get", {"name": "x"}), ("POST model-versions/transition-stage", "POST", "model-versions/transition-stage", {}),
    ("DELETE model-versions/delete", "DELETE", "model-versions/delete", {}), ("GET model-versions/get-download-uri", "GET", "model-versions/get-download-uri", {}), ("POST logged-models", "POST", "logged-models", {}),
    ("POST runs/log-inputs", "POST", "runs/log-inputs", {}), ("POST runs/outputs", "POST", "runs/outputs", {}),
], since=3)
def missing(c, method, path, fields):
    options = {"params": fields} if method == "GET" else {"body": fields}
    return c.call(method, path, **options)


@each([
    ("experiment_id as number", "POST", "runs/create", {"experiment_id": 0}), ("name as number", "POST", "registered-models/create", {"name": 5}),
    ("tags as object", "POST", "registered-models/create", {"name": "wrong", "tags": {"a": "b"}}),
    ("tags as text", "POST", "registered-models/create", {"name": "wrong", "tags": "a"}),
    ("version as number", "POST", "model-versions/transition-stage", {"name": "x", "version": 1, "stage": "Staging"}),
    ("bool as text", "POST", "model-versions/transition-stage", {"name": "x", "version": "1", "stage": "Staging", "archive_existing_versions": "yes"}),
    ("max_results as text", "POST", "runs/search", {"experiment_ids": ["0"], "max_results": "many"}),
    ("max_results as fraction", "POST", "runs/search", {"experiment_ids": ["0"], "max_results": 1.5}),
    ("experiment_ids as text", "POST", "runs/search", {"experiment_ids": "0"}),
    ("order_by as text", "POST", "runs/search", {"experiment_ids": ["0"], "order_by": "start_time"}),
    ("timestamp as words", "POST", "runs/log-metric", {"run_id": "x", "key": "m", "value": 1, "timestamp": "noon"}),
    ("name as list", "POST", "experiments/create", {"name": ["a"]}), ("name as null", "POST", "experiments/create", {"name": None}),
], since=3)
def wrong_type(c, method, path, fields):
    return c.call(method, path, fields)


@each([("json", "{"), ("list", "[]"), ("text", "\"a\""), ("number", "5"), ("nothing", ""), ("null", "null")], since=3)
def body_that_is_no_object(c, text):
    return c.call("POST", "registered-models/create", data=text, headers={"Content-Type": "application/json"})


@each([("post of a get", "POST", "/api/2.0/mlflow/runs/get"), ("get of a post", "GET", "/api/2.0/mlflow/runs/create"),
       ("unknown", "GET", "/api/2.0/mlflow/nothing"), ("unknown version", "GET", "/api/9.0/mlflow/runs/get"),
       ("trailing slash", "GET", "/api/2.0/mlflow/runs/get/")], since=3)
def no_such_route(c, method, path):
    return c.http(method, path)[0]


@each(["/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"], since=3)
def twins(c, prefix):
    c.version()
    found = [c.http("GET", prefix + "model-versions/get", params={"name": c.name, "version": "1"})]
    found.append(c.http("POST", prefix + "experiments/search", {"max_results": 1, "filter": "name = 'Default'"})[0])
    found.append(c.http("GET", prefix + "experiments/get-by-name", params={"experiment_name": "Default"})[0])
    return found


@case(since=3)
def the_form_of_an_error(c):
    status, found = c.http("GET", "/api/2.0/mlflow/runs/get", params={"run_id": "0123456789abcdef0123456789abcdef"})
    return status, {key: found[key] for key in ("error_code",)}, isinstance(found["message"], str)


@case(since=3)
def content_type_of_answers(c):
    import requests
    headers = {"Authorization": f"Bearer {c.token}"} if c.token else {}
    return [requests.get(f"{c.uri}/api/2.0/mlflow/experiments/get", params={"experiment_id": e}, headers=headers)
            .headers["Content-Type"].split(";")[0] for e in ("0", "999999")]


@case(since=3)
def content_type_with_charset(c):
    return c.call("POST", "registered-models/create", data='{"name": "charset"}', headers={"Content-Type": "application/json; charset=utf-8"})


@case(since=3)
def percent_coded_query(c):
    name = c.model(" ü+&=%")
    return body(c, "registered-models/get", params={"name": name})


@case(since=3)
def health_and_version(c):
    return c.http("GET", "/health"), c.http("GET", "/version")[0]


@case(since=3)
def log_model_of_older_clients(c):
    import json
    run = c.run()
    model = json.dumps({"run_id": run, "artifact_path": "model", "utc_time_created": "2024-01-01 00:00:00.0", "flavors": {"f": {}}})
    made = c.call("POST", "runs/log-model", {"run_id": run, "model_json": model})
    return made, "mlflow.log-model.history" in c.client.get_run(run).data.tags


@case(since=3)
def update_without_description_clears(c):
    c.client.create_registered_model(c.name, description="before")
    return c.call("PATCH", "registered-models/update", {"name": c.name})


@case(since=3)
def bulk_history(c):
    run = c.run()
    for step in range(3):
        c.client.log_metric(run, "m", step / 2, step, step)
    return c.call("GET", "metrics/get-history-bulk-interval", params=[("run_ids", run), ("metric_key", "m"), ("max_results", 10)])


@each([("pages", {"max_results": 2}), ("one", {"max_results": 1}), ("zero", {"max_results": 0}), ("negative", {"max_results": -1}),
       ("garbage", {"page_token": "garbage"})], since=3)
def history_pages(c, options):
    run = c.run()
    for step in range(5):
        c.client.log_metric(run, "m", step / 2, step, step)
    found = []
    for _ in range(4):
        page = body(c, "metrics/get-history", params=dict({"run_id": run, "metric_key": "m"}, **options))
        found.append(page)
        if not page.get("next_page_token"):
            break
        options = dict(options, page_token=page["next_page_token"])
    return found


@each([("experiments/get", lambda made: {"experiment_id": made}), ("experiments/get-by-name", lambda made: {"experiment_name": "other"}),
       ("experiments/search", lambda made: {"max_results": 1, "filter": "name = 'other'"})])
def get_with_its_fields_in_the_body(c, path, fields):
    """Old clients and tools send a GET like this, and say nothing of the body's type."""
    made = c.experiment()
    c.client.create_experiment("other" + c.name)
    fields = {key: value.replace("other", "other" + c.name) if isinstance(value, str) else value for key, value in fields(made).items()}
    answer = c.call("GET", path, data=__import__("json").dumps(fields))
    found = answer.get("experiments", [answer.get("experiment")])
    return [experiment and experiment["name"] for experiment in found] or answer
