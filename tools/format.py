#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Formats every C++ file with clang-format 19, in place; --check only says which differ, and then fails."""

import pathlib
import subprocess
import sys

from tidy import CODE, Tidy

ROOT = pathlib.Path(__file__).resolve().parents[1]


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    files = [path for path in Tidy(ROOT).files() if path.suffix in CODE]
    differing = 0
    for name in files:
        # The style file is looked for from the assumed name on upwards.
        before = (ROOT / name).read_bytes()
        after = subprocess.run(["clang-format-19", f"--assume-filename={name}"], cwd=ROOT, input=before,
                               check=True, capture_output=True).stdout
        if before != after:
            differing += 1
            print(f"{name}: {'is not formatted: make fmt' if check else 'formatted'}")
            if not check:
                (ROOT / name).write_bytes(after)
    if check:
        print(f"{len(files) - differing} passed, {differing} failed")
        sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
