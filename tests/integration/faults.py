# SPDX-License-Identifier: Apache-2.0
"""The fault table: with which faults sluice is tested on a real RabbitMQ, what is expected of each, and how soon.

    @row("F1")
    def _(box):
        rig = Rig(box)
        ...inject it, wait for what is expected...
        return seconds, "what was seen"     # from the end of the fault to normal

A row is a test of its own, named by its number and fault. It fails when what is expected does not come, or later than
its bound; in the quick run, where other tests work beside it, later than four times that. And of every row it is
demanded (by `Rig.end`) that nothing confirmed is lost and that every message that was begun twice says why. With
SLUICE_FAULTS=DIR what was measured is left there, for the table of `make test-faults`.
"""

import collections
import json
import os
import pathlib
import threading
import time

from lib import SOAK, scaled, test, wait_until

# After lib, which says where they are.
import amqp_script
from faultproxy import FaultProxy
from qcheck import Check

Row = collections.namedtuple("Row", "component fault expected bound seconds")

# `seconds` is None where the fault has no end, or where the row itself says what its bound counts from.
ROWS = {
    "F1": Row("worker", "kill -9 mid-task", "redelivered once more, attempt + 1", "1 s", 1),
    "F2": Row("worker", "kill -9 after handler success, before ack; the link cut there instead",
              'duplicate labelled: "crash" for who comes after a dead one, "ack unknown" by one that lives', "1 s", 1),
    "F3": Row("worker", "SIGSTOP past heartbeat, then CONT",
              "broker drops it; on CONT it sees the dead socket, cancels task, never acks old tag on a new channel",
              "5 s", 5),
    "F4": Row("worker", "SIGTERM during 3 tasks, with grace", "finish or requeue; exit 0 before SIGKILL", "grace",
              None),
    "F5": Row("worker", "SIGTERM twice / SIGTERM then SIGKILL", "second speeds requeue; kill path = F1", "2 s", 2),
    "F6": Row("worker", "handler never returns", "kept to maxRuntime, then cancel, kill child, DLQ by policy",
              "maxRuntime + 10 s", None),
    "F7": Row("worker", "handlers burn both cores", "heartbeats still on time", "-", None),
    "F8": Row("worker", "OOM kill (memory cgroup) on one message", "poison path after N, neighbours safe", "N x start",
              None),
    "F9": Row("worker", "handler exits the process / dies of a signal / stdout closed",
              "counted as failure, not success", "1 s", 1),
    "F10": Row("worker", "message larger than maxBody / 0 bytes / binary headers",
               "too large: to DLQ before buffering; the others are delivered unchanged", "-", None),
    "F11": Row("worker", "ack of an unknown tag (a double ack, by the proxy): the broker closes the channel",
               "PRECONDITION_FAILED handled: new channel, no ack replay", "2 s", 2),
    "F12": Row("worker", "idle exit races a delivery", "delivered message handled or requeued", "-", None),
    "F13": Row("worker", "queue deleted while consuming (basic.cancel)",
               "condition + retry with backoff; no busy loop; no auto-declare unless asked", "30 s", 30),
    "F14": Row("worker", "credential rotated, connection then closed by admin", "reload file, reconnect", "10 s", 10),
    "F17": Row("publisher", "proxy drops the link after bytes were sent",
               "unknown -> resend same id after reconnect", "5 s", 5),
    "F18": Row("publisher", "confirm delayed beyond the timeout / basic.nack / basic.return",
               "timeout is unknown; nack and return are failed", "timeout", None),
    "F19": Row("publisher", "disk alarm (connection.blocked)", "blocks up to limit, then error; no drop",
               "unblock + 1 s", 1),
    "F20": Row("publisher", "process exit with buffered messages",
               "flush with deadline; report the unconfirmed ids; exit != 0", "10 s", 10),
    "F21": Row("publisher", "confirms arrive out of order, multiple=true", "each id settled exactly once", "-", None),
    "F22": Row("broker", "graceful restart", "pause", "5 s", 5),
    "F23": Row("broker", f"kill -9 beam, {scaled(1, 100)} cycles", "no loss on quorum or durable queue", "5 s", 5),
    "F24": Row("broker", f"SIGSTOP {scaled(8, 45)} s", "detected; scaler holds; reconnect", "5 s", 5),
    "F25": Row("broker", "half-open: no packet and no FIN passes", "detected by heartbeat", "30 s", 30),
    "F26": Row("broker", "1 byte per read / 64 kbit/s / 2 s latency", "slow but correct; poll timeout -> unknown",
               "next poll", None),
    "F29": Row("broker", "login refused / vhost missing / no permission",
               "said as such; backoff to 5 min; no lock-out storm", "next retry", None),
    "F34": Row("broker", "DNS fails / flips to another IP / A record with 1,000 addresses",
               "backoff; re-resolve on each connect; address cap", "next retry", None),
}


