# SPDX-License-Identifier: Apache-2.0
"""The tests of the fault proxies of tests/tools: each fault is the fault it says."""

import contextlib
import http.client
import http.server
import itertools
import json
import random
import socket
import struct
import sys
import threading
import time

from lib import ROOT, contains, equal, main, test, wait_until

# After lib, which says where they are.
from faultproxy import FaultProxy, HttpFault
from waiting import free_port

TOOLS = ROOT / "tests/tools"


class Echo:
    """Sends back what it gets, unless told not to. Of each connection, in order: `chunks` that came, "fin" or "rst"."""

    def __init__(self, replies=True):
        self.connections, self._replies = [], replies
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            seen = {"chunks": [], "end": None, "socket": one}
            self.connections.append(seen)
            threading.Thread(target=self._serve, args=(one, seen), daemon=True).start()

    def _serve(self, one, seen):
        with one:
            try:
                while data := one.recv(1 << 16):
                    seen["chunks"].append(data)
                    if self._replies:
                        one.sendall(data)
                seen["end"] = "fin"
            except OSError:
                seen["end"] = "rst"

    def got(self, index=-1):
        return b"".join(self.connections[index]["chunks"])

    def end(self, index=-1):
        return self.connections[index]["end"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def connect(proxy):
    s = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    """(what still came, how it ended)."""
    got = b""
    try:
        while data := s.recv(1 << 16):
            got += data
        return got, "fin"
    except ConnectionResetError:
        return got, "rst"


def read(s, size):
    got = b""
    while len(got) < size:
        data = s.recv(size - len(got))
        assert data, f"the connection ended after {len(got)} of {size} bytes"
        got += data
    return got


def silent(s, seconds=0.2):
    """Whether nothing comes for a while."""
    s.settimeout(seconds)
    try:
        s.recv(1)
        return False
    except TimeoutError:
        return True
    finally:
        s.settimeout(10)


@test("without a fault the proxy passes every byte, every end and every reset")
def _(box):
    with Echo() as echo, FaultProxy(echo.port) as proxy:
        data = random.randbytes(4 << 20)
        with connect(proxy) as s:
            sender = threading.Thread(target=s.sendall, args=(data,))
            sender.start()
            assert read(s, len(data)) == data, "the bytes differ"
            sender.join()
            s.shutdown(socket.SHUT_WR)
            equal(read_all(s), (b"", "fin"))
        equal(echo.end(), "fin")
        wait_until(lambda: proxy.stats()["open"] == 0, what="the connection to be over")
        stats = proxy.stats()
        equal((stats["accepted"], stats["up"], stats["down"]), (1, len(data), len(data)))
        s = connect(proxy)
        s.sendall(b"x")
        equal(read(s, 1), b"x")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
        wait_until(lambda: echo.end() == "rst", what="the server to see the reset")


@test("a delayed way is late, in order and no slower; a heal lets go at once what was late")
def _(box):
    with Echo() as echo, FaultProxy(echo.port) as proxy, connect(proxy) as s:
        proxy.delay(0.3, "down")
        begin = time.monotonic()
        for n in range(50):
            s.sendall(b"%02d" % n)
        equal(read(s, 100), b"".join(b"%02d" % n for n in range(50)))
        took = time.monotonic() - begin
        assert 0.3 <= took < 5, took  # each after the other would be 15 s
        proxy.delay(1000, "both")
        s.sendall(b"late")
        equal(silent(s), True)
        proxy.heal()
        equal(read(s, 4), b"late")


@test("a rate is kept, and one byte at a time is one byte at a time")
def _(box):
    with Echo() as echo, FaultProxy(echo.port) as proxy, connect(proxy) as s:
        proxy.rate(20000, "up")
        begin = time.monotonic()
        s.sendall(bytes(8000))
        read(s, 8000)
        assert 0.3 <= time.monotonic() - begin < 5, time.monotonic() - begin
        proxy.heal()
        proxy.trickle(0.01, "up")
        before = len(echo.connections[0]["chunks"])
        begin = time.monotonic()
        s.sendall(b"one by one by one by one by one")
        read(s, 31)
        assert time.monotonic() - begin >= 0.29, time.monotonic() - begin
        # A receiver that is slow to look finds several at once.
        pieces = len(echo.connections[0]["chunks"]) - before
        assert pieces > 5, f"{pieces} pieces of 31 bytes"


@test("a way that is held goes on where it was; what goes into a black hole is gone, and so is the connection")
def _(box):
    with Echo() as echo, FaultProxy(echo.port) as proxy, connect(proxy) as s:
        proxy.hold("up")
        s.sendall(b"held")
        equal(silent(s), True)
        equal((echo.got(), proxy.stats()["held_up"], proxy.stats()["held_down"]), (b"", 4, 0))
        proxy.heal()
        equal(read(s, 4), b"held")
        wait_until(lambda: proxy.stats()["held_up"] == 0, what="nothing to be held")
        proxy.drop()
        s.sendall(b"lost")
        wait_until(lambda: proxy.stats()["swallowed_up"] == 4, what="the hole to take it")
        s.close()
        with connect(proxy) as other:  # a hole takes connections too
            other.sendall(b"me too")
            wait_until(lambda: proxy.stats()["swallowed_up"] == 10, what="the hole to take more")
            equal(silent(other), True)
            equal((echo.got(0), echo.end(0)), (b"held", None))
            proxy.heal()
            wait_until(lambda: echo.end(0) == "rst", what="the server to learn that its client is gone")
            other.sendall(b"again")
            equal(read_all(other), (b"", "rst"), "one that has lost bytes")
        with connect(proxy) as third:
            third.sendall(b"again")
            equal(read(third, 5), b"again")


@test("a connection is cut after exactly so many bytes, once, by a reset or an end")
def _(box):
    with Echo(replies=False) as sink, FaultProxy(sink.port) as proxy:
        for n, (count, how) in enumerate(itertools.product((0, 1, 5, 1000, 70000), ("rst", "fin"))):
            proxy.cut_after(count, "up", how=how)
            with connect(proxy) as s:
                with contextlib.suppress(OSError):  # the reset may meet it in the middle
                    s.sendall(bytes(100000))
                if how == "fin":
                    equal(read_all(s), (b"", "fin"), f"the client's end after {count}")
                wait_until(lambda n=n: len(sink.connections) > n and sink.end(n), what="the server to see the end")
            equal((len(sink.got(n)), sink.end(n)), (count, how), f"what the server saw of {how} after {count}")
    with Echo() as echo, FaultProxy(echo.port) as proxy:
        for how in ("rst", "fin"):
            proxy.cut_after(3, "down", how=how, once=False)
            for _ in range(2):
                with connect(proxy) as s:
                    s.sendall(b"abcdef")
                    equal(read_all(s), (b"abc", how))
        proxy.cut_after(3, "down")
        proxy.cut_after(3, "down")
        with connect(proxy) as s:
            s.sendall(b"abcdef")
            equal(read_all(s), (b"abc", "rst"))
        with connect(proxy) as s:  # once is once
            s.sendall(b"abcdef")
            equal(read(s, 6), b"abcdef")


@test("all connections are cut now; one way is closed and the other goes on")
def _(box):
    with Echo() as echo, FaultProxy(echo.port) as proxy:
        two = [connect(proxy), connect(proxy)]
        for s in two:
            s.sendall(b"x")
            equal(read(s, 1), b"x")
        equal(proxy.cut(), 2)
        for s in two:
            equal(read_all(s), (b"", "rst"))
            s.close()
        wait_until(lambda: [echo.end(0), echo.end(1)] == ["rst", "rst"], what="the server to see both resets")
        with connect(proxy) as s:
            s.sendall(b"before")
            equal(read(s, 6), b"before")
            equal(proxy.half_close("down"), 1)
            equal(read_all(s), (b"", "fin"))
            s.sendall(b"after")
            wait_until(lambda: echo.got() == b"beforeafter", what="the other way to go on")
            wait_until(lambda: proxy.stats()["swallowed_down"] == 5, what="the closed way to take what comes")
        wait_until(lambda: proxy.stats()["open"] == 0, what="the end")


@test("a port refuses and accepts again; bytes are slipped in; a server that is away, or another, is met")
def _(box):
    with Echo() as echo, Echo() as second, FaultProxy(echo.port) as proxy, connect(proxy) as s:
        s.sendall(b"1")
        equal(read(s, 1), b"1")
        proxy.refuse()
        try:
            connect(proxy).close()
        except ConnectionRefusedError:
            pass
        else:
            raise AssertionError("it should have refused")
        s.sendall(b"2")
        equal(read(s, 1), b"2")
        proxy.accept()
        connect(proxy).close()
        equal(proxy.inject(b"\0\xff", "down") >= 1, True)
        equal(read(s, 2), b"\0\xff")
        proxy.target(second.port)
        with connect(proxy) as other:
            other.sendall(b"here")
            equal(read(other, 4), b"here")
        equal(second.got(), b"here")
        proxy.target(free_port())
        with contextlib.suppress(ConnectionResetError):  # which may come before connect() has returned
            with connect(proxy) as nobody:
                equal(read_all(nobody)[1], "rst")
        equal(proxy.stats()["unreachable"], 1)


@test("the proxy is also a program that is told its faults on stdin")
def _(box):
    with Echo() as echo:
        program = box.start([sys.executable, TOOLS / "faultproxy.py", "--target", echo.port], stdin=-1)
        wait_until(lambda: "\n" in program.out(), what="its port")
        port = int(program.out().split(":")[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            program.popen.stdin.write(b"cut_after 2 up how=fin\nno such thing\n")
            program.popen.stdin.flush()
            wait_until(lambda: program.out().count("\n") == 3, what="two replies")
            s.sendall(b"xyz")
            read_all(s)
        wait_until(lambda: echo.got() == b"xy", what="two bytes")
        program.popen.stdin.close()
        done = program.wait()
        equal(done.exit, 0)
        replies = [json.loads(line) for line in done.out.splitlines()[1:]]
        equal(replies[0], {"ok": "cut_after", "result": None})
        contains(replies[1]["error"], "half_close")


class Site:
    """An HTTP server that says how often it was asked."""

    def __init__(self):
        site, self.asked = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                site.asked.append((self.command, self.path, body))
                text = json.dumps({"asked": len(site.asked), "got": body.decode()}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                if self.path == "/chunked":
                    self.send_header("Transfer-Encoding", "chunked")
                    text = b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text)
                else:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_PUT = do_GET

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def ask(front, path, method="GET", body=None):
    """(status, body), or the exception of a broken answer."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as problem:
        return problem
    finally:
        connection.close()


@test("without a fault the HTTP front passes requests on, many on one connection; without a server it's as refused")
def _(box):
    with Site() as site, HttpFault(site.port) as front:
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
        for n, path in enumerate(["/a?b=c%2Fd", "/chunked", "/c"], 1):
            connection.request("PUT", path, f"body {n}", {"Authorization": "Basic secret"})
            answer = connection.getresponse()
            equal((answer.status, json.loads(answer.read())), (200, {"asked": n, "got": f"body {n}"}))
        connection.close()
        equal(site.asked[0], ("PUT", "/a?b=c%2Fd", b"body 1"))
        equal((front.count("/a"), front.count("/*"), front.count("/z")), (1, 3, 0))
        assert "secret" not in repr(front.requests)
    with HttpFault(free_port()) as front:
        equal(type(ask(front, "/")).__name__, "ConnectionResetError")


@test("a chosen path is answered by the front, as often as was said; other paths are not")
def _(box):
    with Site() as site, HttpFault(site.port) as front:
        front.answer("/api/queues/*", 503, "<html>", "text/html", {"Retry-After": "7"}, times=2)
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
        connection.request("GET", "/api/queues/%2F/orders?x=1")
        answer = connection.getresponse()
        equal((answer.status, answer.read(), answer.getheader("Content-Type"), answer.getheader("Retry-After")),
              (503, b"<html>", "text/html", "7"))
        connection.close()
        equal(ask(front, "/api/overview")[0], 200)
        equal([ask(front, "/api/queues/q")[0] for _ in range(2)], [503, 200])
        equal(len(site.asked), 2)
        front.edit("/api/*", lambda body: body.replace(b'"asked": 3', b'"asked": 1e400'))
        contains(ask(front, "/api/x")[1].decode(), "1e400")


@test("an answer comes late, or with the heal; is lost after the work was done; is cut short; or is an old one")
def _(box):
    with Site() as site, HttpFault(site.port) as front:
        front.delay("/slow", 0.3)
        begin = time.monotonic()
        equal(ask(front, "/slow")[0], 200)
        assert 0.3 <= time.monotonic() - begin < 5
        front.delay("/slow", 1000)
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(ask(front, "/slow")))
        waiting.start()
        wait_until(lambda: len(site.asked) == 2, what="the server to be asked")
        equal(answers, [])
        front.heal("/slow")
        waiting.join(10)
        equal(answers[0][0], 200)

        front.lose_reply("/lost", times=1)
        equal(type(ask(front, "/lost", "PUT", "done")).__name__, "ConnectionResetError")
        equal(site.asked[-1], ("PUT", "/lost", b"done"))
        equal(ask(front, "/lost")[0], 200)

        front.truncate("/short", 5)
        problem = ask(front, "/short")
        equal((type(problem).__name__, problem.partial), ("IncompleteRead", b'{"ask'))

        front.freeze("/old")
        first = ask(front, "/old")
        asked = len(site.asked)
        equal(ask(front, "/old"), first)
        equal(len(site.asked), asked)
        front.heal()
        assert ask(front, "/old") != first


main()
