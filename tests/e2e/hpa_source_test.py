# SPDX-License-Identifier: Apache-2.0
"""`sluice decide` and the code of Kubernetes itself give the same answers to cases drawn at random: what a metric asks
for, and what the controller makes of it. The package of its HPA is copied from the modules that the test cluster is
built from, with a file that asks its functions. No cluster is needed."""

import json
import os
import pathlib
import random
import shutil
import subprocess

from e2e import ROOT, equal
from lib import SOAK, main, test

HERE = pathlib.Path(__file__).resolve().parent
SLUICE = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/sluice"))
BUILD = ROOT / "build/e2e/hpa_source"
SEED = 20260824
COUNT = 100_000 if SOAK else 5_000
INT32_MAX = 2**31 - 1
NOW = 10_000.0


def go(*words):
    done = subprocess.run(["go", *words], cwd=BUILD, env={**os.environ, "GOFLAGS": "-mod=mod"}, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise RuntimeError(f"go {' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout.strip()


def kubernetes():
    """The program of hpa_source, with the controller's package of the cluster's own version."""
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(HERE / "hpa_source", BUILD)
    versions = (HERE / "cluster/kube/go.mod").read_text().splitlines()
    (BUILD / "go.mod").write_text("\n".join(["module hpasource", *versions[1:]]) + "\n")
    shutil.copyfile(HERE / "cluster/kube/go.sum", BUILD / "go.sum")
    package = pathlib.Path(go("list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")) / "pkg/controller/podautoscaler"
    for source in package.glob("*.go"):
        if not source.name.endswith("_test.go"):
            shutil.copyfile(source, BUILD / "podautoscaler" / source.name)
    go("build", "-o", "hpasource", ".")
    return BUILD / "hpasource"


def answers(argv, lines):
    done = subprocess.run(argv, input="".join(json.dumps(line) + "\n" for line in lines), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wrong = [line for line in done.stdout.splitlines() if line.startswith('{"error"')][:1]
    equal(done.returncode, 0, f"exit of {argv[0]} {done.stderr[-500:]} {wrong}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def compared(cases, theirs, ours, what):
    different = [f"{json.dumps(case)}\n  Kubernetes {a}\n  sluice     {b}"
                 for case, a, b in zip(cases, theirs, ours, strict=True) if a != b]
    print(f"       {len(cases)} {what}, {len(different)} different, seed {SEED}", flush=True)
    assert not different, "\n".join(different[:3])


def line(policy, spec, status, ready, values, **more):
    return {"policy": {"hpa": {"semantics": "1.36", **policy}}, "at_s": NOW, "seen": {
        "spec_replicas": spec, "status_replicas": status, "ready_pods": ready, "metrics": [{"values": values}]}, **more}


# What a metric asks for

def quantity(draw):
    return draw.choice([
        lambda: str(draw.randint(0, 20_000)), lambda: f"{draw.randint(0, 5_000_000)}m",
        lambda: f"{draw.randint(0, 5000)}.{draw.randint(0, 999)}", lambda: f"-{draw.randint(1, 9999)}",
        lambda: f"{draw.randint(1, 2000)}{draw.choice(['k', 'M', 'Ki', 'Mi'])}",
        lambda: f"{draw.randint(1, 10**9)}{draw.choice(['u', 'n'])}",
        lambda: draw.choice(["9223372036854775807m", "4611686018427387904m", "9P", "1e15", "2e12"])])()


def metric(draw):
    target = draw.choice(["100", "1", "10", "0.1", "1m", "500m", "1k", "7", "333m", "1Gi", str(draw.randint(1, 1000))])
    status = draw.choice([0, 1, 2, 3, 10, draw.randint(0, 60)])
    kind, source = draw.choice(["AverageValue", "Value"]), draw.choice(["External", "Object"])
    values = [quantity(draw) for _ in range(1 if source == "Object" else draw.choice([1, 1, 2, 3]))]
    if target.isdigit() and draw.random() < 0.5:  # around the tolerance
        all_of_it = int(target) * (max(status, 1) if kind == "AverageValue" else 1)
        values = [f"{all_of_it * draw.choice([899, 900, 901, 950, 1000, 1050, 1099, 1100, 1101])}m"]
    up, down = draw.choice([(0.1, 0.1), (0.1, 0.1), (0, 0), (0.5, 0.05), (0.05, 0.3)])
    return {"Type": source, "Kind": kind, "Target": target, "Values": values, "Status": status, "Up": up, "Down": down,
            "Spec": draw.choice([status, 0, draw.randint(1, 60)]), "Ready": draw.choice([status, status // 2, 0])}


def metric_line(one):
    policy = {"minReplicas": 0, "maxReplicas": INT32_MAX, "scaleToZero": True,
              "tolerance": {"up": one["Up"], "down": one["Down"]},
              "metrics": [{"type": one["Type"], "target": {"type": one["Kind"], "value": one["Target"]}}]}
    return line(policy, one["Spec"], one["Status"], one["Ready"], one["Values"],
                conditions=[["ScaledToZero", "True"]])


@test("what a metric asks for and reports: External and Object, AverageValue and Value, overflows included")
def _(_):
    draw, program = random.Random(SEED), kubernetes()
    cases = [metric(draw) for _ in range(COUNT)]
    theirs = answers([program], [{"metric": one} for one in cases])
    ours = [one["metrics"][0] for one in answers([SLUICE, "decide"], [metric_line(one) for one in cases])]
    compared(cases, theirs, ours, "metrics")


# What the controller makes of it

def rules(draw):
    out = {}
    if draw.random() < 0.6:
        out["stabilizationWindowSeconds"] = draw.choice([0, 0, 5, 30, 60, 300, 3600])
    if draw.random() < 0.5:
        out["selectPolicy"] = draw.choice(["Max", "Min", "Disabled"])
    if draw.random() < 0.7:
        out["policies"] = [{"type": draw.choice(["Pods", "Percent"]),
                            "value": draw.choice([1, 3, 7, 10, 33, 66, 100, 900, draw.randint(1, 2000), INT32_MAX]),
                            "periodSeconds": draw.choice([1, 15, 30, 60, 300, 1800])}
                           for _ in range(draw.randint(1, 3))]
    return out


def sizing(draw):
    behavior = None
    if draw.random() < 0.75:
        behavior = {key: rules(draw) for key in draw.sample(["scaleUp", "scaleDown"], draw.randint(0, 2))}
    most = draw.randint(1, draw.choice([10, 100, 10_000, INT32_MAX]))
    least = draw.randint(1, min(most, draw.choice([1, 5, most])))
    current = draw.randint(least, most)
    near = max(0, min(INT32_MAX, current + draw.randint(-20, 20)))
    desired = draw.choice([0, current, near, draw.randint(0, most)])

    def entries(oldest, number):  # never at the end of a window: there the controller's clock decides
        return [{"age": draw.randint(0, oldest) + 0.5, "n": number()} for _ in range(draw.choice([0, 0, 1, 2, 4]))]

    log = entries(400, lambda: max(0, min(INT32_MAX, draw.choice([current, desired]) + draw.randint(-20, 20))))
    return {"Behavior": behavior, "Current": current, "Desired": desired, "Min": least, "Max": most,
            "WindowS": draw.choice([0, 10, 300]), "Recommendations": log or [{"age": 0.5, "n": current}],
            "UpEvents": entries(100, lambda: draw.randint(1, 50)),
            "DownEvents": entries(100, lambda: draw.randint(1, 50))}


def sizing_line(one):
    """A metric of 1 a pod with one pod asks for exactly its value."""
    policy = {"minReplicas": one["Min"], "maxReplicas": one["Max"], "behavior": one["Behavior"], "tolerance": 0,
              "downscaleStabilization_s": one["WindowS"],
              "metrics": [{"type": "External", "target": {"type": "AverageValue", "value": "1"}}]}
    state = {key: [{"at_s": NOW - entry["age"], number: entry["n"]} for entry in one[name]]
             for key, name, number in (("recommendations", "Recommendations", "replicas"),
                                       ("up_events", "UpEvents", "change"), ("down_events", "DownEvents", "change"))}
    return line(policy, one["Current"], 1, 1, [str(one["Desired"])], state=state)


def sized(answer):
    """In the form of Sized. A rescale says so in AbleToScale, where the other answer has why it is the size it is."""
    conditions = {kind: f"{status} {reason}" for kind, status, reason in answer["conditions"]}
    return {"replicas": answer["replicas"],
            "conditions": {kind: conditions[kind] for kind in ("AbleToScale", "ScalingLimited")},
            "recommendations": [one["replicas"] for one in answer["state"]["recommendations"]],
            "up_events": [one["change"] for one in answer["state"]["up_events"]],
            "down_events": [one["change"] for one in answer["state"]["down_events"]]}


@test("what the controller makes of it: stabilization, rates, bounds, conditions and what it remembers")
def _(_):
    draw, program = random.Random(SEED), kubernetes()
    cases = [sizing(draw) for _ in range(COUNT)]
    theirs = answers([program], [{"sizing": one} for one in cases])
    ours = [sized(one) for one in answers([SLUICE, "decide"], [sizing_line(one) for one in cases])]
    for one, answer in zip(cases, theirs, strict=True):
        if answer["replicas"] != one["Current"]:
            answer["conditions"]["AbleToScale"] = "True SucceededRescale"
    compared(cases, theirs, ours, "sizes")


main()
