"""Searches of registered models and of versions."""

import time

from house import case, each


def models(c):
    rows = [("zz-one", {"t": "x"}, 3), ("zz-Two", {"t": "y", "u": "1"}, 1), ("zz-three", {}, 0), ("zz_four", {"a b": "z"}, 2)]
    experiment = c.experiment()
    runs = []
    for name, tags, count in rows:
        c.client.create_registered_model(name, tags=tags)
        time.sleep(0.003)  # times of the objects differ
        for number in range(count):
            run = c.client.create_run(experiment).info.run_id
            runs.append(run)
            c.client.create_model_version(name, f"s3://bucket/{name}/{number}", run, tags={"n": str(number), "of": name})
            time.sleep(0.003)  # times of the objects differ
    c.client.delete_model_version("zz-one", "2")
    return runs


PROMPTS = {"mlflow.prompt.is_prompt": "true"}


def found_models(c, filter_string="name LIKE 'zz%'", **options):
    c.fixture(models)
    return [m.name for m in c.client.search_registered_models(filter_string, **options) if m.name.startswith("zz")]


def found_versions(c, filter_string, **options):
    c.fixture(models)
    found = c.client.search_model_versions(filter_string, **options)
    return [(v.name, str(v.version)) for v in found if v.name.startswith("zz")]


@each([
    "name = 'zz-one'", "name != 'zz-one' AND name LIKE 'zz%'", "name LIKE 'zz-%'", "name ILIKE 'ZZ-t%'", "name LIKE 'ZZ%'",
    "name IN ('zz-one', 'zz-Two')", "name NOT IN ('zz-one')", "tags.t = 'x'", "tag.t = 'x'", "tags.t != 'x'", "tags.t LIKE '%'",
    "tags.`a b` = 'z'", "tags.t = 'y' AND tags.u = '1'", "attribute.name = 'zz-one'", "name LIKE 'zz_four'", "tags.none = 'x'",
    "name = \"zz-one\"",
    # refused
    "attributes.name = 'zz-one'", "name > 'a'", "name = 5", "name", "nothing = 'a'", "version = '1'", "name = 'a' OR name = 'b'",
    "tags.t > 'a'", "tags.t = 5", "name = 'unclosed", "name IN ()", "name IN (5)", "metrics.a > 1", "creation_timestamp > 1",
    "last_updated_timestamp > 1", "tags.t IN ('x')",
])
def filter_models(c, text):
    return found_models(c, text)


@case(since=1)
def models_by_name(c):
    return found_models(c, "name = 'zz-one'")


@each([
    ["name"], ["name DESC"], ["timestamp"], ["last_updated_timestamp"], ["last_updated_timestamp DESC", "name"], [],
    ["creation_timestamp"], ["tags.t"], ["nothing"], ["name UP"], [""], ["name", "name"], ["name DESC NULLS FIRST"],
])
def order_models(c, order_by):
    return found_models(c, order_by=order_by)


@case
def models_with_their_latest_versions(c):
    c.fixture(models)
    return [(m.name, m.tags, sorted((v.version, v.current_stage) for v in m.latest_versions))
            for m in c.client.search_registered_models("name LIKE 'zz%'")]


@case
def pages_of_models(c):
    c.fixture(models)
    found, token = [], None
    while True:
        page = c.client.search_registered_models("name LIKE 'zz%'", max_results=3, page_token=token)
        found.append([m.name for m in page])
        token = page.token
        if not token:
            return found


@each([("zero", 0), ("negative", -1), ("most", 1000), ("too many", 1001)])
def max_models(c, count):
    return found_models(c, max_results=count)


@case
def garbage_as_token_of_models(c):
    return found_models(c, page_token="garbage")


