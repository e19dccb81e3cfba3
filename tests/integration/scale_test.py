# SPDX-License-Identifier: Apache-2.0
"""sluice scale: starts what the backlog needs, leaves workers alone, refuses what it cannot do, and says why."""

import os
import re
import subprocess
import time

from lib import contains, equal, json_lines, main, scaled, test, wait_until

EACH_SECOND = {"backlogPerWorker": {"messages": 1, "every": "1s"}}
RUN = {"command": ["sluice", "work", "--exec", "./handle"]}
WORDS = {"grow", "hold", "shrink", "steady", "paused", "blind", "full", "broken"}
APPEND = '#!/bin/sh\necho "$SLUICE_MESSAGE_ID" >> ledger.txt\n'


def ledger(box, name="ledger.txt"):
    path = box.path(name)
    return path.read_text().split() if path.exists() else []


def workers(box):
    return {pid: line for pid, line in box.living().items() if " work " in f"{line} "}


@test("a pool file with twelve mistakes: twelve messages, exit 2, nothing started")
def _(box):
    box.write("pool.yaml", """apiVersion: sluice.dev/v1
kind: Workerpool
metadata: {name: Orders_1, nmespace: default}
spec:
  queue: {local: {pth: orders.db}}
  policy:
    threshold: {messages: -1, age: 60, every: 1d, stp: 2}
  workers:
    min: many
    max: 0
    idleExit: soon
    run: {command: sluice work}
  pausd: true
""")
    done = box.sluice("scale", "-f", "pool.yaml", exit=2)
    lines = done.err.splitlines()
    for line in lines:
        assert re.match(r"pool\.yaml:\d+:\d+: \$\S*: .+; accepted: .+", line), line
    assert len(lines) >= 12, done.err
    contains(done.err, "paused")
    equal(done.out, "", "stdout")
    equal(sorted(p for p in os.listdir(box.dir) if p != ".logs"), ["pool.yaml"], "files made")


@test("what this version does not have is refused with what it has, before anything starts")
def _(box):
    lag = box.pool("lagging", policy={"lag": {"max": "60s"}},
                   queue={"rabbitmq": {"url": "amqp://localhost:5672", "queue": "orders"}})
    cloud = box.pool("cloud", queue={"pubsub": {"project": "project-1", "subscription": "orders"}})
    idle = box.pool("idle", workers={"run": {"image": "registry.example/worker:1"}})
    for file, says in [(lag, "accepted: queue.rabbitmq.management"), (cloud, "accepted: backlogPerWorker"),
                       (idle, "run.command")]:
        done = box.sluice("scale", "-f", file, exit=2)
        contains(done.err, str(file.name))
        contains(done.err, says)
    contains(box.sluice("scale", "-f", "absent.yaml", exit=2).err, "absent.yaml")
    contains(box.sluice("scale", exit=2).err, "-f")
    assert not box.path(".sluice").exists()


@test("a second scaler is refused with who holds the pool, and one for another pool of the same queue too")
def _(box):
    pool = box.pool()
    other = box.pool("other", queue={"local": {"path": "orders.db"}})
    first = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: "steady" in first.out(), what="the first tick", timeout=20)
    for file in (pool, other):
        refused = box.sluice("scale", "-f", file, exit=1)
        contains(refused.err, f"pid {first.pid}")
        contains(refused.err, "default/orders")
    equal(first.stop().exit, 0, "exit")
    later = box.start_sluice("scale", "-f", other)
    wait_until(lambda: "steady" in later.out(), what="the next scaler's tick", timeout=20)
    equal(later.stop().exit, 0, "exit")


@test("workers come, do everything, leave by themselves; the journal says why")
def _(box):
    box.write("handle", APPEND, mode=0o755)
    pool = box.pool(policy=EACH_SECOND, workers={"max": 3, "idleExit": "1s", "run": RUN})
    box.sluice("publish", "-f", pool, "--count", 30, "--run", "r", exit=0)
    scaler = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: len(ledger(box)) >= 30, what="30 messages to be done", timeout=60)
    wait_until(lambda: not workers(box), what="the workers to leave", timeout=30)
    wait_until(lambda: scaler.out().count("  left ") >= 3, what="their leaving to be said", timeout=20)
    equal(scaler.stop().exit, 0, "exit")
    equal(sorted(ledger(box)), sorted(f"r-{n}" for n in range(1, 31)), "done, each once")
    contains(scaler.out(), "grow")
    journal = json_lines(box.read(".sluice/orders/journal.jsonl"))
    equal(journal[0]["event"], "pool", "first line")
    started = [name for line in journal if line["event"] == "act" for name in line["did"]["started"]]
    equal(sorted(set(started)), ["orders-w0", "orders-w1", "orders-w2"], "started")
    for line in journal:
        if line["event"] == "tick":
            assert sum(line["seen"]["workers"].values()) <= 3, line
            assert line["decision"]["reason"].split(": ")[0] in WORDS, line


