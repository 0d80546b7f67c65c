"""Five attacks on the load of a server, and what another user notices of each. Run by hand:

    python tests/python/attack_load.py --binary target/release/stagegate --engine sqlite --engine postgres

A server of its own is started for each attack, with data of its own. While the attackers work from 127.0.0.2, another
user asks from 127.0.0.1 for a page of 100 runs, again and again. The table has the median and the 95th percentile of
that before and during the attack, in milliseconds, what was refused to whom, and the server's resident memory in MiB.
For PostgreSQL, STAGEGATE_TEST_POSTGRES_URL names a cluster in which databases can be made. Only the standard library is
needed. `test_load.py` runs the same attacks with fewer attackers, and without a clock.
"""

import argparse
import base64
import collections
import contextlib
import http.client
import json
import multiprocessing
import os
import pathlib
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid

VICTIM, ATTACKER = "127.0.0.1", "127.0.0.2"
ADMIN_PASSWORD = "correct horse battery staple"
MLFLOW = "/api/2.0/mlflow/"
OWN = "/api/stagegate/v1/"
MIB = 1024 * 1024
# How many attackers; a run that is shown takes about 6 MB.
FULL = {"connections": 10_100, "searches": 12, "long_runs": 300, "bodies": 40, "body": 32 * MIB, "pages": 12, "large_runs": 40, "guessers": 300}
SMALL = {"connections": 1_100, "searches": 6, "long_runs": 40, "bodies": 12, "body": 32 * MIB, "pages": 4, "large_runs": 6, "guessers": 60}


