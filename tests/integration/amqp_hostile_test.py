# SPDX-License-Identifier: Apache-2.0
"""Everything a broker must not say, said to real `sluice work` and `sluice publish` processes.

For each case: the process neither crashes nor hangs beyond its deadline, takes bounded memory, does not connect in a
busy loop, and says on one line what was wrong. What it says is the page docs/reference/bad-input-amqp.md: with
SNAP_UPDATE=1 this writes it, without that it compares.
"""

import concurrent.futures
import json
import os
import re
import struct
import threading
import time
from typing import NamedTuple

from lib import BIN, ROOT, contains, equal, main, test

# After lib, which says where they are.
import amqp_script as amqp
from amqp_script import body, close, deliver, field, frame, header, method, short, start, table
from peak_memory import nothing_done, peak

PAGE = ROOT / "docs/reference/bad-input-amqp.md"
AT_ONCE = 4  # cases that are played at the same time; most of them wait
SECONDS = 25  # two handshakes of at most 10 s, on a busy machine
# Of memory, in kB, beyond what a process has before it does anything: 68 MB in the sanitized build, and more with each
# thing that the program can do. The largest message has 1 MiB.
PEAK = 42_000
# In the 2 s after the first failure: a pause of 100 ms that doubles, and three connections a worker, one of them for a
# body that is too large. A spin would make thousands.
CONNECTS = 15
# The sanitizer keeps what was freed, 256 MB of it by default, to find who uses it: memory here is to mean memory.
SANITIZER = {"ASAN_OPTIONS": "quarantine_size_mb=8"}


class Case(NamedTuple):
    what: str  # the broker does, for the page
    script: object
    says: str = ""  # part of the line that is expected; empty: it goes on and the message is done
    verbs: tuple = ("work",)  # the page has what the first one says


CASES = []


def case(what, says="", verbs=("work",)):
    def register(script):
        CASES.append(Case(what, script, says, verbs))
        return script

    return register


def instead(what, says, *parts):
    """The first bytes of the broker are these."""

    @case(what, says, ("work", "publish"))
    def _(broker):
        broker.hello()
        broker.send(*parts)
        broker.silence()


def work(broker, channel):
    """One good message, then whatever is asked."""
    broker.send(method(channel, amqp.DELIVER, deliver()), header(channel, 4), body(channel, b"work"))
    broker.serve()


def content(what, says, *parts, **terms):
    """These bytes come to the consumer, on its channel where they are functions of one."""

    @case(what, says)
    def _(broker):
        broker.shake_hands(**terms)
        channel = broker.consume()
        broker.send(*[part(channel) if callable(part) else part for part in parts])
        if says:
            broker.serve()
        work(broker, channel)


def a_delivery(channel):
    return method(channel, amqp.DELIVER, deliver())


def with_headers(*fields):
    return lambda channel: a_delivery(channel) + header(channel, 4, 1 << 13, table(*fields)) + body(channel, b"work")


def nested(depth, entry=b"\x01kF"):
    out = b""
    for inside in range(depth - 1, 0, -1):
        out += struct.pack(">I", inside * (4 + len(entry))) + entry
    return out + table()


# The handshake

instead("AMQP 0-8", "it asks for protocol 0-8-0", b"AMQP\0\0\x08\0")
instead("AMQP 1.0", "it asks for protocol 1-0-0", b"AMQP\0\x01\0\0")
instead("HTTP", "this port speaks HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n")
instead("a TLS alert", "this port speaks TLS", b"\x15\x03\x01\0\x02\x02\x46")
instead("a mail server's greeting", "a frame of type 50", b"220 mail.example ESMTP\r\n")
instead("Start of AMQP 1.0 in a frame of 0-9-1", "the broker speaks AMQP 1.0", start(version=(1, 0)))
instead("Start without PLAIN", "it offers GSSAPI, not PLAIN", start("GSSAPI"))
instead("Start with control characters for mechanisms", "it offers ?[2J??, not PLAIN", start("\x1b[2J\n\x7f"))
instead("Start with 1 MB of mechanisms", "where 131072 were agreed on", start("LOGIN" * 200_000))
instead("Start with 120 kB of mechanisms", "it offers LOGINLOGIN", start("LOGIN" * 24_000))
instead("Start cut short", "cannot be read", method(0, amqp.START, b"\0\x09"))
instead("Start with tables nested 10,000 deep", "nested more than 64 deep", start(properties=nested(10_000)))
instead("Start with a field of an unknown type", "a field of the unknown type 0x7a",
        start(properties=table(field("k", "z", b""))))
