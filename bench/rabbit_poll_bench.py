#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reading the counts of many queues of one RabbitMQ: starts it, runs the program of the same name against it.

SLUICE_BIN is the binary of a release build, beside which the program lies in bench/.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/tools"))

import rabbitmq  # noqa: E402

PROGRAM = pathlib.Path(os.environ["SLUICE_BIN"]).resolve().parent / "bench/rabbit_poll_bench"


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


if __name__ == "__main__":
    main()
