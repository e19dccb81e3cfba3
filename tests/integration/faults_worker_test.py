# SPDX-License-Identifier: Apache-2.0
"""Rows F1 to F14 of the fault table: what happens to a worker, on a real RabbitMQ."""

import collections
import json
import os
import random
import signal
import time

from lib import contains, equal, main, scaled, wait_until

# After lib, which says where the tools are.
import amqp_script
from faults import HANDLER, Rig, heartbeat, row, seconds_since
from memory_limit import MemoryLimit

BOTH = ("quorum", "classic")


def handlers(box):
    return [pid for pid, line in box.living().items() if "./handle" in line and " work " not in line]


@row("F1")
def _(box):
    worst = 0.0
    for kind in BOTH:
        rig = Rig(box, type=kind)
        rig.publish(1)
        rig.hold()
        first = rig.work()
        rig.wait_begun(1)
        second = rig.work()
        at = time.monotonic()
        first.kill()
        begun = rig.wait_begun(2)
        worst = max(worst, seconds_since(at))
        equal(begun[-1][1:], (2, "crash"), f"attempt and cause on a {kind} queue")
        rig.go_on()
        rig.wait_ended(1)
        equal(second.stop().exit, 0, "exit")
        rig.end()
        box.path("ledger.txt").unlink()
        box.path("ended.txt").unlink()
    return worst, "attempt 2, cause crash, on quorum and classic queues"


@row("F2")
def _(box):
    rig = Rig(box)
    with rig.proxy() as link:
        rig.publish(1)
        rig.hold()
        first = rig.work(port=link.port)
        rig.wait_begun(1)
        second = rig.work()
        link.hold("up")
        rig.go_on()
        wait_until(lambda: any(line.get("outcome") == "done" for line in first.json()),
                   what="its acknowledgement to leave", timeout=20)
        at = time.monotonic()
        first.kill()
        link.cut()
        link.heal()
        begun = rig.wait_begun(2)
        killed = seconds_since(at)
        equal(begun[-1][1:], (2, "crash"), "what is known of a dead worker's message")
        rig.wait_ended(2)
        equal(second.stop().exit, 0, "exit")
        # The same by one that lives on.
        rig.publish(1)
        third = rig.work(port=link.port)
        rig.wait_ended(3)
        rig.hold()
        rig.publish(1)
        rig.wait_begun(4)
        link.hold("up")
        rig.go_on()
        rig.wait_ended(4)
        wait_until(lambda: len([1 for line in third.json() if line.get("outcome") == "done"]) == 2,
                   what="its acknowledgement to leave", timeout=20)
        link.cut()
        link.heal()
        equal(rig.wait_begun(5)[-1][1:], (2, "ack unknown"), "what the worker itself knows")
        rig.wait_ended(5)
        equal(third.stop().exit, 0, "exit")
    rig.end()
    return killed, "killed: attempt 2, crash; link cut: attempt 2, ack unknown"


@row("F3")
def _(box):
    heartbeat(box.broker, 2)
    rig = Rig(box)
    rig.publish(1)
    rig.hold()
    first = rig.work()
    rig.wait_begun(1)
    begun_by = handlers(box)
    second = rig.work()
    first.signal(signal.SIGSTOP)
    at = time.monotonic()
    rig.wait_begun(2, timeout=60)
    noticed = seconds_since(at)
    assert noticed < 31, f"the broker noticed after {noticed:.1f} s"
    first.signal(signal.SIGCONT)
    at = time.monotonic()
    wait_until(lambda: not set(begun_by) & set(handlers(box)), what="the task to be cancelled", timeout=20)
    rig.publish(1)
    rig.wait_begun(3)  # the other one holds what was redelivered
    back = seconds_since(at)
    contains(first.err(), "was taken from this worker")
    rig.go_on()
    rig.wait_ended(2)
    one, two = first.stop(), second.stop()
    equal((one.exit, two.exit), (0, 0), "exits")
    equal((one.json[-1]["done"], two.json[-1]["done"]), (1, 1), "done by each")
    assert "PRECONDITION_FAILED" not in rig.log(), "an old tag was acknowledged on a new channel"
    heartbeat(box.broker, 60)
    rig.end()
    return back, f"dropped and redelivered {noticed:.1f} s after the stop; task cancelled, old tag not acknowledged"


