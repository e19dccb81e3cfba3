#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every fuzzer of a fuzz build for some seconds, two at a time, from its committed corpus.

The committed corpus is only read; what is found goes to BUILD/corpus/NAME, an input that crashes, hangs or eats
memory to BUILD/artifacts/NAME-*. Ends with the line "N passed, N failed", one for each fuzzer.
"""

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run(program, build, seconds):
    name = program.name.removesuffix("_fuzz")
    found, artifacts = build / "corpus" / name, build / "artifacts"
    found.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    command = [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={artifacts}/{name}-"]
    dictionary = ROOT / "tests/fuzz" / f"{name}.dict"
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    corpus = ROOT / "tests/fuzz/corpus" / name
    if not corpus.is_dir() or not any(corpus.iterdir()):
        return name, False, f"no corpus at {corpus.relative_to(ROOT)}", ""
    # Its own limit fails when one input never returns and the alarm is lost, so there is a second one from outside.
    try:
        done = subprocess.run([*command, found, corpus], capture_output=True, text=True, errors="replace",
                              timeout=seconds + 120)
    except subprocess.TimeoutExpired:
        return name, False, f"did not end {120} s after its time", ""
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    count = f"{int(runs[1]):,} inputs" if runs else "no statistics"
    return name, done.returncode == 0, count, done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/fuzz")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*", help="only these")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    sources = sorted(p.stem for p in (ROOT / "tests/fuzz").glob("*_fuzz.cc"))
    chosen = [s for s in sources if not arguments.names or s.removesuffix("_fuzz") in arguments.names]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [pool.submit(run, build / "fuzzers" / s, build, arguments.seconds) for s in chosen]
        for future in runs:
            name, good, count, log = future.result()
            print(f"{'ok    ' if good else 'FAILED'} {name:<24} {count} in {arguments.seconds} s", flush=True)
            if not good:
                failed += 1
                print("\n".join(log.splitlines()[-60:]))
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(0 if chosen and failed == 0 else 1)


if __name__ == "__main__":
    main()