# The bounds are of a machine that does nothing else: `make test-faults`.
SLACK = scaled(4, 1)


def row(number):
    """Registers the test of a row: a function of the Box, which returns (seconds or None, what was seen)."""
    told = ROWS[number]

    def register(function):
        def run(box):
            verdict, seconds, seen = "failed", None, ""
            try:
                seconds, seen = function(box)
                verdict = "ok"
                print(f"{number}: {'' if seconds is None else f'{seconds:.2f} s, bound {told.bound}: '}{seen}")
                if told.seconds is not None and seconds > told.seconds:
                    verdict = "late"
                if told.seconds is not None and seconds > told.seconds * SLACK:
                    raise AssertionError(f"{seconds:.2f} s after the end of the fault; the bound is {told.bound}")
            finally:
                keep(number, told, verdict, seconds, seen)

        return test(f"{number} {told.component}: {told.fault}")(run)

    return register


def keep(number, told, verdict, seconds, seen):
    """For tools/faults.py."""
    folder = os.environ.get("SLUICE_FAULTS")
    if folder:
        line = {"row": number, **told._asdict(), "verdict": verdict, "took": seconds, "seen": seen}
        pathlib.Path(folder, f"{number}.json").write_text(json.dumps(line), encoding="utf-8")


# Writes down who came and who ended; waits while there is a file `hold`.
HANDLER = """#!/bin/sh
echo "$SLUICE_MESSAGE_ID $SLUICE_MESSAGE_ATTEMPT $SLUICE_MESSAGE_HEADERS" >> ledger.txt
while [ -e hold ]; do sleep 0.02; done
echo "$SLUICE_MESSAGE_ID" >> ended.txt
"""


class Rig:
    """One queue of the broker for one row, by a fault proxy where the fault is in the link, and the accounts of it."""

    def __init__(self, box, handler=HANDLER, type="quorum", name="q", more=None, delays=("10ms",)):
        self.box, self.broker, self.type = box, box.broker, type
        self.name = f"{name}-{type}-{box.mark[:8]}"
        self.more, self.delays = {"deadLetter": {"after": 5}, **(more or {})}, list(delays)
        self.check, self.published = Check(), 0
        self._log_begin = len(self.broker.log())
        box.write("handle", handler, mode=0o755)
        box.sluice("publish", "--queue", self.queue(), "--declare", input="", exit=0)

    # Who speaks to it

    def block(self, port=None, **more):
        host, port = port if isinstance(port, tuple) else ("127.0.0.1", port or self.broker.amqp_port)
        url = f"amqp://{host}:{port}"
        return {"rabbitmq": {"url": url, "queue": self.name, "declare": {"type": self.type}, **more}}

    def queue(self, port=None, **more):
        return json.dumps({"queue": self.block(port, **more), "retry": {"delays": self.delays}, **self.more})

    def pool(self, port=None, every="1s", max=2, idle="2s", **more):
        return self.box.pool(queue=self.block(port, **more), retry={"delays": self.delays},
                             policy={"backlogPerWorker": {"messages": 1, "every": every}},
                             workers={"max": max, "idleExit": idle,
                                      "run": {"command": ["sluice", "work", "--exec", "./handle"]}}, **self.more)

    def work(self, *args, port=None, env=None, **more):
        """A worker that consumes when this returns."""
        worker = self.start(*args, port=port, env=env, **more)
        wait_until(lambda: "consuming" in worker.err(), what="the worker to consume", timeout=30)
        return worker

    def start(self, *args, port=None, env=None, **more):
        return self.box.start_sluice("work", "--queue", self.queue(port, **more), "--secrets", self.box.path("secrets"),
                                     "--exec", "./handle", "-o", "json", *args, env=env)

    def publish(self, count, port=None):
        """Past every fault, unless a port says otherwise; all of them are confirmed."""
        self.published += 1
        run = f"p{self.published}"
        self.box.sluice("publish", "--queue", self.queue(port), "--count", count, "--run", run, exit=0)
        for n in range(1, count + 1):
            self.check.confirmed(f"{run}-{n}")

    def proxy(self, **options):
        return FaultProxy(self.broker.amqp_port, **options)

    # What the handlers saw

    def hold(self):
        self.box.write("hold", "")

    def go_on(self):
        self.box.path("hold").unlink()

    def log(self):
        """Of the broker, since this row began."""
        return self.broker.log()[self._log_begin:]

    def begun(self):
        """(id, attempt, cause) of every beginning so far."""
        out = []
        for line in _lines(self.box.path("ledger.txt")):
            message, attempt, headers = line.split(" ", 2)
            out.append((message, int(attempt), json.loads(headers).get("sluice-cause")))
        return out

    def ended(self):
        return _lines(self.box.path("ended.txt"))

    def wait_begun(self, count, timeout=30):
        """Returns them when there are that many."""
        wait_until(lambda: len(self.begun()) >= count, what=f"{count} handlers to begin", timeout=timeout)
        return self.begun()

    def wait_ended(self, count, timeout=30):
        wait_until(lambda: len(self.ended()) >= count, what=f"{count} handlers to end", timeout=timeout)

    def dead(self):
        """The dead letters: {id: headers}. Takes them."""
        got = self.broker.get(f"{self.name}.dead", 1000)
        return {one["properties"]["message_id"]: one["properties"].get("headers", {}) for one in got}

    def ready(self):
        """Messages that wait, now and at once."""
        with amqp_script.Publisher(self.broker.amqp_port) as asked:
            return asked.ready(self.name)

    def drain(self):
        """Whatever is left gets done."""
        if self.box.path("hold").exists():
            self.go_on()
        self.box.sluice("work", "--queue", self.queue(), "--exec", "./handle", "--idle-exit", "500ms",
                        "--concurrency", 4, exit=0, timeout=scaled(120, 600))

    def end(self, dead=None):
        """The last word of a row: nothing is left to do, and then the accounts must be right."""
        self.drain()
        for message, attempt, cause in self.begun():
            self.check.done(message, attempt, cause)
        for message in self.dead() if dead is None else dead:
            self.check.dead(message)
        report = self.check.report()
        assert not report.wrong, report
        ended = set(self.ended())
        lost = {message for message, _, _ in self.begun()} - ended - set(dead or ())
        assert not lost, f"begun, never ended and not dead: {sorted(lost)}"


