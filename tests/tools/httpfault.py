# SPDX-License-Identifier: Apache-2.0
"""An HTTP front on loopback that passes requests on to a server, and breaks the ones the test chooses.

    with HttpFault(broker.management_port) as front:
        front.answer("/api/queues/*", 500, "<html>oops</html>", "text/html")
        front.lose_reply("/api/queues/*", times=1)     # the server does it, the client never hears of it
        front.edit("/api/queues/*", lambda body: body.replace(b'"messages_ready":0', b'"messages_ready":-1'))
        front.heal()

A path is a shell pattern matched against the request's path without its query, as it was sent (a vhost "/" is %2F). The
newest fault that matches applies, `times` times or until heal(); each can also make its answer late (`after` seconds).
What no fault matches passes unchanged. One request to the server for each that came, on a connection of its own.
"""

import asyncio
import contextlib
import fnmatch
import http
import http.client
import io
import socket
import struct
import sys

from background import Background
from waiting import free_port

BODY_BYTES = 64 << 20  # a longer request is refused: nothing a test sends is that large
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
              "content-length"}


class _Fault:
    def __init__(self, path, act, after, times):
        self.path, self.act, self.after, self.times = path, act, after, times
        self.healed = asyncio.Event()


class _Request:
    def __init__(self, method, target, headers, body, keep_alive):
        self.method, self.target, self.headers, self.body, self.keep_alive = method, target, headers, body, keep_alive
        self.path = target.partition("?")[0]


class _Answer:
    """`keep` bytes of the body are sent, None: all; `how` ends the connection after that, None: it stays."""

    def __init__(self, status, headers, body, keep=None, how=None):
        self.status, self.headers, self.body, self.keep, self.how = status, headers, body, keep, how


class _Saved:
    """Bytes as http.client wants to read them."""

    def __init__(self, data):
        self.data = data

    def makefile(self, *_):
        return io.BytesIO(self.data)


