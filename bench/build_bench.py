#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a developer waits: for a change in one source file, and for the whole program, both without ccache."""

import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHANGED = ["src/base/time.cc", "src/control/decide.cc", "src/app/doctor_checks.cc", "src/queue/local/store.cc"]
WITHOUT_CACHE = {**os.environ, "CCACHE_DISABLE": "1"}


def run(*words):
    begin = time.monotonic()
    done = subprocess.run(words, cwd=ROOT, env=WITHOUT_CACHE, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return time.monotonic() - begin


def main():
    jobs = str(os.cpu_count())
    with tempfile.TemporaryDirectory() as folder:
        run("cmake", "--preset", "release", "-B", folder)
        whole = run("ninja", "-C", folder, "-j", jobs, "sluice")
        slowest = 0.0
        for name in CHANGED:
            (ROOT / name).touch()
            took = run("ninja", "-C", folder, "-j", jobs, "sluice")
            slowest = max(slowest, took)
            print(f"{name + ' changed':<32} {took:6.1f} s  (wanted: 10 s)", flush=True)
        print(f"{'the whole program':<32} {whole:6.0f} s  (wanted: 360 s), {whole / slowest:.0f} times that")


if __name__ == "__main__":
    main()