instead("Start with a short text that goes beyond its table", "cut short", start(properties=table(b"\xffk")))
instead("Tune in place of Start", "AMQP_CONNECTION_TUNE_METHOD where AMQP_CONNECTION_START_METHOD belongs", amqp.tune())
instead("OpenOk in place of Start", "AMQP_CONNECTION_OPEN_OK_METHOD where",
        method(0, amqp.OPEN_OK, short("")))
instead("a method that only clients send", "AMQP_CONNECTION_START_OK_METHOD where",
        method(0, amqp.START_OK, table() + short("PLAIN") + amqp.long("x") + short("en_US")))
instead("a method of no class", "where AMQP_CONNECTION_START_METHOD belongs", method(0, (77, 7)))


@case("Start with every type of field: a decimal of scale 255, a timestamp of -1, arrays of tables, 300 bytes of text")
def _(broker):
    broker.hello()
    inner = field("a", "A", amqp.long(b"t\x01" + b"F" + table(field("x", "V", b""))))
    broker.send(start(properties=table(field("d", "D", b"\xff\0\0\0\x01"), field("t", "T", b"\xff" * 8), inner,
                                       field("s", "S", amqp.long("x" * 300)), field("y", "x", amqp.long(b"\0\xff")),
                                       field("b", "t", b"\x07"))))
    broker.method()
    broker.send(amqp.tune())
    broker.method()
    broker.method()
    broker.send(method(0, amqp.OPEN_OK, short("")))
    work(broker, broker.consume())


for most, words in ((1, "of at most 1 bytes"), (8, "of at most 8 bytes"), (4095, "of at most 4095 bytes"), (0, ""),
                    (4096, ""), (2**32 - 1, "")):
    @case(f"Tune with frame_max {most}", words)
    def _(broker, most=most):
        broker.shake_hands(frame_max=most)
        work(broker, broker.consume())

for terms in ({"channel_max": 0}, {"channel_max": 65535}, {"heartbeat": 65535}, {"heartbeat": 0}):
    @case(f"Tune with {' '.join(f'{key} {value}' for key, value in terms.items())}")
    def _(broker, terms=terms):
        broker.shake_hands(**terms)
        work(broker, broker.consume())


@case("Tune with heartbeat 1, and then nothing more", "the broker has said nothing for 2s, two heartbeats")
def _(broker):
    broker.shake_hands(heartbeat=1)
    broker.consume()
    broker.silence()


@case("each byte in a packet of its own")
def _(broker):
    broker.hello()
    broker.send_split(start())
    broker.method()
    broker.send_split(amqp.tune())
    broker.method()
    broker.method()
    broker.send_split(method(0, amqp.OPEN_OK, short("")))
    channel = broker.consume()
    broker.send_split(a_delivery(channel) + header(channel, 4) + body(channel, b"work"))
    broker.serve()


def silent_after(what, step):
    @case(f"silence {what}", "in time")
    def _(broker):
        step(broker)
        broker.silence()


def steps(count):
    """The handshake's first steps."""

    def run(broker):
        broker.hello()
        for answer in (start(), amqp.tune(), method(0, amqp.OPEN_OK, short("")))[:count]:
            broker.send(answer)
            broker.method()
            if answer[7:11] == struct.pack(">HH", *amqp.TUNE):
                broker.method()

    return run


def until(number):
    def run(broker):
        broker.shake_hands()
        broker.until(number)

    return run


silent_after("from the beginning", steps(0))
silent_after("after Start", steps(1))
silent_after("after Tune", steps(2))
silent_after("when a channel is opened", until(amqp.CHANNEL_OPEN))
silent_after("when the prefetch is set", until(amqp.QOS))
silent_after("when a consumer begins", until(amqp.CONSUME))