def _lines(path):
    """The whole ones."""
    return path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []


def heartbeat(broker, seconds):
    """What the broker asks of the connections to come, the shorter of both sides being used; 60 is its default."""
    if not SOAK:  # in full, sluice's own is waited for
        broker.ctl("eval", f"application:set_env(rabbit, heartbeat, {seconds}).")


class Answering:
    """Notes when a port that was closed accepts a connection again."""

    def __init__(self, port):
        self.at = None
        self._port, self._stop = port, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        import socket
        while not self._stop.wait(0.02):
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                self.at = time.monotonic()
                return
            except OSError:
                continue

    def wait(self, timeout=120):
        self._thread.join(timeout)
        self._stop.set()
        return self.at


class Serving:
    """Notes when a broker that was killed serves again: a bare client sees the rig's queues, and gets back what it
    publishes to a queue of its own of each type. RabbitMQ opens its port before that."""

    TYPES = ("quorum", "classic")

    def __init__(self, broker, names):
        self._port, self._names, self._at = broker.amqp_port, names, None
        with amqp_script.Publisher(self._port) as client:
            for kind in self.TYPES:
                client.declare(f"bare-{kind}", kind)
        # RabbitMQ 3.10: a quorum queue whose node is killed within seconds of its declare never serves again.
        broker.stop()
        broker.start()

    def begin(self):
        """After the kill."""
        self._at = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        begun = time.monotonic()
        while time.monotonic() - begun < 300:
            try:
                # A quorum queue that elects its leader may leave a publish without an answer for ever.
                with amqp_script.Publisher(self._port, patience=1) as client:
                    for name in self._names:
                        client.ready(name)
                    for kind in self.TYPES:  # persistent
                        client.publish(f"bare-{kind}", b"x", flags=0x1000, properties=b"\2")
                        client.get(f"bare-{kind}")
                self._at = time.monotonic()
                return
            except (OSError, AssertionError, amqp_script.Gone):
                time.sleep(0.02)

    def wait(self):
        self._thread.join()
        assert self._at, "a bare client was not served within 300 s"
        return self._at


def calm(connects, seconds, clients=1):
    """No client dialled more than about once a second, a few quick ones at the beginning apart."""
    assert connects <= clients * (6 + seconds), f"{connects} connects of {clients} clients in {seconds:.0f} s"
    return f"{connects} dials in {seconds:.0f} s"


def seconds_since(begin):
    return max(0.0, time.monotonic() - begin)