@each([
    "name = 'zz-one'", "name='zz-one'", "name LIKE 'zz-%'", "name ILIKE 'ZZ-t%'", "name IN ('zz-one','zz-Two')",
    "run_id = 'x'", "run_id IN ('a', 'b')", "source_path = 's3://bucket/zz-one/0'", "source_path LIKE 's3://bucket/zz-one/%'",
    "version_number = 1 AND name LIKE 'zz%'", "version_number > 1 AND name LIKE 'zz%'", "version_number = '1' AND name LIKE 'zz%'",
    "version_number != 1 AND name LIKE 'zz%'", "tags.n = '0' AND name LIKE 'zz%'", "tags.n != '0' AND name LIKE 'zz%'",
    "tag.n = '0' AND tags.of = 'zz-one'", "tags.none = 'x'", "attribute.name = 'zz-one'", "name != 'zz-one' AND name LIKE 'zz%'",
    "name NOT IN ('zz-one') AND name LIKE 'zz%'",
    # refused
    "attributes.name = 'a'", "current_stage = 'None'", "status = 'READY'", "aliases = 'a'", "version = '1'", "name > 'a'",
    "name = 5", "version_number = 'abc'", "version_number LIKE '1'", "version_number = 1.5", "nothing = 'a'", "name",
    "name = 'a' OR name = 'b'", "tags.n > '1'", "run_id > 'a'", "source = 'a'", "name = 'unclosed", "creation_timestamp > 5",
    "version_number IN (1, 2)", "run_id IN ()", "tags.n IN ('1')",
])
def filter_versions(c, text):
    return found_versions(c, text)


@case(since=1)
def versions_by_name(c):
    return sorted(found_versions(c, "name = 'zz-one'"))


@case
def versions_by_run(c):
    runs = c.fixture(models)
    return (found_versions(c, f"run_id = '{runs[0]}'"), sorted(found_versions(c, f"run_id IN ('{runs[0]}', '{runs[3]}')")))


@each([
    ["name"], ["name DESC"], ["version_number"], ["version_number DESC"], ["name", "version_number DESC"],
    ["name ASC", "version_number ASC"], ["creation_timestamp"], ["creation_timestamp DESC"], ["last_updated_timestamp", "name"],
    [], ["timestamp"], ["tags.n"], ["nothing"], ["name UP"], ["run_id"], [""], ["current_stage"], ["name", "name"],
])
def order_versions(c, order_by):
    return found_versions(c, "name LIKE 'zz%'", order_by=order_by)


@case
def everything_of_a_version(c):
    c.fixture(models)
    return c.client.search_model_versions("name = 'zz-Two'")


@case
def pages_of_versions(c):
    c.fixture(models)
    found, token = [], None
    while True:
        page = c.client.search_model_versions("name LIKE 'zz%'", max_results=2, order_by=["name", "version_number"], page_token=token)
        found.append([(v.name, str(v.version)) for v in page])
        token = page.token
        if not token:
            return found


@each([("zero", 0), ("negative", -1), ("most", 200000), ("too many", 200001)])
def max_versions(c, count):
    return found_versions(c, "name LIKE 'zz%'", max_results=count)


@case
def versions_after_a_change_of_stage(c):
    name = c.version(3)
    c.client.transition_model_version_stage(name, "1", "Staging")
    return [(str(v.version), v.current_stage) for v in c.client.search_model_versions(f"name = '{name}'")]


@case
def all_versions_without_filter(c):
    c.fixture(models)
    return len([v for v in c.client.search_model_versions() if v.name.startswith("zz-")])


@case
def prompts_are_hidden(c):
    name = c.model()
    c.client.create_registered_model(name + "-prompt", tags=PROMPTS)
    plain = [m.name for m in c.client.search_registered_models(f"name LIKE '{name}%'")]
    status, body = c.http("GET", "/api/2.0/mlflow/registered-models/search", params={
        "filter": f"name LIKE '{name}%' AND tags.`mlflow.prompt.is_prompt` = 'true'"})
    return plain, status, [m["name"] for m in body.get("registered_models", [])]