@row("F4")
def _(box):
    rig = Rig(box)
    rig.publish(3)
    rig.hold()
    worker = rig.work("--concurrency", 3, "--grace", "30s")
    rig.wait_begun(3)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "draining" in worker.err(), what="the drain")
    rig.go_on()
    at = time.monotonic()
    done = worker.wait(30)
    finished = seconds_since(at)
    equal((done.exit, done.json[-1]["done"]), (0, 3), "exit and done")
    rig.publish(3)
    rig.hold()
    worker = rig.work("--concurrency", 3, "--grace", "20s")
    rig.wait_begun(6)
    worker.signal(signal.SIGTERM)
    at = time.monotonic()
    done = worker.wait(60)
    requeued = seconds_since(at)
    equal((done.exit, done.json[-1]["requeued"]), (0, 3), "exit and put back")
    assert requeued < 20, f"{requeued:.1f} s with a grace of 20 s"
    rig.end()
    return requeued, f"finished: exit 0 after {finished:.1f} s; too long for 20 s of grace: put back, exit 0 in time"


@row("F5")
def _(box):
    rig = Rig(box)
    rig.publish(1)
    rig.hold()
    worker = rig.work()
    rig.wait_begun(1)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "draining" in worker.err(), what="the drain")
    at = time.monotonic()
    worker.signal(signal.SIGTERM)
    done = worker.wait(20)
    took = seconds_since(at)
    equal((done.exit, done.json[-1]["requeued"]), (0, 1), "exit and put back")
    second = rig.work()
    equal(rig.wait_begun(2)[-1][1:], (1, "requeued"), "its next run")
    third = rig.work()
    second.signal(signal.SIGTERM)
    wait_until(lambda: "draining" in second.err(), what="the drain")
    at = time.monotonic()
    second.kill()
    equal(rig.wait_begun(3)[-1][1:], (2, "crash"), "the run after the kill")
    killed = seconds_since(at)
    rig.go_on()
    rig.wait_ended(1)
    equal(third.stop().exit, 0, "exit")
    rig.end()
    return max(took, killed), f"second SIGTERM: put back, no attempt, {took:.2f} s; SIGKILL: redelivered {killed:.2f} s"


@row("F6")
def _(box):
    seconds = scaled(1, 5)
    rig = Rig(box, more={"deadLetter": {"after": 2}})
    rig.publish(1)
    rig.hold()
    worker = rig.work("--max-runtime", f"{seconds}s")
    at = time.monotonic()
    wait_until(lambda: any(line.get("outcome") == "dead_lettered" for line in worker.json()), what="the dead letter",
               timeout=2 * seconds + 25)
    took = seconds_since(at)
    assert took < 2 * seconds + 10, f"two runs of {seconds} s took {took:.1f} s"
    equal(len(rig.begun()), 2, "runs")
    equal(handlers(box), [], "handlers left")
    equal(worker.stop().exit, 0, "exit")
    dead = rig.dead()
    equal([(name, head["x-sluice-cause"]) for name, head in dead.items()], [("p1-1", "failed")], "dead letters")
    contains(dead["p1-1"]["x-sluice-why"], "maxRuntime")
    rig.end(dead)
    return took - 2 * seconds, f"2 attempts of {seconds} s, children killed, then dead with the reason"


@row("F7")
def _(box):
    heartbeat(box.broker, 2)
    seconds = scaled(7, 35)
    burn = HANDLER.replace("while [ -e hold ]; do sleep 0.02; done",
                           f"end=$(($(date +%s) + {seconds}))\nwhile [ $(date +%s) -lt $end ]; do :; done")
    rig = Rig(box, handler=burn)
    rig.publish(4)
    at = time.monotonic()
    worker = rig.work("--concurrency", 4)
    rig.wait_ended(4, timeout=seconds + 60)
    done = worker.stop()
    equal((done.exit, done.json[-1]["done"]), (0, 4), "exit and done")
    equal([one[1:] for one in rig.begun()], [(1, None)] * 4, "attempts and causes")
    assert "missed heartbeats" not in rig.log(), "the broker missed a heartbeat"
    took = seconds_since(at)
    heartbeat(box.broker, 60)
    rig.end()
    return None, f"4 spinning handlers for {took:.0f} s, heartbeat {scaled(2, 8)} s: none missed, each done once"


@row("F8")
def _(box):
    eater = HANDLER.replace("while", '[ "$SLUICE_MESSAGE_ID" = p1-4 ] && exec tail /dev/zero\nwhile')
    rig = Rig(box, handler=eater)
    rig.publish(10)
    with MemoryLimit(box, scaled(512, 64) << 20) as limit:  # a sanitizer's worker alone is larger than 64 MB
        worker = rig.start("--concurrency", 3)
        limit.add(worker.pid)
        at = time.monotonic()
        wait_until(lambda: any(line.get("outcome") == "dead_lettered" for line in worker.json()), 240,
                   "the dead letter")
        took = seconds_since(at)
        rig.wait_ended(9)
        kills = limit.kills()
        assert kills >= 5, f"{kills} kills by the kernel"
        equal(worker.stop().exit, 0, "exit")
    dead = rig.dead()
    equal([(name, head["x-sluice-cause"]) for name, head in dead.items()], [("p1-4", "failed")], "dead letters")
    equal(sorted(rig.ended()), sorted(f"p1-{n}" for n in range(1, 11) if n != 4), "neighbours done once")
    rig.end(dead)
    return took, f"killed {kills} times in {limit.text}, then dead; 9 neighbours done once, worker lives"


