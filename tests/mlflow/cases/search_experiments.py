"""search_experiments: filters, orders, views and pages on one set of experiments."""

import time

from house import case, each


def experiments(c):
    made = []
    for number, (name, tags) in enumerate([("aa-one", {"t": "x"}), ("aa-Two", {"t": "y", "u": "1"}), ("bb-three", {}),
                                           ("aa-four", {"t": "X"}), ("bb_five", {"a b": "z"})]):
        made.append(c.client.create_experiment("srch " + name, tags=tags))
        time.sleep(0.003)  # times of the objects differ
    deleted = c.client.create_experiment("srch gone", tags={"t": "x"})
    c.client.delete_experiment(deleted)
    return {"experiment_ids": made}


def search(c, filter_string="name LIKE 'srch %'", **options):
    c.fixture(experiments)
    return [e.name for e in c.client.search_experiments(filter_string=filter_string, **options) if e.name.startswith("srch")]


@each([
    "name = 'srch aa-one'", "attribute.name = 'srch aa-one'", "name != 'srch aa-one' and name LIKE 'srch %'",
    "name LIKE 'srch aa%'", "name ILIKE 'SRCH AA-t%'", "name LIKE 'srch AA%'", "tags.t = 'x'", "tag.t = 'x'", "tags.t != 'x'",
    "tags.t LIKE '%'", "tags.t ILIKE 'x'", "tags.`a b` = 'z'", "tags.t = 'y' AND tags.u = '1'",
    "name LIKE 'srch aa%' AND tags.t = 'x'", "creation_time > 0 AND name LIKE 'srch %'", "last_update_time < 5",
    "creation_time >= 5000000000000", "experiment_id = 'abc'", "experiment_id = '999999'", "experiment_id IN ('999999')",
    "experiment_id != '999999' AND name LIKE 'srch bb%'", "name LIKE 'srch bb_five'",
])
def filter(c, text):
    return search(c, text)


@each(["tags.t IS NULL AND name LIKE 'srch %'", "tags.t IS NOT NULL"], since=3)
def filter_for_absence(c, text):
    return search(c, text)


@each([
    "attributes.name = 'a'", "attr.name = 'a'", "name > 'a'", "name = 5", "name", "nothing = 'a'", "metrics.a > 1",
    "params.a = '1'", "creation_time > 'abc'", "creation_time > 1.5", "creation_time LIKE '1'", "lifecycle_stage = 'active'",
    "name = 'a' OR name = 'b'", "tags.t > 'a'", "tags.t = 5", "name IN ('a')", "name = 'unclosed", "experiment_id = 5",
])
def malformed(c, text):
    return search(c, text)


@each([
    ["name"], ["name DESC"], ["attribute.name ASC"], ["experiment_id"], ["experiment_id DESC"], ["creation_time"],
    ["creation_time DESC"], ["last_update_time DESC", "name"], [], ["tags.t"], ["nothing"], ["name UP"], [""],
    ["name", "name DESC"], ["lifecycle_stage"],
])
def order(c, order_by):
    return search(c, order_by=order_by)


@each(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"])
def view(c, view):
    from mlflow.entities import ViewType
    return search(c, view_type=getattr(ViewType, view), order_by=["name"])


@case
def pages(c):
    c.fixture(experiments)
    found, token = [], None
    while True:
        page = c.client.search_experiments(filter_string="name LIKE 'srch %'", order_by=["name"], max_results=2, page_token=token)
        found.append([e.name for e in page])
        token = page.token
        if not token:
            return found


@each([("zero", 0), ("negative", -5), ("most", 50000), ("too many", 50001)])
def max_results(c, count):
    return search(c, max_results=count)


@case
def garbage_as_token(c):
    return search(c, page_token="garbage")


@case
def everything_of_one(c):
    c.fixture(experiments)
    return c.client.search_experiments(filter_string="name = 'srch aa-Two'")
