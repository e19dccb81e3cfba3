# SPDX-License-Identifier: Apache-2.0
"""Rows F22 to F34 of the fault table: what becomes of everybody when the broker or the way to it fails."""

import os
import shutil
import socket
import statistics
import subprocess
import threading
import time

from lib import BIN, contains, equal, free_port, main, scaled, wait_until

# After lib, which says where the tools are.
from dnsserver import DnsServer
from far_away import FarAway
from faultproxy import FaultProxy
from faults import Answering, Rig, Serving, calm, heartbeat, row, seconds_since


class Feed:
    """A `sluice publish` that is given a line every now and then, until finish()."""

    def __init__(self, rig, run, port=None, pace=0.1):
        self.rig, self.run, self.lines = rig, run, 0
        self._publisher = rig.box.start_sluice("publish", "--queue", rig.queue(port), "--run", run, "-o", "json",
                                               "--lines", "-", stdin=subprocess.PIPE)
        self._pace, self._stop = pace, threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self):
        while not self._stop.wait(self._pace):
            self.lines += 1
            try:
                self._publisher.popen.stdin.write(b"line\n")
                self._publisher.popen.stdin.flush()
            except OSError:
                return

    def finish(self, outages):
        """All that it was given is confirmed; what was cut off may have been sent once more in each outage."""
        self._stop.set()
        self._thread.join()
        self._publisher.popen.stdin.close()
        done = self._publisher.wait(90)
        equal((done.exit, done.json[-1]["confirmed"]), (0, self.lines), f"exit and confirmed\n{done}")
        for n in range(1, self.lines + 1):
            self.rig.check.confirmed(f"{self.run}-{n}")
            for _ in range(outages):
                self.rig.check.unknown(f"{self.run}-{n}")


class Scaler:
    """A `sluice scale` on the rig's pool, and what it said."""

    def __init__(self, rig, port=None, **more):
        self.box = rig.box
        pool = rig.pool(port, **more)
        self.process = self.box.start_sluice("scale", "-f", pool, "--secrets", self.box.path("secrets"), "-o", "json")
        self.most, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._stop.wait(0.1):
            self.most = max(self.most, len(self.workers()))

    def workers(self):
        """Pids of what it started and lives; a handler on its way to exec looks like its worker for a moment."""
        return {pid for pid, line in self.box.living().items() if " work --exec " in line and _parent(pid) in
                (self.process.pid, 1)}

    def reasons(self):
        return [line["decision"]["reason"] for line in self.process.json() if line["event"] == "tick"]

    def wait_blind(self, timeout=30):
        wait_until(lambda: self.reasons()[-1:] and blind(self.reasons()[-1]), timeout, "the scaler to be blind")
        return self.reasons()[-1]

    def wait_sees(self, timeout=30):
        wait_until(lambda: self.reasons()[-1:] and not blind(self.reasons()[-1]), timeout, "the scaler to see")

    def finish(self, most=2):
        equal(self.process.stop().exit, 0, "the scaler's exit")
        self._stop.set()
        self._thread.join()
        assert self.most <= most, f"{self.most} workers lived at once, {most} are allowed"


def blind(reason):
    return reason.startswith("blind")


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def wait_works(rig, timeout=60):
    """Until another message ends."""
    before = len(rig.ended())
    wait_until(lambda: len(rig.ended()) > before, what="another message to be done", timeout=timeout)


def restart(broker, take_down):
    """When its port answers again."""
    take_down()
    back = Answering(broker.amqp_port)
    broker.start()
    return back.wait()


@row("F22")
def _(box):
    rig = Rig(box)
    with rig.proxy() as link:
        scaler, feed = Scaler(rig, link.port), Feed(rig, "r", link.port)
        wait_works(rig)
        before, at = link.stats()["accepted"], time.monotonic()
        back = restart(rig.broker, rig.broker.stop)
        down, dials = back - at, link.stats()["accepted"] - before
        wait_works(rig)
        scaler.wait_sees()
        took = seconds_since(back)
        seen = calm(dials, down, clients=1 + 1 + 2 * 2)  # each worker has one to consume and one to publish
        feed.finish(outages=1)
        scaler.finish()
    rig.end()
    return took, f"down for {down:.1f} s; {seen} by 4 processes; {feed.lines} messages confirmed and done"


