"""search_runs: the grammar of filters and orders, with its refusals, on one set of runs."""

from house import case, each


def runs(c):
    """Nine runs with values, or none, of everything that can be searched."""
    experiment = c.experiment()
    rows = [
        # name, start, end, status, metrics, params, tags
        ("alpha", 1000, 2000, "FINISHED", {"acc": 0.9, "loss": 0.1}, {"lr": "0.1", "kind": "net"}, {"env": "prod", "a b": "x"}),
        ("beta", 2000, 3000, "FAILED", {"acc": 0.8, "loss": 0.2}, {"lr": "0.01", "kind": "Net"}, {"env": "dev"}),
        ("gamma", 3000, None, None, {"acc": 0.95}, {"lr": "1"}, {"env": "PROD", "team": "fraud"}),
        ("delta", 4000, 4500, "KILLED", {"loss": -1.5}, {"kind": "tree_1"}, {}),
        ("Epsilon", 4100, 9000, "FINISHED", {"acc": float("nan")}, {"kind": "tree%1"}, {"env": "staging"}),
        ("zeta 1", 5000, 6000, "FINISHED", {"acc": float("inf"), "val loss": 3.0}, {"my param": "v"}, {"team": "risk"}),
        ("eta", 6000, None, "SCHEDULED", {"acc": 0.9}, {"kind": "net's"}, {"env": ""}),
        ("theta", 6100, None, None, {"acc": 0.9, "loss": 0.1}, {"lr": "0.1"}, {"a.b-c/d": "y", "env": "prod"}),
        ("iota", 500, None, None, {}, {}, {}),
    ]
    made = []
    for name, start, end, status, metrics, params, tags in rows:
        run = c.client.create_run(experiment, start_time=start, tags=dict(tags, **{"mlflow.runName": name})).info.run_id
        for key, value in metrics.items():
            c.client.log_metric(run, key, 0.0 if key == "loss" else 0.5, 1, 1)
            c.client.log_metric(run, key, value, 2, 2)
        for key, value in params.items():
            c.client.log_param(run, key, value)
        if status:
            c.client.set_terminated(run, status, end)
        made.append(run)
    deleted = c.client.create_run(experiment, start_time=7000, tags={"mlflow.runName": "deleted"}).info.run_id
    c.client.delete_run(deleted)
    if c.major > 1:
        from mlflow.entities import Dataset, DatasetInput, InputTag
        for run, name, digest, context in [(made[0], "iris", "d1", "train"), (made[1], "iris", "d2", "eval"),
                                           (made[2], "wine", "d1", "train")]:
            c.client.log_inputs(run, [DatasetInput(Dataset(name, digest, "local", "{}"),
                                                   [InputTag("mlflow.data.context", context)])])
    return {"experiment_id": experiment, "runs": made}


def names(c, found):
    return [run.data.tags["mlflow.runName"] for run in found]


def search(c, **options):
    made = c.fixture(runs)
    return names(c, c.client.search_runs([made["experiment_id"]], **options))


