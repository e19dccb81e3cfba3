# SPDX-License-Identifier: Apache-2.0
"""The replay of recorded syncs through `sluice decide` gives sequences that were worked out by hand, and tells where a
recording is another. No cluster is needed."""

import os
import pathlib

from e2e import ROOT, contains, equal
from hpa_replay import Recording, Sync, differences, failed, judge, policy_of, replay, sizes, values
from lib import main, test

SLUICE = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/sluice"))


def spec(target="100", kind="AverageValue", **more):
    key = "averageValue" if kind == "AverageValue" else "value"
    metric = {"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": kind, key: target}}}
    return {"maxReplicas": 20, "metrics": [metric], **more}


def recorded(found, loads, **more):
    """Syncs 2 s apart of an HPA that found these sizes; everything is ready."""
    policy = policy_of(spec(**more), semantics="1.36", downscale_s=5)
    syncs = [Sync(2.0 * i, [load if isinstance(load, dict) else values(load)], size, size, size)
             for i, (size, load) in enumerate(zip(found, loads, strict=True))]
    return Recording(policy, syncs)


def judged(recording):
    return judge(SLUICE, {"one": recording})


@test("a burst doubles from four, and goes down when the window has passed")
def _(_):
    # 2000 messages ask for 20. The last 20 is asked for at 6 s, and is out of the window of 5 s at 12 s.
    found = [1, 4, 8, 16, 20, 20, 20, 3, 3]
    loads = [2000, 2000, 2000, 2000, 250, 250, 250, 250, 250]
    equal(judged(recorded(found, loads)), [])


@test("an empty behavior has the server's defaults: five, ten, twenty")
def _(_):
    # The period of 15 s counts the changes of the last syncs: 1 + 4, or 1 + 100 %, from the size 15 s ago.
    equal(judged(recorded([1, 5, 5, 5, 5, 5, 5, 5, 5, 10], [2000] * 10, behavior={})), [])


@test("a size that the HPA did not set is told with what it was given")
def _(_):
    recording = recorded([1, 4, 9, 18], [2000, 2000, 2000, 2000])  # 4 doubles to 8, whoever made it 9 to 18
    told = judged(recording)
    equal(len(told), 1)
    contains(told[0], "sync 1 at 2.000 s, [{'values': ['2000']}] with 4 asked for and 4 there: decided 8, "
                      "the HPA set 9")
    equal(sizes(recording.syncs), [1, 4, 9, 18])


@test("what lies at the end of a window may be on either side, what does not may not")
def _(_):
    # 3 asked for at 0 s and 4 at 2 s; by the clock of the recording the 4 is 5.001 s old at the end, and forgotten.
    late = recorded([4, 4, 4, 4], [300, 400, 100, 100])
    for sync, at_s in zip(late.syncs, (0, 2.0, 4.5, 7.001)):
        sync.at_s = at_s
    late.syncs.append(Sync(9.0, [values(100)], 1, 1, 1))
    equal(judged(late), [])
    late.syncs[-1].spec = 4
    equal(judged(late), [], "the controller still saw it")
    late.syncs[-1].spec = 3
    equal(len(judged(late)), 1, "neither way gives 3")
    late.syncs[3].at_s, late.syncs[-1].spec = 7.5, 4
    equal(len(judged(late)), 1, "half a second is no doubt")


@test("a failure holds, a value goes by ready pods, recordings of any length run side by side")
def _(_):
    held = recorded([3, 3, 3], [failed("503"), failed("503"), 300])
    value = recorded([4, 4], [20, 20], target="10", kind="Value")
    value.syncs[0].ready = 2  # 2 * 2 of the 4 that are asked for
    answers = replay(SLUICE, {"held": held, "value": value})
    equal([len(answers["held"]), len(answers["value"])], [3, 2])
    equal(differences(held.syncs, answers["held"]) + differences(value.syncs, answers["value"]), [])
    contains(answers["held"][0]["error"], "first error is: 503")


main()
