#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A sweep of 1,000 runs, one and two at a time: does it use the cores that are there?

SLUICE_BIN is the binary. Both in turns, medians; beside the wall clock what the kernel counted of the processor.
"""

import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

SLUICE = os.environ["SLUICE_BIN"]
ROUNDS = 3
WANTED = 1.8  # of 2
SCENARIO = """\
duration: 30m
late: 60s
seeds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
pools: [{arrivals: [{flash: {base: 0.5, peak: 8, every: 15m, rise: 1m, decay: 3m}}], service: {exponential: 4s}}]
workers: {max: 100}
environment: {nodes: {boot: {mean: 60s}}, pods: {start: {mean: 4s}}}
policies:
"""


def write(folder):
    """Two files of 50 policies with 10 seeds each."""
    policies = {"backlog": "backlogPerWorker: {messages: %d, every: 5s}",
                "threshold": "threshold: {messages: %d, age: 20s, every: 5s}"}
    paths = []
    for name, policy in policies.items():
        paths.append(pathlib.Path(folder) / f"{name}.yaml")
        rows = "".join(f"  - policy: {{{policy % n}}}\n" for n in range(1, 51))
        paths[-1].write_text(f"scenario: {name}\n{SCENARIO}{rows}")
    return paths


def measure(paths, jobs):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    done = subprocess.run([SLUICE, "simulate", *paths, "--jobs", str(jobs), "--output", "json"], check=True,
                          capture_output=True, text=True)
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    runs = sum('"event":"run"' in line for line in done.stdout.splitlines())
    assert runs == 1000, runs
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        paths = write(folder)
        rounds = [(measure(paths, 1), measure(paths, 2)) for _ in range(ROUNDS)]
    one, two = (statistics.median(r[i][0] for r in rounds) for i in (0, 1))
    cores = statistics.median(r[1][1] / r[1][0] for r in rounds)
    print(f"sweep, 1000 runs       {two:6.2f} s two at a time, {one:.2f} s one after the other: "
          f"{one / two:.2f} times as fast, {cores:.2f} cores busy (wanted: {WANTED} of 2)")


main()
