"""Model versions: create, source rules, get, update, delete, tags, download URI, copies."""

from house import case, each


@case(since=1)
def create(c):
    return c.client.create_model_version(c.model(), "s3://bucket/model")


@case(since=1)
def create_from_a_run(c):
    run = c.run()
    name = c.model()
    return c.client.create_model_version(name, f"runs:/{run}/model", run)


@case(since=1)
def create_with_everything(c):
    run = c.run()
    return c.client.create_model_version(
        c.model(), "s3://bucket/model", run, tags={"a": "1"}, run_link="http://where/it/was", description="first")


@case(since=1)
def numbers(c):
    name = c.model()
    found = [c.client.create_model_version(name, f"s3://b/{n}").version for n in range(3)]
    c.client.delete_model_version(name, found[-1])
    return found + [c.client.create_model_version(name, "s3://b/x").version]


@case(since=1)
def create_of_unknown_model(c):
    return c.client.create_model_version("no such model", "s3://b/x")


@each([
    ("s3", "s3://bucket/a/b"), ("gs", "gs://bucket/a"), ("dots", "s3://bucket/../a"), ("coded dots", "s3://bucket/%2e%2e/a"),
    ("double coded dots", "s3://b/%252e%252e/a"), ("http", "http://example.com/model"), ("ftp", "ftp://example.com/model"),
    ("local", "/etc/passwd"), ("file", "file:///etc/passwd"), ("relative", "some/folder"), ("empty", ""),
    ("unknown run", "runs:/0123456789abcdef0123456789abcdef/model"), ("proxied", "mlflow-artifacts:/0/x/artifacts"),
    ("dbfs", "dbfs:/a/b"), ("unknown model", "models:/no such model/1"), ("nul", "s3://b/a\0b"),
    ("host", "file://host/etc/passwd"), ("fragment", "s3://bucket/a#../b"), ("query", "s3://bucket/a?x=../b"),
    ("wasbs", "wasbs://c@account.blob.core.windows.net/a"), ("text", "just words"),
])
def create_from(c, source):
    return c.client.create_model_version(c.model(), source)


@each([("another run's", lambda run, other: f"runs:/{other}/model"), ("its run's", lambda run, other: f"runs:/{run}/model"),
       ("outside of the run", lambda run, other: f"mlflow-artifacts:/0/{other}/artifacts/model"),
       ("local", lambda run, other: "/etc/passwd")])
def create_with_run(c, source):
    experiment = c.experiment()
    run, other = (c.client.create_run(experiment).info.run_id for _ in range(2))
    return c.client.create_model_version(c.model(), source(run, other), run)


@case
def create_from_the_folder_of_the_run(c):
    run = c.client.get_run(c.run())
    found = c.client.create_model_version(c.model(), run.info.artifact_uri + "/model", run.info.run_id)
    return found, c.client.get_model_version_download_uri(c.name, found.version)


@case
def create_with_an_unknown_run(c):
    return c.client.create_model_version(c.model(), "s3://b/x", "0123456789abcdef0123456789abcdef")


@case(since=1)
def get(c):
    return c.client.get_model_version(c.version(), "1")


@each([("unknown", "7"), ("zero", "0"), ("negative", "-1"), ("letters", "abc"), ("leading zero", "01"), ("empty", ""),
       ("huge", "9" * 25), ("blank", " 1")])
def get_of(c, version):
    return c.client.get_model_version(c.version(), version)


@case
def get_of_unknown_model(c):
    return c.client.get_model_version("no such model", "1")


@case(since=1)
def update(c):
    return c.client.update_model_version(c.version(), "1", "Changed")


@case
def update_without_description(c):
    c.client.create_model_version(c.model(), "s3://b/x", description="before")
    c.client.update_model_version(c.name, "1")
    return c.client.get_model_version(c.name, "1").description


@case
def update_of_unknown(c):
    return c.client.update_model_version(c.model(), "1", "x")


@case(since=1)
def delete(c):
    name = c.version(2)
    c.client.delete_model_version(name, "1")
    return [v.version for v in c.client.search_model_versions(f"name='{name}'")]


