# SPDX-License-Identifier: Apache-2.0
"""sluice doctor and a cluster: who serves external metrics there, and whether it does."""

from lib import contains, equal, main, test
from apiserver import ApiServer

NAME = "v1beta1.external.metrics.k8s.io"
PATH = f"/apis/apiregistration.k8s.io/v1/apiservices/{NAME}"


def service(space, name, available="True", reason="Passed", message="all checks passed", **labels):
    return {"kind": "APIService", "metadata": {"name": NAME, "labels": labels},
            "spec": {"service": {"namespace": space, "name": name, "port": 443}},
            "status": {"conditions": [{"type": "Available", "status": available, "reason": reason,
                                       "message": message}]}}


def looked(box, api, *args, exit=0):
    """The checks of the group cluster: {code or text: line}."""
    done = box.sluice("doctor", "--kubeconfig", api.kubeconfig(box.path("config")), "-o", "json", *args, exit=exit)
    return [line for line in done.json if line.get("group") == "cluster"]


def finding(lines, code):
    return next(line for line in lines if line["code"] == code)


@test("a free name and one of ours are well")
def _(box):
    with ApiServer() as api:
        lines = looked(box, api)
        equal([line["level"] for line in lines], ["ok"])
        contains(lines[0]["text"], f"{NAME} is free")
        equal(lines[0]["pool"], None)
        api.put(PATH, service("ops", "jobs-adapter", **{"app.kubernetes.io/name": "sluice"}))
        lines = looked(box, api)
        equal([line["level"] for line in lines], ["ok", "ok"])
        contains(lines[0]["text"], "belongs to sluice (Service ops/jobs-adapter)")


@test("another program that has the name is named, with the way to live beside it")
def _(box):
    with ApiServer() as api:
        for space, name, owner in (("keda", "keda-operator-metrics-apiserver", "KEDA"),
                                   ("keda", "keda-metrics-apiserver", "KEDA"),
                                   ("monitoring", "prometheus-adapter", "prometheus-adapter"),
                                   ("custom-metrics", "custom-metrics-stackdriver-adapter", "the Stackdriver adapter"),
                                   ("dd", "datadog-cluster-agent-metrics-api", "Datadog")):
            api.put(PATH, service(space, name))
            found = finding(looked(box, api), "D050")
            equal(found["level"], "warning")
            contains(found["text"], f"belongs to {owner} (Service {space}/{name})")
            contains(found["fix"], f"adapter.forwardTo=https://{name}.{space}.svc")
        api.put(PATH, service("ops", "metrics"))
        contains(finding(looked(box, api), "D050")["text"], "belongs to Service ops/metrics;")


@test("one that is not available fails, in the API server's words")
def _(box):
    with ApiServer() as api:
        api.put(PATH, service("sluice", "sluice-adapter", "False", "FailedDiscoveryCheck", "x509: unknown authority"))
        found = finding(looked(box, api, exit=1), "D051")
        contains(found["text"], "FailedDiscoveryCheck: x509: unknown authority")
        contains(found["fix"], "kubectl -n sluice ")
        api.objects[PATH]["status"] = {}
        contains(finding(looked(box, api, exit=1), "D051")["text"], "has not looked at it yet")


@test("a right that is missing is a warning, and an API server that does not answer a failure")
def _(box):
    with ApiServer() as api:
        api.refusals[PATH] = 403
        found = finding(looked(box, api), "D052")
        equal(found["level"], "warning")
        contains(found["fix"], "the right to get apiservices")
        api.refusals[PATH] = 500
        equal(finding(looked(box, api, exit=1), "D052")["level"], "failed")


@test("without a pool here it asks the cluster that kubectl would ask; pools here are looked at alone")
def _(box):
    with ApiServer() as api:
        api.put(PATH, service("keda", "keda-metrics-apiserver"))
        box.env["KUBECONFIG"] = str(api.kubeconfig(box.path("config")))
        done = box.sluice("doctor", exit=0)
        contains(done.out, "cluster")
        contains(done.out, "belongs to KEDA")
        contains(done.out, "D050")
        pool = box.pool()
        asked = api.calls(NAME)
        box.sluice("doctor", "-f", pool)
        equal(api.calls(NAME), asked, "calls for a pool")
        both = box.sluice("doctor", "-f", pool, "--context", "here", "-o", "json").json
        equal({line["group"] for line in both if line["event"] == "check"} >= {"cluster", "pool"}, True)
    del box.env["KUBECONFIG"]
    contains(box.sluice("doctor", "--context", "nowhere", exit=2).err, "sluice doctor: ")


main()
