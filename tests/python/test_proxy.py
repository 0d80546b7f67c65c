"""MLflow's client behind a reverse proxy that puts a path before ours, files in parts included."""

import http.client
import http.server
import os
import subprocess
import threading

import mlflow_house
from conftest import ADMIN_PASSWORD, Server

CLIENT = """
import filecmp, mlflow, os, pathlib, sys
big = pathlib.Path("big.bin")
big.write_bytes(os.urandom(12_000_000))
with mlflow.start_run() as run:
    mlflow.log_metric("rmse", 0.5)
    mlflow.log_artifact(str(big))
    mlflow.log_text("small", "folder/small.txt")
there = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="big.bin", dst_path="back")
assert filecmp.cmp(big, there, shallow=False)
assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/folder/small.txt") == "small"
print("done")
"""


def proxy(where, notes):
    """A proxy in front of the address that `where` holds. It takes `/stagegate` away, and notes what `notes` says.

    Gives it and the paths that it saw.
    """
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            seen.append((self.command, self.path))
            assert self.path.startswith("/stagegate/"), self.path
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(where[0], timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "transfer-encoding")}
            connection.request(self.command, self.path.removeprefix("/stagegate"), body, {**headers, **notes})
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = forward

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    return running, seen


def uses(url, folder):
    environment = dict(
        os.environ, HOME=str(folder), MLFLOW_TRACKING_URI=url, MLFLOW_TRACKING_USERNAME="admin", MLFLOW_TRACKING_PASSWORD=ADMIN_PASSWORD,
        MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD="true", MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE="6000000",
        MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE="5242880", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false", GIT_PYTHON_REFRESH="quiet")
    done = subprocess.run([mlflow_house.python(3), "-c", CLIENT], cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "done" in done.stdout, done.stderr[-3000:]


def test_a_trusted_proxy_notes_its_prefix(tmp_path):
    (tmp_path / "data").mkdir()
    server = Server(tmp_path / "data", "sqlite", ["--trusted-proxies", "127.0.0.1"])
    front, seen = proxy([server.address], {"X-Forwarded-Prefix": "/stagegate"})
    try:
        uses(f"http://127.0.0.1:{front.server_port}/stagegate", tmp_path)
        assert sum("/mpu/parts/" in path for _, path in seen) == 3, seen
    finally:
        front.shutdown()
        server.stop()


def test_a_base_url_needs_no_headers(tmp_path):
    (tmp_path / "data").mkdir()
    where = []
    front, seen = proxy(where, {})
    server = Server(tmp_path / "data", "sqlite", ["--base-url", f"http://127.0.0.1:{front.server_port}/stagegate"])
    where.append(server.address)
    try:
        uses(f"http://127.0.0.1:{front.server_port}/stagegate", tmp_path)
        assert sum("/mpu/parts/" in path for _, path in seen) == 3, seen
    finally:
        front.shutdown()
        server.stop()
