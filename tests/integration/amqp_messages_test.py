# SPDX-License-Identifier: Apache-2.0
"""Messages that no sane program sends, on a real RabbitMQ: each is done, or is a dead letter as a whole, or stays."""

import contextlib
import json
import re
import struct

from lib import contains, equal, main, test, wait_until

# After lib, which says where they are.
import rabbitmq
from faultproxy import FaultProxy
from amqp_script import Publisher, field, long, short, table

MB = 1 << 20
PEAK = 120_000  # kB of a worker of the sanitized build, of which it has 58 MB before it does anything
SANITIZER = {"ASAN_OPTIONS": "quarantine_size_mb=8"}  # it would keep 256 MB of freed memory to find its users

# Property flags and their order, section 4.2.6.1 and 1.8.1.
ENCODING, HEADERS, MODE, PRIORITY, REPLY_TO, EXPIRATION, ID = 1 << 14, 1 << 13, 1 << 12, 1 << 11, 1 << 9, 1 << 8, 1 << 7


def persistent(flags=0, before=b"", after=b""):
    """Flags and bytes of the properties, those before and after the delivery mode."""
    return flags | MODE, before + b"\x02" + after


@contextlib.contextmanager
def serving(box, *queues):
    """A broker with these queues, and a publisher."""
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker, Publisher(broker.amqp_port) as publisher:
        for name in queues:
            broker.declare_queue(name)
        yield broker, publisher


def start_worker(box, port, *more):
    queue = {"queue": {"rabbitmq": {"url": f"amqp://127.0.0.1:{port}", "queue": "q", "maxBody": "1MiB"}}}
    return box.start_sluice("work", "--queue", json.dumps(queue), "--simulate", "1ms", "--idle-exit", "1s", "-o",
                            "json", *more, env=SANITIZER)


def worked(worker):
    """Its lines about messages, and the most memory it had, in kB."""
    most = 0
    while worker.alive():
        try:
            with open(f"/proc/{worker.popen.pid}/status", encoding="ascii") as status:
                most = max(most, int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]))
        except (OSError, TypeError):
            pass
    ended = worker.wait()
    equal(ended.exit, 0, ended.err)
    return [line for line in ended.json if line["event"] == "message"], most


@test("what a publisher may write beside a body changes neither attempts nor outcome")
def _(box):
    with serving(box, "q", "q.dead") as (broker, publisher):
        broker.declare_queue("elsewhere")
        death = field("count", "l", b"\x7f" + b"\xff" * 7) + field("queue", "S", long("q")) + \
            field("reason", "S", long("rejected"))
        forged = table(field("x-death", "A", long(b"F" + long(death))), field("x-first-death-reason", "S", long("x")))
        many = table(field("x-death", "A", long((b"F" + table()) * 10_000)))
        publisher.publish("q", b"", *persistent())
        publisher.publish("q", b"forged", *persistent(HEADERS, forged))
        publisher.publish("q", b"many", *persistent(HEADERS, many))
        publisher.publish("q", b"not gzip", *persistent(ENCODING, short("gzip")))
        publisher.publish("q", b"first", *persistent(PRIORITY, after=b"\xff"))
        publisher.publish("q", b"reply", *persistent(REPLY_TO, after=short("elsewhere")))
        for text in (b"once", b"twice"):
            publisher.publish("q", text, *persistent(ID, after=short("same")))
        publisher.publish("elsewhere", b"gone", *persistent(EXPIRATION, after=short("1")))
        wait_until(lambda: broker.exact_counts("elsewhere") == (0, 0), timeout=20, what="the expired one to go")
        lines, _ = worked(start_worker(box, broker.amqp_port))
        equal([(line["outcome"], line["attempt"]) for line in lines], [("done", 1)] * 8, "outcomes")
        equal(sum(line["id"] == "same" for line in lines), 2, "messages with one id")
        for name in ("q", "q.dead", "elsewhere"):
            equal(broker.exact_counts(name), (0, 0), name)


