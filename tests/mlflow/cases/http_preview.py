"""Routes of /api/2.0/preview/mlflow, which mlflow 1.27's client calls for the registry. MLflow 3's own server answers
404 there, so the case compares the answer with that of the plain route on the same server; MLflow 1.27's is the judge in
the cases of the 1.27 client."""

from house import case, each


@each([
    ("model", "registered-models/get", lambda name: {"name": name}),
    ("version", "model-versions/get", lambda name: {"name": name, "version": "1"}),
    ("versions", "model-versions/search", lambda name: {"filter": f"name = '{name}'"}),
    ("models", "registered-models/search", lambda name: {"filter": f"name = '{name}'"}),
    ("download uri", "model-versions/get-download-uri", lambda name: {"name": name, "version": "1"}),
    ("unknown", "registered-models/get", lambda name: {"name": "no such model"}),
    ("experiment", "experiments/get", lambda name: {"experiment_id": "0"}),
], since=1, until=1)
def equals_the_plain_route(c, path, query):
    name = c.version()
    preview = c.http("GET", "/api/2.0/preview/mlflow/" + path, params=query(name))
    assert preview == c.http("GET", "/api/2.0/mlflow/" + path, params=query(name))
    return preview[0]


@case(since=1, until=1)
def the_life_of_a_model(c):
    def call(method, path, fields):
        if method == "GET":
            return c.http(method, "/api/2.0/preview/mlflow/" + path, params=fields)[0]
        return c.http(method, "/api/2.0/preview/mlflow/" + path, fields)[0]
    name = c.name
    return [
        call("POST", "registered-models/create", {"name": name}),
        call("POST", "registered-models/create", {"name": name}),
        call("POST", "model-versions/create", {"name": name, "source": "s3://b/x"}),
        call("POST", "model-versions/set-tag", {"name": name, "version": "1", "key": "a", "value": "1"}),
        call("PATCH", "model-versions/update", {"name": name, "version": "1", "description": "d"}),
        call("POST", "model-versions/transition-stage", {"name": name, "version": "1", "stage": "Staging"}),
        call("GET", "registered-models/get-latest-versions", {"name": name}),
        call("DELETE", "model-versions/delete-tag", {"name": name, "version": "1", "key": "a"}),
        call("DELETE", "model-versions/delete", {"name": name, "version": "1"}),
        call("POST", "registered-models/rename", {"name": name, "new_name": name + "-new"}),
        call("DELETE", "registered-models/delete", {"name": name + "-new"}),
    ]