FILTERS = [
    "metrics.acc > 0.85", "metrics.acc >= 0.9", "metrics.acc = 0.9", "metrics.acc != 0.9", "metrics.acc < 0.9",
    "metrics.acc <= 0.9", "metric.acc > 0.85", "metrics.loss = 0.1", "metrics.loss < 0", "metrics.loss > -2e0",
    "metrics.loss > .15", "metrics.`val loss` > 1", "metrics.\"val loss\" > 1", "metrics.none > 0", "metrics.acc > 1e300",
    "metrics.acc > 0.85 and metrics.loss < 0.15", "metrics.acc > 0.85 AND params.lr = '0.1' AND tags.env = 'prod'",
    "params.lr = '0.1'", "params.lr = \"0.1\"", "params.lr != '0.1'", "param.kind = 'net'", "parameter.kind = 'net'",
    "parameters.kind = 'net'", "params.kind LIKE 'net'", "params.kind LIKE 'n%'", "params.kind ILIKE 'N%'",
    "params.kind like '%ree_1'", "params.kind ilike '%1'", "params.kind LIKE 'tree%1'", "params.`my param` = 'v'",
    "params.kind = \"net's\"", "params.none = 'x'", "params.none != 'x'",
    "tags.env = 'prod'", "tag.env = 'prod'", "tags.env != 'prod'", "tags.env LIKE 'pro%'", "tags.env ILIKE 'PRO%'",
    "tags.env = ''", "tags.`a b` = 'x'", "tags.\"a b\" = 'x'", "tags.`a.b-c/d` = 'y'", "tags.a.b = 'y'",
    "tags.mlflow.runName = 'beta'", "tags.`mlflow.runName` LIKE '%eta'",
    "attributes.status = 'FINISHED'", "attributes.status = 'finished'", "attributes.status != 'FINISHED'",
    "attr.status = 'RUNNING'", "attribute.status LIKE 'F%'", "run.status = 'KILLED'", "status = 'FAILED'",
    "attributes.run_name = 'alpha'", "run_name = 'alpha'", "attributes.`run name` = 'alpha'",
    "attributes.`Run name` LIKE '%eta'", "run_name ILIKE 'EPS%'", "run_name LIKE 'eps%'", "run_name != 'alpha'",
    "attributes.start_time > 3000", "start_time >= 3000 and start_time < 6000", "attributes.end_time < 4000",
    "attributes.end_time != 3000", "attributes.created = 4000", "start_time = 4000.0", "start_time > 2999.5",
    "attributes.artifact_uri LIKE 'mlflow-artifacts:%'", "attributes.artifact_uri = 'x'", "user_id = 'nobody'",
    "attributes.run_id = 'x'", "run_id IN ('x', 'y')", "run_id NOT IN ('x')", "attributes.run_id LIKE '%'",
    "   metrics.acc   >0.85  ", "", "metrics.acc>0.85", "tags.env IN ('prod')",
]
NEWER = ["params.none IS NULL", "params.lr IS NOT NULL", "tags.team IS NULL", "tags.team is not null",
         "tags.env IS NULL AND params.kind LIKE 'tree%'", "metrics.acc IS NULL", "run_name IS NULL"]
DATASETS = [
    "dataset.name = 'iris'", "datasets.name = 'iris'", "datasets.digest = 'd1'", "datasets.context = 'train'",
    "datasets.name LIKE 'i%'", "datasets.name != 'iris'", "dataset.name IN ('iris', 'wine')",
    "datasets.name = 'iris' AND dataset.context = 'train'", "dataset.nothing = 'x'", "datasets.name > 'a'",
    "datasets.name NOT IN ('wine')", "datasets.name ILIKE 'IRIS'",
]
MALFORMED = [
    "metrics.acc", "metrics.acc >", "> 0.5", "metrics.acc > '0.5'", "metrics.acc > abc", "metrics.acc LIKE 'a'",
    "params.lr = 0.1", "params.lr > '0.1'", "params.lr = abc", "tags.env = prod", "tags.env IN ('a')", "tags.env = 5",
    "metrics.acc > 0.5 OR metrics.acc < 0.1", "NOT metrics.acc > 0.5", "(metrics.acc > 0.5)", "metrics.acc == 0.5",
    "metrics.acc <> 0.5", "metrics.acc BETWEEN 0 AND 1", "nothing.acc > 0.5", "attributes.experiment_id = '1'",
    "attributes.lifecycle_stage = 'active'", "attributes.status > 'A'", "start_time = '5'", "start_time LIKE '5'",
    "0.5 < metrics.acc", "metrics.acc > 0.5;", "metrics.acc > 0.5 AND", "AND metrics.acc > 0.5", "metrics.acc > 0.5 AND AND",
    "metrics.acc > 0.5 metrics.loss < 1", "run_id IN ()", "run_id IN ('a'", "run_id IN (5)", "run_id IN 'a'",
    "run_name IN ('a')", "params.lr = 'unclosed", "params.`lr = '0.1'", "params. = '0.1'", "params = '0.1'",
    "metrics.acc > 0.5 -- comment", "tags.'env' = 'prod'", "tags.env NOT LIKE 'p%'", "params.lr = '0.1' , tags.env = 'prod'",
    "metrics.acc > 1_000", "metrics.acc > +0.5", "metrics.acc > NaN", "acc > 0.5", "SELECT 1", "metrics.acc ! 0.5",
    "a" * 3000 + " = 'x'", "params.lr = `0.1`", "metrics.acc > 0.5 and and metrics.acc > 0.6", "1 = 1", "'a' = 'a'",
    "run_uuid = 'x'", "tags.env = 'prod' UNION SELECT 1", "tags.env='prod'; DROP TABLE runs", "*", "metrics.* > 1",
]


@each(FILTERS)
def filter(c, text):
    return search(c, filter_string=text)


@each(NEWER, since=3)
def filter_for_absence(c, text):
    return search(c, filter_string=text)


@each(DATASETS)
def filter_by_dataset(c, text):
    return search(c, filter_string=text)


@each([(text[:70], text) for text in MALFORMED])
def malformed(c, text):
    return search(c, filter_string=text)