@case("the connection closed at the login", "wrong user name, password or certificate")
def _(broker):
    broker.hello()
    broker.send(start())
    broker.method()


@case("the connection closed before a word", "without a word: this may be a port for TLS (amqps://), or no RabbitMQ")
def _(broker):
    broker.hello()


# Frames

content("a frame of size 0", "a method frame without a method", lambda c: frame(amqp.METHOD, c, b""))
content("a frame of 2^31 bytes", "a frame of 2147483656 bytes where 131072 were agreed on",
        lambda c: frame(amqp.METHOD, c, b"", size=2**31))
content("a frame of 2^32-1 bytes", "a frame of 4294967303 bytes where 131072 were agreed on",
        lambda c: frame(amqp.METHOD, c, b"", size=2**32 - 1))
content("a frame without its end octet", "a frame without its end octet",
        lambda c: frame(amqp.METHOD, c, struct.pack(">HH", *amqp.QOS_OK), end=b"x"))
content("a method cut short", "without a method", lambda c: frame(amqp.METHOD, c, b"\0\x3c"))
content("a delivery cut short", "an AMQP_BASIC_DELIVER_METHOD that cannot be read",
        lambda c: method(c, amqp.DELIVER, b"\xff") + header(c, 0))
content("a content header cut short", "a content header cut short",
        lambda c: a_delivery(c) + frame(amqp.HEADER, c, b"\0"))
content("a heartbeat with content", "a heartbeat with content", frame(amqp.HEARTBEAT, 0, b"x"))
content("a heartbeat on channel 5", "a heartbeat on a channel", frame(amqp.HEARTBEAT, 5, b""))
content("10,000 heartbeats", "", frame(amqp.HEARTBEAT, 0, b"") * 10_000)
content("a frame of an unknown type", "a frame of type 4", frame(4, 1, b""))
content("a channel beyond channel_max", "channel 11 where 10 is the highest", method(11, amqp.QOS_OK), channel_max=10)
content("a channel that is not open", "a frame for channel 99, which is not open", method(99, amqp.QOS_OK))
content("a body frame larger than frame_max", "a frame of 4097 bytes where 4096 were agreed on",
        lambda c: a_delivery(c) + header(c, 5000) + body(c, b"x" * 4089), frame_max=4096)

# Content

content("a body without a header", "content that no header announced", lambda c: a_delivery(c) + body(c, b"work"))
content("a header without a delivery", "a content header that no method announced", lambda c: header(c, 4))
content("a second header", "a content header that no method announced",
        lambda c: a_delivery(c) + header(c, 4) + header(c, 4))
content("a body longer than announced", "more content than its header announced",
        lambda c: a_delivery(c) + header(c, 2) + body(c, b"work"))
content("a body shorter than announced, then another delivery", "AMQP_BASIC_DELIVER_METHOD in the middle of content",
        lambda c: a_delivery(c) + header(c, 10) + body(c, b"work") + a_delivery(c))
content("another method in the middle of content", "AMQP_BASIC_ACK_METHOD in the middle of content",
        lambda c: a_delivery(c) + header(c, 10) + method(c, amqp.ACK, struct.pack(">QB", 1, 0)))
content("a header of another class", "content of a class that carries none",
        lambda c: a_delivery(c) + header(c, 4, number=50))
content("more properties than there are", "more properties than there are", lambda c: a_delivery(c) + header(c, 4, 1))
content("properties cut short", "a content header that is cut short", lambda c: a_delivery(c) + header(c, 4, 0xFFFE))
content("headers nested 10,000 deep", "nested more than 64 deep",
        lambda c: a_delivery(c) + header(c, 4, 1 << 13, nested(10_000)))
content("arrays nested 10,000 deep in headers", "nested more than 64 deep",
        lambda c: a_delivery(c) + header(c, 4, 1 << 13, table(b"\x01kA" + nested(10_000, b"A"))))
content("a header of an unknown type", "a field of the unknown type 0x7a", with_headers(field("k", "z", b"")))
content("headers of every size and sign", "", with_headers(
    field("d", "D", b"\xff\0\0\0\x01"), field("t", "T", b"\xff" * 8), field("s", "S", amqp.long("x" * 300)),
    field("l", "l", b"\x80" + b"\0" * 7), field("L", "L", b"\xff" * 8), field("", "V", b""),
    field("x-sluice-attempts", "l", b"\xff" * 8), field("x-delivery-count", "S", amqp.long("many"))))
