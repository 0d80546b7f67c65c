#!/usr/bin/env python3
"""Verifies an export of the ledger, written from FORMAT.md alone.

verify_export.py EXPORT [--key VERIFIER_KEY] [--against CHECKPOINT_FILE]
Exit code 0: sound, and checkpoints vouch for every row. 1: not sound, with the first bad row named. 2: the input cannot
be read. 3: sound as far as it goes, but no checkpoint vouches for the last rows.
"""

import argparse
import base64
import hashlib
import json
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIELDS_BEFORE_OUTCOME = (
    "entry_id workspace_id actor_id actor_name person_id on_behalf_of token_id credential request_id "
    "source_address action object_kind object_id object_name scope_id"
).split()
EMPTY_ROOT = hashlib.sha256(b"").digest()


class NotSound(Exception):
    """The first thing that is wrong."""


def text(value):
    data = value.encode()
    return struct.pack(">I", len(data)) + data


def payload_digest(salt, payload):
    return hashlib.sha256(text("stagegate.ledger.payload") + text(salt) + text(payload)).hexdigest()


def leaf_hash(entry):
    data = text("stagegate.ledger.entry") + b"\x01" + struct.pack(">q", entry["time"])
    for field in FIELDS_BEFORE_OUTCOME:
        data += text(entry[field])
    data += text(entry["outcome"]) + text(entry["reason"]) + text(entry["payload_digest"])
    return hashlib.sha256(b"\x00" + data).digest()


class Tree:
    """The roots of the full subtrees so far, the largest first."""

    def __init__(self):
        self.size = 0
        self.subtrees = []

    def append(self, leaf):
        node, size = leaf, self.size
        while size & 1:
            node = hashlib.sha256(b"\x01" + self.subtrees.pop() + node).digest()
            size >>= 1
        self.subtrees.append(node)
        self.size += 1

    def root(self):
        if not self.subtrees:
            return EMPTY_ROOT
        node = self.subtrees[-1]
        for left in reversed(self.subtrees[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node


class Key:
    def __init__(self, verifier_key):
        origin, key_id, encoded = verifier_key.split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        if raw[0] != 1 or len(raw) != 33:
            raise ValueError("not an Ed25519 key")
        if hashlib.sha256(origin.encode() + b"\n" + raw).digest()[:4].hex() != key_id:
            raise ValueError("the key's id does not belong to it")
        self.ledger = origin.split("/")[0]
        self.raw = raw
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])

    def checkpoint(self, note):
        """The origin, size and root of a checkpoint that this key signed, under any origin of the ledger."""
        signed, _, signatures = note.partition("\n\n")
        signed += "\n"
        origin, size, root = (signed.splitlines() + ["", "", ""])[:3]
        if origin.split("/")[0] != self.ledger:
            raise InvalidSignature
        key_id = hashlib.sha256(origin.encode() + b"\n" + self.raw).digest()[:4]
        for line in signatures.splitlines():
            dash, name, encoded = (line.split(" ") + ["", ""])[:3]
            if dash != "\u2014" or name != origin:
                continue
            raw = base64.b64decode(encoded, validate=True)
            if raw[:4] == key_id:
                self.public.verify(raw[4:], signed.encode())
                return origin, int(size), base64.b64decode(root, validate=True)
        raise InvalidSignature


