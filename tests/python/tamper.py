"""Ways to tamper with a ledger, for one who holds its database but not its keys. Each works on a copy."""

import base64
import hashlib
import shutil
import sqlite3
import subprocess
import uuid

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conftest import POSTGRES
from verify_export import FIELDS_BEFORE_OUTCOME, Tree, leaf_hash


class Copy:
    """A copy of a stopped server's data, with SQL past its triggers."""

    def __init__(self, server, folder):
        self.folder, self.sqlite = folder, server.engine == "sqlite"
        shutil.copytree(server.folder, folder)
        self.data = ["--data-dir", str(folder)]
        if not self.sqlite:
            self.database = "tampered_" + uuid.uuid4().hex
            psql(POSTGRES, f"CREATE DATABASE {self.database} TEMPLATE {server.database}")
            self.url = POSTGRES.rsplit("/", 1)[0] + "/" + self.database
            self.data += ["--database-url", self.url]
        for table in ("entries", "positions", "hashes", "checkpoints"):
            if self.sqlite:
                for name in ("update", "delete"):
                    self.change(f"DROP TRIGGER ledger_{table}_no_{name}")
            else:
                self.change(f"ALTER TABLE ledger_{table} DISABLE TRIGGER ALL")
        self.change("DROP TRIGGER ledger_positions_without_gaps" + ("" if self.sqlite else " ON ledger_positions"))

    def change(self, *statements):
        if self.sqlite:
            database = sqlite3.connect(self.folder / "stagegate.db", timeout=10)
            with database:
                for statement in statements:
                    database.execute(statement)
            database.close()
        else:
            psql(self.url, "; ".join(statements))

    def all(self, query):
        if self.sqlite:
            database = sqlite3.connect(self.folder / "stagegate.db", timeout=10)
            rows = database.execute(query).fetchall()
            database.close()
            return [[str(value) for value in row] for row in rows]
        return [line.split("\x1f") for line in psql(self.url, query).splitlines()]

    def blob(self, data):
        return f"x'{data.hex()}'" if self.sqlite else f"'\\x{data.hex()}'"

    def rehash(self):
        """Recomputes each row's hash and the whole tree, as one who holds the database can. Returns the tree."""
        fields = ["time", *FIELDS_BEFORE_OUTCOME, "outcome", "reason", "payload_digest"]
        query = f"SELECT p.position, e.id, {', '.join('e.' + field for field in fields)} FROM ledger_entries e JOIN ledger_positions p ON p.entry = e.id ORDER BY p.position"
        tree, hashes, statements = Tree(), [], ["DELETE FROM ledger_hashes"]
        for position, row_id, *values in self.all(query):
            entry = dict(zip(fields, values))
            entry["time"] = int(entry["time"])
            leaf = leaf_hash(entry)
            statements.append(f"UPDATE ledger_entries SET leaf_hash = {self.blob(leaf)} WHERE id = {row_id}")
            node, size = leaf, int(position)
            tops = list(tree.subtrees)
            hashes.append(node)
            while size & 1:
                node = hashlib.sha256(b"\x01" + tops.pop() + node).digest()
                hashes.append(node)
                size >>= 1
            tree.append(leaf)
        statements += [f"INSERT INTO ledger_hashes VALUES ({index}, {self.blob(one)})" for index, one in enumerate(hashes)]
        self.change(*statements)
        return tree

    def sign(self, tree, origin, private):
        """Signs the tree with a key of one's own."""
        text = f"{origin}\n{tree.size}\n{base64.b64encode(tree.root()).decode()}\n"
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        key_id = hashlib.sha256(origin.encode() + b"\n\x01" + public).digest()[:4]
        line = base64.b64encode(key_id + private.sign(text.encode())).decode()
        note = f"{text}\n\u2014 {origin} {line}\n"
        self.change("DELETE FROM ledger_checkpoints", f"INSERT INTO ledger_checkpoints VALUES ({tree.size}, '{note}', 0)")
        return f"{origin}+{key_id.hex()}+{base64.b64encode(bytes([1]) + public).decode()}"


