"""What a case sees: the table, and the context that its function gets.

A case is a function of one argument, the context, that returns something comparable or raises. Its name is
`group.function`, the group being its file. The same function runs against MLflow's own server and against Stagegate.
"""

import pathlib
import tempfile

import requests

CASES = []


class Case:
    def __init__(self, group, name, function, since, until):
        self.group, self.name, self.function = group, f"{group}.{name}", function
        self.since, self.until = since, until


def _group(function):
    return function.__module__.rsplit(".", 1)[-1]


def case(function=None, *, since=2, until=9):
    """Puts a function into the table, for the mlflow clients of major versions `since` to `until`."""
    def register(function):
        CASES.append(Case(_group(function), function.__name__, function, since, until))
        return function
    return register(function) if function else register


def each(rows, *, since=2, until=9):
    """One case for each row: the function gets the context and the row. A row is (label, value…), or is its own label."""
    def register(function):
        for row in rows:
            label, values = (row[0], row[1:] or row) if isinstance(row, tuple) else (str(row), (row,))
            def run(context, values=values):
                return function(context, *values)
            CASES.append(Case(_group(function), f"{function.__name__}[{label}]", run, since, until))
        return function
    return register


class Context:
    """One case's view of one server."""

    fixtures = {}

    def __init__(self, mlflow, name, uri, token, normaliser):
        from mlflow.tracking import MlflowClient
        self.mlflow, self.uri, self.token, self.normaliser = mlflow, uri, token, normaliser
        self.major = int(mlflow.__version__.split(".")[0])
        self.client = MlflowClient()
        # A name of its own for what the case creates; no character that a model's name must not have.
        self.name = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:120]
        self._folder = None

    @property
    def folder(self):
        if self._folder is None:
            self._folder = pathlib.Path(tempfile.mkdtemp(prefix="mlflow-case-"))
        return self._folder

    def fixture(self, build):
        """What `build(context)` made, once for the whole process. Its ids are known to every case that asks for it."""
        if build not in self.fixtures:
            own = Context(self.mlflow, f"fixture.{_group(build)}.{build.__name__}", self.uri, self.token, self.normaliser)
            try:
                self.fixtures[build] = (True, build(own))
            except Exception as error:
                self.fixtures[build] = (False, f"{type(error).__name__}: {error}")
        good, made = self.fixtures[build]
        if not good:
            raise FixtureFailed(f"{_group(build)}.{build.__name__}: {made}")
        self.normaliser(made)
        return made

    def experiment(self, suffix=""):
        return self.client.create_experiment(self.name + suffix)

    def run(self, **options):
        return self.client.create_run(self.experiment(), **options).info.run_id

    def model(self, suffix=""):
        self.client.create_registered_model(self.name + suffix)
        return self.name + suffix

    def version(self, count=1):
        """A registered model of the case's name with so many versions."""
        name = self.model()
        for number in range(count):
            self.client.create_model_version(name, f"s3://bucket/{name}/{number}")
        return name

    def http(self, method, path, body=None, **options):
        """A request without the client: status, and the JSON of the answer (its text, if it is none)."""
        headers = dict(options.pop("headers", {}))
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            options["json"] = body
        answer = requests.request(method, self.uri + path, headers=headers, timeout=60, **options)
        try:
            parsed = answer.json()
        except ValueError:
            parsed = answer.text
        return answer.status_code, parsed

    def call(self, method, path, body=None, **options):
        """`http` for MLflow's routes, as a comparable: the body, or status and code of the refusal."""
        status, parsed = self.http(method, "/api/2.0/mlflow/" + path, body, **options)
        if status == 200:
            return parsed
        code = parsed.get("error_code") if isinstance(parsed, dict) else None
        return {"status": status, "error_code": code, "message": parsed.get("message") if code else None}


class FixtureFailed(Exception):
    """The set-up that several cases share did not work; none of them says anything then."""
