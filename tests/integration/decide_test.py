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


def hpa(value="1000", replicas=1, at_s=0, conditions=(), state=None, seen=None, **options):
    """A line of the stock HPA: one external metric, everything ready."""
    policy = {"minReplicas": 1, "maxReplicas": 50, "semantics": "1.36",
              "metrics": [{"type": "External", "target": {"type": "AverageValue", "value": "100"}}], **options}
    seen = seen or {"spec_replicas": replicas, "status_replicas": replicas, "ready_pods": replicas,
                    "metrics": [{"values": [value]}]}
    return json.dumps({"policy": {"hpa": policy}, "seen": seen, "conditions": list(conditions), "at_s": at_s,
                       "state": state})


def keda_job(length=20, target=5, running=0, pending=0, triggers=None, **options):
    """A line of one poll of KEDA's ScaledJob."""
    triggers = triggers or [{"queue_length": length, "target": target, "active": length > 0}]
    return json.dumps({"policy": {"kedaScaledJob": options},
                       "seen": {"triggers": triggers, "running": running, "pending": pending}})


def rival(name, options, ready, second, state, workers=None, published=0, acked=0):
    """A line of a rival that looks at a pool, as in a simulation."""
    queue = {"ready": {"n": ready, "age_ms": 0}, "in_flight": {"n": 0, "age_ms": 0},
             "published_n": {"n": published, "age_ms": 0}, "acked_n": {"n": acked, "age_ms": 0}}
    return changed(policy={name: options}, at_ms=1000 * second, state=state,
                   seen={"queue": queue, "workers": workers or {}, "fleet": {"age_ms": 0}})


def followed(box, values, replicas=1, every=15, **options):
    """The sizes after each sync of an HPA that is fed back what it answered."""
    sizes, answer = [], {"conditions": [], "state": None}
    for i, value in enumerate(values):
        line = hpa(value, replicas, at_s=i * every, conditions=answer["conditions"], state=answer["state"], **options)
        answer = decide(box, [line], 0).json[0]
        equal(answer["rescale"], answer["replicas"] != replicas)
        replicas = answer["replicas"]
        sizes.append(replicas)
    return sizes


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


@test("the policy lag learns by what it is fed back, and asks for what starts every message in time")
def _(box):
    state, reasons = None, []
    for second in range(0, 300, 5):
        done = 10 * max(second - 60, 0) if second < 200 else 1400
        queue = {"ready": {"n": 10 * second - done if second < 200 else 0, "age_ms": 0},
                 "in_flight": {"n": 0, "age_ms": 0}, "published_n": {"n": 10 * min(second, 140), "age_ms": 0},
                 "acked_n": {"n": min(done, 1400), "age_ms": 0}}
        line = changed(policy={"lag": {"max": "60s", "every": "5s"}}, at_ms=1000 + 1000 * second, state=state,
                       seen={"queue": queue, "fleet": {"age_ms": 0}})
        answer = decide(box, [line], 0).json[0]
        state = answer["state"]
        reasons.append((second, answer["decision"]["workers"], answer["decision"]["reason"]))
    equal(reasons[0][1], 0, "nothing waits")
    contains(reasons[4][2], "grow: 200 messages wait")
    equal(reasons[-1][2].split(":")[0], "steady")
    equal(len(json.dumps(state["lag"])) < 16384, True, "it fits into 16 KB")
    blind = changed(policy={"lag": {"max": "60s"}}, seen={"queue": {"ready": {"n": 37, "age_ms": 4}},
                                                          "fleet": {"age_ms": 0}})
    equal(decide(box, [blind], 0).json[0]["decision"]["reason"],
          "blind: how many messages were published or done is unknown")


@test("an unknown backlog is blind, not zero")
def _(box):
    line = changed(seen={"queue": {"error": "refused"}, "fleet": {"age_ms": 0}})
    equal(decide(box, [line], 0).json[0]["decision"]["reason"], "blind: backlog unknown: refused")


