# SPDX-License-Identifier: Apache-2.0
"""What the scripts about looking share: a pool that has been scaled for a while, without timing in it."""

from lib import json_lines, wait_until


def published_and_scaled(box, count=12, **spec):
    """Publishes and scales until all is done; returns the pool file. The scaler has ended."""
    box.write("handle", "#!/bin/sh\nexit 0\n", mode=0o755)
    workers = {"max": 2, "idleExit": "1s", "run": {"command": ["sluice", "work", "--exec", "./handle"]}}
    workers.update(spec.pop("workers", {}))
    spec.setdefault("policy", {"threshold": {"messages": 1, "every": "1s"}})
    pool = box.pool(workers=workers, **spec)
    box.sluice("publish", "-f", pool, "--count", count, exit=0)
    scaler = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: status(box, pool)["acked_n"] == count or not scaler.alive(), timeout=60, what="all to be done")
    scaler.stop()
    return pool


def status(box, pool):
    return box.sluice("status", "-f", pool, "--output", "json").json[-1]


def journal(box, name="orders"):
    return box.path(f".sluice/{name}/journal.jsonl")


def ticks(path):
    return [line for line in json_lines(path.read_text()) if line["event"] == "tick"]
