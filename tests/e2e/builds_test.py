# SPDX-License-Identifier: Apache-2.0
"""The same scenario and seed give the same bytes, whatever the build: release beside the one with sanitizers.

Whole runs in release; in the other a tenth, SLUICE_SOAK=1 the whole (half an hour). Without a cluster, and out of the
way of those that have one.
"""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from lib import equal, main, scaled, test  # noqa: E402

DEV = ROOT / "build/dev/sluice"
RELEASE = ROOT / "build/release/sluice"
TRACES = os.environ.get("SLUICE_TRACES")
SCENARIOS = [one for one in sorted((ROOT / "tests/scenarios").glob("*.yaml")) if TRACES or "trace-" not in one.name]
FIRST = scaled("24m", "48h")  # of each scenario; none is longer


def up_to_date(binary):
    newest = max(path.stat().st_mtime for path in (ROOT / "src").rglob("*.[ch]*"))
    equal(binary.exists() and binary.stat().st_mtime >= newest, True,
          f"{binary.relative_to(ROOT)} is there and not older than the sources (ninja -C {binary.parent} sluice)")


def simulate(box, binary, *arguments):
    """What each run did: counts, waiting times, costs and the hash of its journal."""
    out = box.run([binary, "simulate", *SCENARIOS, "--seeds", "1", "--output", "json", *arguments], exit=0,
                  env={"SLUICE_TRACES": TRACES} if TRACES else {}, timeout=7200)
    runs = [line for line in out.json if line["event"] == "run"]
    equal({run["scenario"] for run in runs}, {path.stem for path in SCENARIOS})
    equal([run for run in runs if not all(pool["journal"]["hash"] for pool in run["pools"])], [])
    lines = sum(pool["journal"]["lines"] for run in runs for pool in run["pools"])
    return out.out, f"{len(SCENARIOS)} scenarios, {len(runs)} runs, {lines} lines of journal"


@test("every scenario, whole, gives the same bytes twice")
def _(box):
    up_to_date(RELEASE)
    first, what = simulate(box, RELEASE, "--jobs", "2")
    again, _ = simulate(box, RELEASE)
    equal(first == again, True, "the same bytes two at a time and one after the other")
    print(f"    {what}" + ("" if TRACES else ", without those of SLUICE_TRACES"))


@test("every scenario gives the same bytes in both builds")
def _(box):
    for binary in (RELEASE, DEV):
        up_to_date(binary)
    ours, what = simulate(box, RELEASE, "--first", FIRST, "--jobs", "2")
    other, _ = simulate(box, DEV, "--first", FIRST, "--jobs", "2")
    equal(ours == other, True, "the same bytes in release and dev")
    print(f"    the first {FIRST} of {what}")


os.nice(19)
main()