@row("F9")
def _(box):
    ends = HANDLER.replace("while", """read body
case "$SLUICE_MESSAGE_ID $SLUICE_MESSAGE_ATTEMPT" in
  "p1-1 1") exit 3;;
  "p1-2 1") kill -SEGV $$;;
  "p1-3 1") exec >&- 2>&-; exit 9;;
  "p1-4 1") kill -KILL $$;;
esac
while""", 1)
    rig = Rig(box, handler=ends)
    rig.publish(5)
    worker = rig.work()
    rig.wait_ended(5)
    wait_until(lambda: len(worker.json()) >= 9, what="nine lines")
    done = worker.stop()
    equal(done.exit, 0, "exit")
    failed = {line["id"]: line for line in done.json if line.get("outcome") == "failed"}
    equal(sorted(failed), ["p1-1", "p1-2", "p1-3", "p1-4"], "counted as failures")
    again = collections.Counter(message for message, _, _ in rig.begun())
    equal(again, {"p1-1": 2, "p1-2": 2, "p1-3": 2, "p1-4": 2, "p1-5": 1}, "runs")
    rig.end()
    slowest = max(line["work_s"] for line in failed.values())
    return slowest, "exit 3, SIGSEGV, closed stdout with exit 9, SIGKILL: each failed once, then done"


KEEP = """#!/usr/bin/env python3
import json, os, sys
body = sys.stdin.buffer.read()
line = {"id": os.environ["SLUICE_MESSAGE_ID"], "headers": json.loads(os.environ["SLUICE_MESSAGE_HEADERS"]),
        "body": body.hex()}
with open("kept.jsonl", "a") as f:
    f.write(json.dumps(line) + "\\n")
"""


def peak(pid):
    """The most memory a process ever had, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


@row("F10")
def _(box):
    rig = Rig(box, handler=KEEP, more={"deadLetter": {"after": 5}})
    large = 96 << 20
    # A sanitizer keeps what was freed, unless it is told not to.
    tight = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}
    worker = rig.work(env=tight, maxBody="64KiB")
    before = peak(worker.pid)
    fields = amqp_script.table(amqp_script.field("blob", "x", amqp_script.long(bytes(range(256)))),
                               amqp_script.field("text", "S", amqp_script.long("a\0b\xff\n".encode("latin-1"))),
                               amqp_script.field("n", "l", (7).to_bytes(8, "big")))

    def properties(message, headers=b""):  # section 4.2.6.1: headers are bit 13, the message id bit 7
        return ((1 << 13 if headers else 0) | 1 << 7, headers + amqp_script.short(message))

    with amqp_script.Publisher(rig.broker.amqp_port) as publisher:
        publisher.publish(rig.name, b"", *properties("empty"))
        publisher.publish(rig.name, b"x" * large, *properties("large"))
        publisher.publish(rig.name, bytes(range(256)) * 256, *properties("edge", fields))
    wait_until(lambda: len(worker.json()) >= 3, what="three lines", timeout=60)
    grown = peak(worker.pid) - before
    assert grown < large / 2, f"grown by {grown} bytes for a message of {large}"
    done = worker.stop()
    equal(done.exit, 0, "exit")
    outcomes = {line["id"]: line["outcome"] for line in done.json if line["event"] == "message"}
    equal(outcomes, {"empty": "done", "large": "dead_lettered", "edge": "done"}, "outcomes")
    kept = {line["id"]: line for line in map(json.loads, box.read("kept.jsonl").splitlines())}
    equal(kept["empty"]["body"], "", "body of 0 bytes")
    equal(kept["edge"]["body"], (bytes(range(256)) * 256).hex(), "body of exactly maxBody")
    with amqp_script.Publisher(rig.broker.amqp_port) as asked:
        equal((asked.ready(f"{rig.name}.dead"), asked.ready(rig.name)), (1, 0), "dead letters, and left in the queue")
    return None, (f"{large >> 20} MiB with maxBody 64 KiB: dead, worker grew by {grown >> 20} MiB; "
                  "0 bytes, 64 KiB and binary headers as sent")


@row("F11")
def _(box):
    rig = Rig(box)
    rig.hold()
    with rig.proxy() as link:
        worker = rig.work(port=link.port)
        rig.publish(1)
        rig.wait_begun(1)
        def double_ack():
            link.inject(amqp_script.method(channel_of_consumer(rig), amqp_script.ACK, (999).to_bytes(8, "big") + b"\0"),
                        "up")
            return time.monotonic()

        at = double_ack()
        begun = rig.wait_begun(2)
        took = seconds_since(at)
        equal(begun[-1][1:], (2, "crash"), "the second run")
        contains(worker.err(), "PRECONDITION_FAILED")
        rig.go_on()
        rig.wait_ended(1)
        double_ack()  # while it has nothing to do
        wait_until(lambda: "the broker is back" in worker.err(), what="it to consume again")
        rig.publish(1)
        rig.wait_ended(2)
        done = worker.stop()
        equal((done.exit, done.json[-1]["done"]), (0, 2), "exit and done")
        equal(link.stats()["accepted"], 1, "connections")
    rig.end()
    return took, "406 from the broker; new channel on the same connection, redelivered, done"


def channel_of_consumer(rig):
    """As the broker's own list says."""
    listed = rig.broker.ctl("list_consumers", "--no-table-headers", "queue_name", "channel_pid")
    pid = next(line.split("\t")[1] for line in listed.splitlines() if line.startswith(rig.name))
    channels = rig.broker.ctl("list_channels", "--no-table-headers", "pid", "number")
    return next(int(line.split("\t")[1]) for line in channels.splitlines() if line.startswith(pid))


