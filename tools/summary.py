#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/summary.py [--failed-steps N] DIR...: sums up what the runs that wrote into these folders have counted.

Reads gtest's *.xml, the *.json of integration scripts and tools/counted.py, and ctest's *.junit. A ctest test that
left no counts of its own counts as one; one that ctest calls failed although its counts say otherwise (it crashed, or
ran out of time) adds a failure. Ends with the line "N passed, N failed", with ", N skipped" where there are any; exit
1 if one failed or nothing ran.
"""

import argparse
import json
import pathlib
import sys
import xml.etree.ElementTree as xml

KEYS = ("passed", "failed", "skipped")


def read_gtest(path):
    root = xml.parse(path).getroot()
    result = dict.fromkeys(KEYS, 0)
    for case in root.iter("testcase"):
        if case.find("failure") is not None:
            result["failed"] += 1
        elif case.get("result") == "skipped" or case.get("status") == "notrun":
            result["skipped"] += 1
        else:
            result["passed"] += 1
    return result


def suite_of(ctest_name):
    """The name of a ctest test's own counts: base -> base_test, integration.kill_test -> kill_test."""
    if ctest_name.startswith("integration."):
        return ctest_name.removeprefix("integration.")
    return ctest_name if ctest_name.endswith("_test") else f"{ctest_name}_test"


def read_folder(folder):
    """{suite: counts} of one folder."""
    suites = {}
    for path in sorted(folder.glob("*.xml")):
        try:
            suites[path.stem] = read_gtest(path)
        except xml.ParseError:  # cut off: the program crashed while it wrote; ctest knows
            suites[path.stem] = dict.fromkeys(KEYS, 0)
    for path in sorted(folder.glob("*.json")):
        counts = json.loads(path.read_text())
        suites[counts["suite"]] = {key: counts.get(key, 0) for key in KEYS}
    for path in sorted(folder.glob("*.junit")):
        for case in xml.parse(path).getroot().iter("testcase"):
            name = case.get("name")
            failed = case.get("status") not in ("run", "disabled", "notrun")
            counts = suites.get(suite_of(name)) or suites.get(name)
            if counts is None:
                skipped = case.get("status") in ("disabled", "notrun")
                passed = not failed and not skipped
                suites[name] = {"passed": int(passed), "failed": int(failed), "skipped": int(skipped)}
            elif failed and counts["failed"] == 0:
                counts["failed"] = 1
    return suites


def closing_line(total):
    line = f"{total['passed']} passed, {total['failed']} failed"
    return line + (f", {total['skipped']} skipped" if total["skipped"] else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--failed-steps", type=int, default=0, help="the sum has at least as many failures")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    total = dict.fromkeys(KEYS, 0)
    for folder in arguments.folders:
        for suite, counts in sorted(read_folder(folder).items()):
            print(f"  {folder.name + '/' + suite:<44} {closing_line(counts)}")
            for key in KEYS:
                total[key] += counts[key]
    total["failed"] = max(total["failed"], arguments.failed_steps)
    print(closing_line(total))
    sys.exit(0 if total["failed"] == 0 and total["passed"] > 0 else 1)


if __name__ == "__main__":
    main()
