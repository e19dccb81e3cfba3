# SPDX-License-Identifier: Apache-2.0
"""sluice demo: what it promises, read from its summary, its journal and its ledger."""

import collections
import os
import re
import signal

from lib import contains, equal, json_lines, main, test, wait_until

JOURNAL = "sluice-demo/.sluice/orders/journal.jsonl"
KEYS = ["event", "published", "confirmed", "processed", "duplicates", "lost", "dead_lettered", "queued", "in_flight",
        "workers_started", "workers_live_max", "workers_left", "wait_p50_s", "wait_p99_s", "worker_seconds",
        "node_seconds", "seconds"]
PLACES = 6  # three nodes of two workers


def check_journal(journal):
    """Each start at least 10 s after the one before, and that one had started; never more workers than places."""
    ticks = {line["tick"]: line for line in journal if line["event"] == "tick"}
    acts = [line for line in journal if line["event"] == "act" and line["did"]["started"]]
    for act in acts:
        equal(len(act["did"]["started"]), 1, "workers started at once")
        seen = ticks[act["tick"]]["seen"]["workers"]
        on_their_way = seen["requested"] + seen["unscheduled"] + seen["starting"]
        equal(on_their_way, 0, "workers on their way when another was started")
        contains(ticks[act["tick"]]["decision"]["reason"], "grow: ")
    at = [ticks[act["tick"]]["at_ms"] for act in acts]
    for earlier, later in zip(at, at[1:]):
        assert later - earlier >= 10_000, f"started {later - earlier} ms apart: {at}"
    for tick in ticks.values():
        assert sum(tick["seen"]["workers"].values()) <= PLACES, tick
    return len(acts)


@test("200 messages: all confirmed and processed once, workers 10 s apart, all leave by themselves")
def _(box):
    done = box.sluice("demo", "--output", "json", exit=0, timeout=240)
    lines = done.json
    summary = lines[-1]
    equal(list(summary), KEYS, "keys of the summary, in order")
    for key, want in {"published": 200, "confirmed": 200, "processed": 200, "duplicates": 0, "lost": 0,
                      "dead_lettered": 0, "queued": 0, "in_flight": 0}.items():
        equal(summary[key], want, key)
    equal(summary["workers_left"], summary["workers_started"], "workers left")
    assert 3 <= summary["workers_live_max"] <= min(PLACES, summary["workers_started"]), summary
    assert 0 <= summary["wait_p50_s"] <= summary["wait_p99_s"] <= summary["seconds"] <= 200, summary
    assert summary["worker_seconds"] > 0 and summary["node_seconds"] > summary["seconds"] / 2, summary
    ledger = collections.Counter(line.split()[0] for line in box.read("sluice-demo/ledger.txt").splitlines())
    equal(ledger, {f"order-{n}": 1 for n in range(1, 201)}, "the ledger")
    equal(check_journal(json_lines(box.read(JOURNAL))), summary["workers_started"], "starts in the journal")
    equal([pid for pid, line in box.living().items()], [], "processes left")
    again = box.sluice("decide", "--journal", JOURNAL, exit=0).json
    equal([line for line in again if not line["same"]], [], "ticks that are decided otherwise when run again")
    equal(len(again), sum(line["event"] == "tick" for line in json_lines(box.read(JOURNAL))), "ticks run again")


@test("Ctrl-C: workers finish what they have, what is left is said; a demo's folder is replaced by the next")
def _(box):
    demo = box.start_sluice("demo", "--count", 60)
    ledger = box.path("sluice-demo/ledger.txt")
    wait_until(lambda: ledger.exists() and ledger.read_text(), what="a message to be done", timeout=60)
    demo.signal(signal.SIGINT)
    done = demo.wait(60)
    equal(done.exit, 3, "exit")
    summary = re.search(r"(\d+) processed, (\d+) lost, (\d+) twice", done.out)
    equal(summary.groups()[1:], ("0", "0"), "lost and twice")
    queued = re.search(r"60 of 60 confirmed; (\d+) still queued", done.out)
    equal(int(summary.group(1)) + int(queued.group(1)), 60, "processed and queued")
    contains(done.out, "scale -f sluice-demo/pool.yaml")
    equal(box.living(), {}, "processes left")
    box.write("sluice-demo/mine.txt", "mine")
    second = box.start_sluice("demo", "--count", 21)
    equal(second.wait(90).exit, 0, "exit of the next demo")
    equal(len(ledger.read_text().splitlines()), 21, "its ledger")
    equal(box.read("sluice-demo/mine.txt"), "mine", "a file that somebody put there")


@test("a second Ctrl-C puts back at once what workers have")
def _(box):
    demo = box.start_sluice("demo", "--count", 30)
    wait_until(lambda: "takes messages" in demo.out(), what="a worker", timeout=60)
    box.write("sluice-demo/handle", "#!/bin/sh\necho $$ >> begun.txt\nsleep 100\n", mode=0o755)
    wait_until(lambda: box.path("sluice-demo/begun.txt").exists(), what="a handler that takes long", timeout=30)
    demo.signal(signal.SIGINT)
    wait_until(lambda: "workers finish what they have" in demo.out(), what="the draining")
    demo.signal(signal.SIGINT)
    done = demo.wait(30)
    equal(done.exit, 3, "exit")
    contains(done.out, " 0 lost, 0 twice")
    equal(box.living(), {}, "processes left")


@test("a count that would never start a worker is refused, and why")
def _(box):
    contains(box.sluice("demo", "--count", 20, exit=2).err, "21 to 1000000")
    equal(box.path("sluice-demo").exists(), False, "a folder made")


@test("a folder that no demo made is refused and left alone; a running demo's too")
def _(box):
    box.write("sluice-demo/precious.txt", "keep me")
    contains(box.sluice("demo", exit=2).err, "--dir")
    equal(os.listdir(box.path("sluice-demo")), ["precious.txt"], "the folder")
    running = box.start_sluice("demo", "--dir", "here", "--count", 30)
    wait_until(lambda: "takes messages" in running.out(), what="the demo to run", timeout=60)
    contains(box.sluice("demo", "--dir", "here", exit=1).err, "still runs")
    running.signal(signal.SIGTERM)
    equal(running.wait(60).exit, 3, "exit of the demo that ran")


main()