class Server:
    """A server of its own, with a database of its own."""

    def __init__(self, binary, engine, options=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="stagegate-attack-"))
        self.database = None
        arguments = ["--data-dir", str(self.folder)]
        if engine == "postgres":
            self.cluster = os.environ["STAGEGATE_TEST_POSTGRES_URL"]
            self.database = "attack_" + uuid.uuid4().hex
            self.psql(f"CREATE DATABASE {self.database}")
            arguments += ["--database-url", self.cluster.rsplit("/", 1)[0] + "/" + self.database]
        environment = dict(os.environ, STAGEGATE_ADMIN_PASSWORD=ADMIN_PASSWORD, STAGEGATE_LOG="error")
        self.log = open(self.folder / "server.log", "ab")
        command = [binary, "serve", "--listen", "127.0.0.1:0", *arguments, *options]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            raise SystemExit(f"the server did not start: {line}")
        self.port = int(found.group(1))

    def psql(self, text):
        subprocess.run(["psql", "-q", self.cluster, "-c", text], check=True)

    def memory(self):
        """What is resident now, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        if self.database:
            self.psql(f"DROP DATABASE {self.database} WITH (FORCE)")
        shutil.rmtree(self.folder, ignore_errors=True)


class Client:
    """A caller with one connection, which is made anew where it ended."""

    def __init__(self, port, authorization=None, source=VICTIM):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120, source_address=(source, 0))
        self.headers = {"content-type": "application/json"}
        if authorization:
            self.headers["authorization"] = authorization

    def post(self, path, message):
        """The status and the answer."""
        return self.send("POST", path, json.dumps(message))

    def send(self, method, path, body=None):
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, body, self.headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (ConnectionError, http.client.HTTPException):
                # An idle connection may have ended just now; that counts only once.
                self.connection.close()
                if attempt == 2:
                    raise

    def must(self, path, message):
        status, answer = self.post(path, message)
        if status != 200:
            raise SystemExit(f"{path}: {status} {answer[:500]}")
        return json.loads(answer)


def sign_in(port, name, password, source=VICTIM):
    client = Client(port, source=source)
    status, answer = client.post(OWN + "sign-in", {"user_name": name, "password": password})
    client.connection.close()
    return status, "Bearer " + json.loads(answer).get("token", "")


def person(admin, port, name):
    """A new user who may log; gives the bearer of a token."""
    admin.must(OWN + "users/create", {"user_name": name, "persona": "data_scientist"})
    answer = admin.must(OWN + "tokens/create", {"user_name": name})
    return "Bearer " + answer["token_text"]


def runs(client, name, count, tags):
    """An experiment with so many runs, each with these tags."""
    experiment = client.must(MLFLOW + "experiments/create", {"name": name})["experiment_id"]
    for number in range(count):
        run = client.must(MLFLOW + "runs/create", {"experiment_id": experiment, "start_time": number + 1})["run"]["info"]["run_id"]
        items = [{"key": key, "value": value} for key, value in tags.items()]
        for first in range(0, len(items), 100):
            client.must(MLFLOW + "runs/log-batch", {"run_id": run, "tags": items[first:first + 100]})
    return experiment


def worker(attack):
    """Runs an attack in threads of a process of its own until it is told to stop; reports what became of it."""

    def run(stop, outcomes, count, *arguments):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        counted = collections.Counter()

        def one(number):
            while not stop.is_set():
                try:
                    counted[attack(stop, number, *arguments)] += 1
                except OSError as error:
                    counted[type(error).__name__] += 1
                    time.sleep(0.05)
                except http.client.HTTPException:
                    counted["cut off"] += 1

        threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        stop.wait()
        for thread in threads:
            thread.join(3)
        outcomes.put(dict(counted))

    return run


@worker
def idle(stop, number, port, each):
    """HTTP/2 connections without a request."""
    open_now = []
    for _ in range(each):
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), 10, (ATTACKER, 0))
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            open_now.append(connection)
    time.sleep(1)
    kept = 0
    for connection in open_now:
        connection.settimeout(0)
        try:
            while connection.recv(65536):
                pass
        except BlockingIOError:
            kept += 1
        except ConnectionError:
            pass
    stop.wait()
    return f"{kept} of {each} connections stayed open"


@worker
def like(stop, number, port, bearer, experiment):
    """Searches with patterns that almost fit everywhere: far too long, and as long as is allowed."""
    letters = 12_000 if number % 2 else 990
    client = Client(port, bearer, ATTACKER)
    client.connection.timeout = 5
    body = {"experiment_ids": [experiment], "filter": f"tags.long LIKE '%{'a' * letters}b%'"}
    try:
        status, _ = client.post(MLFLOW + "runs/search", body)
    except TimeoutError:
        status = "left"
    client.connection.close()
    time.sleep(0.05)
    return f"{letters} letters: {status}"


@worker
def bodies(stop, number, port, bearer, size):
    """Bodies that never end."""
    with socket.create_connection(("127.0.0.1", port), 10, (ATTACKER, 0)) as connection:
        head = (
            f"POST {MLFLOW}runs/log-inputs HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        )
        connection.sendall(head.encode() + b'{"run_id":"')
        piece = b"x" * 65536
        connection.settimeout(5)
        for _ in range(size // len(piece) - 1):
            if stop.is_set():
                return "stopped"
            try:
                connection.sendall(piece)
            except TimeoutError:
                break
        with contextlib.suppress(TimeoutError):
            return connection.recv(100).split(b" ")[1].decode() or "cut off"
        return "held open"


@worker
def pages(stop, number, port, bearer, experiment):
    """Pages of runs of 6 MB."""
    client = Client(port, bearer, ATTACKER)
    status, answer = client.post(MLFLOW + "runs/search", {"experiment_ids": [experiment], "max_results": 1000})
    client.connection.close()
    return f"{status}" if status != 200 else f"200 with {len(json.loads(answer)['runs'])} runs"


@worker
def basic(stop, number, port):
    """Passwords of made-up names."""
    name = base64.b64encode(f"nobody-{uuid.uuid4().hex}:a long wrong password".encode()).decode()
    client = Client(port, "Basic " + name, ATTACKER)
    status, _ = client.send("GET", MLFLOW + "experiments/search?max_results=1")
    client.connection.close()
    return status


class Victim:
    """Another user, who asks for a page of runs again and again."""

    def __init__(self, port, bearer, experiment):
        self.port = port
        self.client = Client(port, bearer)
        self.message = {"experiment_ids": [experiment], "max_results": 100}

    def measure(self, seconds, server, signs_in):
        """Times in milliseconds, what was refused, and the most memory."""
        pages, signs, refused, memory = [], [], collections.Counter(), 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.timed(pages, refused, "page", lambda: self.client.post(MLFLOW + "runs/search", self.message)[0])
            if signs_in:
                for who in signs_in:
                    self.timed(signs, refused, "sign-in", lambda who=who: sign_in(self.port, *who)[0])
            self.timed([], refused, "health", lambda: Client(self.port).send("GET", "/health")[0])
            memory = max(memory, server.memory())
            time.sleep(0.05)
        return pages, signs, refused, memory

    @staticmethod
    def timed(times, refused, what, call):
        begun = time.monotonic()
        try:
            status = call()
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
        times.append((time.monotonic() - begun) * 1000)
        if status != 200:
            refused[f"{what}: {status}"] += 1


def prepared(name, size, client, port, bearer):
    """The processes of an attack: what each runs, with how many threads, on what."""
    if name == "idle":
        return [(idle, 4, port, size["connections"] // 4)]
    if name == "like":
        return [(like, size["searches"], port, bearer, runs(client, "long", size["long_runs"], {"long": "a" * 8000}))]
    if name == "bodies":
        return [(bodies, size["bodies"], port, bearer, size["body"])]
    if name == "pages":
        tags = {f"tag{number}": "x" * 8000 for number in range(750)}
        return [(pages, size["pages"], port, bearer, runs(client, "large", size["large_runs"], tags))]
    return [(basic, size["guessers"], port)]


ATTACKS = ["idle", "like", "bodies", "pages", "basic"]


def attack(binary, engine, name, size, seconds, options=()):
    """Runs one attack; gives a row of the table."""
    server = Server(binary, engine, options)
    try:
        port = server.port
        admin = Client(port, sign_in(port, "admin", ADMIN_PASSWORD)[1])
        victim, attacker = person(admin, port, "victim"), person(admin, port, "attacker")
        known = runs(Client(port, victim), "known", 100, {f"tag{number}": "a value" for number in range(10)})
        processes = prepared(name, size, Client(port, attacker, ATTACKER), port, attacker)
        # The admin is known where the attackers are, and where the victim is.
        signs_in = [("admin", ADMIN_PASSWORD, ATTACKER), ("admin", ADMIN_PASSWORD, VICTIM)] if name == "basic" else []
        user = Victim(port, victim, known)
        user.measure(1, server, signs_in)
        quiet = server.memory()
        before = user.measure(min(5, seconds), server, signs_in)
        stop, outcomes = multiprocessing.Event(), multiprocessing.Queue()
        started = [multiprocessing.Process(target=run, args=(stop, outcomes, *rest), daemon=True) for run, *rest in processes]
        for process in started:
            process.start()
        time.sleep(1)
        during = user.measure(seconds, server, signs_in)
        stop.set()
        counted = collections.Counter()
        for _ in started:
            counted.update(outcomes.get(timeout=60))
        for process in started:
            process.join(10)
        time.sleep(2)
        return {
            "attack": name, "engine": engine, "before": before[0], "during": during[0], "signs": (before[1], during[1]),
            "refused": dict(before[2] + during[2]), "attacker": dict(counted), "memory": (quiet, during[3], server.memory()),
        }
    finally:
        server.stop()


def spread(times):
    """Median and 95th percentile."""
    if not times:
        return "-"
    return f"{statistics.median(times):.0f}/{sorted(times)[int(len(times) * 0.95)]:.0f}"


def shown(row):
    cells = [row["attack"], row["engine"], spread(row["before"]), spread(row["during"]), spread(row["signs"][0]), spread(row["signs"][1])]
    cells += ["/".join(f"{part:.0f}" for part in row["memory"]), row["refused"] or "nothing"]
    counted = sorted(row["attacker"].items(), key=lambda item: -item[1])
    cells.append("; ".join(f"{count} x {what}" for what, count in counted))
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


HEAD = (
    "| attack | engine | page before | page during | sign-in before | during | memory before/most/after | refused to the user | the attackers |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/stagegate")
    parser.add_argument("--engine", action="append", choices=["sqlite", "postgres"])
    parser.add_argument("--attack", action="append", choices=ATTACKS)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--small", action="store_true", help="with fewer attackers")
    parser.add_argument("--option", action="append", default=[], help="an option of the server, such as --option=--memory-budget=64MiB")
    given = parser.parse_args()
    print(HEAD, flush=True)
    for name in given.attack or ATTACKS:
        for engine in given.engine or ["sqlite"]:
            row = attack(given.binary, engine, name, SMALL if given.small else FULL, given.seconds, given.option)
            print(shown(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
