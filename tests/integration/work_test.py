# SPDX-License-Identifier: Apache-2.0
"""sluice work: handlers, retries, dead letters, draining, leaving; each message done once or accounted for."""

import collections
import json
import os
import random
import signal
import time

from lib import contains, equal, main, scaled, test, wait_until



def quick(box):
    """A queue whose retries come at once."""
    return ["--queue", box.queue(deadLetter={"after": 5}, retry={"delays": ["10ms"]})]


def outcomes(lines):
    return collections.Counter(line["outcome"] for line in lines if line["event"] == "message")


def work(box, *args, **options):
    return box.sluice("work", *quick(box), "--idle-exit", "300ms", "-o", "json", *args, **options)


@test("each settled message is a line, the last line sums up")
def _(box):
    box.sluice("publish", *quick(box), "--count", 3, "--run", "r", exit=0)
    *messages, summary = work(box, "--simulate", "20ms", exit=0).json
    equal(sorted(line["id"] for line in messages), ["r-1", "r-2", "r-3"], "ids")
    for line in messages:
        equal((line["attempt"], line["outcome"]), (1, "done"), "first line")
        assert line["wait_s"] >= 0 and line["work_s"] >= 0.02, line
    assert summary.pop("seconds") > 0.3
    equal(summary, {"event": "summary", "done": 3, "retried": 0, "failed": 0, "dead_lettered": 0, "requeued": 0,
                    "reason": "idle"}, "summary")


@test("75 is tried again later, other failures too, after five attempts with the cause to the dead letters")
def _(box):
    box.write("handle", '#!/bin/sh\nread body\n[ "$body" = later ] && [ "$SLUICE_MESSAGE_ATTEMPT" -lt 3 ] && exit 75\n'
                        '[ "$body" = bad ] && { echo "this order is bad" >&2; exit 9; }\nexit 0\n', mode=0o755)
    box.sluice("publish", *quick(box), "--run", "r", input="later\nbad\ngood\n", exit=0)
    lines = work(box, "--exec", "./handle", exit=0).json
    equal(outcomes(lines), {"done": 2, "retry": 2, "failed": 4, "dead_lettered": 1}, "outcomes")
    dead = next(line for line in lines if line.get("outcome") == "dead_lettered")
    equal((dead["id"], dead["attempt"]), ("r-2", 5), "dead letter")
    contains(dead["why"], "9")


def crash_test(box, concurrency):
    box.write("handle", '#!/bin/sh\nread body\n[ "$body" = poison ] && { kill -9 $PPID; sleep 60; }\n'
                        'echo "$body" >> done.txt\n', mode=0o755)
    bodies = [f"job{n}" for n in range(10)]
    bodies[4] = "poison"
    box.sluice("publish", *quick(box), "--run", "r", input="\n".join(bodies) + "\n", exit=0)
    lines = []
    for _ in range(20):  # somebody starts it again whenever it dies
        ended = work(box, "--exec", "./handle", "--concurrency", concurrency)
        whole, _, _ = ended.out.rpartition("\n")
        lines += [json.loads(line) for line in whole.splitlines()]
        if ended.exit == 0:
            break
    else:
        raise AssertionError("the worker kept dying")
    dead = [line for line in lines if line.get("outcome") == "dead_lettered"]
    equal([line["id"] for line in dead], ["r-5"], "dead letters")
    equal((dead[0]["attempt"], dead[0]["cause"]), (5, "crash"), "after five attempts, why")
    equal(set(box.read("done.txt").split()), set(bodies) - {"poison"}, "done")


@test("a message that kills its worker is a dead letter after five attempts, its neighbours are done: one at a time")
def _(box):
    crash_test(box, 1)


@test("a message that kills its worker is a dead letter after five attempts, its neighbours are done: ten at a time")
def _(box):
    crash_test(box, 10)


@test("SIGTERM in the middle of a long handler: done once, acknowledged, exit 0")
def _(box):
    seconds = scaled(9, 90)
    box.write("handle", f"#!/bin/sh\necho begun >> log.txt\nsleep {seconds}\necho ended >> log.txt\n", mode=0o755)
    box.sluice("publish", *quick(box), "--count", 1, exit=0)
    worker = box.start_sluice("work", *quick(box), "--exec", "./handle", "--grace", "120s", "-o", "json")
    wait_until(lambda: box.path("log.txt").exists(), what="the handler to begin", timeout=20)
    time.sleep(seconds / 2)  # not a wait for something: the signal comes in the middle
    worker.signal(signal.SIGTERM)
    done = worker.wait(seconds + 60)
    equal(done.exit, 0, "exit")
    equal(done.json[-1]["reason"], "sigterm", "reason")
    equal(outcomes(done.json), {"done": 1}, "outcomes")
    equal(box.read("log.txt").split(), ["begun", "ended"], "the handler's own log")
    equal(work(box, "--simulate", "0ms", exit=0).json[-1]["done"], 0, "messages left")


