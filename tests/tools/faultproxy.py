#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that breaks what it carries, while the test says how.

    with FaultProxy(broker.amqp_port) as proxy:
        connect_to(proxy.port)
        proxy.delay(0.5, "down")           # what the server says arrives late
        proxy.cut_after(1000, "up")        # RST once 1000 more bytes of one connection have gone up
        wait_until(lambda: proxy.stats()["open"] == 0)
        proxy.heal()

"up" is from the client to the server, "down" the other way; "both" is the default. A fault holds for every connection,
those to come included, until heal(). Every method may be called from any thread and returns when the fault is in force.
HttpFault (httpfault.py) is the same for single HTTP requests.

As a program: `faultproxy.py --target PORT [--http]`, then a method a line on stdin: `delay 0.5 down`, `cut`, `stats`.
"""

import argparse
import asyncio
import collections
import contextlib
import fcntl
import json
import shlex
import socket
import struct
import sys
import termios
import time

from background import Background
from httpfault import HttpFault
from waiting import free_port

__all__ = ["FaultProxy", "HttpFault"]

WAYS = {"up": ("up",), "down": ("down",), "both": ("up", "down")}
PENDING_BYTES = 16 << 20  # a way that holds or delays takes no more than this from its sender, for each connection
FIN_SECONDS = 1.0  # how long both sides of a connection that was ended may take to end it themselves
RATE_PIECE_SECONDS = 0.05  # how long the pieces are that a rate is kept with


class _Cut:
    def __init__(self, count, how, once):
        self.count, self.how, self.once = count, how, once


class _Way:
    """What is wrong with one direction now."""

    def __init__(self):
        self.passed = self.swallowed = 0
        self.clear()

    def clear(self):
        self.delay, self.rate, self.trickle, self.hold, self.drop, self.cut = 0.0, None, None, False, False, None


class _Pipe:
    """One direction of one connection: what was read waits in a queue until it's due. None in it is the end."""

    def __init__(self, connection, way, source, target):
        self.connection, self.way, self.source, self.target = connection, way, source, target
        self.pending, self.pending_bytes = collections.deque(), 0
        self.wake, self.space = asyncio.Event(), asyncio.Event()
        self.muted = False  # half closed: whatever still comes is swallowed
        self.lossy = False  # bytes of it are gone: the next ones find no connection any more
        self.plan, self.left = None, 0

    def put(self, data):
        self.pending.append((time.monotonic(), data))
        self.pending_bytes += len(data or b"")
        self.wake.set()

    async def read(self):
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(self.source, 1 << 16)
            except OSError:
                self.connection.reset = True
                data = b""
            self.put(data or None)
            if not data:
                return
            while self.pending_bytes > PENDING_BYTES:
                self.space.clear()
                await self.space.wait()

    async def write(self):
        while not self.connection.ended.is_set():
            if not self.pending or self.way.hold:
                await self._woken()
                continue
            read_at, data = self.pending[0]
            wait = read_at + self.way.delay - time.monotonic()
            if wait > 0:
                await self._woken(wait)
                continue
            self.pending.popleft()
            if data is not None:
                await self._pass(data)
                self.pending_bytes -= len(data)
                self.space.set()
            elif await self._end():
                return

    async def _woken(self, timeout=None):
        """Until something was read or a fault changed."""
        self.wake.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.wake.wait(), timeout)

    async def _pass(self, data):
        loop = asyncio.get_running_loop()
        while data and not self.connection.ended.is_set():
            way = self.way
            if way.drop or self.muted:
                self.lossy = self.lossy or way.drop
                way.swallowed += len(data)
                return
            if self.lossy:
                self.connection.cut("rst")
                return
            if way.hold:
                await self._woken()
                continue
            if self.plan is not way.cut:
                self.plan, self.left = way.cut, way.cut.count if way.cut else 0
            size = len(data)
            if way.trickle is not None:
                size = 1
            elif way.rate:
                size = max(1, int(way.rate * RATE_PIECE_SECONDS))
            piece = data[:min(size, self.left) if self.plan else size]
            data = data[len(piece):]
            if piece:
                try:
                    await loop.sock_sendall(self.target, piece)
                except OSError:
                    self.connection.cut("rst")
                    return
                way.passed += len(piece)
            if self.plan:
                self.left -= len(piece)
                if self.left <= 0:
                    await self._cut_by_plan()
                    return
            if way.trickle is not None:
                await asyncio.sleep(way.trickle)
            elif way.rate:
                await asyncio.sleep(len(piece) / way.rate)

    async def _cut_by_plan(self):
        if self.plan.once and self.way.cut is self.plan:
            self.way.cut = None
        for _ in range(1000):  # an RST overtakes what the receiver's side has not taken yet
            if struct.unpack("i", fcntl.ioctl(self.target, termios.TIOCOUTQ, b"\0" * 4))[0] == 0:
                break
            await asyncio.sleep(0.001)
        self.connection.cut(self.plan.how)

    async def _end(self):
        """Passes the end on. True when this was the source's own, False when it was half_close()."""
        lost = False
        while self.way.drop:  # the far side must not notice; afterwards it learns of a connection that is no more
            lost = True
            await self._woken()
        if lost or self.connection.reset:
            self.connection.cut("rst")
            return True
        with contextlib.suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)
        half, self.muted = self.muted is None, True
        return not half

    def half_close(self):
        if self.muted is False:
            self.muted = None  # until _end() has passed it on, what is pending still goes
            self.put(None)


