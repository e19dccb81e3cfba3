# SPDX-License-Identifier: Apache-2.0
"""sluice explain: why a pool is as it is, from its journal."""

import json

from lib import contains, equal, main, test
from view import journal, published_and_scaled, ticks


@test("an empty pool has no tick yet, and says what makes one")
def _(box):
    pool = box.pool()
    done = box.sluice("explain", "-f", pool, exit=1)
    contains(done.err, "default/orders: no tick yet: no scaler has run")
    contains(done.err, "scale -f")
    box.path(".sluice/orders").mkdir(parents=True)
    journal(box).write_text("")
    contains(box.sluice("explain", exit=1).err, "no tick yet: the journal is empty")


@test("a folder without pools is a usage error that says what to do")
def _(box):
    contains(box.sluice("explain", exit=2).err, "there is no .sluice/ in this folder")


@test("a decision is told in its order: seen, needed, clamps, did, change")
def _(box):
    published_and_scaled(box)
    grow = next(t for t in ticks(journal(box)) if t["decision"]["change"] > 0)
    done = box.sluice("explain", "--tick", grow["tick"], exit=0)
    contains(done.out, "default/orders grows from 0 to 1 worker: 12 messages wait, more than 1.")
    labels = [line.split()[0] for line in done.out.splitlines()[1:] if line.startswith("  ") and line[2] != " "]
    equal(labels, ["tick", "seen", "needed", "did"])
    contains(done.out, "ready 12 > messages 1: yes")
    contains(done.out, "asked for orders-w0")
    equal(max(len(line) for line in done.out.splitlines()) <= 100, True, "lines fit")


@test("what would change a decision is true when it is tried")
def _(box):
    published_and_scaled(box)
    tick = ticks(journal(box))[-1]
    state = {"fresh": False, "hold_until_ms": None, "blind_since_ms": None, "broken": None}
    question = {"policy": {"threshold": {"messages": 1, "every": "1s"}}, "workers": {"max": 2, "idleExit": "1s"},
                "at_ms": tick["at_ms"], "state": state,
                "seen": {"queue": {"ready": {"n": 0, "age_ms": 0}}, "workers": {"idle": 1}, "fleet": {"age_ms": 0}}}

    def decided(ready):
        question["seen"]["queue"]["ready"]["n"] = ready
        return box.sluice("decide", input=json.dumps(question) + "\n", exit=0).json[0]["decision"]

    tick.update(decision=decided(0), seen=question["seen"], plan={"start": [], "withdraw": [], "drain": []})
    with journal(box).open("a") as f:
        for line in ({"event": "state", "tick": tick["tick"], "pool": tick["pool"], "state": state}, tick):
            f.write(json.dumps(line, separators=(",", ":")) + "\n")
    line = box.sluice("explain", "-o", "json", exit=0).json[0]
    n = int(next(c for c in line["would_change"] if "waiting message" in c).split()[0])
    equal((decided(n - 1)["change"], decided(n)["change"]), (0, 1), f"growth below and at {n}")


@test("a time finds the decision that was in force, in every file of the journal")
def _(box):
    published_and_scaled(box)
    path = journal(box)
    all_ticks = ticks(path)
    path.rename(path.with_name("journal.jsonl.1"))
    path.write_text("")
    line = box.sluice("explain", "--at", all_ticks[1]["at"], "-o", "json", exit=0).json[0]
    equal(line["tick"], all_ticks[1]["tick"])
    contains(box.sluice("explain", "--at", "2020-01-01T00:00:00Z", exit=1).err, "begins after")
    contains(box.sluice("explain", "--at", "soon", exit=2).err, "accepted: 14:02:40")
    contains(box.sluice("explain", "--tick", "none-1", exit=1).err, "no tick none-1")


@test("the last decisions come one a line, and torn or foreign lines are left out")
def _(box):
    published_and_scaled(box)
    path = journal(box)
    known = len(ticks(path))
    with path.open("a") as f:
        f.write('{"event":"tick","tick":"half')
    equal(len(box.sluice("explain", "-n", "1000", "-o", "json", exit=0).json), known)
    box.sluice("explain", "-n", "0", exit=2)


@test("unknown values are shown as ? and a name that does not exist suggests the nearest")
def _(box):
    published_and_scaled(box)
    path = journal(box)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    last = [line for line in lines if line["event"] == "tick"][-1]
    last["seen"]["queue"] = {"error": "disk I/O error"}
    last["decision"] = {"workers": 0, "change": 0, "reason": "blind: backlog unknown: disk I/O error", "clamps": []}
    with path.open("a") as f:
        f.write(json.dumps(last, separators=(",", ":")) + "\n")
    done = box.sluice("explain", exit=0)
    contains(done.out, "is blind and stays at 0 workers")
    contains(done.out, "ready ?")
    contains(done.out, "queue: disk I/O error")
    contains(box.sluice("explain", "ordres", exit=2).err, "did you mean orders?")


main()
