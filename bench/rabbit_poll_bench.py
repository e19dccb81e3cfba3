#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reading the counts of many queues of one RabbitMQ: starts it, runs the program of the same name against it, then
the whole scaler with 1,000 pools.

SLUICE_BIN is the binary of a release build, beside which the program lies in bench/.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/tools"))

import rabbitmq  # noqa: E402
from processes import processor_seconds, resident_kb  # noqa: E402

POOLS = 1000
MEASURED_SECONDS = 20
POOL = """\
apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata: {{name: {name}}}
spec:
  queue: {{rabbitmq: {{url: "{url}", queue: {name}}}}}
  workers: {{max: 4, run: {{command: [sluice, work, --exec, /bin/true]}}}}
  policy: {{threshold: {{messages: 20, every: 1s}}}}
"""
PROGRAM = pathlib.Path(os.environ["SLUICE_BIN"]).resolve().parent / "bench/rabbit_poll_bench"


def scale(folder, pools):
    """Share of a core and KB held by a scaler of so many pools on one broker, each looking once a second."""
    with rabbitmq.Broker(folder / "rabbit", management=True) as broker:
        files = []
        for n in range(pools):
            broker.declare_queue(f"pool{n}")
            file = folder / f"pool{n}.yaml"
            file.write_text(POOL.format(name=f"pool{n}", url=broker.amqp_url))
            files += ["-f", file]
        process = subprocess.Popen([os.environ["SLUICE_BIN"], "scale", *files, "--output", "json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, text=True)
        seen = set()
        for line in process.stdout:
            record = json.loads(line)
            if record.get("event") == "tick" and record["seen"]["queue"]["ready"]:
                seen.add(record["pool"])
            if len(seen) == pools:
                break
        os.set_blocking(process.stdout.fileno(), False)
        begin, used = time.monotonic(), processor_seconds(process.pid)
        while time.monotonic() - begin < MEASURED_SECONDS:
            time.sleep(0.2)
            while process.stdout.buffer.raw.read(1 << 16):
                pass
        share = (processor_seconds(process.pid) - used) / (time.monotonic() - begin)
        held, connections = resident_kb(process.pid), len(broker.connections("sluice scale"))
        os.set_blocking(process.stdout.fileno(), True)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)  # reads on, or the end would wait for the pipe
        return share, held, connections


def program():
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        _, alone, _ = scale(pathlib.Path(one), 1)
        share, held, connections = scale(pathlib.Path(many), POOLS)
        print(f"{POOLS:6} pools scaled each  1 s: {100 * share:5.2f} % of one core (wanted: 15 %), {connections} "
              f"connection (wanted: 1), {(held - alone) / (POOLS - 1):.1f} KiB a pool (wanted: 16 KiB)", flush=True)


def main():
    for queues, seconds in ((1000, 1), (10000, 10)):
        with tempfile.TemporaryDirectory() as folder, rabbitmq.Broker(folder, management=False) as broker:
            run = subprocess.Popen([PROGRAM, str(queues), str(seconds)], env={**os.environ,
                                                                              "SLUICE_BENCH_AMQP": broker.amqp_url},
                                   stdout=subprocess.PIPE, text=True)
            before = processor_seconds(broker.pid)
            for line in run.stdout:
                print(line, end="", flush=True)
            if run.wait() != 0:
                sys.exit(run.returncode)
            print(f"{'':6} the broker used {processor_seconds(broker.pid) - before:.1f} s of the processor in all, "
                  f"declaring the queues included", flush=True)
    program()


if __name__ == "__main__":
    main()