@test("the stock HPA: a line in gives the size, the metrics, the conditions and the state")
def _(box):
    lines = decide(box, [hpa("8600m", replicas=3, at_s=15.05), json.dumps(GOOD), hpa("1100", replicas=10),
                         hpa("1100", replicas=10, semantics="1.28")], 0).json
    equal(lines[0],
          {"replicas": 3, "rescale": False, "metrics": [{"replicas": 1, "usage": "2867m"}],
           "conditions": [["AbleToScale", "True", "ScaleDownStabilized"], ["ScalingActive", "True", "ValidMetricFound"],
                          ["ScalingLimited", "False", "DesiredWithinRange"]],
           "error": None,
           "state": {"recommendations": [{"at_s": 15.05, "replicas": 3}, {"at_s": 15.05, "replicas": 1}],
                     "up_events": [], "down_events": []}})
    equal(lines[1]["decision"]["workers"], 1, "a pool's own policy beside it")
    equal([line["replicas"] for line in lines[2:]], [10, 11], "a ratio of 1.1 by release")


@test("the stock HPA: conditions and state are fed back as they came")
def _(box):
    equal(followed(box, ["5000"] * 5), [4, 8, 16, 32, 50], "without a behavior")
    equal(followed(box, ["5000"] * 5, behavior={}), [5, 10, 20, 40, 50], "with an empty one")
    down = ["1000", "100", "100", "100", "100"]
    equal(followed(box, down, replicas=10, downscaleStabilization_s=30), [10, 10, 10, 1, 1], "the window")
    to_zero = {"minReplicas": 0, "scaleToZero": True, "downscaleStabilization_s": 0}
    equal(followed(box, ["0", "0", "250", "0"], replicas=2, **to_zero), [0, 0, 3, 0], "to zero and back")
    equal(followed(box, ["250"], replicas=0, **to_zero), [0], "what was at zero before")


@test("the stock HPA: a metric that cannot be read changes nothing, and the error says why")
def _(box):
    seen = {"spec_replicas": 3, "status_replicas": 3, "metrics": [{"error": "no such subscription"}]}
    answer = decide(box, [hpa(seen=seen)], 0).json[0]
    equal([answer["replicas"], answer["rescale"], answer["metrics"]], [3, False, [{"replicas": None, "usage": None}]])
    equal(answer["error"], "invalid metrics (1 invalid out of 1), first error is: no such subscription")
    equal(answer["conditions"][1], ["ScalingActive", "False", "FailedGetExternalMetric"])


@test("one poll of KEDA's ScaledJob: four strategies and their triggers, as KEDA counts")
def _(box):
    rows = [
        # strategy and options, queue length, target, running, pending -> create, max_scale, effective
        ({}, 20, 5, 2, 1, 2, 4, 2),
        ({}, 5, 1, 5, 0, 0, 5, 0),
        ({"strategy": "custom", "customScalingQueueLengthDeduction": 1, "customScalingRunningJobPercentage": "0.5"},
         20, 1, 6, 0, 16, 20, 16),
        ({"strategy": "custom", "customScalingRunningJobPercentage": "half"}, 20, 1, 6, 0, 14, 20, 14),
        ({"strategy": "accurate"}, 20, 5, 2, 1, 3, 4, 3),
        ({"strategy": "accurate", "maxReplicaCount": 10}, 20, 1, 8, 2, 2, 10, 2),
        ({"strategy": "eager", "maxReplicaCount": 10}, 20, 1, 6, 2, 2, 10, 2),
        ({"minReplicaCount": 5, "maxReplicaCount": 10}, 20, 1, 2, 0, 3, 5, 3),
        ({}, 20, 1, 30, 0, 0, 20, -10),
    ]
    answers = decide(box, [keda_job(length, target, running, pending, **options)
                           for options, length, target, running, pending, *_ in rows], 0).json
    for (*_, create, most, effective), answer in zip(rows, answers):
        equal([answer["create"], answer["max_scale"], answer["effective_max_scale"]], [create, most, effective])
        equal(list(answer), ["create", "queue_length", "max_scale", "effective_max_scale", "scale_to"])
        equal(answer["scale_to"], create)
    triggers = [{"queue_length": 10, "target": 5, "active": True}, {"queue_length": 4, "target": 1, "active": True},
                {"queue_length": 50, "target": 1, "active": False}]
    both = [decide(box, [keda_job(triggers=triggers, multipleScalersCalculation=word)], 0).json[0]
            for word in ("max", "min", "avg", "sum")]
    equal([(one["queue_length"], one["create"]) for one in both], [(10, 2), (4, 4), (7, 3), (14, 6)])
    contract = keda_job(running=2, pending=1, strategy="eager", customScalingQueueLengthDeduction=1, minReplicaCount=0,
                        customScalingRunningJobPercentage="0.5", multipleScalersCalculation="max", maxReplicaCount=100)
    equal(decide(box, [contract], 0).out.strip(),
          '{"create":4,"queue_length":20,"max_scale":4,"effective_max_scale":4,"scale_to":4}')


