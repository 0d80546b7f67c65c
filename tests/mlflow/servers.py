"""Starts the two kinds of server on free loopback ports, each with a store of its own."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
STAGEGATE = pathlib.Path(os.environ.get("STAGEGATE_TEST_BINARY", ROOT / "target" / "debug" / "stagegate"))
POSTGRES = os.environ.get("STAGEGATE_TEST_POSTGRES_URL")


def venv(major):
    return ROOT / "target" / f"venv-mlflow-{major}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A started server: its URL, and what a client must set."""

    def __init__(self, label):
        self.label = label
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mlflow-server-"))
        self.process, self.token, self.own_group = None, None, False

    def environment(self):
        made = dict(os.environ, MLFLOW_TRACKING_URI=self.uri)
        if self.token:
            made["MLFLOW_TRACKING_TOKEN"] = self.token
        return made

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            # MLflow's command leaves the workers that it started.
            if self.own_group:
                try:
                    os.killpg(self.process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        shutil.rmtree(self.folder, ignore_errors=True)


class MlflowServer(Server):
    """MLflow's own server, of the same version as the client."""

    def __init__(self, major, label="mlflow"):
        super().__init__(label)
        self.major, port = major, free_port()
        self.uri = f"http://127.0.0.1:{port}"
        command = [venv(major) / "bin" / "mlflow", "server", "--port", str(port), "--workers", "1",
                   "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
                   "--artifacts-destination", f"{self.folder}/artifacts"]
        if major == 1:
            command += ["--serve-artifacts", "--default-artifact-root", "mlflow-artifacts:/"]
        environment = dict(os.environ, PATH=f"{venv(major)}/bin:{os.environ['PATH']}", MLFLOW_DISABLE_TELEMETRY="true")
        self.log = open(self.folder / "log", "wb")
        self.own_group = True
        self.process = subprocess.Popen(
            command, env=environment, cwd=self.folder, stdout=self.log, stderr=self.log, start_new_session=True)

    def ready(self):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.uri + "/health", timeout=5).read()
                return self
            except OSError:
                time.sleep(0.2)
        raise SystemExit("MLflow's server did not start:\n" + (self.folder / "log").read_text()[-3000:])


class StagegateServer(Server):
    """`stagegate serve` on an empty folder, on SQLite or on a database of its own in PostgreSQL."""

    def __init__(self, engine):
        super().__init__(f"stagegate-{engine}")
        where = ["--data-dir", str(self.folder)]
        if engine == "postgres":
            name = "compat_" + uuid.uuid4().hex
            subprocess.run(["psql", "-q", POSTGRES, "-c", f"CREATE DATABASE {name}"], check=True)
            where += ["--database-url", POSTGRES.rsplit("/", 1)[0] + "/" + name]
        environment = dict(os.environ, STAGEGATE_ADMIN_PASSWORD="correct horse battery")
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([STAGEGATE, "serve", "--listen", "127.0.0.1:0", *where],
                                        env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if not found:
            raise SystemExit(f"Stagegate did not start: {line}{(self.folder / 'log').read_text()[-3000:]}")
        self.uri = found[0]
        self.token = subprocess.run([STAGEGATE, "token", "create", "--user", "admin", *where],
                                    check=True, capture_output=True, text=True).stdout.strip()

    def ready(self):
        return self
