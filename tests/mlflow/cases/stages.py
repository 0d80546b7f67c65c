"""Stages: transitions, archiving, refusals."""

from mlflow.store.artifact.utils.models import get_model_name_and_version

from house import case, each


@each(["None", "Staging", "Production", "Archived", "production", "STAGING", "none", "Nowhere", "", "Prod", " Production"], since=1)
def transition_to(c, stage):
    name = c.version()
    return c.client.transition_model_version_stage(name, "1", stage)


@case(since=1)
def transition_and_get(c):
    name = c.version()
    c.client.transition_model_version_stage(name, "1", "Staging")
    return c.client.get_model_version(name, "1")


@case(since=1)
def transition_archives(c):
    name = c.version(3)
    for version in "12":
        c.client.transition_model_version_stage(name, version, "Production")
    c.client.transition_model_version_stage(name, "3", "Production", archive_existing_versions=True)
    return [(v, c.client.get_model_version(name, v).current_stage) for v in "123"]


@case(since=1)
def two_in_one_stage(c):
    name = c.version(2)
    for version in "12":
        c.client.transition_model_version_stage(name, version, "Production")
    return [(v, c.client.get_model_version(name, v).current_stage) for v in "12"]


@each(["Staging", "Production"], since=1)
def the_lower_moved_last(c, stage):
    name = c.version(2)
    for version in "21":
        c.client.transition_model_version_stage(name, version, stage, archive_existing_versions=False)
    found = c.client.get_latest_versions(name, [stage])
    return [found[0].version, get_model_name_and_version(c.client, f"models:/{name}/{stage}")[1]]


@each(["None", "Archived"])
def archiving_is_for_active_stages(c, stage):
    return c.client.transition_model_version_stage(c.version(), "1", stage, archive_existing_versions=True)


@case
def transition_to_where_it_is(c):
    name = c.version()
    c.client.transition_model_version_stage(name, "1", "Staging")
    return c.client.transition_model_version_stage(name, "1", "Staging").current_stage


@case
def transition_back(c):
    name = c.version()
    c.client.transition_model_version_stage(name, "1", "Production")
    return c.client.transition_model_version_stage(name, "1", "None").current_stage


@case
def transition_of_unknown_version(c):
    return c.client.transition_model_version_stage(c.model(), "1", "Staging")


@case
def transition_of_unknown_model(c):
    return c.client.transition_model_version_stage("no such model", "1", "Staging")


@case
def transition_of_no_number(c):
    return c.client.transition_model_version_stage(c.version(), "abc", "Staging")


@case
def transition_of_deleted(c):
    name = c.version()
    c.client.delete_model_version(name, "1")
    return c.client.transition_model_version_stage(name, "1", "Staging")


@case
def delete_in_production(c):
    name = c.version()
    c.client.transition_model_version_stage(name, "1", "Production")
    return c.client.delete_model_version(name, "1")