@test("a second SIGTERM puts the message back at once, and it is not an attempt")
def _(box):
    box.sluice("publish", *quick(box), "--count", 1, exit=0)
    box.write("handle", "#!/bin/sh\necho begun >> log.txt\nsleep 60\n", mode=0o755)
    worker = box.start_sluice("work", *quick(box), "--exec", "./handle", "-o", "json")
    wait_until(lambda: box.path("log.txt").exists(), what="the handler to begin", timeout=20)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "draining" in worker.err(), what="the worker to drain")
    worker.signal(signal.SIGTERM)
    done = worker.wait(20)
    equal((done.exit, outcomes(done.json)), (0, {"requeued": 1}), "end")
    line = work(box, "--simulate", "0ms", exit=0).json[0]
    equal((line["attempt"], line["cause"], line["outcome"]), (1, "requeued", "done"), "the message's second life")


@test("SIGTERM at random instants: nothing lost, nothing twice but what was put back")
def _(box):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rounds = scaled(20, 200)
    box.write("handle", '#!/bin/sh\nsleep 0.0$(($$ % 10))\necho "$SLUICE_MESSAGE_ID" >> ledger.txt\n', mode=0o755)
    published, lines = set(), []
    for n in range(rounds):
        box.sluice("publish", *quick(box), "--count", 6, "--run", f"r{n}", exit=0)
        published |= {f"r{n}-{i}" for i in range(1, 7)}
        worker = box.start_sluice("work", *quick(box), "--exec", "./handle", "--concurrency", 3, "-o", "json")
        wait_until(lambda: "consuming" in worker.err(), what="the worker to consume", timeout=20)
        time.sleep(rng.uniform(0, 0.25))  # the random instant
        worker.signal(signal.SIGTERM)
        if n % 2 == 1:  # and a second one at another: put back what runs
            wait_until(lambda: "draining" in worker.err() or not worker.alive(), what="the worker to drain")
            time.sleep(rng.uniform(0, 0.1))
            worker.signal(signal.SIGTERM)
        done = worker.wait(40)
        equal(done.exit, 0, "exit")
        lines += done.json
    lines += work(box, "--exec", "./handle", "--concurrency", 4, exit=0, timeout=120).json
    ledger = collections.Counter(box.read("ledger.txt").split())
    equal(published - set(ledger), set(), "lost")
    put_back = {line["id"] for line in lines if line["event"] == "message" and line["outcome"] == "requeued"}
    equal({i for i, n in ledger.items() if n > 1} - put_back, set(), "twice without having been put back")
    assert any(line["event"] == "message" for line in lines[:-1]), "no worker did anything before its signal"


@test("a handler that cannot be started ends the worker and burns no attempt")
def _(box):
    box.sluice("publish", *quick(box), "--count", 1, exit=0)
    box.write("noexec", "#!/bin/sh\nexit 0\n")
    for handler, says in [("./absent", "absent"), ("./noexec", "noexec")]:
        done = work(box, "--exec", handler, exit=1)
        contains(done.err, says)
        equal(done.json[-1]["reason"], "error", "reason")
    equal(work(box, "--simulate", "0ms", exit=0).json[0]["attempt"], 1, "attempt of the one that works")


@test("workers by hand take the pool's slots and the one too many is refused")
def _(box):
    pool = box.pool(workers={"max": 2})
    first = []
    for _ in range(2):  # one after the other: the first takes slot 0
        worker = box.start_sluice("work", "-f", pool, "--simulate", "10ms", "--idle-exit", "never")
        wait_until(lambda process=worker: "consuming" in process.err(), what="a worker to consume", timeout=20)
        first.append(worker)
    contains(box.sluice("work", "-f", pool, "--simulate", "10ms", exit=1).err, "all 2 slots")
    equal(first[0].stop().exit, 0, "exit")
    box.sluice("work", "-f", pool, "--simulate", "10ms", "--idle-exit", "100ms", exit=0)
    words = json.loads(box.read(".sluice/orders/slots/0.last"))
    said = (words["v"], words["worker"], words["state"], words["reason"])
    equal(said, (1, "orders-w0", "gone", "idle"), "last words")


@test("what is wrong with the flags is said, and no message taken")
def _(box):
    box.sluice("publish", *quick(box), "--count", 1, exit=0)
    for args, says in [([], "--exec PROGRAM, --http URL or --simulate"),
                       (["--simulate", "1s", "--exec", "x"], "one is enough"),
                       (["--simulate", "1s", "--", "x"], "arguments of --exec"), (["--http", "ftp://x"], "http"),
                       (["--simulate", "1"], "a duration"), (["--simulate", "1s", "--concurrency", "0"], "1 to 1000"),
                       (["--simulate", "1s", "--idle-exit", "soon"], "never")]:
        contains(box.sluice("work", *quick(box), *args, exit=2).err, says)
    equal(work(box, "--simulate", "0ms", exit=0).json[0]["attempt"], 1, "attempt")


@test("standard descriptors that are closed, a bad TZ and no HOME are survived")
def _(box):
    box.sluice("publish", *quick(box), "--count", 2, exit=0)
    box.write("handle", "#!/bin/sh\ncat > body.txt\necho out\necho err >&2\n", mode=0o755)
    queue = quick(box)[1].replace('"', '\\"')
    box.run(["/bin/sh", "-c", f'"$SLUICE_BIN" work --queue "{queue}" --exec ./handle --idle-exit 300ms <&- >&- 2>&-'],
            env={"TZ": "No/Such/Zone", "HOME": "", "LANG": "tr_TR.UTF-8"}, exit=0)
    assert os.path.getsize(box.path("body.txt")) > 0


main()
