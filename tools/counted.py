#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/counted.py NAME DIR -- COMMAND...: runs a command and leaves its counts in DIR/NAME.json for tools/summary.py.

The counts are those of its last line "N passed, N failed"; a command without such a line counts as one. A command
that ends in failure never counts as clean, whatever it printed.
"""

import json
import os
import re
import subprocess
import sys

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


def counts(lines, exit_code):
    for line in reversed(lines):
        if found := CLOSING.match(line.strip()):
            passed, failed, skipped = (int(n or 0) for n in found.groups())
            break
    else:
        passed, failed, skipped = (1, 0, 0) if exit_code == 0 else (0, 1, 0)
    if exit_code != 0 and failed == 0:
        failed = 1
    return {"passed": passed, "failed": failed, "skipped": skipped}


def main():
    name, folder, dashes, *command = sys.argv[1:]
    if dashes != "--" or not command:
        sys.exit(__doc__)
    os.makedirs(folder, exist_ok=True)
    lines = []
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        code = process.returncode
    except OSError as problem:
        print(f"{command[0]}: {problem.strerror}")
        code = 127
    with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as f:
        json.dump({"suite": name, **counts(lines, code)}, f)
    sys.exit(0 if code == 0 else 1)


if __name__ == "__main__":
    main()
