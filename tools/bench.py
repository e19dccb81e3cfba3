#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every benchmark of a release build, one after the other, since each wants the machine for itself."""

import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("names", nargs="*", help="only these")
    arguments = parser.parse_args()
    sources = sorted([*(ROOT / "bench").glob("*_bench.cc"), *(ROOT / "bench").glob("*_bench.py")])
    known = {s.stem.removesuffix("_bench"): s for s in sources}
    chosen = [name for name in known if not arguments.names or name in arguments.names]
    if not chosen:
        sys.exit(f"no benchmark of that name; there are: {' '.join(known)}")
    failed = []
    for name in chosen:
        print(f"== {name}", flush=True)
        source = known[name]
        program = [arguments.build.resolve() / "bench" / source.stem]
        command = [sys.executable, source] if source.suffix == ".py" else program
        if subprocess.run(command, cwd=ROOT).returncode != 0:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {' '.join(failed)}")


if __name__ == "__main__":
    main()
