# SPDX-License-Identifier: Apache-2.0
"""AMQP 0-9-1 by hand, frame by frame: a broker that keeps to the protocol up to a step and then does what it is told.

    def short_body(broker):                      # what happens on each connection
        broker.shake_hands()
        broker.until(CONSUME)                    # answers everything a worker asks until then
        broker.send(method(1, DELIVER, deliver("q")), header(1, size=10), body(1, b"short"), raw=b"")

    with ScriptedBroker(short_body) as broker:   # broker.url, broker.connections, broker.heard

Built from the specification's text (sections in the comments) and nothing of sluice, so that it cannot share a mistake
with it. `Publisher` is the other side: a message with any properties to a real broker.
"""

import contextlib
import socket
import struct
import threading

from waiting import free_port

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8  # section 4.2.3

# Class and method numbers, section 1.
START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK = (10, 10), (10, 11), (10, 30), (10, 31), (10, 40), (10, 41)
CLOSE, CLOSE_OK, BLOCKED, UNBLOCKED = (10, 50), (10, 51), (10, 60), (10, 61)
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 10), (20, 11), (20, 40), (20, 41)
DECLARE, DECLARE_OK = (50, 10), (50, 11)
QOS, QOS_OK, CONSUME, CONSUME_OK, CANCEL, CANCEL_OK = (60, 10), (60, 11), (60, 20), (60, 21), (60, 30), (60, 31)
PUBLISH, RETURN, DELIVER, ACK, NACK = (60, 40), (60, 50), (60, 60), (60, 80), (60, 120)
GET, GET_OK = (60, 70), (60, 71)
SELECT, SELECT_OK = (85, 10), (85, 11)

HELLO = b"AMQP\0\0\x09\x01"


def short(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">B", len(data)) + data


def long(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">I", len(data)) + data


def field(name, kind, data):
    return short(name) + kind.encode() + data


def table(*fields):
    return long(b"".join(fields))


def frame(kind, channel, payload, end=b"\xce", size=None):
    return struct.pack(">BHI", kind, channel, len(payload) if size is None else size) + payload + end


def method(channel, number, arguments=b""):
    return frame(METHOD, channel, struct.pack(">HH", *number) + arguments)


def header(channel, size, flags=0, properties=b"", number=60):
    return frame(HEADER, channel, struct.pack(">HHQH", number, 0, size, flags) + properties)


def body(channel, data):
    return frame(BODY, channel, data)


def start(mechanisms="PLAIN AMQPLAIN", properties=None, version=(0, 9)):
    return method(0, START, bytes(version) + (table() if properties is None else properties) + long(mechanisms) +
                  long("en_US"))


def tune(channel_max=2047, frame_max=131072, heartbeat=60):
    return method(0, TUNE, struct.pack(">HIH", channel_max, frame_max, heartbeat))


def close(code, text, number=CLOSE, channel=0):
    return method(channel, number, struct.pack(">H", code) + short(text) + struct.pack(">HH", 0, 0))


def deliver(key="q", tag=1, consumer="", redelivered=False):
    return short(consumer) + struct.pack(">QB", tag, redelivered) + short("") + short(key)


class Gone(Exception):
    """The client closed, or the test is over."""


class Connection:
    """One connection of a client, for a script."""

    def __init__(self, stream, owner):
        self._stream, self._owner, self._bytes = stream, owner, b""
        self.published = 0

    def send(self, *parts):
        self._stream.sendall(b"".join(parts))

    def send_split(self, data):
        """Each byte a packet of its own."""
        for at in range(len(data)):
            self._stream.sendall(data[at:at + 1])

    def receive(self, size):
        while len(self._bytes) < size:
            data = self._stream.recv(1 << 18)
            if not data:
                raise Gone
            self._bytes += data
        data, self._bytes = self._bytes[:size], self._bytes[size:]
        return data

    def frame(self):
        """(type, channel, payload) of the client's next frame."""
        kind, channel, size = struct.unpack(">BHI", self.receive(7))
        payload = self.receive(size)
        if self.receive(1) != b"\xce":
            raise AssertionError("the client sent a frame without its end")
        return kind, channel, payload

    def method(self):
        """(channel, (class, method), arguments) of its next method; heartbeats and content are passed over."""
        while True:
            kind, channel, payload = self.frame()
            if kind == METHOD:
                number = struct.unpack(">HH", payload[:4])
                self._owner.heard.append(number)
                return channel, number, payload[4:]

    def hello(self):
        if self.receive(8) != HELLO:
            raise AssertionError("the client did not begin with AMQP 0-9-1")

    def shake_hands(self, **terms):
        self.hello()
        self.send(start())
        self.method()
        self.send(tune(**terms))
        self.method()
        self.method()
        self.send(method(0, OPEN_OK, short("")))

    def answer(self, channel, number, arguments):
        """As a broker would that has every queue, each empty."""
        queue = arguments[2:3 + arguments[2]] if number == DECLARE else b""  # behind what was once a ticket
        answers = {CHANNEL_OPEN: (CHANNEL_OPEN_OK, long("")), CHANNEL_CLOSE: (CHANNEL_CLOSE_OK, b""),
                   DECLARE: (DECLARE_OK, queue + struct.pack(">II", 0, 0)), QOS: (QOS_OK, b""),
                   CONSUME: (CONSUME_OK, short("worker")), CANCEL: (CANCEL_OK, short("worker")),
                   SELECT: (SELECT_OK, b""), CLOSE: (CLOSE_OK, b"")}
        if number in answers:
            self.send(method(channel, *answers[number]))
        elif number == PUBLISH:
            self.published += 1

    def until(self, wanted):
        """Answers everything before the client's method `wanted`; returns its channel. That one is not answered."""
        while True:
            channel, number, arguments = self.method()
            if number == wanted:
                return channel
            self.answer(channel, number, arguments)

    def consume(self):
        """Until the client consumes; its channel."""
        channel = self.until(CONSUME)
        self.answer(channel, CONSUME, b"")
        return channel

    def serve(self):
        """Answers whatever comes, to the end."""
        while True:
            self.answer(*self.method())

    def silence(self):
        """Reads and says nothing, to the end."""
        while True:
            self.receive(1)