@test("--output json prints the journal's lines")
def _(box):
    pool = box.pool()
    scaler = box.start_sluice("scale", "-f", pool, "-o", "json")
    wait_until(lambda: any(line["event"] == "tick" for line in scaler.json()), what="a tick", timeout=20)
    scaler.stop()
    journal = json_lines(box.read(".sluice/orders/journal.jsonl"))
    equal(json_lines(scaler.out()), journal, "stdout against the journal")


@test("the end of the scaler leaves the workers alone, and the next one finds them")
def _(box):
    box.write("handle", '#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.05; done\n' + APPEND.split("\n", 1)[1], mode=0o755)
    pool = box.pool(policy=EACH_SECOND, workers={"max": 2, "idleExit": "1s", "run": RUN})
    box.sluice("publish", "-f", pool, "--count", 4, exit=0)
    first = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: first.out().count("takes messages") == 2, what="two workers", timeout=30)
    before = set(workers(box))
    ended = first.stop()
    equal(ended.exit, 0, "exit")
    contains(ended.err, "2 workers go on: orders-w0, orders-w1")
    pids = set(map(int, re.search(r"kill((?: \d+)+)", ended.err).group(1).split()))
    equal(pids, before, "the pids it names")
    equal(set(workers(box)), before, "workers after the scaler's end")
    second = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: second.out().count("is there already") == 2, what="the next scaler to see them", timeout=20)
    equal(set(workers(box)), before, "workers of the next scaler")
    box.write("go", "")
    wait_until(lambda: len(ledger(box)) == 4 and not workers(box), what="all to be done and gone", timeout=30)
    equal(second.stop().exit, 0, "exit")
    equal(len(set(ledger(box))), 4, "done, each once")


@test("--drain has the workers finish what they have before it ends")
def _(box):
    box.write("handle", "#!/bin/sh\ntouch begun\nsleep 1\n" + APPEND.split("\n", 1)[1], mode=0o755)
    pool = box.pool(policy=EACH_SECOND, workers={"run": RUN})
    box.sluice("publish", "-f", pool, "--count", 3, exit=0)
    scaler = box.start_sluice("scale", "-f", pool, "--drain")
    wait_until(lambda: box.path("begun").exists(), what="a handler to begin", timeout=30)
    equal(scaler.stop(60).exit, 0, "exit")
    equal(workers(box), {}, "workers left")
    assert 1 <= len(ledger(box)) < 3, ledger(box)


@test("a dry run decides and starts nothing, also beside a running scaler")
def _(box):
    pool = box.pool(policy=EACH_SECOND)
    box.sluice("publish", "-f", pool, "--count", 3, exit=0)
    dry = box.start_sluice("scale", "-f", pool, "--dry-run")
    wait_until(lambda: "grow" in dry.out(), what="a decision", timeout=20)
    equal(workers(box), {}, "workers")
    real = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: "starts orders-w0" in real.out(), what="the real one to act", timeout=20)
    equal(dry.stop().exit, 0, "exit")
    equal(real.stop().exit, 0, "exit")


@test("a handler that cannot be started: the pool says broken and why, no message loses an attempt")
def _(box):
    pool = box.pool(policy=EACH_SECOND, workers={"run": {"command": ["sluice", "work", "--exec", "./absent"]}})
    box.sluice("publish", "-f", pool, "--count", 1, exit=0)
    scaler = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: "broken" in scaler.out(), what="the pool to be broken", timeout=60)
    line = next(line for line in scaler.out().splitlines() if "broken" in line)
    contains(line, "absent")
    equal(scaler.stop().exit, 0, "exit")
    done = box.sluice("work", "--queue", "orders.db", "--simulate", "0ms", "--idle-exit", "300ms", "-o", "json", exit=0)
    equal([line["attempt"] for line in done.json[:-1]], [1], "attempts")