@test("a rival is asked as the policy of a pool, and remembers by what it is fed back")
def _(box):
    cases = [
        ("kedaScaledObject", {"target": {"type": "AverageValue", "value": "5"}}, 30, [4, 5, 5, 5]),  # 1, then at most 4
        ("kedaScaledJob", {"target": 5, "pollingInterval": "15s", "maxReplicaCount": 4}, 15, [4, 4, 4, 4]),
        ("sqsTargetTracking", {"target": 10}, 60, [0, 0, 3, 3]),
        ("knativeKpa", {"tick": "5s"}, 5, [20, 20, 20, 20]),
    ]
    for name, options, every, want in cases:
        state, sizes = None, []
        for turn in range(len(want)):
            live = {"busy": sizes[-1]} if sizes else {}
            answer = decide(box, [rival(name, options, 25, 1000 + turn * every, state, live)], 0).json[0]
            state = answer["state"]
            equal(list(state["rival"]), [name])
            sizes.append(answer["decision"]["workers"])
        equal(sizes, want, name)
    for name in ("flinkLike", "dataflowLike"):
        state, sizes = None, []
        for turn in range(30):
            line = rival(name, {}, 20 * turn, 1000 + 60 * turn, state, {"busy": 2}, 80 * turn, 60 * turn)
            answer = decide(box, [line], 0).json[0]
            state = answer["state"]
            sizes.append(answer["decision"]["workers"])
        equal(sizes[0] <= 2 < sizes[-1], True, f"{name} grows with its backlog: {sizes}")


@test("each bad line is an error with its place, the good ones are decided, and the exit code is 3")
def _(box):
    cases = [
        ("{", "$", "not JSON"),
        ("", "$", "not JSON"),
        ("[]", "$", "an array; accepted: one JSON object a line"),
        (changed(policy={"lag": {"max": "60"}}), "$.policy.lag.max", "accepted"),
        (changed(policy={"lag": {"max": "60s"}}, state={"lag": {"step_ms": 5000}}), "$.state.lag.asked", "nothing"),
        (hpa(maxReplicas=0), "$.policy.hpa.maxReplicas", "0; accepted: a whole number from 1"),
        (hpa(maxReplica=9), "$.policy.hpa.maxReplica", "did you mean maxReplicas?"),
        (hpa(seen={"spec_replicas": 1, "status_replicas": 1, "metrics": [{"values": ["1 kg"]}]}),
         "$.seen.metrics[0].values[0]", "a Kubernetes quantity"),
        (json.dumps({"policy": {"hpa": {}}}), "$.seen", "nothing"),
        (keda_job(strategy="lazy"), "$.policy.kedaScaledJob.strategy", "default, custom, accurate, eager"),
        (keda_job(triggers=[{"queue_length": -1, "target": 5, "active": True}]), "$.seen.triggers[0].queue_length",
         "a number from 0 on"),
        (keda_job(replicas=3), "$.policy.kedaScaledJob.replicas", "unknown"),
        (json.dumps({"policy": {"kedaScaledJob": {}}}), "$.seen", "nothing"),
        (changed(policy={"knativeKPA": {}}), "$.policy.knativeKPA", 'did you mean "knativeKpa"'),
        (changed(policy={"kedaScaledObject": {}}), "$.policy.kedaScaledObject.target", "missing"),
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


@test("a scaler with the policy lag works the queue off, and its journal is decided the same again")
def _(box):
    published_and_scaled(box, policy={"lag": {"max": "5s"}})
    path = journal(box)
    done = box.sluice("decide", "--journal", path, exit=0)
    equal({line["same"] for line in done.json}, {True})
    contains(" ".join(line["decision"]["reason"] for line in done.json), "them within 5 s")


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