@row("F23")
def _(box):
    cycles = scaled(1, 100)
    # Of all that waited in a classic queue through its crash the broker says that it was delivered: an attempt each.
    rigs = [Rig(box, type=kind, more={"deadLetter": {"after": 5 + cycles}}) for kind in ("quorum", "classic")]
    rigs[1].check = rigs[0].check
    broker = box.broker
    serving = Serving(broker, [rig.name for rig in rigs])
    workers = [rig.work("--concurrency", 2) for rig in rigs for _ in range(2)]
    feeds = [Feed(rig, rig.type) for rig in rigs]
    took, opened = [], []
    for _ in range(cycles):
        for rig in rigs:
            wait_done(rig.box, rig.type)

        def kill():
            broker.kill()
            serving.begin()

        port = restart(broker, kill)
        for rig in rigs:
            wait_done(rig.box, rig.type)
        done = time.monotonic()
        # Behind a bare client that dials fifty times a second; it may even be the later one.
        took.append(max(0, done - serving.wait()))
        opened.append(done - port)
    for feed in feeds:
        feed.finish(outages=cycles)
    for worker in workers:
        equal(worker.stop().exit, 0, "exit: the same process all the time")
    rigs[1].drain()
    rigs[0].end()
    published, usual = sum(feed.lines for feed in feeds), statistics.median(took)
    return max(took), (f"{cycles} kills, {published} messages on a quorum and a durable classic queue, none lost; "
                       f"at work again {usual:.1f} s (median), {max(took):.1f} s (at most) after a bare client was "
                       f"served, {statistics.median(opened):.1f} s and {max(opened):.1f} s after the port was open")


def wait_done(box, word):
    """Until one more message of this kind ends. How long that took is judged by the bound of the row."""

    def count():
        return box.read("ended.txt").count(f"{word}-") if box.path("ended.txt").exists() else 0

    before = count()
    wait_until(lambda: count() > before, what=f"a {word} message to be done", timeout=scaled(60, 300))


@row("F24")
def _(box):
    heartbeat(box.broker, 2)
    rig = Rig(box)
    with rig.proxy() as link:
        # To a consumer, a broker that says nothing and an empty queue are alike: an idle one asks before it leaves.
        scaler, feed = Scaler(rig, link.port, idle="3s"), Feed(rig, "r", link.port)
        wait_works(rig)
        wait_until(lambda: len(scaler.workers()) == 2, what="two workers", timeout=20)
        before, at = link.stats()["accepted"], time.monotonic()
        rig.broker.freeze()
        try:
            reason = scaler.wait_blind()
            there = scaler.workers()
            wait_until(lambda: link.stats()["accepted"] > before, what="somebody to notice and dial", timeout=40)
            noticed = seconds_since(at)
            time.sleep(max(0.0, scaled(8, 45) - seconds_since(at)))  # the fault itself
            equal(scaler.workers(), there, "workers while nothing is known")
            assert blind(scaler.reasons()[-1]), scaler.reasons()[-1]
            dials = calm(link.stats()["accepted"] - before, seconds_since(at), clients=6)
        finally:
            rig.broker.thaw()
        at = time.monotonic()
        wait_works(rig)
        scaler.wait_sees()
        took = seconds_since(at)
        feed.finish(outages=2)
        scaler.finish()
    heartbeat(box.broker, 60)
    rig.end()
    reason = reason.split(" (")[0][:100]
    return took, f"dialled anew after {noticed:.1f} s, {dials}; scaler: {reason}; workers as before"


@row("F25")
def _(box):
    heartbeat(box.broker, 2)
    rig = Rig(box)
    box.write("secrets/guest/username", "guest")
    box.write("secrets/guest/password", "guest", mode=0o600)
    # Without root or iproute2 a proxy that swallows everything, ends included, is the nearest.
    far = FarAway() if os.geteuid() == 0 and shutil.which("ip") else None
    host = far.here if far else "127.0.0.1"
    try:
        with rig.proxy(host=host) as link:
            rig.publish(1)
            rig.hold()
            argv = [BIN, "work", "--queue", rig.queue((host, link.port), credentials={"secret": "guest"}), "--secrets",
                    box.path("secrets"), "--exec", "./handle", "-o", "json"]
            away = box.start(far.command(argv) if far else argv)
            rig.wait_begun(1)
            near = rig.work()
            at = time.monotonic()
            far.pull() if far else link.drop()
            wait_until(lambda: "was taken from this worker" in away.err(), what="the worker to notice", timeout=60)
            by_worker = seconds_since(at)
            rig.wait_begun(2, timeout=60)
            by_broker = seconds_since(at)
            far.plug_in() if far else link.heal()
            at = time.monotonic()
            rig.publish(1)
            rig.wait_begun(3, timeout=60)  # the near one is busy with the first
            back = seconds_since(at)
            rig.go_on()
            rig.wait_ended(2)
            for worker in (away, near):
                done = worker.stop()
                equal((done.exit, done.json[-1]["done"]), (0, 1), "exit and done")
    finally:
        if far:
            far.__exit__()
    heartbeat(box.broker, 60)
    rig.end()
    return max(by_broker, by_worker, back), (
        f"{'cable of a network namespace pulled' if far else 'black hole in the proxy'}: noticed by the worker after "
        f"{by_worker:.1f} s, by the broker (redelivered) after {by_broker:.1f} s; back {back:.1f} s after the end")