content("a body of 2^64-1 bytes, of which 64 MB come, and then Close", "CONNECTION_FORCED - enough (AMQP 320)",
        lambda c: a_delivery(c) + header(c, 2**64 - 1), *[lambda c: body(c, b"x" * 131_064)] * 512,
        close(320, "CONNECTION_FORCED - enough"))


# Methods at the wrong time

@case("a delivery before the consumer is confirmed")
def _(broker):
    broker.shake_hands()
    channel = broker.until(amqp.CONSUME)
    broker.send(a_delivery(channel), header(channel, 4), body(channel, b"work"))
    broker.answer(channel, amqp.CONSUME, b"")
    broker.serve()


@case("the consumer cancelled: it consumes again")
def _(broker):
    broker.shake_hands()
    channel = broker.consume()
    broker.send(method(channel, amqp.CANCEL, short("worker") + b"\x01"))
    work(broker, broker.consume())


content("Blocked and Unblocked, 10,000 times", "",
        (method(0, amqp.BLOCKED, short("low on memory")) + method(0, amqp.UNBLOCKED)) * 10_000)
content("an answer that nobody waits for", "AMQP_BASIC_QOS_OK_METHOD, which nobody asked for",
        lambda c: method(c, amqp.QOS_OK))
content("a confirm on a consumer's channel", "", lambda c: method(c, amqp.ACK, struct.pack(">QB", 77, 1)))

for code, text in ((320, "CONNECTION_FORCED"), (403, "ACCESS_REFUSED"), (404, "NOT_FOUND"), (405, "RESOURCE_LOCKED"),
                   (406, "PRECONDITION_FAILED"), (501, "FRAME_ERROR"), (502, "SYNTAX_ERROR"), (503, "COMMAND_INVALID"),
                   (504, "CHANNEL_ERROR"), (505, "UNEXPECTED_FRAME"), (506, "RESOURCE_ERROR"), (530, "NOT_ALLOWED"),
                   (540, "NOT_IMPLEMENTED")):
    content(f"Close {code}", f"{text} - because (AMQP {code})", close(code, f"{text} - because"))
content("a channel closed with 404", "NOT_FOUND - no queue 'q' (AMQP 404)",
        lambda c: close(404, "NOT_FOUND - no queue 'q'", amqp.CHANNEL_CLOSE, c))
content("Close with control characters", "?[31mred?line (AMQP 320)", close(320, "\x1b[31mred\nline"))


@case("no answer when the client says goodbye")
def _(broker):
    broker.shake_hands()
    channel = broker.consume()
    broker.send(a_delivery(channel), header(channel, 4), body(channel, b"work"))
    while True:
        channel, number, arguments = broker.method()
        if number != amqp.CLOSE:
            broker.answer(channel, number, arguments)


# What a publisher hears

def confirms(what, *parts):
    """These come before the confirm."""

    @case(what, verbs=("publish",))
    def _(broker):
        broker.shake_hands()
        channel = broker.until(amqp.PUBLISH)
        broker.send(*[part(channel) if callable(part) else part for part in parts])
        broker.send(method(channel, amqp.ACK, struct.pack(">QB", 1, 0)))
        broker.serve()


confirms("a confirm of a message that was never sent", lambda c: method(c, amqp.ACK, struct.pack(">QB", 999, 0)))
confirms("a refusal of a message that was never sent", lambda c: method(c, amqp.NACK, struct.pack(">QB", 999, 0)))
confirms("a confirm of all messages up to number 0", lambda c: method(c, amqp.ACK, struct.pack(">QB", 0, 1)))
confirms("a message that comes back and was never sent",
         lambda c: method(c, amqp.RETURN, struct.pack(">H", 312) + short("NO_ROUTE") + short("") + short("q")) +
         header(c, 4, 1 << 7, short("nobody")) + body(c, b"work"))


