# SPDX-License-Identifier: Apache-2.0
"""The HTTP face of a scaler: metrics, status and explain, read by a strict reader, the verbs, and nobody's friend."""

import http.client
import json
import re
import signal
import socket

from lib import ROOT, contains, equal, free_port, main, test, wait_until
from view import journal, status

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?\d+(?:\.\d+)?)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\["\\n])*)"')
SUFFIX = {"histogram": ("_bucket", "_sum", "_count")}


def metrics(text):
    """{(name, labels)} -> number; fails on any line that is not as the format has it, families mixed or told twice."""
    equal(text.endswith("\n"), True, "the last line ends")
    series, types, helped = {}, {}, None
    for line in text[:-1].split("\n"):
        word = line.split(" ", 3)
        if line.startswith("# HELP "):
            helped = word[2]
            equal(helped in types, False, f"{helped} was told before")
            continue
        if line.startswith("# TYPE "):
            equal(word[2], helped, "TYPE follows HELP")
            equal(word[3] in ("counter", "gauge", "histogram"), True, line)
            types[helped] = word[3]
            continue
        match = SAMPLE.fullmatch(line)
        equal(match is not None, True, f"a sample: {line!r}")
        name = match[1]
        equal(name in [helped + s for s in SUFFIX.get(types[helped], ("",))], True, f"{name} below {helped}")
        labels = tuple((key, value) for key, value in LABEL.findall(match[2] or ""))
        equal(len({key for key, _ in labels}), len(labels), f"labels of {line}")
        equal((name, labels) in series, False, f"told twice: {line}")
        series[name, labels] = float(match[3])
    for (name, labels), count in series.items():
        family = name.removesuffix("_count")
        if name.endswith("_count") and types.get(family) == "histogram":
            buckets = [n for (one, has), n in series.items() if one == family + "_bucket" and
                       tuple(pair for pair in has if pair[0] != "le") == labels]
            equal(buckets, sorted(buckets), f"the buckets of {family} are cumulative")
            equal(buckets[-1], count, f"the last bucket of {family}")
    return series


class Face:
    """A scaler that listens, and requests to it."""

    def __init__(self, box, *flags, **options):
        self.process = box.start_sluice("scale", *flags, "--listen", "127.0.0.1:0", **options)
        said = wait_until(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", self.process.err()), what="its address")
        self.port, self.url = int(said[1]), said[0]

    def ask(self, target, method="GET", source="127.0.0.1"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(source, 0))
        try:
            connection.request(method, target)
            response = connection.getresponse()
            return response.status, response.read().decode(), dict(response.getheaders())
        finally:
            connection.close()

    def text(self, target):
        code, text, _ = self.ask(target)
        equal(code, 200, f"{target}: {text}")
        return text

    def raw(self, data, timeout=30):
        """All that comes back for these bytes until the other side ends it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            out = b""
            while part := s.recv(65536):
                out += part
            return out

    def value(self, name, **labels):
        want = {"namespace": "default", "pool": "orders", **labels}
        found = [n for (one, has), n in metrics(self.text("/metrics")).items() if one == name and dict(has) == want]
        return found[0] if found else None


def idle(box, count=12):
    """A pool whose messages are all done, still watched by a scaler that listens."""
    pool = box.pool(policy={"threshold": {"messages": 1, "every": "1s"}},
                    workers={"max": 2, "idleExit": "1s", "run": {"command": ["sluice", "work", "--simulate", "10ms"]}})
    box.sluice("publish", "-f", pool, "--count", count, exit=0)
    face = Face(box, "-f", pool)
    wait_until(lambda: face.value("sluice_messages_total", outcome="done") == count
               and face.value("sluice_pool_workers", state="idle") == 0
               and face.value("sluice_queue_messages", kind="ready") == 0, timeout=60, what="all to be done and told")
    return pool, face


@test("metrics parse line by line, and say what status says")
def _(box):
    pool, face = idle(box)
    seen = status(box, pool)
    series = metrics(face.text("/metrics"))
    of = {"namespace": "default", "pool": "orders"}

    def one(name, **labels):
        return series[name, tuple({**of, **labels}.items())]

    for kind in ("ready", "in_flight", "delayed", "dead"):
        equal(one("sluice_queue_messages", kind=kind), seen[kind], kind)
    for state in ("busy", "idle", "starting", "unknown"):
        equal(one("sluice_pool_workers", state=state), seen["workers"][state], state)
    told = box.sluice("status", "--server", face.url, "-o", "json", exit=0).json[0]
    equal(one("sluice_pool_desired_workers"), told["desired"], "desired")
    equal(one("sluice_pool_max_workers"), seen["max"], "max")
    equal(one("sluice_queue_published_total"), seen["published_n"], "published")
    equal(one("sluice_worker_starts_total", outcome="failed"), 0, "failed starts")
    equal(one("sluice_worker_starts_total", outcome="started") >= 1, True, "starts")
    equal(one("sluice_message_work_seconds_count"), 12, "runs of the handler")
    equal(series["sluice_leader", ()], 1, "leader")
    equal(one("sluice_ticks_total") >= one("sluice_decisions_total", word="steady"), True, "ticks")
    page = (ROOT / "docs/reference/metrics.md").read_text()
    for name, _ in series:
        contains(page, f"`{re.sub('_(bucket|sum|count)$', '', name)}`")


@test("status over HTTP is the status, as JSON, as a table and in the verb's own words")
def _(box):
    pool, face = idle(box)
    here = status(box, pool)
    there = box.sluice("status", "--server", face.url, "-o", "json", exit=0).json
    equal(len(there), 1, "pools")
    equal(set(there[0]), set(here), "keys")
    for key in ("event", "pool", "ready", "in_flight", "delayed", "dead", "published_n", "acked_n", "workers",
                "max", "state", "needs_you", "errors"):
        equal(there[0][key], here[key], key)
    equal(there[0]["scaler"]["pid"], face.process.pid, "the scaler's pid")
    table = box.sluice("status", "orders", "--server", face.url, exit=0).out
    contains(table, "NAMESPACE  POOL")
    contains(table, "nothing needs you")
    contains(box.sluice("top", "--server", face.url, "--once", exit=0).out, "backlog")
    equal(json.loads(face.text("/api/v1/status"))["v"], 1, "version")
    contains(box.sluice("status", "order", "--server", face.url, exit=2).err, "did you mean orders?")
    contains(box.sluice("status", "-f", pool, "--server", face.url, exit=2).err, "accepted")
    for url in ("nothing", "ftp://x", "http://user:pass@127.0.0.1:1", "http://127.0.0.1:1/?a=b"):
        done = box.sluice("status", "--server", url, exit=2)
        equal("pass" in done.err, False, "a password")
    contains(box.sluice("status", "--server", f"http://127.0.0.1:{free_port()}", exit=1).err, "127.0.0.1")


@test("explain over HTTP is explain of the journal file, for every tick of it, as JSON and as text")
def _(box):
    pool, face = idle(box)

    def decided(done):  # how long ago it was is all that may differ
        return [{key: value for key, value in line.items() if key != "age_s"} for line in done.json]

    def told(done):
        return re.sub(r"   \S+ \S+ ago$", "", done.out, flags=re.M)

    # Until nothing new is written but folded ticks, which come with the next whole one.
    wait_until(lambda: decided(box.sluice("explain", "-f", pool, "-o", "json"))
               == decided(box.sluice("explain", "--server", face.url, "-o", "json")), what="the same last decision")
    face.process.signal(signal.SIGSTOP)  # the file is read while nobody adds to it
    by_file = [decided(box.sluice("explain", "-f", pool, "-n", 1000, "-o", "json", exit=0)),
               told(box.sluice("explain", "-f", pool, exit=0))]
    grow = next(line for line in by_file[0] if line["word"] == "grow")
    by_file.append(told(box.sluice("explain", "-f", pool, "--tick", grow["tick"], exit=0)))
    by_file.append(decided(box.sluice("explain", "-f", pool, "--at", grow["at"], "-o", "json", exit=0)))
    face.process.signal(signal.SIGCONT)
    server = ("explain", "orders", "--server", face.url)
    until = by_file[0][-1]["tick"]
    equal(decided(box.sluice(*server, "-n", 1000, "--tick", until, "-o", "json", exit=0)), by_file[0], "all decisions")
    last = told(box.sluice(*server, "--tick", until, exit=0))
    equal(last.splitlines()[0], by_file[1].splitlines()[0], "the sentence")
    equal(told(box.sluice(*server, "--tick", grow["tick"], exit=0)), by_file[2], "a growth, in full")
    equal(decided(box.sluice(*server, "--at", grow["at"], "-o", "json", exit=0)), by_file[3], "by its time")
    contains(box.sluice("explain", "nobody", "--server", face.url, exit=1).err, "there is: default/orders")
    contains(box.sluice("explain", "orders", "--server", face.url, "--tick", "x-1", exit=1).err, "here it begins at")


@test("what cannot be read has no series")
def _(box):
    pool, face = idle(box)
    queue = box.path("orders.db")
    queue.write_bytes(b"no queue at all" * 1000)
    wait_until(lambda: (face.value("sluice_decisions_total", word="blind") or 0) > 0, what="a blind decision")
    series = metrics(face.text("/metrics"))
    for name in ("sluice_queue_messages", "sluice_queue_sample_age_seconds", "sluice_queue_oldest_message_age_seconds",
                 "sluice_queue_consumers", "sluice_queue_published_total"):
        equal([labels for one, labels in series if one == name], [], name)
    equal(series["sluice_requests_total", (("target", "queue"), ("code", "error"))] > 0, True, "readings that failed")
    one = box.sluice("status", "--server", face.url, "-o", "json", exit=0).json[0]
    equal((one["ready"], one["state"], one["needs_you"]), (None, "blind", True))


@test("a journal that cannot be written stops what is done, not what is seen")
def _(box):
    pool = box.pool(policy={"threshold": {"messages": 1, "every": "1s"}},
                    workers={"max": 2, "run": {"command": ["sluice", "work", "--simulate", "10s"]}})
    box.path(".sluice/orders").mkdir(parents=True)
    journal(box).symlink_to("/dev/full")
    face = Face(box, "-f", pool)
    box.sluice("publish", "-f", pool, "--count", 7, exit=0)
    wait_until(lambda: face.value("sluice_queue_messages", kind="ready") == 7, what="seven messages to be seen")
    wait_until(lambda: face.value("sluice_decisions_unrecorded_total") >= 3, what="ticks that could not be recorded")
    equal(face.value("sluice_decisions_total", word="grow"), 0, "decisions")
    equal(face.value("sluice_pool_workers", state="busy"), 0, "workers")
    one = json.loads(face.text("/api/v1/status"))["pools"][0]
    contains(one["why"], "the journal cannot be written")
    equal([p.name for p in box.path(".sluice/orders/slots").glob("*.sock")], [], "workers that were started")


@test("hostile requests get a sentence or the end, and the scaler goes on")
def _(box):
    _, face = idle(box)
    for target, code in (("/", 404), ("/metrics/../x", 404), ("/api/v1/explain?last=-1", 400),
                         ("/api/v1/status?x=1", 400),
                         ("/api/v1/explain?pool=%00", 400), ("/api/v1/explain?pool=a&pool=b", 400),
                         ("/api/v1/explain?pool=%1b[31m", 400), ("/api/v1/explain?last=99999999999999999999", 400),
                         ("/api/v1/explain?" + "&".join(f"a{n}=1" for n in range(100)), 400)):
        got, text, headers = face.ask(target)
        equal(got, code, target)
        equal("accepted" in text or "there is" in text, True, f"{target}: {text}")
        equal(headers["Content-Type"].startswith("text/plain"), True, "never a page")
        equal(headers["X-Content-Type-Options"], "nosniff")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
        code, text, headers = face.ask("/metrics", method)
        equal((code, headers["Allow"]), (405, "GET, HEAD"), method)
    code, text, headers = face.ask("/metrics", "HEAD")
    equal((code, text), (200, ""))
    equal(int(headers["Content-Length"]) > 1000, True, "the length of what GET has")
    host = b"Host: h\r\n"
    for data in (b"GET / HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
                 b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + host + b"\r\n", b"\x16\x03\x01" * 50,
                 b"POST /metrics HTTP/1.1\r\n" + host + b"Content-Length: 999999999\r\n\r\n"):
        answer = face.raw(data)
        equal(re.match(rb"HTTP/1\.[01] (4|5)\d\d |$", answer) is not None, True, f"{data[:40]!r}: {answer[:60]!r}")
    equal(face.text("/healthz"), "ok\n")


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


@test("clients that ask and do not read cost a bounded amount of memory, and keep nobody else waiting")
def _(box):
    _, face = idle(box)
    for _ in range(20):
        face.text("/metrics")
    before = memory_kb(face.process.pid)
    request = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 400
    greedy = []
    try:
        for _ in range(100):
            s = socket.create_connection(("127.0.0.1", face.port), timeout=30)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.setblocking(False)
            try:
                s.send(request)
            except (BlockingIOError, ConnectionError):
                pass
            greedy.append(s)
            if len(greedy) % 10 == 0:  # from another address: they have used up their own
                equal(face.ask("/healthz", source="127.0.0.2")[:2], (200, "ok\n"))
        equal(memory_kb(face.process.pid) - before < 64 * 1024, True,
              f"memory: {before} kB before, {memory_kb(face.process.pid)} kB with 100 greedy clients")
    finally:
        for s in greedy:
            s.close()


@test("a dry run is watched as well, an address in use is refused, and one that is none is a usage error")
def _(box):
    pool = box.pool()
    box.sluice("publish", "-f", pool, "--count", 30, exit=0)
    face = Face(box, "-f", pool, "--dry-run")
    wait_until(lambda: face.value("sluice_pool_desired_workers") == 1, what="a decision")
    equal(face.value("sluice_pool_workers", state="busy"), 0, "workers")
    contains(box.sluice("scale", "-f", pool, "--listen", f"127.0.0.1:{face.port}", exit=1).err, "--listen")
    for bad in ("7171", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x"):
        contains(box.sluice("scale", "-f", pool, "--listen", bad, exit=2).err, "ADDRESS:PORT")


main()
