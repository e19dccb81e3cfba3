# SPDX-License-Identifier: Apache-2.0
"""What changes of a pool do to its running workers, which is nothing, and what the chart's Role allows, as
scaling_test.py runs it: part of that script."""

import time

from e2e import contains, equal, test
from api import ApiError
from audit_check import COLLECTOR, READS, is_sluice
from scaling import WAIT_S, Rig, each, ensure_nodes

IMAGE = {"name": "it", "image": "none:2", "resources": {"requests": {"cpu": "1"}}}


def as_they_were(rig, jobs):
    """The Jobs are there, untouched, their pods running."""
    now, pods = rig.jobs(), {}
    for pod in rig.k8s.list("pods"):
        pods.setdefault(pod["metadata"]["labels"]["job-name"], []).append(pod)
    for name, before in jobs.items():
        equal(now[name]["metadata"]["uid"], before["metadata"]["uid"], f"{name}, its uid")
        equal((now[name]["metadata"].get("generation"), now[name]["spec"].get("suspend")), (1, False),
              f"{name}, (generation, suspended)")
        equal([(pod["status"]["phase"], pod["metadata"].get("deletionTimestamp")) for pod in pods[name]],
              [("Running", None)], f"{name}, its pods")


@test("a change of template, max or policy, a pause, a pool that goes and comes again: no running worker is touched")
def _(k8s):
    ensure_nodes(k8s, "many", cpu="10000", pods=5000)
    with Rig(k8s, "many") as rig:
        rig.publish(30)
        rig.controller()
        rig.pool(max=3)
        jobs = rig.wait_live(3)
        k8s.wait("their pods to run", lambda: sum(1 for pod in k8s.list("pods")
                                                  if pod["status"]["phase"] == "Running") == 3, WAIT_S)

        def changed(spec):
            """When the change is in force: a tick of the new spec has been."""
            rig.change(spec)
            known = len(rig.ticks())
            last = rig.ticks()[-1]["spec_hash"]
            k8s.wait("a tick of the changed pool", lambda: rig.ticks()[-1]["spec_hash"] != last
                     or len(rig.ticks()) > known + 20, WAIT_S)
            rig.next_tick()

        rig.change({"workers": {"max": 5, "job": {"template": {"spec": {"template": {"spec": {
            "containers": [IMAGE]}}}}}}})
        five = rig.wait_live(5)
        images = {name: job["spec"]["template"]["spec"]["containers"][0]["image"] for name, job in five.items()}
        equal(sorted(images.values()), ["none:1"] * 3 + ["none:2"] * 2, "images")
        as_they_were(rig, jobs)
        changed({"workers": {"max": 2}})
        equal(rig.word() in ("hold", "steady"), True, f"{rig.word()}, with more workers than max")
        changed({"policy": {"backlogPerWorker": None, "threshold": {"messages": 1, "every": "1s"}}})
        changed({"paused": True, "workers": {"max": 9}})
        rig.wait_word("paused")
        rig.publish(10)
        rig.next_tick()
        equal(len(rig.live()), 5, "live Jobs while paused")
        k8s.delete("workerpools", "orders")
        rig.pool(max=4, policy=each(1))
        k8s.wait("the new pool's status", lambda: rig.status().get("workers") == 5, WAIT_S)
        rig.next_tick()
        k8s.delete("workerpools", "orders")
        as_they_were(rig, five)
        # The collector too: it would delete them, had they an owner.
        check = rig.check()
        equal(sorted(check.creates()), [f"orders-w{slot}" for slot in range(5)], "Jobs that were made")
        both = (rig.account, COLLECTOR)
        rig.check(actor=lambda event: event["user"].get("username") in both and event["verb"] not in READS
                  and event.get("objectRef", {}).get("resource") in ("jobs", "pods")
                  and event["objectRef"].get("namespace") == k8s.name)
        equal(check.count("delete", "jobs") + check.count("delete", "pods"), 0, "deletes")


def every_right(k8s, account):
    """{(group, resource, verb)} that the account has in the namespace, of all that the API server serves there."""
    asked = {}
    groups = ["/api/v1"] + [f"/apis/{one['preferredVersion']['groupVersion']}"
                            for one in k8s.api.get("/apis")["groups"]]
    for path in groups:
        for one in k8s.api.get(path)["resources"]:
            group = "" if path == "/api/v1" else path.split("/")[2]
            for verb in set(one["verbs"]) | {"get", "list", "create", "delete", "patch", "update"}:
                asked[group, one["name"], verb] = one["namespaced"]
    found = set()
    for (group, name, verb), namespaced in sorted(asked.items()):
        resource, _, sub = name.partition("/")
        review = k8s.api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {
            "user": account, "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {"group": group, "resource": resource, "subresource": sub, "verb": verb,
                                   "name": "sluice" if resource == "leases" else "",
                                   "namespace": k8s.name if namespaced else ""}}})
        if review["status"].get("allowed"):
            found.add((group, name, verb))
    return found


