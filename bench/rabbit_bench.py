#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The worker, the publisher and the scaler on a real RabbitMQ, each beside its reference in the same run, in turns.

SLUICE_BIN is the binary of a release build, beside which the program of the same name lies in bench/. SLUICE_PERF_TEST
is a folder with the jars of RabbitMQ's PerfTest (com.rabbitmq:perf-test and what it needs); without it that part is
left out. Arguments: consume, publish, perftest, decide, adaptive (default: all).
"""

import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/tools"))

import rabbitmq  # noqa: E402
from processes import processor_seconds  # noqa: E402

SLUICE = os.environ["SLUICE_BIN"]
PROGRAM = pathlib.Path(SLUICE).resolve().parent / "bench/rabbit_bench"
ROUNDS = int(os.environ.get("SLUICE_BENCH_ROUNDS", "5"))
PREFETCH = (1, 10, 100, 1000)
WINDOWS = (1, 100, 500)
POOL = """\
apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata: {{name: {name}}}
spec:
  queue: {{rabbitmq: {{url: "{url}", queue: {name}}}}}
  workers: {{max: 4, run: {{command: [sluice, work, --exec, /bin/true]}}}}
  policy: {{threshold: {{messages: 1, every: {every}}}}}
"""


class Bench:
    def __init__(self, broker):
        self.broker = broker
        self.env = {**os.environ, "SLUICE_BENCH_AMQP": broker.amqp_url}

    def run(self, *words):
        done = subprocess.run([PROGRAM, *map(str, words)], env=self.env, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            sys.exit(f"rabbit_bench {' '.join(map(str, words))}: exit {done.returncode}\n{done.stderr}")
        return [float(word) for word in done.stdout.split()]

    def consume(self, verb, queue, size, prefetch, count):
        self.run("purge", queue)
        self.run("fill", queue, size, count)
        return self.run(verb, queue, prefetch, count)

    def publish(self, verb, queue, size, window, count):
        self.run("purge", queue)
        return self.run(verb, queue, size, window, count)


def in_turns(measures, rounds=ROUNDS):
    """Medians of each measure's results, which are lists of numbers; the order changes from round to round."""
    results = [[] for _ in measures]
    for n in range(rounds):
        for i in range(len(measures)) if n % 2 == 0 else reversed(range(len(measures))):
            results[i].append(measures[i]())
    return [[statistics.median(numbers) for numbers in zip(*result)] for result in results]


def row(what, ours, bare):
    print(f"{what:44} {ours[0]:8.0f} {bare[0]:8.0f}  {100 * ours[0] / bare[0]:4.0f} % (wanted: 90 %)   "
          f"{ours[1]:6.2f} {bare[1]:6.2f}  {ours[1] / bare[1]:5.2f} (wanted: 1.3)", flush=True)


def heading(what):
    print(f"{what:44}   sluice     bare  of its rate           processor us a message", flush=True)


def consume(bench):
    heading("consume and acknowledge, a second")
    for kind, size in (("classic", 1024), ("classic", 256), ("quorum", 1024)):
        bench.run("declare", f"consume-{kind}", kind)
        for prefetch in PREFETCH:
            count = 5000 if prefetch == 1 else 20000
            measures = [lambda verb=verb: bench.consume(verb, f"consume-{kind}", size, prefetch, count)
                        for verb in ("bare-consume", "brief-consume", "consume")]
            bare, brief, ours = in_turns(measures)
            row(f"{kind}, {size} B, prefetch {prefetch}", ours, bare)
            row(f"{kind}, {size} B, prefetch {prefetch}, brief", brief, bare)
        bench.run("purge", f"consume-{kind}")


def publish(bench):
    heading("publish with confirms, a second")
    for kind, size in (("classic", 1024), ("classic", 256), ("quorum", 1024)):
        bench.run("declare", f"publish-{kind}", kind)
        for window in WINDOWS:
            count = 5000 if window == 1 else 20000
            measures = [lambda verb=verb: bench.publish(verb, f"publish-{kind}", size, window, count)
                        for verb in ("bare-publish", "publish")]
            bare, ours = in_turns(measures)
            row(f"{kind}, {size} B, window {window}", ours, bare)
        bench.run("purge", f"publish-{kind}")