class ScriptedBroker:
    """Runs `script(connection)` for each connection, each on a thread; the connection is closed when it returns."""

    def __init__(self, script, patience=60):
        self.port = free_port()
        self.heard, self.connections, self.failure = [], 0, None
        self._script, self._patience = script, patience
        self._live, self._closed = set(), False
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"amqp://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._closed = True
        for stream in (self._server, *list(self._live)):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _serve(self):
        while not self._closed:
            try:
                stream, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._live.add(stream)
            threading.Thread(target=self._play, args=(stream,), daemon=True).start()

    def _play(self, stream):
        with stream:
            try:
                stream.settimeout(self._patience)
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._script(Connection(stream, self))
                stream.shutdown(socket.SHUT_WR)
                while stream.recv(65536):  # what is unread would turn the close into a reset
                    pass
            except (Gone, OSError):
                pass
            except Exception as problem:  # the test asks for it
                self.failure = problem
            self._live.discard(stream)


class Publisher:
    """One channel of a real broker, with confirms."""

    def __init__(self, port, user="guest", password="guest", patience=60):
        self._stream = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self._link = Connection(self._stream, self)
        self.heard = []
        self._link.send(HELLO)
        self._link.method()
        self._call(method(0, START_OK, table() + short("PLAIN") + long(f"\0{user}\0{password}") + short("en_US")))
        self._link.send(method(0, TUNE_OK, struct.pack(">HIH", 2047, 131072, 0)))
        self._call(method(0, OPEN, short("/") + short("") + b"\0"))
        self._call(method(1, CHANNEL_OPEN, short("")))
        self._call(method(1, SELECT, b"\0"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()

    def declare(self, queue, kind):
        """A durable queue of that type."""
        arguments = table(field("x-queue-type", "S", long(kind)))
        _, number, _ = self._call(method(1, DECLARE, b"\0\0" + short(queue) + b"\2" + arguments))
        if number != DECLARE_OK:
            raise AssertionError(f"the broker answered a declare of {queue} with {number}")

    def publish(self, queue, data, flags=0, properties=b""):
        """Returns once it is confirmed. `flags` and `properties` as in the header frame (section 4.2.6.1)."""
        self._link.send(method(1, PUBLISH, b"\0\0" + short("") + short(queue) + b"\0"),
                        header(1, len(data), flags, properties))
        for at in range(0, len(data), 131064):
            self._link.send(body(1, data[at:at + 131064]))
        _, number, _ = self._link.method()
        if number != ACK:
            raise AssertionError(f"the broker answered a publish with {number}")

    def get(self, queue):
        """Takes a message: its properties as they came, and its body."""
        _, number, _ = self._call(method(1, GET, b"\0\0" + short(queue) + b"\x01"))
        if number != GET_OK:
            raise AssertionError(f"queue {queue} is empty")
        _, _, head = self._link.frame()
        size, parts = struct.unpack(">Q", head[4:12])[0], []
        while size > 0:
            _, _, part = self._link.frame()
            parts.append(part)
            size -= len(part)
        return head[12:], b"".join(parts)

    def ready(self, queue):
        """How many messages wait there now."""
        passive = b"\0\0" + short(queue) + b"\1" + table()
        _, number, arguments = self._call(method(1, DECLARE, passive))
        if number != DECLARE_OK:
            raise AssertionError(f"the broker answered a declare of {queue} with {number}")
        return struct.unpack(">II", arguments[-8:])[0]

    def _call(self, bytes_out):
        self._link.send(bytes_out)
        return self._link.method()