@test("128 MiB where 1 MiB is the limit go to the dead letters as a whole, through little memory")
def _(box):
    with serving(box, "q", "q.dead") as (broker, publisher):
        body = b"".join(struct.pack(">I", n) for n in range(MB // 4)) * 128
        publisher.publish("q", body, *persistent(ID, after=short("large")))
        publisher.publish("q", b"small", *persistent(ID, after=short("small")))
        lines, most = worked(start_worker(box, broker.amqp_port))
        equal({line["id"]: line["outcome"] for line in lines}, {"large": "dead_lettered", "small": "done"}, "outcomes")
        assert most < PEAK, f"{most} kB"
        equal((broker.exact_counts("q"), broker.exact_counts("q.dead")), ((0, 0), (1, 0)), "counts")
        about, whole = publisher.get("q.dead")
        assert whole == body, f"{len(whole)} bytes"
        for words in ("x-sluice-cause", "too large", "large", f"{128 * MB} bytes, more than {MB} (maxBody)"):
            assert words.encode() in about, about


@test("one that is too large stays in the queue while there is nowhere for it to go, and others are done")
def _(box):
    with serving(box, "q") as (broker, publisher):
        publisher.publish("q", b"x" * 3 * MB, *persistent(ID, after=short("large")))
        publisher.publish("q", b"small", *persistent(ID, after=short("small")))
        worker = start_worker(box, broker.amqp_port, "--concurrency", 2)
        wait_until(lambda: '"done"' in worker.out() and "stays where it is" in worker.err(), what="both")
        contains(worker.err(), f"large has {3 * MB} bytes, more than {MB} (maxBody), and cannot be moved to q.dead")
        worker.stop()
        wait_until(lambda: broker.exact_counts("q") == (1, 0), timeout=20, what="it to be back")
        broker.declare_queue("q.dead")
        lines, _ = worked(start_worker(box, broker.amqp_port))
        equal([line["outcome"] for line in lines], ["dead_lettered"], "outcomes")
        equal((broker.exact_counts("q"), broker.exact_counts("q.dead")), ((0, 0), (1, 0)), "counts")
        equal(broker.get("q.dead")[0]["payload_bytes"], 3 * MB, "bytes of the dead letter")


@test("where the broker counts what comes back, one that is too large is held after a few times")
def _(box):
    with serving(box) as (broker, publisher):
        broker.declare_queue("q", type="quorum", arguments={"x-delivery-limit": 20})
        publisher.publish("q", b"x" * 2 * MB, *persistent(ID, after=short("large")))
        for _ in range(8):
            worker = start_worker(box, broker.amqp_port)
            wait_until(lambda: "stays where it is" in worker.err(), what="it to be refused")
            wait_until(lambda: "held until this worker leaves" in worker.err() or broker.exact_counts("q") == (0, 1),
                       timeout=60, what="it to be kept")  # the list of queues may take 10 s and be 5 s old
            held = "held until this worker leaves" in worker.err()
            worker.kill()
            wait_until(lambda: broker.exact_counts("q") == (1, 0), timeout=20, what="it to be back")
            if held:
                break
        else:
            raise AssertionError(f"it was put back for the eighth time\n{worker.err()}")


@test("a cut or a kill while one is on its way leaves it in the queue, and no half of it anywhere")
def _(box):
    with serving(box, "q", "q.dead") as (broker, publisher), FaultProxy(broker.amqp_port) as proxy:
        body = b"x" * (96 * MB)  # more than the proxy and the kernel hold
        publisher.publish("q", body, *persistent(ID, after=short("large")))
        proxy.rate(4 * MB, "up")
        worker = start_worker(box, proxy.port)
        wait_until(lambda: proxy.stats()["up"] > 8 * MB, timeout=30, what="a quarter to be on its way")
        worker.kill()
        wait_until(lambda: broker.exact_counts("q") == (1, 0), timeout=30, what="it to be back")
        equal(broker.exact_counts("q.dead"), (0, 0), "dead letters")
        proxy.heal()
        wait_until(lambda: proxy.stats()["open"] == 0, timeout=20, what="the proxy to have passed on what it held")
        proxy.cut_after(8 * MB, "up")
        worker = start_worker(box, proxy.port)
        wait_until(lambda: '"dead_lettered"' in worker.out(), timeout=60, what="the second try, after the cut")
        contains(worker.err(), "stays where it is")
        worked(worker)
        equal((broker.exact_counts("q"), broker.exact_counts("q.dead")), ((0, 0), (1, 0)), "counts")
        assert publisher.get("q.dead")[1] == body


main()
