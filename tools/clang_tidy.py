#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy 19 over the C++ files of a configured build and ends with "N passed, N failed[, N skipped]".

A file that was clean is not looked at again until it, a header it includes, its compile command or .clang-tidy
changes; that is kept in BUILD/tidy. --changed looks only at files that differ from the main branch, with those that
include them. --minutes bounds the time: files that differ come first, and those that were not reached are counted as
skipped.
"""

import argparse
import concurrent.futures
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# A coroutine lambda with captures is safe while it is named and outlives the run, as in every test; elsewhere it is
# not allowed. A fixture is destroyed by GoogleTest alone, whatever its destructor says; numbers of a test are small.
IN_TESTS = ("--checks=-cppcoreguidelines-avoid-capturing-lambda-coroutines,-cppcoreguidelines-virtual-class-destructor,"
            "-bugprone-implicit-widening-of-multiplication-result")


def git(*arguments):
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


def changed_files():
    """Paths that differ from where this branch left main, committed or not."""
    base = next((b for ref in ("origin/main", "main") for b in git("merge-base", "HEAD", ref)), "HEAD")
    names = git("diff", "--name-only", base) + git("ls-files", "--others", "--exclude-standard")
    return {(ROOT / name).resolve() for name in names}


class Includes:
    """Which of our own files a file includes, itself and indirectly."""

    def __init__(self):
        self._known = {}

    def closure(self, path):
        seen, waiting = {path}, [path]
        while waiting:
            for found in self._direct(waiting.pop()):
                if found not in seen:
                    seen.add(found)
                    waiting.append(found)
        return seen

    def _direct(self, path):
        if path not in self._known:
            found = set()
            for name in INCLUDE.findall(path.read_bytes()):
                for folder in (ROOT / "src", ROOT / "include", path.parent, ROOT):
                    candidate = (folder / name.decode()).resolve()
                    if candidate.is_file():
                        found.add(candidate)
                        break
            self._known[path] = found
        return self._known[path]


def key_of(command, closure):
    digest = hashlib.sha256()
    digest.update((ROOT / ".clang-tidy").read_bytes())
    digest.update(command.encode())
    for path in sorted(closure):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def run(path, build, end):
    if time.monotonic() > end:
        return "skipped", ""
    options = [IN_TESTS] if path.name.endswith("_test.cc") else []
    done = subprocess.run(["clang-tidy-19", "--quiet", "-p", build, *options, path],
                          cwd=ROOT, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        return "passed", ""
    return "failed", done.stdout + "\n".join(line for line in done.stderr.splitlines() if "error" in line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/dev")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=0, help="0: no limit")
    parser.add_argument("--changed", action="store_true")
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="only these")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    commands = {pathlib.Path(entry["file"]).resolve(): entry["command"]
                for entry in json.loads((build / "compile_commands.json").read_text())}
    chosen = sorted(p for p in commands if ROOT in p.parents and build not in p.parents and p.is_file())
    if arguments.files:
        wanted = {path.resolve() for path in arguments.files}
        chosen = [path for path in chosen if path in wanted]
    includes, changed = Includes(), changed_files()
    touched = {path for path in chosen if includes.closure(path) & changed}
    others = [] if arguments.changed else [p for p in chosen if p not in touched]
    chosen = [p for p in chosen if p in touched] + others

    clean = build / "tidy"
    clean.mkdir(exist_ok=True)
    end = time.monotonic() + arguments.minutes * 60 if arguments.minutes else float("inf")
    counts, remembered = {"passed": 0, "failed": 0, "skipped": 0}, 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        waiting = {}
        for path in chosen:
            key = clean / key_of(commands[path], includes.closure(path))
            if key.exists():
                counts["passed"] += 1
                remembered += 1
            else:
                waiting[pool.submit(run, path, build, end)] = (path, key)
        for future in concurrent.futures.as_completed(waiting):
            path, key = waiting[future]
            outcome, text = future.result()
            counts[outcome] += 1
            if outcome == "passed":
                key.touch()
            else:
                print(f"{outcome}: {path.relative_to(ROOT)}\n{text}".rstrip(), flush=True)
    print(f"{len(chosen)} files, {remembered} of them unchanged since they were clean")
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
