# SPDX-License-Identifier: Apache-2.0
"""sluice scale --dry-run --compare: what several policies would do with a live queue, which none of them touches."""

import json

from lib import contains, equal, json_lines, main, test, wait_until
from view import journal, status

# After lib, which says where they are.
import rabbitmq

THRESHOLD = {"threshold": {"messages": 20, "every": "1s"}}


def living_workers(box):
    return {pid: line for pid, line in box.living().items() if " work " in f"{line} "}


def decisions(line):
    """{name: (workers, first word of the reason)}"""
    return {one["name"]: (one["decision"]["workers"], one["decision"]["reason"].split(":")[0])
            for one in line["policies"]}


def compared(box, pool, *flags):
    """The first line of JSON, and the run, stopped."""
    run = box.start_sluice("scale", "-f", pool, "--dry-run", *flags, "-o", "json")
    wait_until(lambda: run.out().count("\n") >= 1, what="a look", timeout=30)
    equal(run.stop().exit, 0, "exit")
    lines = json_lines(run.out())
    equal({line["event"] for line in lines}, {"compare"}, "nothing but comparisons on stdout")
    return lines[0]


@test("lag and threshold beside each other on the file queue, with reasons; nothing is started or changed")
def _(box):
    pool = box.pool(policy=THRESHOLD, workers={"max": 50})
    box.sluice("publish", "-f", pool, "--count", 60, exit=0)
    first = compared(box, pool, "--compare", "lag=10s,threshold")
    said = decisions(first)
    equal(said["threshold, the pool's own"], (1, "grow"), "one worker after the other")
    assert said["lag 10s"][0] > 3 and said["lag 10s"][1] == "grow", said
    equal(first["seen"]["queue"]["ready"]["n"], 60, "what was seen")
    for one in first["policies"]:
        contains(one["decision"]["reason"], "60 messages wait")
    run = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "lag=10s,threshold,backlogPerWorker=30")
    wait_until(lambda: "backlogPerWorker 30" in run.out(), what="the table", timeout=30)
    equal(run.stop().exit, 0, "exit")
    table = run.out().splitlines()
    contains(table[0], "60 wait, 0 in work, 0 workers")
    equal(table[1].split(), ["POLICY", "WANTS", "CHANGE", "WHY"], "head")
    contains(table[2], "grow: 60 messages wait and 0 are in work; backlog: ")
    contains(table[3], "grow: 60 messages wait, more than 20")
    contains(table[4], " 2      +2  grow: ")
    equal(living_workers(box), {}, "workers")
    equal(list(box.dir.glob(".sluice/**/journal*")), [], "journals")


@test("beside a running scaler, whose pool goes on")
def _(box):
    pool = box.pool(policy={"backlogPerWorker": {"messages": 1, "every": "1s"}}, workers={"max": 5})
    box.sluice("publish", "-f", pool, "--count", 2, exit=0)
    dry = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "backlogPerWorker,threshold=500")
    wait_until(lambda: "threshold 500" in dry.out(), what="the table", timeout=30)
    real = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: "orders-w1" in real.out(), what="the real one to act", timeout=30)
    wait_until(lambda: "2 workers" in dry.out(), what="the dry one to see it", timeout=30)
    equal(dry.stop().exit, 0, "exit")
    equal(real.stop().exit, 0, "exit")


@test("the policy lag begins with what the pool's scaler has learned, and leaves the journal alone")
def _(box):
    pool = box.pool(policy={"lag": {"max": "6s", "every": "500ms"}}, workers={"max": 2, "idleExit": "1s"})
    box.sluice("publish", "-f", pool, "--count", 20, exit=0)
    real = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: status(box, pool)["acked_n"] == 20, what="all to be done", timeout=60)
    equal(real.stop().exit, 0, "exit")
    written = journal(box).read_text()
    run = box.start_sluice("scale", "-f", pool, "--dry-run", "--compare", "threshold,lag", "-o", "json")
    wait_until(lambda: run.out().count("\n") >= 1, what="a look", timeout=30)
    contains(run.err(), "orders: policy lag goes on with what is in its journal")
    equal(run.stop().exit, 0, "exit")
    equal(journal(box).read_text(), written, "the journal")


@test("on a real RabbitMQ, by its management API; the messages stay where they are")
def _(box):
    with rabbitmq.Broker(box.dir / "broker") as broker:
        pool = box.pool(policy=THRESHOLD, workers={"max": 50}, queue={"rabbitmq": {
            "url": broker.amqp_url, "queue": "orders", "management": broker.management_url}})
        broker.declare_queue("orders", durable=True)
        box.sluice("publish", "-f", pool, "--count", 60, exit=0)
        said = {}

        def all_seen():
            said.update(decisions(compared(box, pool, "--compare", "lag=10s,threshold")))
            return said["threshold, the pool's own"] == (1, "grow") and said["lag 10s"][1] == "grow"

        # Its statistics are some seconds behind.
        wait_until(all_seen, what="both to see what waits", timeout=60)
        assert said["lag 10s"][0] > 3, said
        wait_until(lambda: broker.queue("orders").get("messages_ready") == 60, what="60 messages there", timeout=60)
    equal(living_workers(box), {}, "workers")


@test("what is no policy or no value is a usage error that names what is accepted")
def _(box):
    pool = box.pool(policy=THRESHOLD, workers={"max": 50})
    for text, says in [("lga", "did you mean lag?"), ("", "accepted: lag, threshold"), ("lag=x", "accepted: a time"),
                       ("threshold=", "accepted: messages"), ("lag,,threshold", "accepted: lag, threshold"),
                       ('hpa=1"}', "accepted: an AverageValue"), ("threshold=-1", "accepted: messages")]:
        done = box.sluice("scale", "-f", pool, "--dry-run", "--compare", text, exit=2)
        contains(done.err, says)
        equal(done.out, "", "stdout")
    done = box.sluice("scale", "-f", pool, "--compare", "lag", exit=2)
    contains(done.err, "say --dry-run as well")
    equal(json.dumps(sorted(p.name for p in box.dir.glob(".sluice/**/journal*"))), "[]", "journals")


if __name__ == "__main__":
    main()
