#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the integration scripts, and some of those of a cluster, with their full counts (SLUICE_SOAK=1).

What they print is kept in docs/results/.
"""

import argparse
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def heading(script):
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (f"{script.name}, full counts (make soak), {day}, commit {commit.stdout.strip() or 'unknown'}, "
            f"{os.cpu_count()} cores, Linux {platform.release()} {platform.machine()}\n\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    arguments = parser.parse_args()
    e2e = ("scaling", "adapter_told", "adapter_clients", "hpa", "builds")
    scripts = [*sorted((ROOT / "tests/integration").glob("*_test.py")),
               *(ROOT / f"tests/e2e/{name}_test.py" for name in e2e)]
    chosen = [s for s in scripts if not arguments.names or s.stem.removesuffix("_test") in arguments.names]
    if not chosen:
        sys.exit("no script of that name" if scripts else "there is no tests/integration/*_test.py")
    results = ROOT / "docs/results"
    results.mkdir(parents=True, exist_ok=True)
    failed = []
    for script in chosen:
        print(f"== {script.stem}", flush=True)
        with open(results / f"{script.stem}.txt", "w", encoding="utf-8") as kept:
            kept.write(heading(script))
            environment = {**os.environ, "SLUICE_SOAK": "1"}
            with subprocess.Popen([sys.executable, script], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace") as process:
                for line in process.stdout:
                    print(line, end="", flush=True)
                    kept.write(line)
            if process.returncode != 0:
                failed.append(script.stem)
    if failed:
        sys.exit(f"failed: {' '.join(failed)}")


if __name__ == "__main__":
    main()