@case
def get_of_deleted(c):
    name = c.version()
    c.client.delete_model_version(name, "1")
    return c.client.get_model_version(name, "1")


@case
def delete_twice(c):
    name = c.version()
    c.client.delete_model_version(name, "1")
    return c.client.delete_model_version(name, "1")


@case
def delete_of_unknown(c):
    return c.client.delete_model_version(c.model(), "1")


@case(since=1)
def tags(c):
    name = c.version()
    c.client.set_model_version_tag(name, "1", "a", "1")
    c.client.set_model_version_tag(name, "1", "prediction_works", "true")
    c.client.set_model_version_tag(name, "1", "a", "2")
    c.client.delete_model_version_tag(name, "1", "a")
    return c.client.get_model_version(name, "1").tags


@each([("empty key", "", "v"), ("bad key", "a$b", "v"), ("long key", "k" * 251, "v"), ("empty value", "k", ""),
       ("long value", "k", "v" * 100001), ("number", "k", 5)])
def set_tag(c, key, value):
    name = c.version()
    c.client.set_model_version_tag(name, "1", key, value)
    return c.client.get_model_version(name, "1").tags


@case
def set_tag_on_unknown(c):
    return c.client.set_model_version_tag(c.model(), "1", "a", "1")


@case
def delete_tag_that_is_not_there(c):
    return c.client.delete_model_version_tag(c.version(), "1", "a")


@case(since=1)
def download_uri(c):
    return c.client.get_model_version_download_uri(c.version(), "1")


@case
def download_uri_of_unknown(c):
    return c.client.get_model_version_download_uri(c.model(), "1")


@case(since=1)
def latest_versions(c):
    name = c.version(4)
    c.client.transition_model_version_stage(name, "1", "Production")
    c.client.transition_model_version_stage(name, "2", "Production")
    c.client.transition_model_version_stage(name, "3", "Staging")
    found = c.client.get_latest_versions(name)
    return sorted((v.current_stage, v.version) for v in found)


@each([("one", ["Production"]), ("two", ["Production", "Staging"]), ("in small letters", ["production"]), ("none", ["None"]),
       ("unknown", ["Nowhere"]), ("archived", ["Archived"])])
def latest_versions_of(c, stages):
    name = c.version(3)
    c.client.transition_model_version_stage(name, "1", "Production")
    c.client.transition_model_version_stage(name, "2", "Staging")
    return sorted((v.current_stage, v.version) for v in c.client.get_latest_versions(name, stages))


@case
def latest_versions_of_unknown(c):
    return c.client.get_latest_versions("no such model")


@case
def latest_versions_without_any(c):
    return c.client.get_latest_versions(c.model())


@case
def latest_versions_in_the_model(c):
    name = c.version(3)
    c.client.transition_model_version_stage(name, "2", "Production")
    return sorted((v.current_stage, v.version) for v in c.client.get_registered_model(name).latest_versions)


@case
def copy(c):
    name = c.version()
    return c.client.copy_model_version(f"models:/{name}/1", name + "-copy")


@case
def copy_of_unknown(c):
    return c.client.copy_model_version(f"models:/{c.version()}/9", c.name + "-copy")


@case
def download_uri_of_a_copy(c):
    name = c.version()
    c.client.copy_model_version(f"models:/{name}/1", name + "-copy")
    return c.client.get_model_version_download_uri(name + "-copy", "1")


@case
def what_changes_the_time_of_the_last_update(c):
    import time
    name, found = c.version(), []
    def changed(call):
        before = c.client.get_model_version(name, "1").last_updated_timestamp
        time.sleep(0.005)
        call()
        found.append(c.client.get_model_version(name, "1").last_updated_timestamp > before)
    changed(lambda: c.client.set_model_version_tag(name, "1", "a", "1"))
    changed(lambda: c.client.update_model_version(name, "1", "x"))
    changed(lambda: c.client.transition_model_version_stage(name, "1", "Staging"))
    if c.major > 1:
        changed(lambda: c.client.set_registered_model_alias(name, "champion", "1"))
    return found