@row("F12")
def _(box):
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    rounds, done, left = scaled(8, 100), 0, 0
    rig = Rig(box)
    for n in range(rounds):
        worker = rig.work("--idle-exit", "300ms")
        time.sleep(rng.uniform(0.2, 0.4))  # the moment itself
        rig.broker.publish(rig.name, "x", {"message_id": f"r-{n}"})
        rig.check.confirmed(f"r-{n}")
        ended = worker.wait(20)
        equal((ended.exit, ended.json[-1]["reason"]), (0, "idle"), "exit and reason")
        done += ended.json[-1]["done"]
        left = n + 1 - len(rig.ended())
    rig.end()
    equal(len(rig.begun()), rounds, "runs: none twice")
    # A quorum queue that gives a message to a consumer in the instant of its cancel never sends it, and counts it.
    counted = [(message, attempt, cause) for message, attempt, cause in rig.begun() if attempt > 1]
    assert len(counted) <= max(1, rounds // 20) and all(one[1:] == (2, "crash") for one in counted), counted
    return None, (f"{rounds} times (seed {seed}): {done} done by who was leaving, {left} by the next, none lost or "
                  f"twice; {len(counted)} counted by the queue although it sent them to nobody")


@row("F13")
def _(box):
    rig = Rig(box)
    absent = scaled(4, 20)
    with rig.proxy() as link:
        worker = rig.work(port=link.port)
        rig.publish(1)
        rig.wait_ended(1)
        before, accepted = rig.log().count("not_found"), link.stats()["accepted"]
        rig.broker.delete_queue(rig.name)
        wait_until(lambda: "NOT_FOUND" in worker.err(), what="the worker to say so", timeout=20)
        time.sleep(absent)  # the time in which it may not spin
        tries = rig.log().count("not_found") - before
        assert 0 < tries <= 2 + absent, f"{tries} tries in {absent} s"
        equal(link.stats()["accepted"], accepted, "connections")
        equal(rig.broker.queue(rig.name), None, "the queue: nobody declared it")
        box.sluice("publish", "--queue", rig.queue(), "--declare", input="", exit=0)
        rig.publish(1)
        at = time.monotonic()
        rig.wait_ended(2, timeout=40)
        took = seconds_since(at)
        equal(len([1 for line in worker.err().splitlines() if "NOT_FOUND" in line]), 1, f"lines in {worker.err()}")
        contains(worker.err(), "the broker is back")
        equal(worker.stop().exit, 0, "exit")
    rig.end()
    return took, f"said once, {tries} tries in {absent} s on one connection, not declared by itself"


@row("F14")
def _(box):
    rig = Rig(box)
    broker, name = rig.broker, f"u-{box.mark[:8]}"
    broker.add_user(name, "first-word")
    broker.set_permissions(name)
    box.write("secrets/mine/username", name)
    box.write("secrets/mine/password", "first-word", mode=0o600)
    worker = rig.work(credentials={"secret": "mine"})
    rig.publish(1)
    rig.wait_ended(1)
    broker.add_user(name, "second-word")
    box.write("secrets/mine/password", "second-word", mode=0o600)
    wait_until(lambda: broker.close_connections("sluice work") > 0, what="connections in the broker's list", timeout=20)
    at = time.monotonic()
    rig.publish(1)
    rig.wait_ended(2)
    took = seconds_since(at)
    done = worker.stop()
    equal((done.exit, done.json[-1]["done"]), (0, 2), "exit and done")
    assert "word" not in done.err.replace("password", ""), "a password is shown"
    broker.delete_user(name)
    rig.end()
    return took, "the same process goes on with the new password"


main()
