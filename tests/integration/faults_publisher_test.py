# SPDX-License-Identifier: Apache-2.0
"""Rows F17 to F21 of the fault table: what happens to a publisher, on a real RabbitMQ."""

import datetime
import json
import re
import signal
import struct
import subprocess
import time

from lib import contains, equal, main, scaled, wait_until

# After lib, which says where the tools are.
import amqp_script
from faults import Rig, row, seconds_since

LIMIT = 60  # seconds that publish waits for a broker that takes nothing


def start_publish(box, queue, count, run="r"):
    return box.start_sluice("publish", "--queue", queue, "--count", count, "--run", run, "-o", "json")


def ids(count, run="r"):
    return {f"{run}-{n}" for n in range(1, count + 1)}


def listed(done, state):
    return {line["id"] for line in done.json if line.get("state") == state}


def in_queue(rig, count):
    """Ids in the order they wait, taken out; a copy of a message has the same id."""
    return [one["properties"]["message_id"] for one in rig.broker.get(rig.name, count)]


def silence(link, seconds=0.3):
    """Returns when the broker has said nothing for that long."""
    heard = [link.stats()["down"], time.monotonic()]

    def silent():
        if link.stats()["down"] != heard[0]:
            heard[:] = [link.stats()["down"], time.monotonic()]
        return time.monotonic() - heard[1] > seconds

    wait_until(silent, what="the broker to have said all")


def unconfirmed(box, rig, link, count):
    """A publisher whose first message was confirmed; the others are in the queue, and their confirms do not come."""
    already = rig.ready()
    publisher = box.start_sluice("publish", "--queue", rig.queue(link.port), "--run", "r", "-o", "json", "--lines", "-",
                                 stdin=subprocess.PIPE)
    publisher.popen.stdin.write(b"line 1\n")
    publisher.popen.stdin.flush()
    wait_until(lambda: rig.ready() == already + 1, what="the first message", timeout=20, every=0.05)
    silence(link)  # its confirm is through
    link.hold("down")
    publisher.popen.stdin.write(b"".join(b"line %d\n" % n for n in range(2, count + 1)))
    publisher.popen.stdin.flush()
    wait_until(lambda: rig.ready() == already + count, what="the others", timeout=20, every=0.05)
    return publisher


@row("F17")
def _(box):
    rig = Rig(box)
    with rig.proxy() as link:
        link.cut_after(20000)  # in the middle of a message
        done = box.sluice("publish", "--queue", rig.queue(link.port), "--count", 300, "--run", "a", "-o", "json",
                          exit=0)
        equal(done.json[-1]["confirmed"], 300, "confirmed")
        equal(link.stats()["accepted"], 2, "connections")
        # The broker has them all, and its confirms are lost with the link.
        publisher = unconfirmed(box, rig, link, 50)
        at = time.monotonic()
        publisher.popen.stdin.close()
        link.cut()
        link.heal()
        ended = publisher.wait(20)
        equal((ended.exit, ended.json[-1]["confirmed"]), (0, 50), "exit and confirmed")
        took = seconds_since(at)
    got = in_queue(rig, 1000)
    equal(set(got), ids(300, "a") | ids(50), "ids in the queue")
    copies = len(got) - len(set(got))
    return took, f"all 350 confirmed, exit 0; {copies} sent twice, under the same id"


@row("F18")
def _(box):
    rig = Rig(box)
    full = {"x-max-length": 3, "x-overflow": "reject-publish"}
    rig.broker.declare_queue(f"{rig.name}.full", "classic", full)
    block = rig.block()
    block["rabbitmq"]["queue"] = f"{rig.name}.full"
    refused = box.sluice("publish", "--queue", json.dumps({"queue": block}), "--count", 10, "--run", "r", "-o", "json",
                         exit=3)
    equal((refused.json[-1]["confirmed"], refused.json[-1]["failed"]), (3, 7), "confirmed and nacked")
    contains(refused.json[0]["why"], "nack")
    block["rabbitmq"]["queue"] = f"{rig.name}.absent"
    returned = box.sluice("publish", "--queue", json.dumps({"queue": block}), "--count", 5, "-o", "json", exit=1)
    equal(returned.json[-1]["failed"], 5, "returned")
    contains(returned.json[0]["why"], "NO_ROUTE")
    took = silent_confirms(box, rig) if scaled(False, True) else None
    seen = "7 nacked and 5 returned: failed, with the reason"
    return None, f"{seen}; 20 without a confirm: unknown, listed, after {took:.0f} s" if took else seen