def perf_test(bench, jars, *words):
    """The best second of a run that has had time to warm up, which favours PerfTest."""
    argv = ["java", "-cp", f"{jars}/*", "com.rabbitmq.perf.PerfTest", "--uri", bench.broker.amqp_url, "--predeclared",
            "-u", "perf", "-f", "persistent", "-s", "1024", "-z", "8", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    rates = [float(rate.replace(",", "")) for rate in re.findall(r"(?:sent|received): ([0-9,.]+) msg/s", done.stdout)]
    if not any(rates):
        sys.exit(f"PerfTest said nothing of its rate:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return [max(rates)]


def beside_perf_test(bench):
    jars = os.environ.get("SLUICE_PERF_TEST")
    if not jars:
        print("PerfTest is left out: SLUICE_PERF_TEST names no folder with its jars")
        return
    bench.run("declare", "perf", "classic")
    print(f"{'1 KB, persistent, a second':44}   sluice PerfTest")

    def filled(count, *words):
        bench.run("purge", "perf")
        bench.run("fill", "perf", 1024, count)
        return perf_test(bench, jars, *words)

    def empty(*words):
        bench.run("purge", "perf")
        return perf_test(bench, jars, *words)

    for what, ours, theirs in (
            ("consume, prefetch 100", lambda: bench.consume("consume", "perf", 1024, 100, 40000),
             lambda: filled(300000, "-x", "0", "-y", "1", "-q", "100")),
            ("consume, prefetch 1", lambda: bench.consume("consume", "perf", 1024, 1, 10000),
             lambda: filled(120000, "-x", "0", "-y", "1", "-q", "1")),
            ("publish, window 500", lambda: bench.publish("publish", "perf", 1024, 500, 40000),
             lambda: empty("-x", "1", "-y", "0", "-c", "500"))):
        (mine, *_), (reference,) = in_turns([ours, theirs], rounds=3)
        print(f"{what:44} {mine:8.0f} {reference:8.0f}  {100 * mine / reference:4.0f} % (wanted: 100 %)", flush=True)
    bench.run("purge", "perf")


class Scaler:
    """`sluice scale --dry-run` on some pools: decides, starts nobody."""

    def __init__(self, folder, url, names, every):
        for name in names:
            (folder / f"{name}.yaml").write_text(POOL.format(name=name, url=url, every=every))
        files = [word for name in names for word in ("-f", f"{name}.yaml")]
        self.process = subprocess.Popen([SLUICE, "scale", "--dry-run", "--output", "json", *files], cwd=folder,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.changed = threading.Condition()
        self.wanted, self.ticks = {}, {}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            record = json.loads(line)
            if record.get("event") == "tick":
                with self.changed:
                    pool = record["pool"].split("/")[-1]
                    self.wanted[pool] = record["decision"]["workers"]
                    self.ticks[pool] = self.ticks.get(pool, 0) + 1
                    self.changed.notify_all()

    def wait(self, name, desired, timeout=60):
        """When the decision was read; it cannot have been made later."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.wanted.get(name, -1) in desired, timeout):
                sys.exit(f"{name}: no decision for {desired} within {timeout} s; the last: {self.wanted.get(name)}")
        return time.monotonic()

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.reader.join(10)


def decide(bench, every="1s", tries=30, limit_ms=600):
    waits = []
    with tempfile.TemporaryDirectory() as folder:
        bench.run("declare", "decide", "classic")
        scaler = Scaler(pathlib.Path(folder), bench.broker.amqp_url, ["decide"], every)
        for _ in range(tries):
            bench.run("purge", "decide")
            scaler.wait("decide", {0})
            time.sleep(random.uniform(0, 1))  # a moment of the interval like any other
            begin = time.monotonic()
            bench.run("fill", "decide", 1024, 5)
            waits.append(scaler.wait("decide", {1, 2, 3, 4}) - begin)
        scaler.stop()
    waits.sort()
    print(f"publish to decision, every: {every}: median {1000 * statistics.median(waits):.0f} ms (wanted: {limit_ms} "
          f"ms), worst of {tries} {1000 * waits[-1]:.0f} ms", flush=True)


def adaptive_latency(bench, pools=20, idle_seconds=60, limit_ms=150):
    """Each queue had work once, then none for a minute; then all get some, each at a moment of its own."""
    names = [f"adaptive-{n}" for n in range(pools)]
    waits = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            bench.run("declare", name, "classic")
            bench.run("fill", name, 1024, 5)
        scaler = Scaler(pathlib.Path(folder), bench.broker.amqp_url, names, "adaptive")
        for name in names:
            scaler.wait(name, {1, 2, 3, 4})
            bench.run("purge", name)
        for name in names:
            scaler.wait(name, {0})
        time.sleep(idle_seconds)
        for name in names:
            time.sleep(random.uniform(0, 0.1))
            begin = time.monotonic()
            bench.run("fill", name, 1024, 5)
            waits.append(scaler.wait(name, {1, 2, 3, 4}) - begin)
        scaler.stop()
        for name in names:
            bench.run("purge", name)
    waits.sort()
    print(f"publish to decision, every: adaptive, {pools} queues that were idle for {idle_seconds} s: "
          f"median {1000 * statistics.median(waits):.0f} ms (wanted: {limit_ms} ms), "
          f"worst {1000 * waits[-1]:.0f} ms", flush=True)


def polling_cost(bench, seconds=20):
    """What polls cost the broker: idle pools whose work is more than ten minutes ago look like `every: 1s`."""
    print(f"{'processor of one core, idle queues':44}   broker    sluice")
    for pools in (1, 100):
        names = [f"cost-{n}" for n in range(pools)]
        for name in names:
            bench.run("declare", name, "classic")
        for what, every, busy in (("nobody polls", None, False), ("every: 1s", "1s", False),
                                  ("adaptive, never had work", "adaptive", False),
                                  ("adaptive, had work a moment ago", "adaptive", True)):
            with tempfile.TemporaryDirectory() as folder:
                for name in names if busy else ():
                    bench.run("fill", name, 1024, 5)
                scaler = Scaler(pathlib.Path(folder), bench.broker.amqp_url, names, every) if every else None
                for name in names if busy else ():
                    scaler.wait(name, {1, 2, 3, 4})
                    bench.run("purge", name)
                time.sleep(3)
                pids = [bench.broker.pid, *([scaler.process.pid] if scaler else [])]
                begin, used = time.monotonic(), [processor_seconds(pid) for pid in pids]
                time.sleep(seconds)
                took = time.monotonic() - begin
                shares = [100 * (processor_seconds(pid) - before) / took for pid, before in zip(pids, used)]
                print(f"{pools:4} pools, {what:32}  " + " ".join(f"{share:7.2f} %" for share in shares), flush=True)
                if scaler:
                    scaler.stop()


def adaptive(bench):
    adaptive_latency(bench)
    polling_cost(bench)


PARTS = {"consume": consume, "publish": publish, "perftest": beside_perf_test, "decide": decide,
         "adaptive": adaptive}


def main():
    chosen = sys.argv[1:] or list(PARTS)
    with tempfile.TemporaryDirectory() as folder, rabbitmq.Broker(folder, management=False) as broker:
        for name in chosen:
            PARTS[name](Bench(broker))


if __name__ == "__main__":
    main()
