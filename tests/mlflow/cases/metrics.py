"""Params, metrics, their histories, and batches of all."""

import math

from house import case, each

UNKNOWN = "0123456789abcdef0123456789abcdef"


def metric(key, value, timestamp=1, step=0):
    from mlflow.entities import Metric
    return Metric(key, value, timestamp, step)


def param(key, value):
    from mlflow.entities import Param
    return Param(key, value)


def tag(key, value):
    from mlflow.entities import RunTag
    return RunTag(key, value)


KEYS = [
    ("plain", "key"), ("of 250", "k" * 250), ("of 251", "k" * 251), ("empty", ""), ("odd", "a b.c-d/e_f"), ("colon", "a:b"),
    ("dollar", "a$b"), ("other letters", "größe"), ("double slash", "a//b"), ("dots", "../a"), ("dot", "."),
    ("leading slash", "/a"), ("trailing slash", "a/"), ("quote", "a'b"), ("at", "val@5"), ("parenthesis", "f(x)"),
    ("two dots inside", "a..b"), ("leading dot", ".a"), ("dots as folder", "a/../b"), ("blank", " "), ("line break", "a\nb"),
]


@each(KEYS)
def param_key(c, key):
    run = c.run()
    c.client.log_param(run, key, "v")
    return c.client.get_run(run).data.params


@each(KEYS)
def metric_key(c, key):
    run = c.run()
    c.client.log_metric(run, key, 1.5, 10, 2)
    return c.client.get_run(run).data.metrics


@each([
    ("text", "v"), ("number", 5), ("float", 0.1), ("none", None), ("bool", True), ("list", [1, "a"]), ("empty", ""),
    ("of 500", "v" * 500), ("of 6000", "v" * 6000), ("of 6001", "v" * 6001), ("of 65536", "v" * 65536), ("odd", "ü\n\t'\"🙂"), ("blank", " "),
], since=1)
def param_value(c, value):
    run = c.run()
    c.client.log_param(run, "p", value)
    found = c.client.get_run(run).data.params["p"]
    return len(found) if len(found) > 100 else found


@case(since=1)
def param_again(c):
    run = c.run()
    c.client.log_param(run, "p", "1")
    c.client.log_param(run, "p", "1")
    return c.client.get_run(run).data.params


@case(since=1)
def param_changed(c):
    run = c.run()
    c.client.log_param(run, "p", "1")
    return c.client.log_param(run, "p", "2")


@case
def param_of_unknown_run(c):
    return c.client.log_param(UNKNOWN, "p", "1")


@each([
    ("one", 1), ("float", 0.1), ("minus zero", -0.0), ("largest", 1.7976931348623157e308), ("smallest", 5e-324),
    ("nan", math.nan), ("inf", math.inf), ("minus inf", -math.inf), ("many digits", 0.1234567890123456789),
    ("big", 123456789012345680.0), ("true", True),
])
def metric_value(c, value):
    run = c.run()
    c.client.log_metric(run, "m", value, 10, 0)
    history = [(m.value, m.timestamp, m.step) for m in c.client.get_metric_history(run, "m")]
    return c.client.get_run(run).data.metrics, history


@each([("text", "abc"), ("text number", "1.5"), ("none", None), ("list", [1])])
def metric_that_is_none(c, value):
    run = c.run()
    c.client.log_metric(run, "m", value)
    return c.client.get_run(run).data.metrics


@each([
    ("defaults", None, None), ("zero", 0, 0), ("negative step", 10, -5), ("large step", 10, 2**40),
    ("largest step", 10, 2**63 - 1), ("too large step", 10, 2**63), ("negative time", -1, 0), ("large time", 2**50, 0),
    ("largest time", 2**63 - 1, 0),
])
def metric_place(c, timestamp, step):
    run = c.run()
    c.client.log_metric(run, "m", 1.0, timestamp, step)
    return c.client.get_metric_history(run, "m")


@case
def metric_of_unknown_run(c):
    return c.client.log_metric(UNKNOWN, "m", 1.0)