@test("the chart's Role allows what the controller does, and nothing else: tried, and asked for every kind of object")
def _(k8s):
    ensure_nodes(k8s, "many", cpu="10000", pods=5000)
    with Rig(k8s, "many") as rig:
        k8s.create("secrets", {"metadata": {"name": "theirs"}, "stringData": {"password": "x"}})
        rig.publish(2)
        rig.controller()
        rig.pool(max=2)
        jobs = rig.wait_live(2)
        k8s.wait("its status", lambda: rig.status().get("workers") == 2, WAIT_S)
        wanted = {(group, resource, verb) for role in rig.roles for rule in role["rules"]
                  for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]
                  if not (resource == "secrets" and rule.get("resourceNames"))}
        everybody = {("authentication.k8s.io", "selfsubjectreviews", "create")} | {
            ("authorization.k8s.io", f"selfsubject{what}reviews", "create") for what in ("access", "rules")}
        equal(every_right(k8s, rig.account), wanted | everybody, "rights")

        as_it = k8s.cluster.api_as(token=rig.token())
        pod = k8s.list("pods")[0]["metadata"]["name"]
        patch, name = {"metadata": {"labels": {"a": "b"}}}, next(iter(jobs))
        other = "/api/v1/namespaces/default"
        for say, attempt in {
                "read a Secret": lambda: as_it.get(k8s.path("secrets", "theirs")),
                "list Secrets": lambda: as_it.get(k8s.path("secrets")),
                "patch a Job": lambda: as_it.patch(k8s.path("jobs", name), patch),
                "suspend a Job": lambda: as_it.patch(k8s.path("jobs", name), {"spec": {"suspend": True}}),
                "delete all Jobs": lambda: as_it.delete(k8s.path("jobs")),
                "patch a pod": lambda: as_it.patch(k8s.path("pods", pod), patch),
                "make a pod": lambda: as_it.post(k8s.path("pods"), {**rig.pod(), "metadata": {"name": "x"}}),
                "evict a pod": lambda: as_it.post(k8s.path("pods", f"{pod}/eviction"), {
                    "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}),
                "enter a pod": lambda: as_it.post(k8s.path("pods", f"{pod}/exec"), {}, command="sh"),
                "read a pod's log": lambda: as_it.get(k8s.path("pods", f"{pod}/log")),
                "change a pool": lambda: as_it.patch(k8s.path("workerpools", "orders"), {"spec": {"paused": True}}),
                "delete a pool": lambda: as_it.delete(k8s.path("workerpools", "orders")),
                "widen its Role": lambda: as_it.patch(k8s.path("roles", "sluice"), {"rules": []}),
                "get itself a token": lambda: as_it.post(k8s.path("serviceaccounts", "sluice/token"), {"spec": {}}),
                "take another Lease": lambda: as_it.get(k8s.path("leases", "other")),
                "list all Leases": lambda: as_it.get(k8s.path("leases")),
                "read another namespace's pods": lambda: as_it.get(f"{other}/pods"),
                "read all Jobs": lambda: as_it.get("/apis/batch/v1/jobs"),
                "read nodes": lambda: as_it.get("/api/v1/nodes"),
                "be somebody else": lambda: as_it.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {
                    "spec": {"user": "admin"}})}.items():
            try:
                attempt()
            except ApiError as problem:
                equal((problem.code, problem.reason), (403, "Forbidden"), f"to {say}: {problem}")
            else:
                raise AssertionError(f"it may {say}")
        as_they_were(rig, jobs)
        begin = time.time()
        check = rig.check(actor=lambda event: event["user"].get("username") == rig.account
                          and is_sluice(event))
        equal(check.count("list", "secrets") + check.count("watch", "secrets"), 0, "lists of Secrets")
        print(f"{check.summary()} ({time.time() - begin:.1f} s to judge)")


@test("sins that are committed with the controller's own rights are found in the real audit log, each of them")
def _(k8s):
    ensure_nodes(k8s, "many", cpu="10000", pods=5000)
    with Rig(k8s, "many") as rig:
        rig.pool(max=1)
        as_it = k8s.cluster.api_as(token=rig.token())
        body = {"spec": {"template": {"spec": {**rig.pod()["spec"], "restartPolicy": "Never"}}}}
        labels = {"sluice.dev/pool": "orders"}
        for meta in ({"name": "orders-w0"}, {"name": "orders-w1"}, {"generateName": "orders-w"}):
            as_it.post(k8s.path("jobs"), {**body, "metadata": {**meta, "labels": labels}})
        k8s.wait("three pods to run", lambda: sum(pod["status"]["phase"] == "Running"
                                                  for pod in k8s.list("pods")) == 3, WAIT_S)
        pod, job = k8s.pods_of("orders-w0")[0]["metadata"], k8s.get("jobs", "orders-w1")["metadata"]
        as_it.delete(k8s.path("pods", pod["name"]), {"preconditions": {"uid": pod["uid"]}})
        as_it.delete(k8s.path("jobs", "orders-w1"), {
            "propagationPolicy": "Background",
            "preconditions": {"uid": job["uid"], "resourceVersion": job["resourceVersion"]}})
        for attempt in (lambda: as_it.get(k8s.path("secrets")),
                        lambda: as_it.patch(k8s.path("jobs", "orders-w0"), {"spec": {"suspend": True}})):
            try:
                attempt()
            except ApiError as problem:
                equal(problem.code, 403, "the answer")
        found = "\n".join(k8s.wait("ten sins", lambda: len(rig.judged().sins()) >= 10 and rig.judged().sins()))
        for sin in ("2 live Jobs of pool orders, max is 1: orders-w0 orders-w1", "3 live Jobs of pool orders, max is 1",
                    "Job orders-w1 of pool orders is in no slot below 1", "with generateName",
                    f"delete pods {pod['name']}: its worker ran on many-0", "delete jobs orders-w1: it was not over",
                    "list secrets: not within the Role", "list secrets: Secrets are only ever read by name",
                    "patch jobs orders-w0: not within the Role", "patch jobs orders-w0: Jobs and pods are made and"):
            contains(found, sin, "the sins")