class _Connection:
    def __init__(self, client, server, ways):
        self.sockets, self.ended, self.reset = (client, server), asyncio.Event(), False
        self.how = "fin"
        self.pipes = {"up": _Pipe(self, ways["up"], client, server), "down": _Pipe(self, ways["down"], server, client)}

    def cut(self, how):
        if not self.ended.is_set():
            self.how = how
            self.ended.set()

    async def run(self):
        pipes = self.pipes.values()
        readers = [asyncio.ensure_future(pipe.read()) for pipe in pipes]
        writers = [asyncio.ensure_future(pipe.write()) for pipe in pipes]
        ended = asyncio.ensure_future(self.ended.wait())
        try:
            both = asyncio.gather(*writers, return_exceptions=True)
            await asyncio.wait([both, ended], return_when=asyncio.FIRST_COMPLETED)
            for writer in writers:
                if writer.done():
                    writer.result()  # a mistake in here is not to pass for a fault
        finally:
            try:
                for task in (*readers, *writers, ended):
                    task.cancel()
                await asyncio.gather(*readers, *writers, ended, return_exceptions=True)
                if self.ended.is_set() and self.how == "fin":
                    await self._end_quietly()
            finally:
                for s in self.sockets:
                    _close(s, self.how)

    async def _end_quietly(self):
        """Both see an end, and what they still send is taken: a socket closed upon unread bytes sends a reset."""
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_WR)
        drains = [asyncio.ensure_future(_drain(s)) for s in self.sockets]
        try:
            await asyncio.wait(drains, timeout=FIN_SECONDS)
        finally:
            for drain in drains:
                drain.cancel()
            await asyncio.gather(*drains, return_exceptions=True)


async def _drain(s):
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(s, 1 << 16):
            pass


def _close(s, how):
    if how == "rst":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def _one_of(value, accepted, what):
    if value not in accepted:
        raise ValueError(f"{what} {value!r}; accepted: {', '.join(accepted)}")
    return value


