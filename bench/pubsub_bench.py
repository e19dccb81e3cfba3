#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The publisher and the worker on Google's emulator of Pub/Sub, beside a plain loop of requests in the same run.

SLUICE_BIN is the binary of a release build. The plain loop is what a REST client does at least: publish, or pull and
acknowledge, 100 messages a request, one request after the other over one connection. Without the emulator nothing is
measured, and that is said.
"""

import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/tools"))

import pubsub  # noqa: E402

SLUICE = os.environ["SLUICE_BIN"]
ROUNDS = int(os.environ.get("SLUICE_BENCH_ROUNDS", "3"))
COUNT = 20_000
BATCH = 100
IDLE_SECONDS = 2


class Loop:
    """One connection that is asked again and again."""

    def __init__(self, emulator):
        self._connection = http.client.HTTPConnection("127.0.0.1", emulator.port)
        self._base = f"/v1/projects/{emulator.project}/"

    def ask(self, path, body):
        self._connection.request("POST", self._base + path, json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(self._connection.getresponse().read())

    def publish(self, count):
        begin = time.monotonic()
        for first in range(0, count, BATCH):
            self.ask("topics/bench:publish", {"messages": [{"data": "eyJuIjoxfQ==", "attributes": {"n": str(n)}}
                                                           for n in range(first, first + BATCH)]})
        return count / (time.monotonic() - begin)

    def work(self, count):
        begin, done = time.monotonic(), 0
        while done < count:
            got = self.ask("subscriptions/bench:pull", {"maxMessages": BATCH}).get("receivedMessages", [])
            if got:
                self.ask("subscriptions/bench:acknowledge", {"ackIds": [one["ackId"] for one in got]})
            done += len(got)
        return count / (time.monotonic() - begin)


def sluice(emulator, *words):
    queue = f"pubsub://{emulator.project}/bench?topic=bench"
    done = subprocess.run([SLUICE, words[0], "--queue", queue, *words[1:], "--output", "json"], text=True, timeout=300,
                          capture_output=True, env={**os.environ, "PUBSUB_EMULATOR_HOST": emulator.address})
    summary = json.loads(done.stdout.splitlines()[-1])
    if words[0] == "publish":
        return summary["confirmed"] / summary["seconds"]
    return summary["done"] / (summary["seconds"] - IDLE_SECONDS)


def row(what, ours, plain):
    print(f"{what:36} {statistics.median(ours):9,.0f}/s   a plain loop, {BATCH} a request: "
          f"{statistics.median(plain):9,.0f}/s", flush=True)


def main():
    why = pubsub.missing()
    if why:
        print(f"not measured: {why}")
        return
    with tempfile.TemporaryDirectory() as folder, pubsub.Emulator(folder) as emulator:
        emulator.topic("bench")
        emulator.subscription("bench", "bench")
        loop = Loop(emulator)
        rates = {what: [] for what in ("publish", "plain publish", "work", "plain work")}
        for _ in range(ROUNDS + 1):  # the first one warms the emulator up
            rates["publish"].append(sluice(emulator, "publish", "--count", str(COUNT)))
            rates["work"].append(sluice(emulator, "work", "--simulate", "0ms", "--concurrency", "1000", "--idle-exit",
                                        f"{IDLE_SECONDS}s"))
            rates["plain publish"].append(loop.publish(COUNT))
            rates["plain work"].append(loop.work(COUNT))
        row(f"publish {COUNT:,}, confirmed", rates["publish"][1:], rates["plain publish"][1:])
        row(f"work {COUNT:,}, --concurrency 1000", rates["work"][1:], rates["plain work"][1:])


if __name__ == "__main__":
    main()