def psql(url, statement):
    done = subprocess.run(["psql", "-qAtX", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", url, "-c", statement], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


AT = "(SELECT entry FROM ledger_positions WHERE position = {})"


def edit(copy, size):
    copy.change(f"UPDATE ledger_entries SET actor_name = 'bob' WHERE id = {AT.format(size - 3)}")


def payloads(copy, size):
    copy.change("UPDATE ledger_entries SET payload = NULL")


def drop(copy, size):
    copy.change(f"DELETE FROM ledger_positions WHERE position = {size - 3}")


def swap(copy, size):
    copy.change("UPDATE ledger_positions SET position = 90000 WHERE position = 1", "UPDATE ledger_positions SET position = 1 WHERE position = 2",
                "UPDATE ledger_positions SET position = 2 WHERE position = 90000")


def cut(copy, size):
    """The tail is gone without a trace: rows, hashes, checkpoints."""
    keep = min(int(row[0]) for row in copy.all("SELECT size FROM ledger_checkpoints"))
    assert keep < size
    copy.change(f"DELETE FROM ledger_checkpoints WHERE size > {keep}", f"DELETE FROM ledger_positions WHERE position >= {keep}",
                "DELETE FROM ledger_entries WHERE id NOT IN (SELECT entry FROM ledger_positions)")
    copy.rehash()


def rebuild(copy, size):
    """A row is rewritten, all hashes are made anew; no checkpoint contradicts because none is left."""
    edit(copy, size)
    copy.rehash()
    copy.change("DELETE FROM ledger_checkpoints")


def rebuild_below_checkpoints(copy, size):
    edit(copy, size)
    copy.rehash()


def uncheck(copy, size):
    copy.change("DELETE FROM ledger_checkpoints", "DELETE FROM ledger_hashes")


def resign(copy, size):
    """As rebuild, and signed by another key under the same origin."""
    edit(copy, size)
    origin = copy.all("SELECT key_id FROM secret_keys WHERE purpose = 'ledger'")[0][0]
    copy.sign(copy.rehash(), origin, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def own_key(copy, size):
    """And the database names that key as its own."""
    edit(copy, size)
    origin = copy.all("SELECT key_id FROM secret_keys WHERE purpose = 'ledger'")[0][0]
    key = copy.sign(copy.rehash(), origin, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    copy.change(f"UPDATE secret_keys SET public_key = '{key}' WHERE purpose = 'ledger'")


def forge(copy, size):
    """A row that never was, behind the last one, with the code of another."""
    columns = [row[1] for row in copy.all("PRAGMA table_info(ledger_entries)")] if copy.sqlite else \
        [row[0] for row in copy.all("SELECT column_name FROM information_schema.columns WHERE table_name = 'ledger_entries' ORDER BY ordinal_position")]
    values = {"id": "90000", "entry_id": f"'{'f0' * 16}'", "actor_name": "'mallory'", "action": "'stagegate.v1.PromotionService/ApproveTransitionRequest'"}
    copy.change(f"INSERT INTO ledger_entries ({', '.join(columns)}) SELECT {', '.join(values.get(name, name) for name in columns)} FROM ledger_entries WHERE id = {AT.format(0)}",
                f"INSERT INTO ledger_positions VALUES ({size}, 90000)")


def forge_and_hash(copy, size):
    forge(copy, size)
    leaf = copy.rehash()
    assert leaf.size == size + 1


# What the state is without a row that says so. Triggers on these tables are no obstacle for who owns the database.


def of_owner(copy, *statements):
    if copy.sqlite:
        triggers = [row[0] for row in copy.all("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        copy.change(*[f"DROP TRIGGER {name}" for name in triggers], *statements)
    else:
        copy.change("SET session_replication_role = replica", *statements)


def grant_made_admin(copy, size):
    of_owner(copy, "UPDATE grants SET persona = 'admin' WHERE principal_uid = (SELECT uid FROM users WHERE name = 'user-1')")


def grant_deleted(copy, size):
    of_owner(copy, "DELETE FROM grants WHERE principal_uid = (SELECT uid FROM users WHERE name = 'user-1')")


def user_reactivated(copy, size):
    of_owner(copy, "UPDATE users SET active = TRUE WHERE name = 'user-2'")


def user_added(copy, size):
    of_owner(copy, "INSERT INTO users (uid, name, canonical_name, display_name, kind, person_uid, active, created) "
             "SELECT 'mallory', 'mallory', 'mallory', '', 'PERSON', person_uid, TRUE, 1 FROM users WHERE name = 'admin'")


def persona_added(copy, size):
    of_owner(copy, "INSERT INTO personas (name, permissions, created) VALUES ('lord', '[\"users.manage\"]', 1)")


def gate_made_easier(copy, size):
    of_owner(copy, "UPDATE gates SET direct_moves_allowed = NOT direct_moves_allowed WHERE gate_id = 'default-production'")