class FaultProxy(Background):
    """Listens on `port` (a free one if None) and connects to `target_port` for each client."""

    def __init__(self, target_port, port=None, host="127.0.0.1", target_host="127.0.0.1"):
        super().__init__()
        self.host, self.port = host, port or free_port()
        self._target = (target_host, target_port)
        self._ways = {"up": _Way(), "down": _Way()}
        self._connections, self._tasks = set(), set()
        self._accepted = self._unreachable = 0
        self._listener = self._accepting = None
        self.accept()

    # Faults

    def delay(self, seconds, way="both"):
        """Everything arrives this much later, in order, however much of it there is."""
        self._set(way, delay=float(seconds))

    def rate(self, bytes_per_second, way="both"):
        self._set(way, rate=float(bytes_per_second))

    def trickle(self, pause=0.0, way="both"):
        """One byte at a time, each sent by itself, `pause` seconds between them."""
        self._set(way, trickle=float(pause))

    def hold(self, way="both"):
        """Nothing arrives for now; heal() lets it go on where it was, as after a cable is plugged in again."""
        self._set(way, hold=True)

    def drop(self, way="both"):
        """A black hole: what is sent is taken and lost, ends of connections too. A connection that has lost bytes is
        reset when it sends more after heal(): no network passes on the rest of a stream."""
        self._set(way, drop=True)

    def cut_after(self, count, way="up", how="rst", once=True):
        """Lets `count` more bytes of a connection pass, then cuts it. `once`: the first that gets there, then none."""
        self._set(way, cut=_Cut(int(count), _one_of(how, ("rst", "fin"), "how"), once))

    def heal(self, way="both"):
        """No fault any more, refuse() included. What was held or late goes on at once."""
        self._call(self._heal, _one_of(way, WAYS, "way"))
        self.accept()

    def cut(self, how="rst"):
        """Every connection, now. Returns how many."""
        return self._call(self._cut, _one_of(how, ("rst", "fin"), "how"))

    def half_close(self, way="down"):
        """The receiver of that way sees the end; the other way goes on. For the connections that are open."""
        return self._call(self._each_pipe, _one_of(way, WAYS, "way"), _Pipe.half_close)

    def inject(self, data, way="down"):
        """Bytes that nobody sent, after those that wait, on every open connection. Returns on how many."""
        data = data.encode() if isinstance(data, str) else bytes(data)
        return self._call(self._each_pipe, _one_of(way, WAYS, "way"), lambda pipe: pipe.put(data))

    def refuse(self):
        """Nobody listens any more. The connections that are open stay."""
        self._call(self._refuse)

    def accept(self):
        """Listens again, on the same port."""
        self._call(self._accept)

    def target(self, port, host="127.0.0.1"):
        """Where the connections to come go."""
        self._target = (host, int(port))

    def stats(self):
        """{"accepted", "open", "unreachable": clients whose server did not answer, "up", "down": bytes passed on,
        "swallowed_up", "swallowed_down", "held_up", "held_down": bytes read and not yet passed on}."""
        up, down = self._ways["up"], self._ways["down"]
        open_now = list(self._connections)
        held = {way: sum(one.pipes[way].pending_bytes for one in open_now) for way in WAYS["both"]}
        return {"accepted": self._accepted, "open": len(self._connections), "unreachable": self._unreachable,
                "up": up.passed, "down": down.passed, "swallowed_up": up.swallowed, "swallowed_down": down.swallowed,
                "held_up": held["up"], "held_down": held["down"]}

    # On the loop

    def _set(self, way, **values):
        self._call(self._set_now, _one_of(way, WAYS, "way"), values)

    def _set_now(self, way, values):
        for name in WAYS[way]:
            for key, value in values.items():
                setattr(self._ways[name], key, value)
        self._each_pipe("both", lambda pipe: pipe.wake.set())

    def _heal(self, way):
        for name in WAYS[way]:
            self._ways[name].clear()
        self._each_pipe("both", lambda pipe: pipe.wake.set())

    def _cut(self, how):
        for connection in self._connections:
            connection.cut(how)
        return len(self._connections)

    def _each_pipe(self, way, function):
        for connection in self._connections:
            for name in WAYS[way]:
                function(connection.pipes[name])
        return len(self._connections)

    async def _refuse(self):
        if self._accepting:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._listener.close()
            self._accepting = None

    def _accept(self):
        if not self._accepting:
            self._listener = socket.create_server((self.host, self.port), backlog=1024)
            self._listener.setblocking(False)
            self._accepting = self._loop.create_task(self._accept_all())

    async def _accept_all(self):
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self._accepted += 1
            task = self._loop.create_task(self._serve(client))
            self._tasks.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(lambda done, client=client: (self._tasks.discard(done), client.close()))

    async def _serve(self, client):
        server = socket.socket()
        for s in (client, server):
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(server, self._target)
        except BaseException as problem:
            self._unreachable += isinstance(problem, OSError)
            _close(client, "rst")
            server.close()
            if isinstance(problem, OSError):
                return
            raise
        connection = _Connection(client, server, self._ways)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    async def _end_tasks(self):
        await super()._end_tasks()
        if self._listener:
            self._listener.close()


def _value(word):
    with contextlib.suppress(ValueError):
        return json.loads(word)
    return word


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=int, required=True, help="port of the server on loopback")
    parser.add_argument("--port", type=int, help="to listen on (default: a free one)")
    parser.add_argument("--http", action="store_true", help="HttpFault instead")
    arguments = parser.parse_args()
    kind = HttpFault if arguments.http else FaultProxy
    commands = [name for name, value in vars(kind).items() if name[0] != "_" and callable(value)]
    with kind(arguments.target, arguments.port) as proxy:
        print(f"listening on 127.0.0.1:{proxy.port}", flush=True)
        for line in sys.stdin:
            words = shlex.split(line, comments=True)
            if not words:
                continue
            options = dict(word.split("=", 1) for word in words[1:] if "=" in word and word[0] != "/")
            plain = [_value(word) for word in words[1:] if "=" not in word or word[0] == "/"]
            try:
                method = getattr(proxy, _one_of(words[0], commands, "command"))
                done = method(*plain, **{key: _value(value) for key, value in options.items()})
                print(json.dumps({"ok": words[0], "result": done}), flush=True)
            except (ValueError, TypeError, OSError) as problem:
                print(json.dumps({"error": str(problem)}), flush=True)


if __name__ == "__main__":
    main()
