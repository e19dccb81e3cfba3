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
    sources = sorted(p.stem for p in (ROOT / "bench").glob("*_bench.cc"))
    chosen = [s for s in sources if not arguments.names or s.removesuffix("_bench") in arguments.names]
    if not chosen:
        sys.exit("no benchmark of that name" if sources else "there is no bench/*_bench.cc")
    failed = []
    for name in chosen:
        print(f"== {name.removesuffix('_bench')}", flush=True)
        if subprocess.run([arguments.build.resolve() / "bench" / name], cwd=ROOT).returncode != 0:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {' '.join(failed)}")


if __name__ == "__main__":
    main()
