"""Artifacts of runs through the server."""

import pathlib

from house import case, each


def listed(c, run, path=None):
    return sorted((f.path, f.is_dir, f.file_size or 0) for f in c.client.list_artifacts(run, path))


@case(since=1)
def text(c):
    run = c.run()
    c.client.log_text(run, "hello\n", "notes/hello.txt")
    return listed(c, run), listed(c, run, "notes"), c.mlflow.artifacts.load_text(
        c.client.get_run(run).info.artifact_uri + "/notes/hello.txt") if c.major > 1 else None


@case(since=1)
def dictionary(c):
    run = c.run()
    c.client.log_dict(run, {"b": 1, "a": [1, 2]}, "d.json")
    c.client.log_dict(run, {"b": 1}, "d.yaml")
    return listed(c, run), pathlib.Path(c.client.download_artifacts(run, "d.json", str(c.folder))).read_text()


@case(since=1)
def file(c):
    (c.folder / "data.bin").write_bytes(bytes(range(256)) * 100)
    run = c.run()
    c.client.log_artifact(run, str(c.folder / "data.bin"), "deep/er")
    found = pathlib.Path(c.client.download_artifacts(run, "deep/er/data.bin"))
    return listed(c, run), listed(c, run, "deep"), listed(c, run, "deep/er"), found.read_bytes() == bytes(range(256)) * 100


@case(since=1)
def folder(c):
    for path in ("one.txt", "sub/two.txt", "sub/sub/three.txt", "sub/empty.txt"):
        (c.folder / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (c.folder / "tree" / path).write_text("" if "empty" in path else path)
    run = c.run()
    c.client.log_artifacts(run, str(c.folder / "tree"), "tree")
    found = pathlib.Path(c.client.download_artifacts(run, "tree"))
    got = {str(p.relative_to(found)): p.read_text() for p in sorted(found.rglob("*")) if p.is_file()}
    return listed(c, run), listed(c, run, "tree"), listed(c, run, "tree/sub"), got


@case
def whole_run(c):
    run = c.run()
    c.client.log_text(run, "1", "a.txt")
    c.client.log_text(run, "2", "b/c.txt")
    found = pathlib.Path(c.client.download_artifacts(run, ""))
    return {str(p.relative_to(found)): p.read_text() for p in sorted(found.rglob("*")) if p.is_file()}


@case
def empty_file(c):
    run = c.run()
    c.client.log_text(run, "", "empty.txt")
    return listed(c, run), pathlib.Path(c.client.download_artifacts(run, "empty.txt")).read_bytes()


@case
def none_yet(c):
    return listed(c, c.run())


@case
def list_of_a_file(c):
    run = c.run()
    c.client.log_text(run, "x", "a/b.txt")
    return listed(c, run, "a/b.txt"), listed(c, run, "no/such"), listed(c, run, "a/")


@case
def overwritten(c):
    run = c.run()
    c.client.log_text(run, "first version", "a.txt")
    c.client.log_text(run, "second", "a.txt")
    return listed(c, run), pathlib.Path(c.client.download_artifacts(run, "a.txt")).read_text()


@case(since=1)
def download_of_none(c):
    return c.client.download_artifacts(c.run(), "no/such.txt")


@each([("blank", "a b.txt"), ("percent", "100%.txt"), ("plus", "a+b.txt"), ("hash", "a#b.txt"), ("question", "a?b.txt"),
       ("other letters", "größe/実験.txt"), ("ampersand", "a&b=c.txt"), ("quotes", "it's.txt"), ("brackets", "a[1]{2}.txt"),
       ("coded", "a%20b.txt"), ("semicolon", "a;b.txt"), ("tilde", "~a.txt"), ("colon", "a:b.txt"), ("hidden", ".hidden")])
def named(c, path):
    run = c.run()
    c.client.log_text(run, "x", path)
    return listed(c, run), pathlib.Path(c.client.download_artifacts(run, path)).read_text()


@each([("parent", "../x.txt"), ("inside", "a/../../x.txt"), ("absolute", "/etc/x.txt")])
def outside(c, path):
    return c.client.log_text(c.run(), "x", path)


@each([("parent", "../"), ("deep", "a/../.."), ("absolute", "/etc")])
def list_outside(c, path):
    return listed(c, c.run(), path)


@case
def of_a_deleted_run(c):
    run = c.run()
    c.client.log_text(run, "x", "a.txt")
    c.client.delete_run(run)
    return listed(c, run), pathlib.Path(c.client.download_artifacts(run, "a.txt")).read_text()


@case
def of_an_unknown_run(c):
    return c.client.list_artifacts("0123456789abcdef0123456789abcdef")


@case
def figure(c):
    from matplotlib import pyplot
    run = c.run()
    drawn, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    c.client.log_figure(run, drawn, "plots/line.png")
    pyplot.close(drawn)
    found = pathlib.Path(c.client.download_artifacts(run, "plots/line.png"))
    return [f.path for f in c.client.list_artifacts(run, "plots")], found.read_bytes()[:4].hex()


@case
def image(c):
    import numpy
    run = c.run()
    c.client.log_image(run, numpy.zeros((4, 4, 3), dtype=numpy.uint8), "black.png")
    return [f.path for f in c.client.list_artifacts(run)]


@case
def table(c):
    run = c.run()
    c.client.log_table(run, {"a": [1, 2], "b": ["x", "y"]}, "t.json")
    c.client.log_table(run, {"a": [3], "b": ["z"]}, "t.json")
    found = c.client.load_table(c.client.get_run(run).info.experiment_id, "t.json", [run])
    return found.to_dict("list"), c.client.get_run(run).data.tags


@case
def by_uri(c):
    run = c.run()
    c.client.log_text(run, "hello", "a/b.txt")
    found = pathlib.Path(c.mlflow.artifacts.download_artifacts(artifact_uri=f"runs:/{run}/a/b.txt"))
    return found.read_text(), [f.path for f in c.mlflow.artifacts.list_artifacts(f"runs:/{run}/a")]


@case
def delete(c):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    run = c.run()
    for path in ("a.txt", "b/c.txt", "b/d.txt"):
        c.client.log_text(run, "x", path)
    repository = get_artifact_repository(c.client.get_run(run).info.artifact_uri)
    repository.delete_artifacts("a.txt")
    repository.delete_artifacts("b/c.txt")
    repository.delete_artifacts("no such")
    found = listed(c, run), listed(c, run, "b")
    repository.delete_artifacts("b")
    return found, listed(c, run)


@case
def list_by_the_tracking_route(c):
    run = c.run()
    c.client.log_text(run, "x", "a/b.txt")
    c.client.log_text(run, "", "empty")
    return [c.call("GET", "artifacts/list", params=dict({"run_id": run}, **more)) for more in ({}, {"path": "a"}, {"path": "none"})]


@case
def headers_of_a_download(c):
    import requests
    run = c.run()
    c.client.log_text(run, "<script>alert(1)</script>", "page.html")
    path = c.client.get_run(run).info.artifact_uri.split(":/", 1)[1]
    answer = requests.get(f"{c.uri}/api/2.0/mlflow-artifacts/artifacts/{path}/page.html",
                          headers={"Authorization": f"Bearer {c.token}"} if c.token else {})
    disposition = answer.headers.get("Content-Disposition", "")
    return answer.status_code, answer.text, disposition.split(";")[0], answer.headers.get("X-Content-Type-Options")
