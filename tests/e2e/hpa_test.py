# SPDX-License-Identifier: Apache-2.0
"""The real HPA of the cluster's kube-controller-manager and `sluice decide` set the same sizes: ten sequences of
backlogs, each under another HPA, side by side. Its metrics are those of a `sluice adapter`; what the HPA was given by
it is recorded and replayed (hpa_replay.py)."""

import os
import pathlib

from e2e import ON_KWOK, ROOT, equal, main, pod_spec, test, wait_until
from hpa_adapter import METRIC, Adapter, Pools
from hpa_recorder import CONTROLLER, Recorder, forward
from hpa_replay import Recording, judge, policy_of, sizes

SLUICE = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/sluice"))
SEMANTICS = "1.36"   # of the cluster's components
DOWNSCALE_S = 10     # their flag, see cluster/components.py; a sync is every 2 s
HPAS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
# Windows and periods end between two syncs: which of them is the older must not depend on a millisecond.
OUT = None  # the adapter's controller cannot read the queue


def rules(window=None, select="Max", policies=None, tolerance=None):
    out = {"selectPolicy": select, "policies": policies, "stabilizationWindowSeconds": window, "tolerance": tolerance}
    return {key: value for key, value in out.items() if value is not None}


def limit(kind, value, period):
    return {"type": kind, "value": value, "periodSeconds": period}


def sequence(*loads, target="100", kind="AverageValue", most=20, **spec):
    """An HPA and what its metrics answer, sync by sync; a load is a list where it has several."""
    return {"loads": [load if isinstance(load, list) else [load] for load in loads],
            "target": target, "kind": kind, "spec": {"minReplicas": 1, "maxReplicas": most, **spec}}


SEQUENCES = {
    "burst": sequence(50, *[1500] * 8, *[700] * 4, *[90] * 12),
    "wobble": sequence(*[450, 500, 540, 550, 556, 500, 455, 445, 460, 490, 505, 520] * 2),
    "defaults": sequence(50, *[1500] * 11, *[90] * 12, behavior={}),
    "steps": sequence(*[1800] * 12, *[100] * 12, behavior={
        "scaleUp": rules(5, policies=[limit("Pods", 3, 5), limit("Percent", 40, 7)]),
        "scaleDown": rules(5, policies=[limit("Percent", 50, 7), limit("Pods", 2, 3)])}),
    "careful": sequence(*[900, 1900, 300, 2000] * 2, *[1500] * 8, *[50] * 8, behavior={
        "scaleUp": rules(0, "Min", [limit("Pods", 2, 3), limit("Percent", 100, 3)]),
        "scaleDown": rules(3, "Disabled")}),
    "tolerant": sequence(*[300, 380, 449, 460, 690, 680, 650, 640, 600, 580] * 2, *[400] * 4, behavior={
        "scaleUp": rules(tolerance="500m"), "scaleDown": rules(3, tolerance="50m")}),
    "value": sequence(*["30", "30", "12", "10.9", "11", "9", "25", "25", "5", "0"] * 2, *["10"] * 4,
                      target="10", kind="Value", behavior={"scaleDown": rules(3)}),
    "two": sequence(*[[300, 250], [300, 900], [OUT, 500], [600, OUT], [OUT, OUT], [200, 100]] * 4,
                    behavior={"scaleDown": rules(5)}),
    "outage": sequence(300, 300, *[OUT] * 6, 600, 600, *[OUT] * 3, *[100] * 11, minReplicas=2, most=8),
    "quantities": sequence("8600m", "1k", "1.5k", "2Ki", "0.5", "999m", "1e3", "1", "0", "3500m", "1100", "1101",
                           "899", "901", *["2k"] * 5, *["100m"] * 6, target="99500m",
                           behavior={"scaleDown": rules(3)}),
}


def pools_of(name):
    count = max(len(load) for load in SEQUENCES[name]["loads"])
    return [f"{name}-{number}" for number in range(count)]


def selector(pool):
    return f"pool={pool}"


UNITS = {"m": 1, "k": 1_000_000, "Ki": 1_024_000}


def milli(quantity):
    text = str(quantity)
    unit = next((unit for unit in UNITS if text.endswith(unit)), None)
    return round(float(text.removesuffix(unit)) * UNITS[unit]) if unit else round(float(text) * 1000)


class Loads:
    """Goes on to the next load of a metric when the HPA has asked for it."""

    def __init__(self):
        self._behind, self._asked = None, {}

    def before(self, behind):
        self._behind = behind
        return self

    def __call__(self, namespace, metric, chosen, headers):
        answer = self._behind(namespace, metric, chosen, headers)
        if headers.get("X-Remote-User") == CONTROLLER:
            self._asked[chosen] = self._asked.get(chosen, 0) + 1
        return answer

    def now(self, pool):
        name, number = pool.rsplit("-", 1)
        loads = SEQUENCES[name]["loads"]
        load = loads[min(self._asked.get(selector(pool), 0), len(loads) - 1)][int(number)]
        return None if load is OUT else milli(load)


def hpa_of(name):
    one = SEQUENCES[name]
    key = "averageValue" if one["kind"] == "AverageValue" else "value"
    metrics = [{"type": "External", "external": {
        "metric": {"name": METRIC, "selector": {"matchLabels": {"pool": pool}}},
        "target": {"type": one["kind"], key: one["target"]}}} for pool in pools_of(name)]
    return {"metadata": {"name": name}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "metrics": metrics, **one["spec"]}}


def deployment(name, pool):
    spec = {**pod_spec(pool=pool), "restartPolicy": "Always", **ON_KWOK}
    return {"metadata": {"name": name}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}}


@test("ten sequences of backlogs: the same sizes from the HPA of the cluster and from sluice decide")
def _(k8s):
    pool = f"h-{k8s.name}"
    k8s.cluster.nodes(pool, 1)
    loads = Loads()
    pools = [f"{k8s.name}/{one}" for name in SEQUENCES for one in pools_of(name)]
    with (Pools(k8s.cluster, pools, loads.now) as controller,
          Adapter(k8s.cluster, "--controller", controller.url) as adapter,
          Recorder(k8s.cluster, loads.before(forward(k8s.cluster, *adapter.address))) as recorder):
        k8s.wait("the APIService to be available", recorder.available)
        for name in SEQUENCES:
            k8s.create("deployments", deployment(name, pool))
        k8s.wait("the pods", lambda: all(
            k8s.get("deployments", name).get("status", {}).get("readyReplicas") == 3 for name in SEQUENCES))
        for name in SEQUENCES:
            recorder.follow(name, k8s.name, [f"{METRIC} {selector(one)}" for one in pools_of(name)])
            k8s.api.post(HPAS.format(k8s.name), hpa_of(name))
        # One more than there are loads: the size that a sync sets is what the next one finds.
        wait_until(lambda: all(len(recorder.syncs(name)) > len(one["loads"]) for name, one in SEQUENCES.items()), 300,
                   "every sequence to be through")
        recordings = {}
        for name in SEQUENCES:
            stored = k8s.api.get(f"{HPAS.format(k8s.name)}/{name}")["spec"]
            written = {**stored, "behavior": SEQUENCES[name]["spec"].get("behavior")}
            policy = policy_of(written, SEMANTICS, DOWNSCALE_S)
            recordings[name] = Recording(policy, recorder.syncs(name)[:len(SEQUENCES[name]["loads"]) + 1])
        for name, one in recordings.items():
            print(f"       {name:10}  {' '.join(str(size) for size in sizes(one.syncs))}", flush=True)
        equal(judge(SLUICE, recordings), [], "where they differ")


main()
