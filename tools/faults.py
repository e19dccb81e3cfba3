#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the fault table in full and writes docs/results/faults.md: each fault, what is expected, what was measured.

    tools/faults.py [F3 F25 ...]      # these rows alone; the others keep what the file says of them

The rows are tests of tests/integration/faults_*_test.py and tests/e2e/kube_faults_test.py, which say how each fault is
injected; the last few are those of other scripts, which have more to say of their fault than fits into a row. Those of
the Kubernetes API take a real cluster: tools/setup e2e.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests/integration"
RESULTS = ROOT / "docs/results/faults.md"
SCRIPTS = ("faults_worker_test", "faults_publisher_test", "faults_broker_test", "../e2e/kube_faults_test")

# Rows whose tests are elsewhere: (component, fault, expected, bound, script, words that its tests' names contain).
ELSEWHERE = {
    "F27": ("broker", "random bytes / truncated / oversized frame", "connection closed, no crash, no OOM", "backoff",
            "amqp_hostile_test", []),
    "F28": ("broker", "wrong TLS cert, expired, wrong SAN, plain port",
            "refused with a clear reason, never downgraded", "next poll", "amqp_tls_test", []),
    "F31": ("broker", "mgmt API 500/401/404/timeout/HTML/gzip bomb", "unknown -> hold", "next poll",
            "management_test", ["whatever the management API answers", "without a tag"]),
    "F32": ("broker", "mgmt fields absent or null after declare", "unknown -> hold, not 0", "10 s",
            "management_test", ["whatever the management API answers"]),
    "F33": ("broker", "stats frozen (same value, backlog moving)", "age limit -> stale; no scale-in", "next fresh",
            "management_test", ["stand still"]),
}
HEAD = "| row | component | fault | expected | measured | bound | commit | verdict |"


def number(row):
    return int(row[1:])


def run(script, words, folder, rows_of=None):
    """Its output; what it counted goes to `folder`."""
    environment = {**os.environ, "SLUICE_SOAK": "1", "SLUICE_FAULTS": str(folder)}
    with subprocess.Popen([sys.executable, TESTS / f"{script}.py", *words], cwd=ROOT, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode == 0, lines


def cell(text):
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|")


def own_rows(wanted, folder):
    out = {}
    for script in SCRIPTS:
        text = (TESTS / f"{script}.py").read_text(encoding="utf-8")
        mine = [row for row in re.findall(r'^@row\("(F\d+)"\)', text, re.M) if row in wanted]
        if mine:
            run(script, [f"{row} " for row in mine], folder)
    for path in folder.glob("F*.json"):
        line = json.loads(path.read_text(encoding="utf-8"))
        took = "" if line["took"] is None else f"{line['took']:.2f} s; "
        out[line["row"]] = (line["component"], line["fault"], line["expected"], took + line["seen"], line["bound"],
                            line["verdict"])
    return out


def rows_elsewhere(wanted, folder):
    """Each script once, however many rows it stands for."""
    out, ran = {}, {}
    for row in wanted:
        component, fault, expected, bound, script, words = ELSEWHERE[row]
        if not (TESTS / f"{script}.py").exists():
            out[row] = (component, fault, expected, f"there is no {script}.py", bound, "missing")
            continue
        key = (script, tuple(words))
        if key not in ran:
            ran[key] = run(script, words, folder)
        passed, lines = ran[key]
        count = sum(line.startswith("ok ") for line in lines)
        out[row] = (component, fault, expected, f"{count} tests of {script}.py", bound, "ok" if passed else "failed")
    return out


def kept():
    """What the file says already."""
    out = {}
    if RESULTS.exists():
        for line in RESULTS.read_text(encoding="utf-8").splitlines():
            cells = [part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]]
            if cells and re.fullmatch(r"F\d+", cells[0]):
                out[cells[0]] = tuple(cells[1:])
    return out


def commit():
    return subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True,
                          check=True).stdout.strip()


def written(rows):
    lines = ["# The fault table", "",
             f"`make test-faults`, {time.strftime('%Y-%m-%d', time.gmtime())}, "
             f"{os.cpu_count()} cores, Linux {platform.release()} {platform.machine()}, RabbitMQ 3.10 (Debian 12).", "",
             "Each fault is injected into real processes. \"Measured\" begins with the time from the end of the fault "
             "to normal, where the bound is one. Of each row but those that name a script it is demanded as well that "
             "nothing confirmed is lost, that every second run of a message has a cause, that no process ends, and "
             "that nobody dials more than about once a second.", "", HEAD, "| " + " | ".join(["---"] * 8) + " |"]
    for row in sorted(rows, key=number):
        lines.append("| " + " | ".join([row, *map(cell, rows[row])]) + " |")
    good = sum(cells[-1] == "ok" for cells in rows.values())
    lines += ["", f"{good} of {len(rows)} rows as expected."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="F1 to F57 (default: all)")
    arguments = parser.parse_args()
    own = {row for script in SCRIPTS
           for row in re.findall(r'^@row\("(F\d+)"\)', (TESTS / f"{script}.py").read_text(encoding="utf-8"), re.M)}
    unknown = set(arguments.rows) - own - set(ELSEWHERE)
    if unknown:
        sys.exit(f"no row {' '.join(sorted(unknown))}; accepted: {' '.join(sorted(own | set(ELSEWHERE), key=number))}")
    wanted = set(arguments.rows) or own | set(ELSEWHERE)
    of = commit()  # of what is run, whatever is committed meanwhile
    with tempfile.TemporaryDirectory() as folder:
        rows = own_rows(wanted & own, pathlib.Path(folder))
        rows.update(rows_elsewhere(sorted(wanted & set(ELSEWHERE), key=number), pathlib.Path(folder)))
    # Without a result at all: its script ended before it.
    rows.update({row: ("-", "-", "-", "its test did not run", "-", "failed") for row in wanted - set(rows)})
    text = written({**kept(), **{row: (*cells[:-1], of, cells[-1]) for row, cells in rows.items()}})
    RESULTS.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(0 if all(cells[-1] == "ok" for cells in rows.values()) else 1)


if __name__ == "__main__":
    main()
