# SPDX-License-Identifier: Apache-2.0
"""The suite that every queue passes, on Google's own emulator of Pub/Sub."""

import os
import pathlib
import subprocess

from lib import ROOT, equal, main, needs, test

# After lib, which says where it is.
import pubsub

SUITE = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build/dev")) / "pubsub_conformance"
SHARDS = 6  # most of it waits for leases of 10 s to end
needs(pubsub.missing())


@test("a subscription does what every queue does, with exactly-once delivery and without")
def _(box):
    with pubsub.Emulator(box.path("pubsub")) as emulator:
        parts = [box.start([SUITE, "--gtest_brief=1"],
                           env={"SLUICE_TEST_PUBSUB": emulator.url, "SLUICE_TEST_EXACTLY_ONCE": exactly_once,
                                "GTEST_TOTAL_SHARDS": str(SHARDS), "GTEST_SHARD_INDEX": str(n)})
                 for exactly_once in ("false", "true") for n in range(SHARDS)]
        done = [part.wait(300) for part in parts]
    for part in done:
        equal(part.exit, 0, f"exit\n{part}")
    tests = sum(int(part.out.split("[  PASSED  ] ")[1].split()[0]) for part in done)
    listed = subprocess.run([SUITE, "--gtest_list_tests"], capture_output=True, text=True, check=True).stdout
    equal(tests, 2 * sum(line.startswith("  ") for line in listed.splitlines()), "tests that passed")


main()