@each([
    ("by step", [(1.0, 5, 1), (2.0, 5, 2)]), ("step before time", [(1.0, 1, 2), (2.0, 9, 1)]),
    ("time after step", [(1.0, 9, 1), (2.0, 5, 1)]), ("value last", [(3.0, 5, 1), (2.0, 5, 1)]),
    ("order of arrival does not matter", [(2.0, 5, 1), (3.0, 5, 1), (1.0, 5, 1)]),
    ("nan after number", [(1.0, 5, 1), (math.nan, 5, 1)]), ("nan before number", [(math.nan, 5, 1), (1.0, 5, 1)]),
    ("nan and negative", [(-1.0, 5, 1), (math.nan, 5, 1)]), ("negative steps", [(1.0, 5, -1), (2.0, 5, -2)]),
    ("nan at a later step", [(1.0, 5, 1), (math.nan, 5, 2)]), ("infinity", [(1.0, 5, 1), (math.inf, 5, 1)]),
])
def latest(c, points):
    run = c.run()
    for value, timestamp, step in points:
        c.client.log_metric(run, "m", value, timestamp, step)
    return c.client.get_run(run).data.metrics


@case(since=1)
def history(c):
    run = c.run()
    for value, timestamp, step in [(3.0, 3, 0), (1.0, 1, 5), (2.0, 2, 3), (2.0, 2, 3), (1.5, 2, 3), (9.0, 1, 1)]:
        c.client.log_metric(run, "m", value, timestamp, step)
    return sorted((m.value, m.timestamp, m.step) for m in c.client.get_metric_history(run, "m"))


@case
def history_in_order(c):
    run = c.run()
    for value, timestamp, step in [(3.0, 3, 0), (1.0, 1, 5), (2.0, 2, 3), (2.0, 2, 3), (1.5, 2, 3), (9.0, 1, 1)]:
        c.client.log_metric(run, "m", value, timestamp, step)
    return [(m.value, m.timestamp, m.step) for m in c.client.get_metric_history(run, "m")]


@case
def history_of_unknown_key(c):
    return list(c.client.get_metric_history(c.run(), "no such metric"))


@case
def history_of_unknown_run(c):
    return list(c.client.get_metric_history(UNKNOWN, "m"))


@case
def history_with_nan(c):
    run = c.run()
    for step, value in enumerate([1.0, math.nan, math.inf, -math.inf, 0.0]):
        c.client.log_metric(run, "m", value, step, step)
    return [(m.value, m.step) for m in c.client.get_metric_history(run, "m")]


@case
def history_bulk_interval(c):
    run = c.run()
    c.client.log_batch(run, metrics=[metric("m", step / 2, step, step) for step in range(100)])
    return [(m.value, m.step) for m in c.client.get_metric_history(run, "m")]


@case(since=1)
def batch(c):
    run = c.run()
    c.client.log_batch(run, metrics=[metric("m", 1.0, 5, 1), metric("m", 2.0, 6, 2), metric("n", 3.0)],
                       params=[param("p", "1"), param("q", "2")], tags=[tag("t", "1")])
    found = c.client.get_run(run).data
    return found.metrics, found.params, found.tags


@case
def batch_of_nothing(c):
    run = c.run()
    return c.client.log_batch(run), c.client.get_run(run).data


@each([
    ("1000 metrics", [metric, 1000], [], []), ("1001 metrics", [metric, 1001], [], []), ("100 params", [], [param, 100], []),
    ("101 params", [], [param, 101], []), ("100 tags", [], [], [tag, 100]), ("101 tags", [], [], [tag, 101]),
    ("1000 in all", [metric, 800], [param, 100], [tag, 100]), ("1001 in all", [metric, 801], [param, 100], [tag, 100]),
])
def batch_of(c, metrics, params, tags):
    def many(make, count):
        return [make(f"k{n}", n if make is metric else str(n)) for n in range(count)]
    run = c.run()
    c.client.log_batch(run, *[many(*asked) if asked else [] for asked in (metrics, params, tags)])
    found = c.client.get_run(run).data
    return len(found.metrics), len(found.params), len(found.tags)


@each([
    ("equal params", {"params": [("p", "1"), ("p", "1")]}), ("different params", {"params": [("p", "1"), ("p", "2")]}),
    ("tags", {"tags": [("t", "1"), ("t", "2")]}), ("metrics", {"metrics": [("m", 1.0), ("m", 1.0)]}),
])
def batch_with_double(c, batch):
    run = c.run()
    makers = {"params": param, "tags": tag, "metrics": metric}
    c.client.log_batch(run, **{kind: [makers[kind](*item) for item in items] for kind, items in batch.items()})
    found = c.client.get_run(run).data
    return found.metrics, found.params, found.tags, len(c.client.get_metric_history(run, "m"))