@each([
    ["metrics.acc"], ["metrics.acc ASC"], ["metrics.acc DESC"], ["metrics.acc desc", "metrics.loss asc"], ["params.lr"],
    ["params.lr DESC"], ["tags.env"], ["tags.env DESC"], ["start_time"], ["start_time DESC"], ["attributes.end_time"],
    ["end_time DESC"], ["status"], ["attributes.status DESC", "run_name"], ["run_name"], ["run_name DESC"],
    ["attributes.`Run Name`"], ["created DESC"], ["metrics.none"], ["params.none DESC"], ["tags.`a b`"], ["metrics.`val loss`"],
    ["tags.mlflow.runName"], [],
    # refused
    ["metrics.acc UP"], ["nothing.acc"], ["metrics"], [""], ["metrics.acc DESC ASC"], ["lifecycle_stage"], ["experiment_id"],
    ["metrics.acc, metrics.loss"], ["datasets.name"], ["metrics.acc", "metrics.acc"], ["start_time; DROP TABLE runs"],
    ["1"], ["metrics.`acc"], ["run_id up"],
])
def order(c, order_by):
    return search(c, order_by=order_by)




@case(since=1)
def filter_and_order(c):
    return search(c, filter_string="metrics.acc > 0.1", order_by=["metrics.acc DESC"])


@each(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"], since=1)
def view(c, view):
    from mlflow.entities import ViewType
    return search(c, run_view_type=getattr(ViewType, view))


@case(since=1)
def default_order(c):
    return search(c)


@case
def everything_of_a_run(c):
    made = c.fixture(runs)
    found = c.client.search_runs([made["experiment_id"]], "attributes.run_name = 'alpha'")
    return found[0]


@case(since=1)
def pages(c):
    made, found, token = c.fixture(runs), [], None
    while True:
        page = c.client.search_runs([made["experiment_id"]], order_by=["attribute.start_time"], max_results=4, page_token=token)
        found.append((names(c, page), bool(page.token)))
        token = page.token
        if not token:
            return found


@case
def pages_by_metric(c):
    made, found, token = c.fixture(runs), [], None
    while True:
        page = c.client.search_runs([made["experiment_id"]], order_by=["metrics.acc DESC"], max_results=2, page_token=token)
        found.append(names(c, page))
        token = page.token
        if not token:
            return found


@case
def a_full_last_page(c):
    made = c.fixture(runs)
    page = c.client.search_runs([made["experiment_id"]], max_results=9)
    return len(page), bool(page.token)


@each([("zero", 0), ("negative", -1), ("most", 50000), ("too many", 50001)])
def max_results(c, count):
    return search(c, max_results=count)


@each([("garbage", "garbage"), ("base64", "e30="), ("other", "eyJvZmZzZXQiOiAiYSJ9")])
def page_token(c, token):
    return search(c, page_token=token)


@case
def of_no_experiment(c):
    return c.client.search_runs([])


@case
def of_an_unknown_experiment(c):
    return c.client.search_runs(["999999"])


@case
def of_an_id_that_is_none(c):
    return c.client.search_runs(["abc"])


@case
def of_two_experiments(c):
    one, two = c.experiment("1"), c.experiment("2")
    for number, experiment in enumerate([one, two, one]):
        c.client.create_run(experiment, start_time=number, tags={"mlflow.runName": str(number)})
    return names(c, c.client.search_runs([one, two], order_by=["start_time"]))


@case
def after_delete(c):
    run = c.run()
    c.client.delete_run(run)
    return len(c.client.search_runs([c.client.get_run(run).info.experiment_id]))


@each([("start_time",), ("start_time DESC",), ("params.none",), ("artifact_uri",), ("metrics.none DESC",), ("status DESC",), ("run_id DESC",)])
def ties_go_by_run_id(c, order):
    experiment = c.experiment()
    made = [c.client.create_run(experiment, start_time=5).info.run_id for _ in range(6)]
    found = [r.info.run_id for r in c.client.search_runs([experiment], order_by=[order])]
    return found == sorted(made), found == sorted(made, reverse=True)


@case
def by_a_known_run_id(c):
    made = c.fixture(runs)
    first, second = made["runs"][:2]
    found = []
    for text in [f"run_id = '{first}'", f"attributes.run_id IN ('{first}', '{second}')", f"run_id != '{first}'",
                 f"run_id NOT IN ('{first}','{second}')", f"run_id LIKE '{first[:8]}%'"]:
        found.append(search(c, filter_string=text))
    return found
