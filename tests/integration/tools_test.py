# SPDX-License-Identifier: Apache-2.0
"""The tests of tests/tools: the judge finds what is planted."""

import json
import random
import sys

from lib import ROOT, contains, equal, main, test

# After lib, which says where it is.
from qcheck import Check

TOOLS = ROOT / "tests/tools"


CLEAN = [{"event": "confirmed", "id": "a"}, {"event": "confirmed", "id": "b"}, {"event": "unknown", "id": "c"},
         {"event": "unknown", "id": "d"}, {"event": "confirmed", "id": "e"},
         {"event": "done", "id": "a", "worker": "w0", "attempt": 1, "cause": "none"},
         {"event": "done", "id": "a", "worker": "w1", "attempt": 2, "cause": "lost lease"},
         {"event": "done", "id": "b", "worker": "w1", "attempt": 2, "cause": "crash"},
         {"event": "done", "id": "c", "attempt": 1}, {"event": "dead", "id": "e", "cause": "failed"}]


def judged(events):
    check = Check()
    check.read("".join(json.dumps(event) + "\n" for event in events))
    return check.report()


@test("the judge finds nothing in a clean run, and counts it rightly")
def _(box):
    report = judged(CLEAN)
    equal(report.wrong, [])
    equal(report.as_json(), {"confirmed": 3, "unknown": 2, "done": 3, "dead": 1, "recovered": 1, "lost": 0,
                             "unexpected": 0, "unlabelled": 0, "duplicates": {"lost_lease": 1}, "torn": 0})
    shuffled = random.sample(CLEAN, len(CLEAN))
    equal(judged(shuffled).as_json(), report.as_json(), "the same in another order")


@test("the judge finds a planted loss, a duplicate without a cause, a cause that is none, a ghost, a dead ghost")
def _(box):
    def with_done(**event):
        return [*CLEAN, {"event": "done", **event}]

    for events, key, says in [
            ([*CLEAN, {"event": "confirmed", "id": "f"}], "lost", "f: lost"),
            ([event for event in CLEAN if event["event"] != "dead"], "lost", "e: lost"),
            (with_done(id="a"), "unlabelled", "a: done 3 times, 2 of them without a cause"),
            (with_done(id="a", cause="gremlins"), "unlabelled", "gremlins"),
            (with_done(id="z"), "unexpected", "z: done, but never published"),
            ([*CLEAN, {"event": "dead", "id": "z"}], "unexpected", "z: dead, but never published")]:
        report = judged(events)
        equal(len(report.wrong), 1, f"findings for {says}")
        contains(report.wrong[0], says)
        equal([name for name in ("lost", "unlabelled", "unexpected") if vars(report)[name]], [key], says)
        contains(str(report), says)


@test("the judge lets a message that was sent again be delivered as often as it was sent, and no oftener")
def _(box):
    sent = [{"event": "unknown", "id": "a"}, {"event": "unknown", "id": "a"}, {"event": "confirmed", "id": "a"}]
    run = {"event": "done", "id": "a"}
    for runs, duplicates, unlabelled in [(1, {}, 0), (3, {"resent": 2}, 0), (4, {"resent": 2}, 1)]:
        report = judged(sent + [run] * runs)
        equal((report.duplicates, report.unlabelled), (duplicates, unlabelled), f"{runs} runs")


@test("the judge as a program: a table, an exit code, and no word on what it cannot read")
def _(box):
    lines = [json.dumps(event) for event in CLEAN]
    program = [sys.executable, TOOLS / "qcheck.py"]
    log = box.write("clean.jsonl", "\n".join(lines) + '\n{"event":"do')
    done = box.run([*program, log], exit=0)
    contains(done.out, "duplicates  1 (lost_lease 1)")
    contains(done.out, "torn lines  1")
    planted = box.write("planted.jsonl", '{"event":"confirmed","id":"lost-one"}\n')
    done = box.run([*program, "--json", log, planted], exit=1)
    equal((done.json[0]["lost"], done.json[0]["confirmed"]), (1, 4))
    contains(box.run([*program, planted], exit=1).out, "lost-one: lost")
    for text in ("", '{"event":"do\n', '{"event":"undone","id":"a"}\n', '{"event":"done"}\n', '["done"]\n',
                 '{"event":"done","id":7}\n', '{"event":"done","id":"a","cause":7}\n'):
        done = box.run([*program, "-"], input=text, exit=2)
        contains(done.err, "qcheck: ")


main()
