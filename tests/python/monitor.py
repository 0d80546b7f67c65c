"""A monitor of tlog-tiles and a witness, written from the C2SP specifications alone."""

import base64
import hashlib
import http.server
import threading
import time
import urllib.error
import urllib.request

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verify_export import Key


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def get(address, path, authorization=None):
    request = urllib.request.Request(f"http://{address}{path}", headers={"authorization": authorization} if authorization else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def name_of(number):
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    return "/".join(groups)


def tiles(size):
    """Level, number and width of all tiles of a tree."""
    level = 0
    while (count := size >> (8 * level)) > 0:
        for number in range((count + 255) // 256):
            yield level, number, min(256, count - 256 * number)
        level += 1


def path_of(level, number, width):
    return f"/ledger/tile/{level}/{name_of(number)}" + ("" if width == 256 else f".p/{width}")


def subtree(hashes):
    while len(hashes) > 1:
        hashes = [node(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def root(leaves):
    if len(leaves) <= 1:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node(root(leaves[:half]), root(leaves[half:]))


def consistent(old, new, old_root, new_root, proof):
    """RFC 9162, section 2.1.4.2."""
    if old == new:
        return not proof and old_root == new_root
    if old & (old - 1) == 0:
        proof = [old_root, *proof]
    if not proof:
        return False
    first, second = old - 1, new - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    fr = sr = proof[0]
    for hash_ in proof[1:]:
        if second == 0:
            return False
        if first & 1 or first == second:
            fr, sr = node(hash_, fr), node(hash_, sr)
            while first and not first & 1:
                first, second = first >> 1, second >> 1
        else:
            sr = node(sr, hash_)
        first, second = first >> 1, second >> 1
    return fr == old_root and sr == new_root and second == 0


class Receiver:
    """An HTTP server whose handler gets method, path and body, and gives status, content type and body."""

    def __init__(self, handle):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status, kind, text = handle(self.command, self.path, body, self.headers)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_PUT = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Witness(Receiver):
    """Cosigns what continues what it cosigned before."""

    def __init__(self, name, log_key):
        """`log_key` gives the log's verifier key when it is first needed."""
        self.name, self.log_key = name, log_key
        self.key = Ed25519PrivateKey.generate()
        self.size, self.root, self.refused, self.lock = 0, None, [], threading.Lock()
        public = b"\x04" + self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
        self.vkey = f"{name}+{self.key_id.hex()}+{base64.b64encode(public).decode()}"
        super().__init__(self.handle)

    def handle(self, method, path, body, _):
        if (method, path) != ("POST", "/w/add-checkpoint"):
            return 404, "text/plain", ""
        with self.lock:
            status, kind, text = self.add_checkpoint(body)
        if status != 200:
            self.refused.append(status)
        return status, kind, text

    def add_checkpoint(self, body):
        head, _, note = body.partition("\n\n")
        old, *proof = head.split("\n")
        if not old.startswith("old "):
            return 400, "text/plain", "no old size"
        old, proof = int(old.removeprefix("old ")), [base64.b64decode(line, validate=True) for line in proof]
        try:
            _, size, tree = Key(self.log_key()).checkpoint(note)
        except Exception:
            return 403, "text/plain", "not signed by the log"
        if old > size:
            return 400, "text/plain", "old is larger"
        if old != self.size:
            return 409, "text/x.tlog.size", f"{self.size}\n"
        if old == size and tree != self.root:
            return 409, "text/x.tlog.size", f"{self.size}\n"
        if (old == 0 and proof) or (old and not consistent(old, size, self.root, tree, proof)):
            return 422, "text/plain", "the proof does not hold"
        self.size, self.root = size, tree
        signed = note.partition("\n\n")[0] + "\n"
        now = int(time.time())
        signature = self.key.sign(f"cosignature/v1\ntime {now}\n{signed}".encode())
        blob = base64.b64encode(self.key_id + now.to_bytes(8, "big") + signature).decode()
        return 200, "text/plain", f"\u2014 {self.name} {blob}\n"
