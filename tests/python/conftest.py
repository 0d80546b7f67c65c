"""Starts the real server for each test module, on SQLite and on PostgreSQL."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import uuid

import grpc
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "target" / "stubs"))
BINARY = ROOT / "target" / "debug" / "stagegate"
ADMIN_PASSWORD = "correct horse battery"
POSTGRES = os.environ.get("STAGEGATE_TEST_POSTGRES_URL")


class Server:
    """A running `stagegate serve`."""

    def __init__(self, folder, engine, options=(), prefix=()):
        """`options` go to `serve`; `prefix` is the command that runs it."""
        self.folder = folder
        self.options = list(options)
        self.prefix = list(prefix)
        self.data = ["--data-dir", str(folder)]
        self.engine = engine
        if engine == "postgres":
            self.database = "py_" + uuid.uuid4().hex
            subprocess.run(["psql", "-q", POSTGRES, "-c", f"CREATE DATABASE {self.database}"], check=True)
            self.data += ["--database-url", POSTGRES.rsplit("/", 1)[0] + "/" + self.database]
        self.process = None
        self.start()

    def start(self):
        environment = dict(os.environ, STAGEGATE_ADMIN_PASSWORD=ADMIN_PASSWORD)
        self.log = open(self.folder / "server.log", "ab")
        self.process = subprocess.Popen(
            [*self.prefix, BINARY, "serve", "--listen", "127.0.0.1:0", *self.data, *self.options],
            env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )
        line = self.process.stdout.readline()
        found = re.search(r"https?://(127\.0\.0\.1:\d+)", line)
        assert found, f"the server did not start: {line}"
        self.address = found.group(1)
        self.channel = grpc.insecure_channel(self.address)

    def command(self, *arguments, **options):
        """Runs the command line beside the server."""
        return subprocess.run([BINARY, *arguments, *self.data], capture_output=True, text=True, timeout=60, **options)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.channel.close()

    def stop(self):
        self.channel.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture(scope="module")
def one_server(tmp_path_factory):
    """For what has nothing to do with the engine."""
    running = Server(tmp_path_factory.mktemp("wire"), "sqlite")
    yield running
    running.stop()
    shutil.rmtree(running.folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, tmp_path_factory):
    if request.param == "postgres" and not POSTGRES:
        pytest.skip("STAGEGATE_TEST_POSTGRES_URL is not set")
    folder = tmp_path_factory.mktemp(request.param)
    running = Server(folder, request.param)
    yield running
    running.stop()
    # Whatever a module did: the rows say so.
    stated = running.command("ledger", "verify", "--state")
    assert stated.returncode == 0 and "no difference" in stated.stdout, stated.stdout + stated.stderr
    shutil.rmtree(folder, ignore_errors=True)