@row("F26")
def _(box):
    rig, seen, total = Rig(box), [], 0
    for name, spoil in (("1 byte per read", lambda link: link.trickle()), ("64 kbit/s", lambda link: link.rate(8000)),
                        (f"round trip {scaled(0.5, 2)} s", lambda link: link.delay(scaled(0.25, 1.0)))):
        with rig.proxy() as link:
            spoil(link)
            at = time.monotonic()
            rig.publish(3, port=link.port)
            worker = rig.start(port=link.port)
            total += 3
            rig.wait_ended(total, timeout=90)
            seen.append(f"{name}: {seconds_since(at):.1f} s")
            link.heal()
            equal(worker.stop().exit, 0, "exit")
    equal([attempt for _, attempt, _ in rig.begun()], [1] * total, "attempts")
    with rig.proxy() as link:
        scaler = Scaler(rig, link.port)
        scaler.wait_sees()
        link.delay(3.0)
        reason = scaler.wait_blind()
        link.heal()
        at = time.monotonic()
        scaler.wait_sees()
        took = seconds_since(at)
        scaler.finish()
    assert took <= 5, f"{took:.1f} s until the next poll that is answered"
    rig.end()
    return took, f"3 messages published and done: {', '.join(seen)}; poll with a round trip of 6 s: {reason[:90]}"


def refused(box, rig, name, word, spoil, repair, counts=False, **more):
    """One way in which the broker says no: what all say, how often they ask, and when the scaler is well again.
    `counts`: RabbitMQ lets such a user count messages."""
    box.write(f"secrets/{name}/username", name)
    box.write(f"secrets/{name}/password", "right", mode=0o600)
    rig.broker.add_user(name, "right")
    rig.broker.set_permissions(name)
    spoil()
    with rig.proxy() as link:
        more = {"credentials": {"secret": name}, **more}
        for verb in (["publish", "--count", 1], ["work", "--simulate", "0ms"]):
            done = box.sluice(verb[0], "--queue", rig.queue(link.port, **more), "--secrets", box.path("secrets"),
                              *verb[1:])
            equal(done.exit, 1, f"exit of {verb[0]}\n{done}")
            contains(done.err, word)
        before, at = link.stats()["accepted"], time.monotonic()
        scaler = Scaler(rig, link.port, **more)
        if counts:
            scaler.wait_sees()
        else:
            contains(scaler.wait_blind(), word)
        time.sleep(scaled(3, 30))  # the time in which it may not storm
        dials, seconds = link.stats()["accepted"] - before, seconds_since(at)
        # Each worker that it starts dials for itself, and the pool is broken after three that could not start.
        assert dials <= 1 + seconds / 4 + (4 if counts else 0), f"{dials} logins in {seconds:.0f} s"
        repair()
        at = time.monotonic()
        before = len(rig.ended())
        rig.publish(1)
        if counts:
            wait_until(lambda: len(rig.ended()) > before, 90, "a message to be done")
        else:
            scaler.wait_sees(timeout=90)
        took = seconds_since(at)
        assert "right" not in "".join(scaler.reasons()), "the password is shown"
        scaler.finish()
    rig.broker.delete_user(name)
    return f"{word}: {dials} dials in {seconds:.0f} s, well again {took:.1f} s after the repair"


