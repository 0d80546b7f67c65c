"""Makes answers of two servers comparable. These are all the rules:

1. Ids that a server makes (runs, logged models, UUIDs) become their kind and the order in which the case met them:
   `<run 1>`, `<model 2>`, `<uuid 1>`; also inside of longer texts such as artifact URIs. Ids of the fixture that a case
   uses are met first, in the fixture's order, so that a wrong order of results still shows.
2. The value of a field named `experiment_id` (or `experiment_ids`) other than "0", likewise: `<experiment 1>`; also as
   the first folder of an `mlflow-artifacts:/` URI.
3. Whole numbers within a day of now, in milliseconds, become `<now>`. Times that a case gives are far from now.
4. A run name of the form adjective-noun-number becomes `<generated name>`.
5. Ids of Git commits become `<commit>`; the server's URL becomes `<server>`, temporary folders `<folder>`.
6. A page token becomes `<token>`; an empty one stays empty.
7. Lists of `{"key", "value"}` objects are sorted by key: neither server promises an order of tags, params or metrics.
8. NaN and infinities become the texts `NaN`, `inf`, `-inf` (JSON has none).
9. What Stagegate says beyond MLflow is left out: the fields `id`, `created_by` and `source_digest`, and `user_id` of
   registered models and versions (who made them; MLflow's server never knows). So is `workspace`, which is "default".
10. In errors, `message` is kept for the reader and not compared; nor are MLflow 3's `sqlstate` and `error_class`.
"""

import math
import re
import time

RUN = re.compile(r"(?<![0-9a-f-])[0-9a-f]{32}(?![0-9a-f])")
MODEL = re.compile(r"m-[0-9a-f]{32}")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ARTIFACTS = re.compile(r"(mlflow-artifacts:/+)(\d+)(?=/|$)")
COMMIT = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
GENERATED = re.compile(r"^[a-z]+-[a-z]+-\d{1,4}$")
FOLDER = re.compile(r"(file://)?/tmp/[\w./-]+")
NOT_COMPARED = {"sqlstate", "error_class"}
BEYOND_MLFLOW = {"id", "created_by", "source_digest", "workspace"}
DAY = 86_400_000


def compared(field, of):
    """Whether a field of an object is compared (rules 9 and 10)."""
    return field not in NOT_COMPARED | BEYOND_MLFLOW and not (field == "user_id" and "creation_timestamp" in of)


class Normaliser:
    def __init__(self, uri):
        self.uri, self.known, self.counts = uri, {}, {}

    def label(self, kind, value):
        if (kind, value) not in self.known:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.known[kind, value] = f"<{kind} {self.counts[kind]}>"
        return self.known[kind, value]

    def text(self, text, key):
        if key in ("experiment_id", "experiment_ids"):
            return self.label("experiment", text) if text.isdigit() and text != "0" else text
        if key in ("page_token", "next_page_token", "token"):
            return "<token>" if text else text
        text = text.replace(self.uri, "<server>")
        text = COMMIT.sub("<commit>", text)
        text = MODEL.sub(lambda found: self.label("model", found[0]), text)
        text = UUID.sub(lambda found: self.label("uuid", found[0]), text)
        text = RUN.sub(lambda found: self.label("run", found[0]), text)
        text = ARTIFACTS.sub(
            lambda found: found[1] + (found[2] if found[2] == "0" else self.label("experiment", found[2])), text)
        text = FOLDER.sub("<folder>", text)
        if GENERATED.match(text):
            return "<generated name>"
        return text

    def __call__(self, value, key=None):
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value, key)
        if isinstance(value, int):
            return "<now>" if abs(value - time.time() * 1000) < DAY else value
        if isinstance(value, float):
            if math.isnan(value) or math.isinf(value):
                return str(value).replace("nan", "NaN")
            return "<now>" if abs(value - time.time() * 1000) < DAY else value
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if hasattr(value, "_properties") and hasattr(value, "from_proto"):
            properties = {p: getattr(value, p) for p in value._properties()}
            return {"is": type(value).__name__, **{p: self(v, p) for p, v in properties.items() if compared(p, properties)}}
        if hasattr(value, "items"):
            return {self.text(str(k), None): self(v, k) for k, v in value.items() if compared(k, value)}
        if hasattr(value, "tolist"):
            return self(value.tolist(), key)
        if hasattr(value, "to_dict"):
            return self(value.to_dict(), key)
        if hasattr(value, "token"):
            return {"page": [self(v) for v in value], "token": self(value.token or "", "token")}
        if isinstance(value, (list, tuple, set)):
            ordered = sorted(value) if isinstance(value, set) else value
            made = [self(v, key) for v in ordered]
            if made and all(isinstance(v, dict) and set(v) >= {"key", "value"} for v in made):
                made.sort(key=lambda v: (v["key"], str(v["value"]), str(v)))
            return made
        if hasattr(value, "isoformat"):
            return "<now>"
        return {"is": type(value).__name__, **self({k: v for k, v in vars(value).items()})} if hasattr(value, "__dict__") else str(value)
