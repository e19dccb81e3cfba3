#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program as a whole: its size, its start, what an idle scaler holds, and what 1,000 pools cost.

SLUICE_BIN is the binary. Each figure stands beside its reference or limit; time of the processor is what the
kernel counted for the process.
"""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from processes import processor_seconds, resident_kb

SLUICE = os.environ["SLUICE_BIN"]
POOLS = 1000
TICK_SECONDS = 10
MEASURED_SECONDS = 30
POOL = """\
apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata: {{name: {name}}}
spec:
  queue: {{local: {{path: ./{name}.db}}}}
  workers: {{max: 4, run: {{command: [sluice, work, --exec, /bin/true]}}}}
  policy: {{threshold: {{messages: 20, every: {every}s}}}}
"""


def scale(folder, *pools):
    return subprocess.Popen(
        [SLUICE, "scale", *(word for pool in pools for word in ("-f", pool)), "--output", "json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def first_tick(process):
    for line in process.stdout:
        if json.loads(line).get("event") == "tick":
            return
    raise SystemExit("scale ended before its first tick")


def bare_start():
    begin = time.monotonic()
    subprocess.run(["/bin/true"], check=True)
    return time.monotonic() - begin


def start(folder):
    begin = time.monotonic()
    process = scale(folder, "pool.yaml")
    first_tick(process)
    took = time.monotonic() - begin
    time.sleep(1)  # a measurement, no test: by now it has nothing left to set up
    held = resident_kb(process.pid) / 1024
    stop(process)
    return took, held


def many(folder):
    for n in range(POOLS):
        name = f"pool{n}"
        (folder / f"{name}.yaml").write_text(POOL.format(name=name, every=TICK_SECONDS))
        if n == 0:
            subprocess.run([SLUICE, "publish", "-f", f"{name}.yaml", "--count", "1"], cwd=folder, check=True,
                           stdout=subprocess.DEVNULL)
        else:
            shutil.copy(folder / "pool0.db", folder / f"{name}.db")
    process = scale(folder, *(f"pool{n}.yaml" for n in range(POOLS)))
    pools = set()
    for line in process.stdout:
        record = json.loads(line)
        if record.get("event") == "tick":
            pools.add(record["pool"])
        if len(pools) == POOLS:
            break
    os.set_blocking(process.stdout.fileno(), False)
    begin, used = time.monotonic(), processor_seconds(process.pid)
    while time.monotonic() - begin < MEASURED_SECONDS:
        time.sleep(0.2)
        while process.stdout.buffer.raw.read(1 << 16):
            pass
    share = (processor_seconds(process.pid) - used) / (time.monotonic() - begin)
    held = resident_kb(process.pid) / 1024
    os.set_blocking(process.stdout.fileno(), True)
    stop(process)
    return share, held


def main():
    print(f"static binary           {os.path.getsize(SLUICE) / 1e6:8.1f} MB  (wanted: 15 MB)")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "pool.yaml").write_text(POOL.format(name="orders", every=TICK_SECONDS))
        subprocess.run([SLUICE, "publish", "-f", "pool.yaml", "--count", "1"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)
        bare, starts, held = [], [], []
        for _ in range(7):
            bare.append(bare_start())
            took, mb = start(folder)
            starts.append(took)
            held.append(mb)
        print(f"start to first decision {1000 * statistics.median(starts):8.1f} ms  (wanted: 100 ms); "
              f"/bin/true from start to end {1000 * statistics.median(bare):.1f} ms")
        print(f"idle scaler holds       {statistics.median(held):8.1f} MB  (wanted: 20 MB)")
    with tempfile.TemporaryDirectory() as name:
        share, held = many(pathlib.Path(name))
        print(f"{POOLS} pools, {TICK_SECONDS} s ticks   {100 * share:8.2f} % of one core (wanted: 2 %); {held:.0f} MB")


if __name__ == "__main__":
    main()
