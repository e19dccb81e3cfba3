# SPDX-License-Identifier: Apache-2.0
"""sluice decide: JSON lines in, decisions out; and every tick of a journal again."""

import json

from lib import contains, equal, main, test
from view import journal, published_and_scaled, ticks

GOOD = {"policy": {"threshold": {"messages": 20}}, "workers": {"min": 0, "max": 20},
        "seen": {"queue": {"ready": {"n": 37, "age_ms": 4}}, "fleet": {"age_ms": 0}}, "at_ms": 1000, "state": None}


def changed(**parts):
    return json.dumps({**GOOD, **parts})


def decide(box, lines, exit):
    return box.sluice("decide", input="".join(f"{line}\n" for line in lines), exit=exit)


@test("a line in gives a decision and the next state, and the state may be fed back")
def _(box):
    first = decide(box, [json.dumps(GOOD)], 0).json[0]
    equal(first["decision"],
          {"workers": 1, "change": 1, "reason": "grow: 37 messages wait, more than 20", "clamps": []})
    again = decide(box, [changed(state=first["state"])], 0).json[0]
    equal(again["decision"], first["decision"])


@test("clamps are included, and a policy by workers does its arithmetic")
def _(box):
    line = changed(policy={"backlogPerWorker": {"messages": 10}}, workers={"max": 3},
                   seen={"queue": {"ready": {"n": 95, "age_ms": 0}}, "fleet": {"age_ms": 0}})
    decision = decide(box, [line], 0).json[0]["decision"]
    equal(decision["workers"], 3)
    equal(decision["clamps"], [{"by": "max", "from": 10, "to": 3}])


@test("an unknown backlog is blind, not zero")
def _(box):
    line = changed(seen={"queue": {"error": "refused"}, "fleet": {"age_ms": 0}})
    equal(decide(box, [line], 0).json[0]["decision"]["reason"], "blind: backlog unknown: refused")


@test("each bad line is an error with its place, the good ones are decided, and the exit code is 3")
def _(box):
    cases = [
        ("{", "$", "not JSON"),
        ("", "$", "not JSON"),
        ("[]", "$", "an array; accepted: one JSON object a line"),
        (changed(policy={"lag": {"max": "60s"}}), "$.policy.lag", "accepted: threshold, backlogPerWorker"),
        (changed(policy={"hpa": {}}), "$.policy.hpa", "not in this version"),
        (changed(policy={"kedaScaledJob": {}}), "$.policy.kedaScaledJob", "not in this version"),
        (changed(policy={"threshold": {"messges": 20}}), "$.policy.threshold.messges", 'did you mean "messages"'),
        (changed(workers={"max": 0}), "$.workers.max", "accepted"),
        (changed(seen={"queue": {"raedy": None}}), "$.seen.queue.raedy", "did you mean ready?"),
        (changed(seen={"queue": {"ready": {"n": -1}}}), "$.seen.queue.ready.n", "0 or more"),
        (changed(seen={"queue": {"ready": {"n": 2**60}}}), "$.seen.queue.ready.n", "at most"),
        (changed(at_ms=-1), "$.at_ms", "-1"),
        (changed(state={"frsh": True}), "$.state.frsh", "did you mean fresh?"),
        (changed(color=1), "$.color", "unknown"),
        ("[" * 100 + "]" * 100, "$", "not JSON"),
        ('"' + "x" * (1 << 20) + '"', "$", "1 MiB"),
    ]
    done = decide(box, [line for line, _, _ in cases] + [json.dumps(GOOD)], 3)
    equal(len(done.json), len(cases) + 1, "lines out")
    for (_, at, message), answer in zip(cases, done.json):
        equal(answer["error"]["at"], at)
        contains(answer["error"]["message"], message)
    equal(done.json[-1]["decision"]["workers"], 1)


@test("every tick of a real journal is decided the same again")
def _(box):
    published_and_scaled(box)
    path = journal(box)
    done = box.sluice("decide", "--journal", path, exit=0)
    equal([line["tick"] for line in done.json], [line["tick"] for line in ticks(path)])
    equal({line["same"] for line in done.json}, {True})


@test("a changed decision is a difference: exit 1 and same false")
def _(box):
    published_and_scaled(box)
    lines = [json.loads(line) for line in journal(box).read_text().splitlines()]
    tick = next(line for line in lines if line["event"] == "tick")
    tick["decision"]["workers"] += 1
    forged = box.write("forged.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    done = box.sluice("decide", "--journal", forged, exit=1)
    equal([line["tick"] for line in done.json if not line["same"]], [tick["tick"]])


@test("a torn last line is told and forgiven, at the end and before the next scaler's beginning")
def _(box):
    published_and_scaled(box)
    text = journal(box).read_text()
    half = text.splitlines()[-1][:80]
    torn = box.write("torn.jsonl", text + half + "\n" + text + half)
    done = box.sluice("decide", "--journal", torn, exit=0)
    contains(done.err, "is torn")
    equal(done.err.count("is torn"), 2)


@test("a damaged line in the middle is an error with its number, and nothing is decided on what it hid")
def _(box):
    published_and_scaled(box)
    lines = journal(box).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if '"event":"tick"' in line)
    lines[first] = lines[first][:50]
    path = box.write("bad.jsonl", "\n".join(lines) + "\n")
    done = box.sluice("decide", "--journal", path, exit=3)
    equal(done.json[0]["error"]["line"], first + 1)
    equal([line for line in done.json if line.get("same") is False], [])


@test("a journal that cannot be read is exit 2")
def _(box):
    contains(box.sluice("decide", "--journal", "none.jsonl", exit=2).err, "none.jsonl: cannot open: No such file")
    box.sluice("decide", "--journal", ".", exit=2)


main()