@test("a message at the very moment its worker leaves is done within 5 s, and no worker leaves with one")
def _(box):
    pools, rounds = scaled((5, 10), (25, 20))
    box.write("handle", '#!/bin/sh\nread line\necho "$line $(date +%s.%N)" >> "$LEDGER"\n', mode=0o755)
    names = [f"p{n}" for n in range(pools)]
    files, publishers = [], {}
    for name in names:
        run = {"command": ["/bin/sh", "-c", f'exec "$SLUICE_BIN" work -o json --exec ./handle >> {name}.out'],
               "env": {"LEDGER": f"{name}.txt"}}
        files.append(box.pool(name, policy=EACH_SECOND, workers={"max": 4, "idleExit": "1s", "run": run}))
        publishers[name] = box.start_sluice("publish", "-f", files[-1], stdin=subprocess.PIPE)
    scaler = box.start_sluice("scale", *[arg for file in files for arg in ("-f", file)])

    def publish(name, n):
        publishers[name].popen.stdin.write(f"{n}\n".encode())
        publishers[name].popen.stdin.flush()

    def done_at(name, n):
        """When message n of the pool was done; None until then. A line is "NUMBER TIME"."""
        words = ledger(box, f"{name}.txt")
        times = {int(number): float(at) for number, at in zip(words[0::2], words[1::2])}
        return times.get(n)

    sent = {}
    state = {name: (0, time.time()) for name in names}  # the next message, and when it is due
    step = 0.1 / max(1, rounds - 1)
    end = time.monotonic() + rounds * 6 + 60
    while state:
        assert time.monotonic() < end, f"not done in time: {state}"
        now = time.time()
        for name, (n, due) in list(state.items()):
            if (name, n) not in sent:
                if now >= due:
                    sent[name, n] = time.time()
                    publish(name, n)
                continue
            at = done_at(name, n)
            late = now - sent[name, n]
            assert at is not None or late < 5, f"{name}: message {n} is not done after {late:.1f} s"
            if at is None:
                continue
            assert at - sent[name, n] < 5, f"{name}: message {n} took {at - sent[name, n]:.1f} s"
            if n + 1 == rounds:
                del state[name]
            else:
                # The worker leaves 1 s after this one; the next comes between 50 ms before and 50 ms after that.
                state[name] = (n + 1, at + 0.95 + step * n)
        time.sleep(0.002)  # the pace of looking; what is waited for is the condition above
    for name in names:
        publishers[name].popen.stdin.close()
        equal(publishers[name].wait().exit, 0, "exit of publish")
    equal(scaler.stop().exit, 0, "exit of the scaler")
    wait_until(lambda: not workers(box), what="the workers to leave", timeout=30)
    for name in names:
        equal(sorted(ledger(box, f"{name}.txt")[0::2], key=int), [str(n) for n in range(rounds)], "each once")
        lines = json_lines(box.read(f"{name}.out"))
        equal([line for line in lines if line["event"] == "summary" and line["reason"] != "idle"], [], "ends but idle")
        # What arrived in the last moment was handled or put back, never kept.
        equal(sum(line["done"] for line in lines if line["event"] == "summary"), rounds, "done by the workers' word")


@test("the first sample comes within 100 ms of the start, an idle scaler is small")
def _(box):
    pool = box.pool()
    begin = time.monotonic()
    scaler = box.start_sluice("scale", "-f", pool, "-o", "json")
    wait_until(lambda: scaler.json(), what="the first tick", timeout=20, every=0.002)
    seconds = time.monotonic() - begin
    with open(f"/proc/{scaler.pid}/status", encoding="utf-8") as f:
        kilobytes = int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1))
    equal(scaler.stop().exit, 0, "exit")
    print(f"first sample after {seconds * 1000:.0f} ms, {kilobytes / 1024:.1f} MB resident")
    if "build/release" in str(os.environ.get("SLUICE_BIN", "")):  # a sanitizer's build is neither quick nor small
        assert seconds <= 0.1 and kilobytes <= 20 * 1024, (seconds, kilobytes)


main()
