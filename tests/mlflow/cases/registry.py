"""Registered models: create, get, update, rename, delete, tags."""

from house import case, each


@case(since=1)
def create(c):
    return c.client.create_registered_model(c.name)


@case(since=1)
def create_with_everything(c):
    return c.client.create_registered_model(c.name, tags={"a": "1", "b": "2"}, description="What it does")


@case(since=1)
def get(c):
    return c.client.get_registered_model(c.model())


@case(since=1)
def create_twice(c):
    c.model()
    return c.model()


@each([
    ("empty", ""), ("blank", "  "), ("slash", "a/b"), ("colon", "a:b"), ("dot", "."), ("dots", ".."), ("odd", "a b'\"%$"),
    ("other letters", "modèle 実"), ("of 256", "n" * 256), ("dotted", "a.b.c"), ("backslash", "a\\b"),
])
def create_named(c, name):
    return c.client.create_registered_model(name)


@each([("unknown", "no such model"), ("empty", "")], since=1)
def get_of(c, name):
    return c.client.get_registered_model(name)


@each([("too long key", {"k" * 251: "v"}), ("long value", {"k": "v" * 5000}), ("too long value", {"k": "v" * 100001}),
       ("bad key", {"a$b": "v"}), ("empty value", {"k": ""}), ("number", {"k": 5})])
def create_tagged(c, tags):
    return {k: v[:50] for k, v in c.client.create_registered_model(c.name, tags=tags).tags.items()}


@case(since=1)
def update(c):
    name = c.model()
    return c.client.update_registered_model(name, "Changed"), c.client.get_registered_model(name)


@case
def update_to_nothing(c):
    c.client.create_registered_model(c.name, description="Before")
    c.client.update_registered_model(c.name, "")
    return c.client.get_registered_model(c.name).description


@case
def update_without_description(c):
    c.client.create_registered_model(c.name, description="Before")
    c.client.update_registered_model(c.name)
    return c.client.get_registered_model(c.name).description


@case
def update_of_unknown(c):
    return c.client.update_registered_model("no such model", "x")


@case(since=1)
def rename(c):
    name = c.version(2)
    c.client.set_registered_model_tag(name, "a", "1")
    c.client.rename_registered_model(name, name + "-new")
    found = c.client.get_registered_model(name + "-new")
    return found, c.client.get_model_version(name + "-new", "1").name


@case
def rename_leaves_nothing_behind(c):
    name = c.model()
    c.client.rename_registered_model(name, name + "-new")
    return c.client.get_registered_model(name)


@case
def rename_to_a_taken_name(c):
    c.model("-taken")
    return c.client.rename_registered_model(c.model(), c.name + "-taken")


@each([("empty", ""), ("slash", "a/b"), ("blank", " ")])
def rename_to(c, name):
    return c.client.rename_registered_model(c.model(), name)


@case
def rename_of_unknown(c):
    return c.client.rename_registered_model("no such model", c.name)


@case
def rename_to_itself(c):
    return c.client.rename_registered_model(c.model(), c.name)


@case(since=1)
def delete(c):
    name = c.version()
    c.client.delete_registered_model(name)
    return c.client.get_registered_model(name)


@case
def delete_of_unknown(c):
    return c.client.delete_registered_model("no such model")


@case
def create_again_after_delete(c):
    name = c.version(2)
    c.client.set_registered_model_tag(name, "a", "1")
    c.client.delete_registered_model(name)
    found = c.client.create_registered_model(name)
    return found.tags, c.client.create_model_version(name, "s3://b/x").version


@case
def delete_with_a_version_in_production(c):
    name = c.version()
    c.client.transition_model_version_stage(name, "1", "Production")
    return c.client.delete_registered_model(name)


@case(since=1)
def tags(c):
    name = c.model()
    c.client.set_registered_model_tag(name, "a", "1")
    c.client.set_registered_model_tag(name, "b", "2")
    c.client.set_registered_model_tag(name, "a", "3")
    c.client.delete_registered_model_tag(name, "b")
    return c.client.get_registered_model(name).tags


@each([("empty key", "", "v"), ("bad key", "a$b", "v"), ("long key", "k" * 251, "v"), ("empty value", "k", ""),
       ("number", "k", 5), ("long value", "k", "v" * 100001), ("odd key", "a b.c-d/e_f", "v")])
def set_tag(c, key, value):
    name = c.model()
    c.client.set_registered_model_tag(name, key, value)
    return c.client.get_registered_model(name).tags


@case
def set_tag_on_unknown(c):
    return c.client.set_registered_model_tag("no such model", "a", "1")


@case
def delete_tag_that_is_not_there(c):
    return c.client.delete_registered_model_tag(c.model(), "a")


@case
def delete_tag_of_unknown(c):
    return c.client.delete_registered_model_tag("no such model", "a")


@case
def what_changes_the_time_of_the_last_update(c):
    import time
    name, found = c.version(), []
    def changed(call):
        before = c.client.get_registered_model(name).last_updated_timestamp
        time.sleep(0.005)
        call()
        found.append(c.client.get_registered_model(name).last_updated_timestamp > before)
    changed(lambda: c.client.set_registered_model_tag(name, "a", "1"))
    changed(lambda: c.client.update_registered_model(name, "x"))
    changed(lambda: c.client.create_model_version(name, "s3://b/y"))
    changed(lambda: c.client.transition_model_version_stage(name, "1", "Staging"))
    changed(lambda: c.client.update_model_version(name, "1", "x"))
    changed(lambda: c.client.set_model_version_tag(name, "1", "a", "1"))
    changed(lambda: c.client.delete_model_version(name, "2"))
    if c.major > 1:
        changed(lambda: c.client.set_registered_model_alias(name, "champion", "1"))
    return found


@case(since=1, until=1)
def list_all_by_pages(c):
    """What clients before MLflow 2 call."""
    made = {c.model(suffix) for suffix in "abc"}
    found, token = [], None
    while True:
        page = c.client.list_registered_models(max_results=2, page_token=token)
        found += [m.name for m in page if m.name in made]
        token = page.token
        if not token:
            return found


@each([100, 150])
def create_with_tags(c, count):
    c.client.create_registered_model(c.name, {f"t{number}": "v" for number in range(count)})
    made = c.client.create_model_version(c.name, "s3://bucket/m", tags={f"t{number}": "v" for number in range(count)})
    return len(c.client.get_registered_model(c.name).tags), len(made.tags)


@each([("absent", {}), ("empty", {"new_name": ""}), ("null", {"new_name": None})])
def rename_without_a_name(c, given):
    c.model()
    answer = c.call("POST", "registered-models/rename", {"name": c.name, **given})
    return answer, [found.name for found in c.client.search_registered_models(f"name = '{c.name}'")]