class HttpFault(Background):
    """Listens on `port` (a free one if None)."""

    def __init__(self, target_port, port=None, host="127.0.0.1", target_host="127.0.0.1"):
        super().__init__()
        self.host, self.port = host, port or free_port()
        self.requests = []  # (method, path with its query), as they came; headers are not kept, they hold passwords
        self._target = (target_host, target_port)
        self._faults = []
        self._server = self._call(asyncio.start_server, self._serve, self.host, self.port)

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    # Faults

    def answer(self, path, status=200, body="", content_type="text/plain", headers=None, after=0.0, times=None):
        """This, instead of asking the server."""
        body = body.encode() if isinstance(body, str) else bytes(body)
        fixed = _Answer(int(status), [("Content-Type", content_type), *(headers or {}).items()], body)

        async def act(_):
            return fixed

        self._add(path, act, after, times)

    def delay(self, path, seconds, times=None):
        """The server is asked at once, its answer passed on `seconds` later."""
        self._add(path, self._ask, seconds, times)

    def lose_reply(self, path, how="rst", after=0.0, times=None):
        """The server is asked and does what it was asked; the client gets the end of the connection."""

        async def act(request):
            await self._ask(request)
            return _Answer(None, [], b"", how=how)

        self._add(path, act, after, times)

    def truncate(self, path, keep, how="fin", after=0.0, times=None):
        """Only `keep` bytes of the body that Content-Length announces, then the end of the connection."""

        async def act(request):
            answer = await self._ask(request)
            return _Answer(answer.status, answer.headers, answer.body, keep=int(keep), how=how)

        self._add(path, act, after, times)

    def freeze(self, path, after=0.0, times=None):
        """The first answer to each request from now on is given to all the same ones after it."""
        old = {}

        async def act(request):
            key = (request.method, request.target)
            if key not in old:
                old[key] = await self._ask(request)
            return old[key]

        self._add(path, act, after, times)

    def edit(self, path, function, after=0.0, times=None):
        """The server's answer with `function` of its body instead of the body."""

        async def act(request):
            answer = await self._ask(request)
            return _Answer(answer.status, answer.headers, function(answer.body))

        self._add(path, act, after, times)

    def heal(self, path=None):
        """Ends every fault, or those that were given with this path. Answers that were to be late come now."""
        self._call(self._heal, path)

    def count(self, path="*"):
        """How many requests to such a path came so far."""
        return sum(1 for _, target in self.requests if fnmatch.fnmatchcase(target.partition("?")[0], path))

    # On the loop

    def _add(self, path, act, after, times):
        self._call(lambda: self._faults.insert(0, _Fault(path, act, float(after), times)))

    def _heal(self, path):
        for fault in [f for f in self._faults if path in (None, f.path)]:
            self._faults.remove(fault)
            fault.healed.set()

    async def _serve(self, reader, writer):
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while (request := await _read_request(reader)) and await self._reply(request, writer):
                    pass
        except (ValueError, asyncio.LimitOverrunError) as problem:
            print(f"httpfault: not the HTTP this front understands: {problem}", file=sys.stderr, flush=True)
        except asyncio.CancelledError:
            pass  # close(); asyncio's streams of Python 3.11 would report it as a failure
        finally:
            writer.close()

    async def _reply(self, request, writer):
        """Whether the connection goes on."""
        self.requests.append((request.method, request.target))
        fault = next((f for f in self._faults if f.times != 0 and fnmatch.fnmatchcase(request.path, f.path)), None)
        if fault and fault.times is not None:
            fault.times -= 1
        try:
            answer = await (fault.act if fault else self._ask)(request)
        except OSError:
            return _end(writer, "rst")  # no server: as if nobody were here either
        if fault and fault.after:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(fault.healed.wait(), fault.after)
        if answer.status is not None:
            writer.write(_bytes_of(answer, request.method))
            await writer.drain()
        return _end(writer, answer.how) if answer.how else request.keep_alive

    async def _ask(self, request):
        """The server's own answer, its body whole."""
        reader, writer = await asyncio.open_connection(*self._target)
        try:
            headers = [(k, v) for k, v in request.headers if k.lower() not in HOP_BY_HOP]
            headers += [("Connection", "close"), ("Content-Length", str(len(request.body)))]
            writer.write(_head(f"{request.method} {request.target} HTTP/1.1", headers) + request.body)
            await writer.drain()
            whole = await reader.read()  # to the end
        finally:
            writer.close()
        parsed = http.client.HTTPResponse(_Saved(whole), method=request.method)
        try:
            parsed.begin()
            body = parsed.read()
        except http.client.HTTPException as problem:
            raise ConnectionError(f"the server's answer is broken: {problem!r}") from None
        kept = [(k, v) for k, v in parsed.getheaders() if k.lower() not in HOP_BY_HOP]
        if request.method == "HEAD" and (length := parsed.getheader("Content-Length")):
            kept.append(("Content-Length", length))
        return _Answer(parsed.status, kept, body)

    async def _end_tasks(self):
        self._server.close()
        await super()._end_tasks()


async def _read_request(reader):
    """None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, version = first.split(" ", 2)
    headers = [(k.strip(), v.strip()) for k, _, v in (line.partition(":") for line in lines)]
    by_name = {k.lower(): v for k, v in headers}
    if by_name.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        length = int(by_name.get("content-length", "0"))
        if length > BODY_BYTES:
            raise ValueError(f"a body of {length} bytes")
        body = await reader.readexactly(length)
    keep_alive = version != "HTTP/1.0" and by_name.get("connection", "").lower() != "close"
    return _Request(method, target, headers, body, keep_alive)


def _head(first, headers):
    return "\r\n".join([first, *(f"{k}: {v}" for k, v in headers), "", ""]).encode("latin-1")


def _bytes_of(answer, method):
    try:
        reason = http.HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Unknown"
    headers, bare = list(answer.headers), method == "HEAD" or answer.status in (204, 304)
    if not bare:
        headers.append(("Content-Length", str(len(answer.body))))
    body = b"" if bare else answer.body[:answer.keep]
    return _head(f"HTTP/1.1 {answer.status} {reason}", headers) + body


def _end(writer, how):
    if how == "rst":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    return False