@row("F29")
def _(box):
    rig, broker, tag = Rig(box), box.broker, box.mark[:6]
    rig.publish(1)
    login, permission = f"l-{tag}", f"p-{tag}"
    seen = [refused(box, rig, permission, "ACCESS_REFUSED - access to",
                    lambda: broker.set_permissions(permission, "^$", "^$", "^$"),
                    lambda: broker.set_permissions(permission), counts=True)]
    seen.append(refused(box, rig, login, "ACCESS_REFUSED - Login was refused",
                        lambda: broker.add_user(login, "changed"), lambda: broker.add_user(login, "right")))
    if scaled(False, True):
        vhost = f"v-{tag}"

        def make():
            broker.request("PUT", f"/vhosts/{vhost}", {})
            broker.set_permissions(f"x-{tag}", vhost=vhost)
            broker.set_permissions("guest", vhost=vhost)
            broker.declare_queue(rig.name, rig.type, vhost=vhost)

        seen.append(refused(box, rig, f"x-{tag}", "NOT_ALLOWED - vhost", lambda: None, make, vhost=vhost))
    rig.end()
    return None, "; ".join(seen)


class FullHouse:
    """A port, on every loopback address, where nobody is let in: dials wait, so that they can be seen."""

    def __init__(self):
        self.port = free_port()
        self._sockets = [socket.create_server(("0.0.0.0", self.port), backlog=0)]
        for _ in range(2):  # the queue takes one more than it's told to
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._sockets.append(filler)

    def dialled(self):
        """The addresses of 127.1.0.0/16 that are being dialled now."""
        out = set()
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in list(table)[1:]:
                address, port = line.split()[2].split(":")
                if int(port, 16) == self.port and address[4:] == "017F":  # lowest byte first
                    out.add(address)
        return out

    def close(self):
        for one in self._sockets:
            one.close()


@row("F34")
def _(box):
    rig = Rig(box)
    box.write("secrets/guest/username", "guest")
    box.write("secrets/guest/password", "guest", mode=0o600)
    port = free_port()
    one, two = (FaultProxy(rig.broker.amqp_port, port=port, host=f"127.0.0.{n}") for n in (2, 3))
    with one, two, DnsServer(f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}") as dns:
        argv = [BIN, "work", "--queue", rig.queue(("rabbit.test", port), credentials={"secret": "guest"}), "--secrets",
                box.path("secrets"), "--exec", "./handle", "-o", "json"]
        begun = time.monotonic()
        worker = box.start(dns.only_for(box, argv))
        wait_until(lambda: "no such name" in worker.err(), what="the worker to say that the name is none", timeout=20)
        time.sleep(scaled(2, 10))  # the time in which it may not storm
        asked = dns.asked
        assert asked <= 2 * (6 + seconds_since(begun)), f"{asked} questions"
        dns.addresses = ["127.0.0.2"]
        at = time.monotonic()
        rig.publish(1)
        rig.wait_ended(1)
        named = seconds_since(at)
        # It moves: nothing answers at the old address, and the name leads to another.
        dns.addresses = ["127.0.0.3"]
        one.refuse()
        one.cut()
        at = time.monotonic()
        rig.publish(1)
        rig.wait_ended(2)
        moved = seconds_since(at)
        equal((one.stats()["open"], two.stats()["open"] > 0), (0, True), "where it is connected")
        # A thousand addresses, none of them any good, then the right one again.
        two.refuse()
        house, many = FullHouse(), set()
        dns.addresses = [f"127.1.{n >> 8}.{n & 255}" for n in range(1, 1001)]
        argv[3] = rig.queue(("rabbit.test", house.port), credentials={"secret": "guest"})
        other = box.start(dns.only_for(box, argv))

        def given_up():
            many.update(house.dialled())
            return "rabbit.test" in other.err()

        wait_until(given_up, 30, "the worker to have dialled them all")
        assert 2 < len(many) <= 32, f"{len(many)} addresses dialled"
        equal(other.stop().exit, 0, "exit")
        house.close()
        two.cut()
        two.accept()
        dns.addresses = ["127.0.0.3"]
        rig.publish(1)
        rig.wait_ended(3)
        done = worker.stop()
        # A cut may come between a message's end and its acknowledgement: it comes again then, and says so.
        first = [line["id"] for line in done.json[:-1] if line.get("cause") != "ack unknown"]
        equal((done.exit, first), (0, ["p1-1", "p2-1", "p3-1"]), "exit and done")
    rig.end()
    worst = max(named, moved)
    assert worst <= 5, f"{worst:.1f} s"
    return worst, (f"no such name: {asked} questions, said once; named: {named:.1f} s; moved to another address: "
                   f"{moved:.1f} s; of 1,000 addresses {len(many)} dialled")


main()