def texts_of(value):
    """The digests of the long texts that a payload refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("text_sha256"), str):
            return [value["text_sha256"]]
        value = list(value.values())
    return [digest for part in value for digest in texts_of(part)] if isinstance(value, list) else []


def check_row(position, entry, tree, texts):
    where = f"row {position} (entry {entry['entry_id']})"
    if position != tree.size:
        raise NotSound(f"row {tree.size}: missing or out of order: row {position} is here")
    if entry["payload"] is None:
        raise NotSound(f"{where}: the payload was removed, and no row orders that")
    if payload_digest(entry["salt"], entry["payload"]) != entry["payload_digest"]:
        raise NotSound(f"{where}: the payload was changed")
    for digest in texts_of(json.loads(entry["payload"])):
        if digest not in texts:
            raise NotSound(f"{where}: the text {digest}, to which the payload refers, is missing")
    tree.append(leaf_hash(entry))


class Origins:
    """Where the ledger went on under a new origin: (first position, origin, reason, lost origin)."""

    def __init__(self, key):
        self.key = key
        self.now = key.ledger
        self.begun = []

    def follow(self, position, entry):
        if entry["action"] != "stagegate.ledger.NewOrigin":
            return
        origin = entry["object_id"]
        if origin.split("/")[0] != self.key.ledger or origin in [self.key.ledger] + [begun[1] for begun in self.begun]:
            raise NotSound(f"row {position}: starts the origin {origin}, which is not a new one")
        said = json.loads(entry["payload"] or "{}")
        lost = said.get("lost_checkpoint")
        self.begun.append((position, origin, said.get("reason", ""), self.key.checkpoint(lost)[0] if lost else None))
        self.now = origin

    def lost(self, kept):
        """The restart in which rows of a kept checkpoint were lost."""
        names = [self.key.ledger] + [begun[1] for begun in self.begun]
        if kept[0] not in names:
            return next((begun for begun in self.begun if begun[3] == kept[0]), None)
        behind = self.begun[names.index(kept[0]):][:1]
        return behind[0] if behind and behind[0][0] < kept[1] else None


def verify(path, key_text, kept_note):
    tree, vouched, ended, texts = Tree(), 0, None, set()
    key = kept = origins = None
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            kind = record["type"]
            if kind == "begin":
                if record["format"] != 1:
                    raise ValueError(f"format {record['format']} is not known")
                key = Key(key_text or record["verifier_key"])
                if Key(record["verifier_key"]).raw != key.raw:
                    raise NotSound("the export is not of the ledger with that key")
                origins = Origins(key)
                kept = signed_by(key, kept_note, "the kept checkpoint") if kept_note else None
            elif kind == "text":
                if hashlib.sha256(record["text"].encode()).hexdigest() != record["sha256"]:
                    raise NotSound(f"row {tree.size}: the text {record['sha256']}, to which rows refer, was changed")
                texts.add(record["sha256"])
            elif kind == "entry":
                check_row(record["position"], record["entry"], tree, texts)
                origins.follow(record["position"], record["entry"])
                if kept and kept[1] == tree.size and not origins.lost(kept):
                    if kept[2] != tree.root():
                        raise NotSound(f"the first {tree.size} rows are not those of the kept checkpoint")
                    vouched = tree.size
            elif kind == "checkpoint":
                origin, size, root = signed_by(key, record["note"], f"the checkpoint behind row {tree.size - 1}")
                if size != tree.size:
                    raise NotSound(f"a checkpoint covers {size} rows, but {tree.size} are there before it")
                if origin != origins.now:
                    raise NotSound(f"the checkpoint of {size} rows is of the origin {origin}; here {origins.now} signs")
                if root != tree.root():
                    raise NotSound(f"rows {vouched} to {size - 1} do not add up to their checkpoint")
                vouched = size
            elif kind == "end":
                ended = record["entries"]
    if ended != tree.size:
        raise NotSound(f"row {tree.size}: the export ends early")
    if kept and (lost := origins.lost(kept)):
        raise NotSound(f"row {lost[0]}: rows of the kept checkpoint were lost; the ledger admits it: {lost[2]!r}")
    if kept and kept[1] > tree.size:
        raise NotSound(f"row {tree.size}: missing: the kept checkpoint covers {kept[1]} rows")
    if kept and kept[0] not in [key.ledger] + [begun[1] for begun in origins.begun]:
        raise NotSound(f"the kept checkpoint is of the origin {kept[0]}, which this ledger never had")
    return tree.size, vouched, origins.begun


def signed_by(key, note, what):
    try:
        return key.checkpoint(note)
    except (InvalidSignature, ValueError) as error:
        raise NotSound(f"{what} is not signed by the ledger's key") from error


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export")
    parser.add_argument("--key", help="the verifier key, kept elsewhere")
    parser.add_argument("--against", help="a file with a checkpoint, kept elsewhere")
    options = parser.parse_args()
    try:
        kept = open(options.against, encoding="utf-8").read() if options.against else None
        rows, vouched, restarts = verify(options.export, options.key, kept)
    except NotSound as finding:
        print(f"NOT sound: {finding}")
        return 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"cannot verify: {error!r}", file=sys.stderr)
        return 2
    print(f"sound: {rows} rows, {vouched} are vouched for")
    for position, origin, reason, _ in restarts:
        print(f"row {position} starts the origin {origin}, because the ledger was restored: {reason!r}")
    if not 0 < vouched == rows:
        print(f"NOT vouched for to the end: no checkpoint covers the {rows - vouched} rows from row {vouched} on")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
