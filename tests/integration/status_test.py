# SPDX-License-Identifier: Apache-2.0
"""sluice status and sluice top: what is, read from outside."""

from lib import contains, equal, main, test, wait_until
from view import published_and_scaled, status


@test("a pool nobody published to is unknown, not zero, and nothing is made by looking")
def _(box):
    pool = box.pool()
    done = box.sluice("status", "-f", pool, "-o", "json", exit=0)
    equal(done.json[-1]["ready"], None)
    equal(done.json[-1]["state"], "off")
    equal(sorted(p.name for p in box.dir.iterdir() if p.name != ".logs"), ["orders.yaml"], "files")


@test("messages that wait without a scaler need you, and the next command is named")
def _(box):
    pool = box.pool()
    box.sluice("publish", "-f", pool, "--count", 3, exit=0)
    equal(status(box, pool)["ready"], 3)
    equal(status(box, pool)["needs_you"], True)
    done = box.sluice("status", "-f", pool, exit=0)
    contains(done.out, "1 pool, 1 needs you: orders")
    contains(done.out, f"scale -f {pool}")


@test("a running scaler is seen with its workers and its reason")
def _(box):
    pool = box.pool(workers={"run": {"command": ["sluice", "work", "--simulate", "60s"]}})
    box.sluice("publish", "-f", pool, "--count", 3, exit=0)
    scaler = box.start_sluice("scale", "-f", pool)
    seen = wait_until(lambda: (lambda s: s if s["workers"]["busy"] == 1 else None)(status(box, pool)), timeout=30,
                      what="a busy worker")
    equal(seen["scaler"]["pid"], scaler.pid)
    equal((seen["ready"], seen["in_flight"], seen["workers"]["live"]), (2, 1, 1))
    here = box.sluice("status", exit=0)
    contains(here.out, "default")
    equal(max(len(line) for line in here.out.splitlines()[:2]) <= 100, True, "the table fits")
    scaler.stop()
    equal(status(box, pool)["state"], "off")


@test("a damaged queue is unknown and named, exit 3")
def _(box):
    pool = published_and_scaled(box)
    box.path("orders.db").write_bytes(b"no queue at all" * 1000)
    done = box.sluice("status", "-f", pool, "-o", "json", exit=3)
    equal(done.json[-1]["ready"], None)
    contains(done.err, "orders.db")


@test("top without a terminal prints one frame of plain text")
def _(box):
    pool = published_and_scaled(box)
    for flags in ((), ("--once",)):
        done = box.sluice("top", "-f", pool, *flags, exit=0)
        contains(done.out, "backlog")
        contains(done.out, "WORKERS")
        equal("\x1b" in done.out, False, "escape sequences")


main()
