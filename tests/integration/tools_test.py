# SPDX-License-Identifier: Apache-2.0
"""The tests of tests/tools but the fault proxies: the judge finds what is planted, a broker does as it is told."""

import contextlib
import json
import os
import random
import socket
import ssl
import struct
import sys

from lib import ROOT, SOAK, contains, equal, main, test, wait_until

# After lib, which says where they are.
import rabbitmq
from faultproxy import FaultProxy, HttpFault
from qcheck import Check
from rabbitmq_management import Management, ManagementError

TOOLS = ROOT / "tests/tools"


CLEAN = [{"event": "confirmed", "id": "a"}, {"event": "confirmed", "id": "b"}, {"event": "unknown", "id": "c"},
         {"event": "unknown", "id": "d"}, {"event": "confirmed", "id": "e"},
         {"event": "done", "id": "a", "worker": "w0", "attempt": 1, "cause": "none"},
         {"event": "done", "id": "a", "worker": "w1", "attempt": 2, "cause": "lost lease"},
         {"event": "done", "id": "b", "worker": "w1", "attempt": 2, "cause": "crash"},
         {"event": "done", "id": "c", "attempt": 1}, {"event": "dead", "id": "e", "cause": "failed"}]


def judged(events):
    check = Check()
    check.read("".join(json.dumps(event) + "\n" for event in events))
    return check.report()


@test("the judge finds nothing in a clean run, and counts it rightly")
def _(box):
    report = judged(CLEAN)
    equal(report.wrong, [])
    equal(report.as_json(), {"confirmed": 3, "unknown": 2, "done": 3, "dead": 1, "recovered": 1, "lost": 0,
                             "unexpected": 0, "unlabelled": 0, "duplicates": {"lost_lease": 1}, "torn": 0})
    shuffled = random.sample(CLEAN, len(CLEAN))
    equal(judged(shuffled).as_json(), report.as_json(), "the same in another order")


@test("the judge finds a planted loss, a duplicate without a cause, a cause that is none, a ghost, a dead ghost")
def _(box):
    def with_done(**event):
        return [*CLEAN, {"event": "done", **event}]

    for events, key, says in [
            ([*CLEAN, {"event": "confirmed", "id": "f"}], "lost", "f: lost"),
            ([event for event in CLEAN if event["event"] != "dead"], "lost", "e: lost"),
            (with_done(id="a"), "unlabelled", "a: done 3 times, 2 of them without a cause"),
            (with_done(id="a", cause="gremlins"), "unlabelled", "gremlins"),
            (with_done(id="z"), "unexpected", "z: done, but never published"),
            ([*CLEAN, {"event": "dead", "id": "z"}], "unexpected", "z: dead, but never published")]:
        report = judged(events)
        equal(len(report.wrong), 1, f"findings for {says}")
        contains(report.wrong[0], says)
        equal([name for name in ("lost", "unlabelled", "unexpected") if vars(report)[name]], [key], says)
        contains(str(report), says)


@test("the judge lets a message that was sent again be delivered as often as it was sent, and no oftener")
def _(box):
    sent = [{"event": "unknown", "id": "a"}, {"event": "unknown", "id": "a"}, {"event": "confirmed", "id": "a"}]
    run = {"event": "done", "id": "a"}
    for runs, duplicates, unlabelled in [(1, {}, 0), (3, {"resent": 2}, 0), (4, {"resent": 2}, 1)]:
        report = judged(sent + [run] * runs)
        equal((report.duplicates, report.unlabelled), (duplicates, unlabelled), f"{runs} runs")


@test("the judge as a program: a table, an exit code, and no word on what it cannot read")
def _(box):
    lines = [json.dumps(event) for event in CLEAN]
    program = [sys.executable, TOOLS / "qcheck.py"]
    log = box.write("clean.jsonl", "\n".join(lines) + '\n{"event":"do')
    done = box.run([*program, log], exit=0)
    contains(done.out, "duplicates  1 (lost_lease 1)")
    contains(done.out, "torn lines  1")
    planted = box.write("planted.jsonl", '{"event":"confirmed","id":"lost-one"}\n')
    done = box.run([*program, "--json", log, planted], exit=1)
    equal((done.json[0]["lost"], done.json[0]["confirmed"]), (1, 4))
    contains(box.run([*program, planted], exit=1).out, "lost-one: lost")
    for text in ("", '{"event":"do\n', '{"event":"undone","id":"a"}\n', '{"event":"done"}\n', '["done"]\n',
                 '{"event":"done","id":7}\n', '{"event":"done","id":"a","cause":7}\n'):
        done = box.run([*program, "-"], input=text, exit=2)
        contains(done.err, "qcheck: ")