@each([
    ("metric key", lambda: {"metrics": [metric("a$b", 1.0)]}), ("param key", lambda: {"params": [param("a$b", "1")]}),
    ("tag key", lambda: {"tags": [tag("a$b", "1")]}), ("long metric key", lambda: {"metrics": [metric("k" * 251, 1.0)]}),
    ("long param key", lambda: {"params": [param("k" * 251, "1")]}), ("long tag key", lambda: {"tags": [tag("k" * 251, "1")]}),
    ("negative time", lambda: {"metrics": [metric("m", 1.0, -1)]}), ("empty key", lambda: {"metrics": [metric("", 1.0)]}),
])
def batch_with_bad(c, batch):
    run = c.run()
    try:
        return c.client.log_batch(run, **batch())
    finally:
        found = c.client.get_run(run).data
        assert not (found.metrics or found.params), "something of a refused batch was stored"


@each([("param value of 6001", lambda: {"params": [param("p", "v" * 6001)]}),
       ("tag value of 8001", lambda: {"tags": [tag("t", "v" * 8001)]})])
def batch_cuts(c, batch):
    run = c.run()
    c.client.log_batch(run, **batch())
    found = c.client.get_run(run).data
    return {k: len(v) for k, v in found.params.items()}, len(found.tags.get("t", ""))


@each([("param", lambda: {"params": [param("p", "v" * 65536)]}), ("tag", lambda: {"tags": [tag("t", "v" * 65536)]})])
def batch_with_too_long(c, batch):
    run = c.run()
    c.client.log_batch(run, **batch())
    found = c.client.get_run(run).data
    return {k: len(v) for k, v in found.params.items()}, len(found.tags.get("t", ""))


@case
def batch_that_changes_a_param(c):
    run = c.run()
    c.client.log_param(run, "p", "1")
    return c.client.log_batch(run, params=[param("p", "2")])


@case
def batch_that_repeats_a_param(c):
    run = c.run()
    c.client.log_param(run, "p", "1")
    c.client.log_batch(run, params=[param("p", "1"), param("q", "1")])
    return c.client.get_run(run).data.params


@case
def batch_of_unknown_run(c):
    return c.client.log_batch(UNKNOWN, metrics=[metric("m", 1.0)])


@case
def batch_with_nan(c):
    run = c.run()
    c.client.log_batch(run, metrics=[metric("a", math.nan), metric("b", math.inf), metric("c", -math.inf)])
    return c.client.get_run(run).data.metrics


@case
def batch_that_names_the_run(c):
    run = c.run(run_name="before")
    c.client.log_batch(run, tags=[tag("mlflow.runName", "after")])
    return c.client.get_run(run).info.run_name


@each([("ASCII", "x"), ("Chinese", "\u6c49"), ("outside of the basic plane", "\U0001d4b3")])
def batch_of_long_tags(c, character):
    """100 tags, each as long as MLflow allows; its client writes up to twelve bytes for each of their characters."""
    run = c.run()
    c.client.log_batch(run, tags=[tag(f"t{number:02}", character * 8000) for number in range(100)])
    found = c.client.get_run(run).data.tags
    return sum(value == character * 8000 for value in found.values())


@each([(f"{points} points, {size} asked", points, size) for points in (1, 2, 7, 10, 100) for size in (1, 2, 3, 4, 9, 10, 99, 2500)], since=3)
def sampled_history(c, points, size):
    run = c.run()
    c.client.log_batch(run, metrics=[metric("m", n * n, 100 + n, n * 3 - 5) for n in range(points)])
    parts = [("run_ids", run), ("metric_key", "m"), ("max_results", size)]
    return c.call("GET", "metrics/get-history-bulk-interval", params=parts)


@case(since=3)
def sampled_history_of_one_step(c):
    run = c.run()
    c.client.log_batch(run, metrics=[metric("m", n % 7, 100 + n, n // 20) for n in range(100)])
    parts = [("run_ids", run), ("metric_key", "m"), ("max_results", 10), ("start_step", 1), ("end_step", 3)]
    return c.call("GET", "metrics/get-history-bulk-interval", params=parts)