def silent_confirms(box, rig):
    """For as long as publish waits."""
    with rig.proxy() as link:
        publisher = unconfirmed(box, rig, link, 20)
        publisher.popen.stdin.close()
        at = time.monotonic()
        ended = publisher.wait(LIMIT + 30)
        took = seconds_since(at)
    equal((ended.exit, listed(ended, "unknown")), (3, ids(20) - {"r-1"}), "exit and ids listed")
    return took


ALARM = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)([+-]\d\d:\d\d) .*(?:sufficient|alarm.*clear)", re.I | re.M)


def cleared_at(log):
    """When the broker wrote that the alarm is over."""
    found = ALARM.findall(log)
    return datetime.datetime.fromisoformat("".join(found[-1])).timestamp()


@row("F19")
def _(box):
    rig = Rig(box)
    broker = rig.broker
    broker.ctl("set_disk_free_limit", str(10 ** 15))
    try:
        publisher = start_publish(box, rig.queue(), 500)
        wait_until(lambda: any(one["state"] in ("blocking", "blocked") for one in broker.connections("sluice publish")),
                   what="the broker to block it", timeout=20)
        refused = start_publish(box, rig.queue(), 20, "late") if scaled(False, True) else None
        at = time.monotonic()
        if refused:
            ended = refused.wait(LIMIT + 20)
            waited = seconds_since(at)
            equal(ended.exit, 1, "exit of one that waits to its limit")
            equal(listed(ended, "failed") | listed(ended, "unknown"), ids(20, "late"), "ids listed")
            publisher.wait(LIMIT + 20)
            publisher = start_publish(box, rig.queue(), 500, "again")
            wait_until(lambda: any(one["state"] in ("blocking", "blocked")
                                   for one in broker.connections("sluice publish")), what="a blocked one", timeout=20)
        assert publisher.alive(), "it did not wait"
    finally:
        broker.ctl("set_disk_free_limit", str(50 * 10 ** 6))
    ended = publisher.wait(20)
    took = max(0.0, time.time() - cleared_at(broker.log()))
    equal((ended.exit, ended.json[-1]["confirmed"]), (0, 500), "exit and confirmed")
    got = in_queue(rig, 2000)
    run = "again" if refused else "r"
    equal(ids(500, run) - set(got), set(), "confirmed and gone")
    seen = f"waits, then 500 of 500 confirmed {took:.2f} s after the alarm"
    if refused:
        seen += f"; one that met its limit ended after {waited:.0f} s, exit 1, all ids listed"
    return took, seen


@row("F20")
def _(box):
    rig = Rig(box)
    with rig.proxy() as link:
        publisher = unconfirmed(box, rig, link, 30)
        publisher.signal(signal.SIGTERM)
        at = time.monotonic()
        ended = publisher.wait(20)
        took = seconds_since(at)
    equal((ended.exit, ended.json[-1]["confirmed"]), (3, 1), "exit and confirmed")
    equal(listed(ended, "unknown"), ids(30) - {"r-1"}, "ids listed")
    equal(len(in_queue(rig, 100)), 30, "in the queue")
    return took, "SIGTERM: waits for the confirms, then lists 29 ids as unknown, exit 3"


@row("F21")
def _(box):
    def orders(broker):
        broker.shake_hands()
        channel = broker.until(amqp_script.SELECT)
        broker.answer(channel, amqp_script.SELECT, b"")
        while broker.published < 10:
            broker.answer(*broker.method())

        def settle(number, tag, multiple=False):
            broker.send(amqp_script.method(channel, number, struct.pack(">QB", tag, multiple)))

        settle(amqp_script.ACK, 9)
        settle(amqp_script.NACK, 2)
        settle(amqp_script.ACK, 4)
        settle(amqp_script.ACK, 4)          # again: nothing is left to settle
        settle(amqp_script.ACK, 7, True)    # 1, 3, 5, 6, 7
        settle(amqp_script.NACK, 5, True)   # all of them settled
        settle(amqp_script.ACK, 77)         # never published
        settle(amqp_script.ACK, 8)
        settle(amqp_script.ACK, 10)
        broker.serve()

    with amqp_script.ScriptedBroker(orders) as broker:
        done = box.sluice("publish", "--queue",
                          json.dumps({"queue": {"rabbitmq": {"url": broker.url, "queue": "q"}}}),
                          "--count", 10, "--run", "r", "-o", "json", exit=3)
        assert broker.failure is None, broker.failure
        equal(broker.connections, 1, "connections")
    summary = done.json[-1]
    equal((summary["confirmed"], summary["failed"], summary["unknown"]), (9, 1, 0), "each has one answer")
    equal(listed(done, "failed"), {"r-2"}, "the nacked one")
    return None, "acks 9, 4, 4 again, to 7, 8, 10, a nack of 2 and of the settled: 9 confirmed, 1 failed"


main()
