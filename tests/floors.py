#!/usr/bin/env python3
"""Versions in Cargo.lock below which a crate had a flaw that touches this server."""

import re
import sys

FLOORS = {
    "jsonwebtoken": (10, 3, 0),  # CVE-2026-25537: claims of a wrong type were not checked
    "tonic": (0, 14, 3),  # messages were bounded only before they were decompressed
    "sqlx-core": (0, 8, 1),  # RUSTSEC-2024-0363
    "h2": (0, 4, 4),  # RUSTSEC-2024-0332
}

text = open("Cargo.lock", encoding="utf-8").read()
found = re.findall(r'name = "([^"]+)"\nversion = "(\d+)\.(\d+)\.(\d+)', text)
bad = [
    f"{name} {'.'.join(version)} is below {'.'.join(map(str, FLOORS[name]))}"
    for name, *version in found
    if name in FLOORS and tuple(map(int, version)) < FLOORS[name]
]
missing = FLOORS.keys() - {name for name, *_ in found}
for line in bad + [f"{name} is not in Cargo.lock" for name in sorted(missing)]:
    print(line)
sys.exit(bool(bad or missing))
