# SPDX-License-Identifier: Apache-2.0
"""sluice scale --dry-run --compare: what each policy would do on a live queue, and that it does nothing."""

import os

from lib import contains, equal, json_lines, main, test, wait_until
from view import status

# After lib, which says where they are.
import rabbitmq

THRESHOLD = {"threshold": {"messages": 20, "every": "500ms"}}


def workers(box):
    return {pid: line for pid, line in box.living().items() if " work " in f"{line} "}


def files(box, name="orders"):
    return sorted(name for _, _, names in os.walk(box.path(f".sluice/{name}")) for name in names)


def whole(process):
    """The JSON lines on its stdout; the last one may still be being written."""
    text = process.out()
    return json_lines(text[:text.rfind("\n") + 1])


def looks(process):
    """Its lines by look: at_ms to policy to line."""
    out = {}
    for line in whole(process):
        out.setdefault(line["at_ms"], {})[line["policy"]] = line
    return [look for look in out.values() if len(look) == 2]


@test("a local queue: each policy's decision on the same look, nothing started, written or claimed")
def _(box):
    pool = box.pool(policy=THRESHOLD, workers={"max": 10})
    box.sluice("publish", "-f", pool, "--count", 200, exit=0)
    before = status(box, pool)
    dry = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "lag,threshold", "--late", "30s")
    wait_until(lambda: "threshold 20" in dry.out(), timeout=60, what="a table")
    contains(dry.err(), "comparing orders: lag 30s, threshold 20; nothing is started or changed")
    contains(dry.out(), "orders: 200 messages wait, 0 in work")
    head = dry.out().splitlines()[1].split()
    equal(head, ["POLICY", "NOW", "WANTS", "WOULD", "WHY"], "head")
    contains(dry.out(), "grow: 200 messages wait, more than 20")
    contains(dry.out(), "workers start them within 30 s")
    equal(dry.stop().exit, 0, "exit")

    said = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "lag,threshold", "-o", "json")
    wait_until(lambda: len(looks(said)) >= 3, timeout=60, what="three looks")
    for look in looks(said):
        equal({key: line["workers"] for key, line in look.items()}, {"lag": 0, "threshold": 0}, "workers there")
        equal(look["threshold"]["own"], True, "the pool's own")
        equal(look["threshold"]["decision"]["change"], 1, "one after the other")
        assert look["lag"]["decision"]["change"] > 1, look
        equal(len(look["lag"]["plan"]["start"]), look["lag"]["decision"]["change"], "what it would start")
    equal(said.stop().exit, 0, "exit")
    equal({line["event"] for line in whole(said)}, {"compare"}, "lines")

    equal(workers(box), {}, "workers")
    equal(files(box), [], "files in the state folder")
    after = status(box, pool)
    equal({key: after[key] for key in ("ready", "in_flight", "acked_n")},
          {key: before[key] for key in ("ready", "in_flight", "acked_n")}, "the queue")


@test("beside a running scaler it sees that one's workers, and neither is in the other's way")
def _(box):
    box.write("handle", "#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.05; done\n", mode=0o755)
    pool = box.pool(policy=THRESHOLD, workers={"max": 2, "idleExit": "1s",
                                               "run": {"command": ["sluice", "work", "--exec", "./handle"]}})
    box.sluice("publish", "-f", pool, "--count", 60, exit=0)
    dry = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "lag,threshold", "-o", "json")
    wait_until(lambda: looks(dry), timeout=60, what="a look")
    real = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: looks(dry)[-1]["lag"]["workers"] == 2, timeout=60, what="it to see two workers")
    later = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "lag,threshold", "-o", "json")
    wait_until(lambda: looks(later), timeout=60, what="one that is started later")
    equal(looks(later)[0]["threshold"]["workers"], 2, "workers there")
    for dry_run in (dry, later):
        equal(dry_run.stop().exit, 0, "exit")
    equal(len(workers(box)), 2, "workers")
    box.write("go", "")
    wait_until(lambda: status(box, pool)["acked_n"] == 60, timeout=60, what="the real one's workers to do all")
    equal(real.stop().exit, 0, "exit")
    journal = json_lines(box.read(".sluice/orders/journal.jsonl"))
    equal(sum(line["event"] == "pool" for line in journal), 1, "only one has written the journal")
    box.sluice("decide", "--journal", ".sluice/orders/journal.jsonl", exit=0)


@test("the policy lag begins a comparison with what the pool's scaler has learned")
def _(box):
    pool = box.pool(policy={"lag": {"max": "6s", "every": "500ms"}}, workers={"max": 2, "idleExit": "1s"})
    box.sluice("publish", "-f", pool, "--count", 20, exit=0)
    scaler = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: status(box, pool)["acked_n"] == 20, timeout=60, what="all to be done")
    equal(scaler.stop().exit, 0, "exit")
    journal = box.read(".sluice/orders/journal.jsonl")
    dry = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "threshold,lag", "-o", "json")
    wait_until(lambda: looks(dry), timeout=60, what="a look")
    contains(dry.err(), "orders: policy lag goes on with what is in its journal")
    equal(looks(dry)[0]["lag"]["own"], True, "the pool's own")
    equal(dry.stop().exit, 0, "exit")
    equal(box.read(".sluice/orders/journal.jsonl"), journal, "the journal")


@test("RabbitMQ: the two differ, and the messages stay where they are")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker:
        broker.declare_queue("orders")
        pool = box.pool(policy=THRESHOLD, workers={"max": 10},
                        queue={"rabbitmq": {"url": broker.amqp_url, "queue": "orders",
                                            "management": broker.management_url}})
        box.sluice("publish", "-f", pool, "--count", 120, exit=0)
        dry = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "lag,threshold", "-o", "json")
        # The management API is behind: at first lag says that it cannot tell.
        wait_until(lambda: looks(dry) and looks(dry)[-1]["lag"]["decision"]["change"] > 1, timeout=90,
                   what="lag to have read what was published")
        last = looks(dry)[-1]
        equal(last["threshold"]["decision"]["change"], 1, "threshold")
        contains(last["threshold"]["decision"]["reason"], "grow: 120 messages wait, more than 20")
        contains(last["lag"]["decision"]["reason"], "grow: 120 messages wait")
        counts = status(box, pool)
        equal(dry.stop().exit, 0, "exit")
        equal((counts["ready"], counts["in_flight"]), (120, 0), "waiting and in work")
        equal(workers(box), {}, "workers")
        equal(files(box), [], "files in the state folder")


@test("what cannot be compared is refused with what is accepted, before anything is looked at")
def _(box):
    pool = box.pool(policy=THRESHOLD)
    cloud = box.pool("cloud", policy={"backlogPerWorker": {"messages": 5}},
                     queue={"pubsub": {"project": "project-1", "subscription": "orders"}})
    for file, flags, says in [
            (pool, ["--dry-run", "--compare", "lagg"], "did you mean lag?; accepted: lag, threshold, backlogPerWorker"),
            (pool, ["--dry-run", "--compare", ""], "accepted"),
            (pool, ["--compare", "lag"], "--dry-run"),
            (pool, ["--dry-run", "--drain", "--compare", "lag"], "--drain"),
            (pool, ["--dry-run", "--late", "30s"], "--compare"),
            (pool, ["--dry-run", "--compare", "lag", "--late", "0s"], "1ms and more"),
            (cloud, ["--dry-run", "--compare", "hpa,lag"], "pool cloud: --compare lag: ")]:
        done = box.sluice("scale", "-f", file, *flags, exit=2)
        contains(done.err, says)
        equal(done.out, "", "stdout")
    assert not box.path(".sluice").exists()


main()
