# SPDX-License-Identifier: Apache-2.0
"""What the stock HPA is told by the adapter that the chart installs, when all is well and when something is wrong."""

import json
import time

import hpa_story
import pubsub
from adapter_client import ask, certificate
from components import API_PORT
from e2e import ON_KWOK, contains, equal, main, needs, pod_spec, scaled, test

needs(pubsub.missing())
GROUP = hpa_story.GROUP


def fleet(k8s, pool, name, replicas):
    """A Deployment whose pods are KWOK's."""
    spec = {**pod_spec(pool=pool), "restartPolicy": "Always", **ON_KWOK}
    k8s.create("deployments", {"metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})


def hpa(k8s, name, metric, least=1, **labels):
    k8s.api.post(hpa_story.HPAS.format(k8s.name), {"metadata": {"name": name}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": least, "maxReplicas": 50, "metrics": [{"type": "External", "external": {
            "metric": {"name": metric, "selector": {"matchLabels": labels}},
            "target": {"type": "AverageValue", "averageValue": "100"}}}]}})


def told(k8s, name):
    """What `kubectl describe hpa` says of its metric."""
    return hpa_story.condition(k8s, name, "ScalingActive").get("message", "")


def replicas(k8s, name):
    return k8s.get("deployments", name)["spec"]["replicas"]


def subscription(name):
    return {"resource.labels.subscription_id": name}


def documents(k8s, rig):
    """Each document, whatever form the client would like best."""
    cluster = k8s.cluster
    admin = certificate(cluster, "root", "/O=system:masters/CN=root", "ca")
    metric = f"{GROUP}/namespaces/{k8s.name}/{hpa_story.METRIC.replace('|', '%7C')}?labelSelector=" \
             "resource.labels.subscription_id%3Dorders-sub"
    for path in ("/apis/external.metrics.k8s.io", GROUP, metric):
        json.loads(cluster.kubectl("get", "--raw", path))
        for accept in ("application/json", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                       "application/vnd.kubernetes.protobuf,*/*"):
            status, kind, text = ask(cluster, API_PORT, path, admin, [("Accept", accept)])
            # The group's own document is kube-apiserver's.
            expected = "application/vnd.kubernetes.protobuf" if "protobuf" in accept and path.count("/") == 2 else \
                "application/json"
            equal((status, kind.partition(";")[0]), (200, expected), f"{path}, {accept}")
            if expected == "application/json":
                json.loads(text)
    equal(rig.raw(metric)["items"][0]["value"], "700", "value")


def refusals(k8s, rig):
    """Each thing that can be wrong has its own line in the HPA."""
    bad = [("typo", "sluice-redy", {"pool": "orders"}, "could not find the metric sluice-redy"),
           ("type", "pubsub.googleapis.com|subscription|nothing", subscription("orders-sub"),
            "could not find the descriptor"),
           ("none", hpa_story.METRIC, subscription("nobodys-sub"), "no such subscription: nobodys-sub in project"),
           ("new", hpa_story.METRIC, subscription("new-sub"), "no data yet: subscription new-sub of project"),
           ("label", hpa_story.METRIC, {"bad": "x"}, "is not allowed"),
           ("pool", "sluice-ready", {"pool": "nothing"}, "has no pool that pool=nothing selects")]
    rig.topic("new", "new-sub")
    for name, metric, labels, _ in bad:
        fleet(k8s, "none", name, 3)
        hpa(k8s, name, metric, **labels)
    lines = {}
    for name, _, _, part in bad:
        k8s.wait(f"what is wrong with {name}", lambda: part in told(k8s, name), 60)
        lines[name] = told(k8s, name)
    for word, fault, part in (
            ("permission", {"status": 403, "reason": "PERMISSION_DENIED"}, "grant roles/monitoring.viewer"),
            ("quota", {"status": 429, "reason": "RESOURCE_EXHAUSTED"}, "the quota of Cloud Monitoring")):
        rig.google.fault(**fault)
        k8s.wait(word, lambda: part in told(k8s, "none"), 90)
        lines[word] = told(k8s, "none")
        rig.google.heal()
        k8s.wait(f"it to be over: {word}", lambda: "no such subscription" in told(k8s, "none"), 90)
    equal(len(set(lines.values())), len(lines), "different lines")
    for line in lines.values():
        equal("\n" in line, False, "one line")
        print(f"       {line}", flush=True)
    k8s.create("serviceaccounts", {"metadata": {"name": "other"}})
    refused = k8s.cluster.kubectl("get", "--raw", f"{GROUP}/namespaces/{k8s.name}/sluice-ready", "--as",
                                  f"system:serviceaccount:{k8s.name}:other", check=False)
    contains(refused.stderr, "cannot list resource", "who may not")
    equal({replicas(k8s, name) for name, *_ in bad}, {3}, "replicas where nothing is known")


def outage(k8s, rig, seconds):
    """Monitoring says nothing for so long: what is there stays, and what is wrong is said."""
    before = replicas(k8s, "orders")
    rig.google.fault(status=503, reason="UNAVAILABLE")
    k8s.wait("the last value to be too old", lambda: "stale: the newest point ended" in told(k8s, "orders"), 60)
    print(f"       {told(k8s, 'orders')}", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        equal(replicas(k8s, "orders"), before, "replicas meanwhile")
        time.sleep(1)  # between two looks
    rig.google.set("orders-sub", 300)
    rig.google.heal()
    k8s.wait("it to go on without a restart", lambda: replicas(k8s, "orders") == 3, 90)
    contains(hpa_story.condition(k8s, "orders", "ScalingActive")["reason"], "ValidMetricFound")


@test("what an HPA is told when something is wrong; Monitoring away: replicas hold, and it goes on by itself")
def _(k8s):
    cluster = k8s.cluster
    words = ["--set", "adapter.pools=true", "--set-json",
             'adapter.extraArgs=["--monitoring-every=1s","--monitoring-stale-after=10s"]']
    with hpa_story.Rig(cluster, 1, (0, 0), *words) as rig:
        rig.google.watch(None)
        rig.google.set("orders-sub", 700)
        fleet(k8s, "none", "orders", 1)
        hpa(k8s, "orders", hpa_story.METRIC, **subscription("orders-sub"))
        k8s.wait("seven pods for 700 messages", lambda: replicas(k8s, "orders") == 7, 90)
        contains(told(k8s, "orders"), "the HPA was able to successfully calculate a replica count from external metric")
        documents(k8s, rig)
        outage(k8s, rig, scaled(20, 120))
        refusals(k8s, rig)


main()
