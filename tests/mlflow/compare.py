"""Compares what two servers answered, and holds the differences against differences.toml."""

import json
import pathlib
import re
import tomllib

LISTED = pathlib.Path(__file__).parent / "differences.toml"


def comparable(made):
    """What must be equal: the result without messages, or the error's type, code and status."""
    return made["error"] if "error" in made else without_messages(made.get("result"))


def without_messages(value):
    if isinstance(value, dict):
        refusal = "error_code" in value
        return {k: without_messages(v) for k, v in value.items() if not (refusal and k == "message")}
    if isinstance(value, list):
        return [without_messages(v) for v in value]
    return value


def short(made):
    """One line for an outcome; this is what `ours` in differences.toml pins."""
    if "fixture" in made:
        return "fixture failed: " + made["fixture"]
    if "error" in made:
        error = made["error"]
        return f"{error['status'] or 'client'} {error['code'] or error['type']}"
    return json.dumps(without_messages(made["result"]), sort_keys=True)


class Difference:
    """A case, or a pattern of cases, that is known to differ, for one of the reasons in differences.toml."""

    def __init__(self, case, entry):
        self.case, self.reason = case, entry["reason"]
        self.pattern = ".*".join(re.escape(part) for part in case.split("*"))
        self.ours = entry.get("ours")
        self.versions = entry.get("versions", [1, 2, 3])
        self.used = set()

    def covers(self, case, version):
        return version in self.versions and re.fullmatch(self.pattern, case, re.DOTALL) is not None


def listed():
    entries = tomllib.loads(LISTED.read_text()).get("difference", [])
    return [Difference(case, entry) for entry in entries for case in entry["cases"]]


def compare(version, theirs, ours, differences, show_messages=False):
    """Prints a line for each group; returns the failures as texts and the counts."""
    failures, groups = [], {}
    for name, reference in theirs.items():
        made = ours[name]
        counts = groups.setdefault(reference["group"], [0, 0, 0, 0])
        counts[3] += made["calls"]
        if made["broken"]:
            failures.append(f"{name}: Stagegate answered 5xx: {made['broken']} {made.get('message', '')}")
        if "fixture" in made or "fixture" in reference:
            counts[2] += 1
            failures.append(f"{name}: MLflow: {short(reference)[:600]} | Stagegate: {short(made)[:600]}")
            continue
        counts[0] += 1
        if show_messages and ("error" in reference or "error" in made):
            print(f"  {name}\n    theirs: {reference.get('message')}\n    ours:   {made.get('message')}")
        if comparable(reference) == comparable(made):
            counts[1] += 1
            continue
        counts[2] += 1
        known = [d for d in differences if d.covers(name, version)]
        if not known:
            failures.append(f"{name}:\n    MLflow:    {detail(reference)}\n    Stagegate: {detail(made)}")
        for difference in known:
            difference.used.add((name, version))
            if difference.ours is not None and difference.ours != short(made):
                failures.append(f"{name}: listed with ours = {difference.ours!r}, but Stagegate answers {short(made)!r}")
    return failures, groups


def detail(made):
    return short(made)[:2000] + (f"   ({made['message'][:300]})" if "message" in made else "")


def stale(differences, ran):
    """Listed differences that no longer differ, of the cases that ran."""
    found = []
    for difference in differences:
        hits = [(name, version) for name, version in ran if difference.covers(name, version)]
        if hits and not difference.used:
            found.append(f"differences.toml lists {difference.case}, which does not differ (any more)")
        for version in set(v for _, v in hits) - set(v for _, v in difference.used):
            if difference.used:
                found.append(f"differences.toml lists {difference.case} for mlflow {version}, where it does not differ")
    return found
