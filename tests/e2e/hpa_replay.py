# SPDX-License-Identifier: Apache-2.0
"""What an HPA was given at each of its syncs, through `sluice decide`: the sizes that the stock HPA would have set.

    policy = policy_of(hpa["spec"], semantics="1.36", downscale_s=10)
    syncs = [Sync(at_s=2.0, metrics=[values("8600m")], spec=1, status=1, ready=1), ...]
    judge(SLUICE, {"orders": Recording(policy, syncs)})      # [] where the real HPA did the same

Whoever recorded the syncs does not matter: hpa_recorder.py stands between the API server and any server of external
metrics, and a list by hand will do (hpa_replay_test.py).
"""

import dataclasses
import json
import subprocess


def values(*quantities):
    """A metric's answer."""
    return {"values": [str(one) for one in quantities]}


def failed(why):
    """A metric that could not be read."""
    return {"error": why}


@dataclasses.dataclass
class Sync:
    at_s: float        # when the last metric was answered; any clock that goes on
    metrics: list      # of values(), failed()
    spec: int          # of the scale as it was then
    status: int
    ready: int = None  # running and ready pods; None: not known


@dataclasses.dataclass
class Recording:
    policy: dict
    syncs: list


def policy_of(spec, semantics, downscale_s, **more):
    """`sluice decide`'s policy of an autoscaling/v2 spec with external metrics alone."""
    metrics = []
    for metric in spec["metrics"]:
        target = metric["external"]["target"]
        quantity = target["averageValue" if target["type"] == "AverageValue" else "value"]
        metrics.append({"type": "External", "target": {"type": target["type"], "value": quantity}})
    return {"minReplicas": spec.get("minReplicas", 1), "maxReplicas": spec["maxReplicas"], "metrics": metrics,
            "behavior": spec.get("behavior"), "semantics": semantics, "downscaleStabilization_s": downscale_s, **more}


def line_of(policy, sync, before):
    """The line of one sync; `before` is the answer to the last one, None at the first."""
    seen = {"spec_replicas": sync.spec, "status_replicas": sync.status, "ready_pods": sync.ready,
            "metrics": sync.metrics}
    return json.dumps({"policy": {"hpa": policy}, "seen": seen, "conditions": before["conditions"] if before else [],
                       "at_s": sync.at_s, "state": before["state"] if before else None})


def decide(sluice, lines):
    done = subprocess.run([sluice, "decide"], input="".join(line + "\n" for line in lines), capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"sluice decide: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def replay(sluice, recordings):
    """The answer to each sync of each recording. One process for all their first syncs, one for the second ones, .."""
    answers = {name: [] for name in recordings}
    for i in range(max((len(one.syncs) for one in recordings.values()), default=0)):
        names = [name for name, one in recordings.items() if i < len(one.syncs)]
        lines = [line_of(recordings[name].policy, recordings[name].syncs[i], (answers[name] or [None])[-1])
                 for name in names]
        for name, answer in zip(names, decide(sluice, lines), strict=True):
            answers[name].append(answer)
    return answers


def differences(syncs, answers):
    """Where the next sync found another size than was decided: one sentence each. The last one has no next."""
    out = []
    for i, (answer, after) in enumerate(zip(answers, syncs[1:])):
        if answer["replicas"] != after.spec:
            out.append(f"sync {i} at {syncs[i].at_s:.3f} s, {syncs[i].metrics} with {syncs[i].spec} asked for and "
                       f"{syncs[i].status} there: decided {answer['replicas']}, the HPA set {after.spec}")
    return out


def stretched(recording, factor):
    return Recording(recording.policy, [dataclasses.replace(sync, at_s=sync.at_s * factor) for sync in recording.syncs])


def judge(sluice, recordings):
    """The differences of all recordings, each with its name. When something was answered is known to some milliseconds
    alone, and where the age of something is the length of a window to those, the controller may have seen it on the
    other side: what differs is replayed by a clock that is 0.2 % slow, and one that is fast, which is 20 ms of 10 s."""
    answers = replay(sluice, recordings)
    told = {name: differences(one.syncs, answers[name]) for name, one in recordings.items()}
    for name, one in recordings.items():
        for factor in (0.998, 1.002):
            if told[name] and not differences(one.syncs, replay(sluice, {name: stretched(one, factor)})[name]):
                print(f"       {name}: the same by a clock of {factor:.1%}, at the end of a window", flush=True)
                told[name] = []
    return [f"{name}: {line}" for name, lines in told.items() for line in lines]


def sizes(syncs):
    """The replica sequence: the size each sync found."""
    return [sync.spec for sync in syncs]
