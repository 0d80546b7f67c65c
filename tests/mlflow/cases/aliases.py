"""Aliases: set, move, delete, get, names."""

from house import case, each


@case
def set_and_get(c):
    name = c.version()
    c.client.set_registered_model_alias(name, "champion", "1")
    return c.client.get_model_version_by_alias(name, "champion")


@case
def move(c):
    name = c.version(2)
    c.client.set_registered_model_alias(name, "champion", "1")
    c.client.set_registered_model_alias(name, "champion", "2")
    return [c.client.get_model_version(name, v).aliases for v in "12"]


@case
def several(c):
    name = c.version()
    for alias in ("b", "a", "C"):
        c.client.set_registered_model_alias(name, alias, "1")
    return sorted(c.client.get_model_version(name, "1").aliases)


@case
def in_the_model(c):
    name = c.version(2)
    c.client.set_registered_model_alias(name, "one", "1")
    c.client.set_registered_model_alias(name, "two", "2")
    return c.client.get_registered_model(name).aliases


@case
def delete(c):
    name = c.version()
    c.client.set_registered_model_alias(name, "champion", "1")
    c.client.delete_registered_model_alias(name, "champion")
    return c.client.get_model_version(name, "1").aliases


@case
def delete_that_is_not_there(c):
    return c.client.delete_registered_model_alias(c.version(), "nobody")


@case
def delete_of_unknown_model(c):
    return c.client.delete_registered_model_alias("no such model", "nobody")


@case
def get_that_is_not_there(c):
    return c.client.get_model_version_by_alias(c.version(), "nobody")


@case
def get_of_unknown_model(c):
    return c.client.get_model_version_by_alias("no such model", "champion")


@case
def case_matters(c):
    name = c.version()
    c.client.set_registered_model_alias(name, "Champion", "1")
    return c.client.get_model_version_by_alias(name, "champion")


@each(["a", "A-b_c", "of other letters ü", "ünïcode", "latest", "LATEST", "v1", "V22", "v1a", "a b", "a/b", "a:b", "",
       "1", "champion!", "production"])
def named(c, alias):
    name = c.version()
    c.client.set_registered_model_alias(name, alias, "1")
    return c.client.get_model_version(name, "1").aliases


@each([("of 255", "a" * 255), ("of 256", "a" * 256)])
def length(c, alias):
    name = c.version()
    c.client.set_registered_model_alias(name, alias, "1")
    return c.client.get_model_version(name, "1").aliases


@each([("unknown", "9"), ("letters", "abc"), ("zero", "0")])
def set_on(c, version):
    return c.client.set_registered_model_alias(c.version(), "champion", version)


@case
def set_on_unknown_model(c):
    return c.client.set_registered_model_alias("no such model", "champion", "1")


@case
def the_latest_is_no_alias_but_works(c):
    return c.client.get_model_version_by_alias(c.version(2), "latest")


@case
def deleted_with_its_version(c):
    name = c.version(2)
    c.client.set_registered_model_alias(name, "champion", "1")
    c.client.delete_model_version(name, "1")
    return c.client.get_model_version_by_alias(name, "champion")


@case
def go_with_a_rename(c):
    name = c.version()
    c.client.set_registered_model_alias(name, "champion", "1")
    c.client.rename_registered_model(name, name + "-new")
    return c.client.get_model_version_by_alias(name + "-new", "champion").version
