#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the scripts of tests/e2e, several at a time since they mostly wait, each with a cluster of its own.

    tests/e2e/run.py [N [SCRIPT..]]     # N at a time (3), these scripts (all)

What a script printed is shown when it has ended. Exits 1 when one of them failed.
"""

import os
import pathlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Begun first: those that take minutes.
LONG = ["demo_test", "crd_test", "kube_faults_test", "demo_hpa_test", "adapter_told_test", "cluster_test",
        "scaling_test", "deployment_test", "builds_test"]


def order(script):
    name = script.stem
    return (LONG.index(name) if name in LONG else len(LONG), name)


def run(script):
    begin = time.monotonic()
    done = subprocess.run([sys.executable, script], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout, time.monotonic() - begin


def main():
    os.environ.setdefault("SLUICE_BIN", str(ROOT / "build/release/sluice"))  # what the image holds
    at_once = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    scripts = [pathlib.Path(word).resolve() for word in sys.argv[2:]] or sorted(HERE.glob("*_test.py"), key=order)
    failed = []
    with ThreadPoolExecutor(at_once) as threads:
        running = {threads.submit(run, script): script for script in scripts}
        for one in as_completed(running):
            code, said, seconds = one.result()
            name = running[one].relative_to(ROOT)
            print(f"{name}\n{said.rstrip()}\n{name}: {'ok' if code == 0 else 'FAILED'} after {seconds:.0f} s\n",
                  flush=True)
            failed += [str(name)] if code != 0 else []
    if failed:
        print(f"failed: {' '.join(failed)}")
    sys.exit(1 if failed else 0)


main()