@case("a refusal (nack)", "the broker refused it (nack)", ("publish",))
def _(broker):
    broker.shake_hands()
    channel = broker.until(amqp.PUBLISH)
    broker.send(method(channel, amqp.NACK, struct.pack(">QB", 1, 0)))
    broker.serve()


# Playing them

def line_of(text, words):
    """The line that says it, without what its logger adds."""
    for line in text.splitlines():
        fields = json.loads(line) if line.startswith("{") else {"msg": line}
        said = fields.get("msg") or fields.get("why", "")
        if words in said:
            return said
    return ""


class Player:
    def __init__(self, box):
        self._box, self._starting = box, threading.Lock()

    def start(self, verb, broker):
        queue = json.dumps({"queue": {"rabbitmq": {"url": broker.url, "queue": "q", "maxBody": "1MiB"}}})
        more = {"work": ["--simulate", "1ms", "--idle-exit", "1s", "--grace", "1s"],
                "publish": ["--count", 1, "--run", "r"]}[verb]
        with self._starting:
            return self._box.start_sluice(verb, "--queue", queue, "-o", "json", *more, env=SANITIZER)

    def play(self, played):
        """The line for the page."""
        return [self._play(played, verb) for verb in played.verbs][0]

    def _play(self, played, verb):
        with amqp.ScriptedBroker(played.script) as broker:
            process = self.start(verb, broker)
            most = 0
            end, seen = time.monotonic() + SECONDS, None
            done = {"work": '"outcome":"done"', "publish": '"confirmed":1'}[verb]
            while process.alive() and time.monotonic() < end:
                most = max(most, peak(process.popen.pid))
                now = time.monotonic()
                told = process.err() + process.out()
                found = line_of(told, played.says) if played.says else done in told
                if found and seen is None:
                    seen, end = now, min(end, now + 2)
                time.sleep(0.02)
            hung = process.alive()
            ended = process.stop()
            whole = f"{verb}, {played.what}: {ended.out}\n{ended.err}\n"
            if broker.failure:
                raise AssertionError(f"{whole}the script failed: {broker.failure!r}")
            assert ended.exit in (0, 1), f"{whole}exit {ended.exit}"
            for alarm in ("AddressSanitizer", "LeakSanitizer", "runtime error", "check failed"):
                assert alarm not in ended.err, whole
            assert most < nothing_done(BIN, SANITIZER) + PEAK, f"{whole}{most} kB"
            assert broker.connections <= CONNECTS, f"{whole}{broker.connections} connections"
            if not played.says:
                contains(ended.out, done)
                equal((ended.exit, hung and verb == "publish"), (0, False), whole)
                return "goes on"
            said = line_of(ended.err + ended.out, played.says)
            assert said, f"{whole}does not say {played.says!r}"
            return re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", re.sub(r"\br-1\b", "ID", said))


def page(rows):
    head = """# Bad AMQP: what a broker does, what you are told

<!-- Generated by tests/integration/amqp_hostile_test.py. To change it: change that, then SNAP_UPDATE=1 on it -->

A broker that breaks the protocol, or something else on its port, gets no second look at what it said: the connection is
closed and the reason is one line. `goes on` means that it is allowed, or harmless, and the next message is done. "In
time" is 10 s for a handshake or a call. A worker leaves when the broker is of no use to it; otherwise it connects again
with growing pauses.

"""
    lines = [f"| {row.what} | `{said}` |" if said != "goes on" else f"| {row.what} | goes on |" for row, said in rows]
    return head + "| the broker does | sluice says |\n| --- | --- |\n" + "\n".join(lines) + "\n"


@test("whatever a broker says, a worker and a publisher end or go on, in time, in bounds, and say why")
def _(box):
    player = Player(box)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        plays = [pool.submit(player.play, one) for one in CASES]
        problems = [str(play.exception()) for play in plays if play.exception()]
    if problems:
        raise AssertionError(f"{len(problems)} of {len(CASES)} cases:\n\n" + "\n\n".join(problems))
    text = page([(one, play.result()) for one, play in zip(CASES, plays)])
    if os.environ.get("SNAP_UPDATE") == "1":
        PAGE.write_text(text)
    equal(PAGE.read_text(), text, f"{PAGE.name}; SNAP_UPDATE=1 writes it. The page")


main()