class Consumer:
    """As much of AMQP 0-9-1 as it takes to be listed as a named connection that holds messages."""

    def __init__(self, port, name, queue):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.sendall(b"AMQP\0\0\x09\x01")
        self._expect(10, 10)
        properties = _short("connection_name") + b"S" + _long(name)
        self._send(0, 10, 11, _long(properties) + _short("PLAIN") + _long("\0guest\0guest") + _short("en_US"))
        self._expect(10, 30)
        self._send(0, 10, 31, struct.pack(">HIH", 1, 131072, 0))
        self._send(0, 10, 40, _short("/") + _short("") + b"\0")
        self._expect(10, 41)
        self._send(1, 20, 10, _short(""))
        self._expect(20, 11)
        self._send(1, 60, 20, struct.pack(">H", 0) + _short(queue) + _short("") + b"\0" + _long(""))
        self._expect(60, 21)

    def close_reason(self):
        """What the broker says in the end."""
        while (method := self._method()) != (10, 50):
            pass
        return self._payload[7:7 + self._payload[6]].decode()

    def close(self):
        self._socket.close()

    def _send(self, channel, family, method, arguments):
        payload = struct.pack(">HH", family, method) + arguments
        self._socket.sendall(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")

    def _method(self):
        """The next method; header and body frames are passed over."""
        while True:
            kind, _, size = struct.unpack(">BHI", self._read(7))
            self._payload = self._read(size + 1)[:-1]
            if kind == 1:
                return struct.unpack(">HH", self._payload[:4])

    def _expect(self, *method):
        equal(self._method(), method, "AMQP method")

    def _read(self, size):
        got = b""
        while len(got) < size:
            data = self._socket.recv(size - len(got))
            assert data, "the broker ended the connection"
            got += data
        return got


def _short(text):
    return struct.pack(">B", len(text)) + text.encode()


def _long(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">I", len(data)) + data


def tls_says(broker, name):
    """What a client that checks `name` meets: the first byte the broker sends, or why the certificate is refused."""
    context = ssl.create_default_context(cafile=broker.certificates.ca)
    context.load_cert_chain(*broker.certificates.client)
    try:
        with socket.create_connection(("127.0.0.1", broker.tls_port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=name) as s:
                s.sendall(b"AMQP\0\0\x09\x01")
                return s.recv(1)
    except ssl.SSLCertVerificationError as problem:
        return problem.verify_message


def whole_life(box, version):
    broker = rabbitmq.Broker(box.path("rabbit"), version, tls=True, conf={"collect_statistics_interval": 1000},
                             env=box.env)
    with broker:
        equal(broker.request("GET", "/overview")["rabbitmq_version"].startswith(version + "."), True)
        equal([tls_says(broker, name) for name in ("localhost", "127.0.0.1")], [b"\1", b"\1"])
        contains(tls_says(broker, "elsewhere.test"), "Hostname mismatch")
        assert broker.password not in broker.amqp_url + broker.tls_url + broker.management_url + broker.metrics_url
        manage(box, broker)
        broker.declare_queue("classic")
        broker.declare_queue("quorum", type="quorum")
        equal(broker.counts("missing"), (None, None))
        for queue in ("classic", "quorum", "quorum"):
            equal(broker.publish(queue, f"for {queue}"), True)
        equal(broker.publish("missing"), False)
        listed_and_closed(broker)

        first = broker.pid
        broker.kill()
        equal((broker.alive(), broker.pid, os.path.exists(f"/proc/{first}")), (False, None, False))
        broker.serve("wrong_name")
        broker.start()
        contains(tls_says(broker, "localhost"), "Hostname mismatch")
        wait_until(lambda: broker.counts("classic") == (1, 0), timeout=30, what="the classic queue's counts")
        falsified(broker)
        equal([m["payload"] for m in broker.get("classic", requeue=True)], ["for classic"])
        equal([m["redelivered"] for m in broker.get("quorum", count=5)], [True, True])

        broker.freeze()
        with contextlib.suppress(TimeoutError):
            broker.request("GET", "/overview", timeout=0.3)
            raise AssertionError("it should not have answered")
        broker.thaw()
        broker.request("GET", "/overview")

        broker.stop()
        wait_until(lambda: not box.living(), what="nothing to be left of a broker that was stopped")
        broker.start()
        equal([m["payload"] for m in broker.get("classic")], ["for classic"])
        broker.delete_queue("classic")
        equal(broker.queue("classic"), None)
    equal(broker.alive(), False)
    wait_until(lambda: not box.living(), what="the last of it to be gone")


def manage(box, broker):
    """A user may what it was given, a policy is set, and no password is left lying about."""
    user = Management()
    user.management_port, user.user, user.password = broker.management_port, "reader", "a secret of this test"
    broker.add_user(user.user, user.password, tags="management")
    broker.set_permissions("reader", configure="", write="", read="^orders$")
    broker.set_policy("short", "^orders$", {"max-length": 1}, apply_to="queues")
    broker.declare_queue("orders")
    equal(user.request("GET", "/whoami")["name"], "reader")
    equal(broker.request("GET", "/policies/%2F/short")["definition"], {"max-length": 1})
    try:
        user.declare_queue("others")
    except ManagementError as problem:
        assert problem.status in (401, 403) and user.password not in str(problem), problem
    else:
        raise AssertionError("it should have been refused")
    broker.delete_user("reader")
    broker.delete_policy("short")
    broker.delete_queue("orders")
    for root, _, names in os.walk(broker.folder):
        for name in names:
            if name.endswith((".conf", ".log", "plugins")):
                with open(os.path.join(root, name), encoding="utf-8", errors="replace") as f:
                    assert user.password not in f.read(), f"the password is in {name}"


def falsified(broker):
    """What the management API says, changed on its way."""
    front, seen = HttpFault(broker.management_port), Management()
    with front:
        seen.management_port = front.port
        front.edit("/api/queues/*", lambda body: body.replace(b'"messages_ready":1', b'"messages_ready":-1'))
        equal(seen.counts("classic"), (-1, 0))
        front.heal()
        equal(seen.counts("classic"), (1, 0))
        equal(front.count("/api/queues/%2F/classic"), 2)


def listed_and_closed(broker):
    """A consumer behind a fault proxy is known by its name, its address and what it holds; and is closed by name."""
    with FaultProxy(broker.amqp_port) as proxy:
        consumer = Consumer(proxy.port, "sluice worker orders-w0", "quorum")
        try:
            wait_until(lambda: broker.exact_counts("quorum") == (0, 2), what="both messages in flight", every=0.2)
            wait_until(lambda: broker.consumers("quorum"), what="the consumer to be listed", every=0.1)
            equal(broker.consumers("missing"), [])
            wait_until(lambda: len(broker.connections("sluice worker")) == 1, what="the connection to be listed",
                       every=0.1)
            equal(broker.connections("nobody"), [])
            equal(broker.close_connections("sluice worker", reason="rotated"), 1)
            contains(consumer.close_reason(), "rotated")
        finally:
            consumer.close()


@test("a launcher without its package names it")
def _(box):
    there, rabbitmq.SERVER = rabbitmq.SERVER, "/nonexistent/rabbitmq-server"
    try:
        rabbitmq.Broker(box.path("rabbit"))
    except rabbitmq.BrokerError as problem:
        contains(str(problem), "apt-get install rabbitmq-server")
        equal(str(problem).count("\n"), 0)
    else:
        raise AssertionError("it should have failed")
    finally:
        rabbitmq.SERVER = there


if os.path.exists(rabbitmq.SERVER):
    @test("a broker starts, is managed, killed, frozen, stopped and restarted, and keeps what it confirmed")
    def _(box):
        whole_life(box, "3.10")

    @test("the launcher as a program says where its broker is, and takes it along when it goes")
    def _(box):
        program = box.start([sys.executable, TOOLS / "rabbitmq.py", "--folder", box.path("rabbit")])
        wait_until(lambda: "pid " in program.out() or not program.alive(), timeout=120, what="its addresses")
        contains(program.out(), "amqp        amqp://127.0.0.1:")
        equal(program.stop(timeout=60).exit, 0)
        wait_until(lambda: not box.living(), what="nothing to be left of it")
else:
    print("skipped: the tests of a broker, for want of one: apt-get install rabbitmq-server (tools/setup does it)")

if SOAK:
    @test("a broker of the next major version does the same")
    def _(box):
        whole_life(box, "4.0")


main()
