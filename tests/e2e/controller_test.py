# SPDX-License-Identifier: Apache-2.0
"""`sluice controller` before a real control plane: one Job a worker, one after another, and none is ever touched."""

import json
import pathlib
import signal
import subprocess
import time

from beside import Beside
from e2e import ON_KWOK, contains, equal, main, test
from pools import BIN, install
from world import HOST


class Rig(Beside):
    """A queue with messages, and controllers of one namespace."""

    def __init__(self, k8s, messages):
        install(k8s.api)
        super().__init__(k8s)
        self.publish(["line"] * messages)

    def pool(self, most, policy, group):
        spec = {**ON_KWOK, "nodeSelector": {"sluice.test/pool": group}, "containers": [
            {"name": "it", "image": "none:1", "resources": {"requests": {"cpu": "1"}}}]}
        self.k8s.create("workerpools", {"apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool",
                                        "metadata": {"name": "orders"}, "spec": {
                                            "queue": self.queue, "policy": policy, "workers": {
                                                "max": most, "claim": "readiness",
                                                "job": {"template": {"spec": {"template": {"spec": spec}}}}}}})

    def jobs(self):
        return sorted(one["metadata"]["name"] for one in self.k8s.list("jobs"))

    def status(self):
        return self.k8s.get("workerpools", "orders").get("status", {})

    def holder(self):
        lease = self.k8s.get("leases", "sluice")
        return lease["spec"].get("holderIdentity") if lease else None

    def unscheduled(self):
        return [pod["metadata"]["name"] for pod in self.k8s.list("pods") if not pod["spec"].get("nodeName")]


@test("workers come one by one, and none is made while one waits for a place; a pool that goes leaves them be")
def _(k8s):
    k8s.cluster.nodes("three", 1, cpu="3")
    with Rig(k8s, 20) as rig:
        rig.controller("0.0.0.0:7171")
        rig.pool(5, {"threshold": {"messages": 2, "every": "1s"}}, "three")
        k8s.wait("a worker without a place", rig.unscheduled)
        k8s.wait("its status", lambda: rig.status().get("workers") == 4, 60)
        equal(rig.jobs(), [f"orders-w{slot}" for slot in range(4)], "the Jobs")
        equal(len(rig.unscheduled()), 1, "workers without a place")
        equal(rig.status()["state"], "hold", "the state")
        uids = sorted(one["metadata"]["uid"] for one in k8s.list("jobs"))
        k8s.delete("workerpools", "orders")
        rig.pool(4, {"backlogPerWorker": {"messages": 1, "every": "1s"}}, "three")
        k8s.wait("the new pool's status", lambda: rig.status().get("workers") == 4, 60)
        equal(sorted(one["metadata"]["uid"] for one in k8s.list("jobs")), uids, "the Jobs, as they were")
    writes = [(event["verb"], event["objectRef"]["resource"]) for event in k8s.cluster.audit()
              if event.get("objectRef", {}).get("namespace") == k8s.name and "sluice" in event.get("userAgent", "")
              and event["verb"] not in ("get", "list", "watch")]
    touched = [write for write in writes if write[0] != "create" and write[1] in ("jobs", "pods")]
    equal(touched, [], "what was done to Jobs and pods beside making them")


@test("a controller that is killed is followed by the other, and one that ends in order at once")
def _(k8s):
    k8s.cluster.nodes("many", 1, cpu="32")
    with Rig(k8s, 6) as rig:
        first, second = rig.controller("0.0.0.0:7171"), None
        rig.pool(6, {"backlogPerWorker": {"messages": 1, "every": "1s"}}, "many")
        k8s.wait("six workers", lambda: len(rig.jobs()) == 6)
        leader = k8s.wait("a leader", rig.holder)
        second = rig.controller("0.0.0.0:7172")
        uids = sorted(one["metadata"]["uid"] for one in k8s.list("jobs"))
        begun = time.monotonic()
        first.kill()
        k8s.wait("another leader", lambda: rig.holder() not in (leader, ""), 40)
        took = time.monotonic() - begun
        assert took <= 20, f"followed after {took:.1f} s; at most 20 s are allowed"
        leader, third = rig.holder(), rig.controller("0.0.0.0:7171")
        begun = time.monotonic()
        second.send_signal(signal.SIGTERM)
        k8s.wait("the third leader", lambda: rig.holder() not in (leader, ""), 20)
        took = time.monotonic() - begun
        assert took <= 3 and third.poll() is None, f"followed after {took:.1f} s; at most 3 s are allowed"
        equal(sorted(one["metadata"]["uid"] for one in k8s.list("jobs")), uids, "the Jobs, as they were")


def reader(k8s, folder):
    """A kubeconfig of somebody who may reach the controller's Service by the API server's proxy, and nothing else."""
    name, port = k8s.name, "http:sluice:7171"
    k8s.create("serviceaccounts", {"metadata": {"name": "reader"}})
    k8s.create("roles", {"metadata": {"name": "reader"}, "rules": [
        {"apiGroups": [""], "resources": ["services/proxy"], "resourceNames": [port], "verbs": ["get"]}]})
    k8s.create("rolebindings", {"metadata": {"name": "reader"},
                                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                                "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": name}]})
    token = k8s.api.post(k8s.path("serviceaccounts", "reader/token"), {"spec": {}})["status"]["token"]
    config = json.loads(pathlib.Path(k8s.cluster.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "reader.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def behind(k8s, *ports):
    """What listens at these ports of the host, as the endpoints of the Service sluice. The proxy of the API server goes
    to pods alone: each stands for a pod that no node runs."""
    subsets = []
    for port in ports:
        pod = k8s.create("pods", {"metadata": {"name": f"host-{port}"}, "spec": {
            "schedulerName": "none", "containers": [{"name": "c", "image": "none:1"}]}})
        k8s.api.patch(k8s.path("pods", f"host-{port}/status"),
                      {"status": {"podIP": HOST, "podIPs": [{"ip": HOST}], "phase": "Running"}})
        subsets.append({"ports": [{"name": "http", "port": port}], "addresses": [{"ip": HOST, "targetRef": {
            "kind": "Pod", "namespace": k8s.name, "name": f"host-{port}", "uid": pod["metadata"]["uid"]}}]})
    k8s.create("endpoints", {"metadata": {"name": "sluice"}, "subsets": subsets})


@test("status and explain reach the one that acts through the API server, with the right to get services/proxy alone")
def _(k8s):
    k8s.cluster.nodes("asked", 1, cpu="8")
    with Rig(k8s, 5) as rig:
        rig.controller("0.0.0.0:7171")
        k8s.wait("a leader", rig.holder)
        rig.controller("0.0.0.0:7172")  # stands by; the Service has both
        rig.pool(3, {"threshold": {"messages": 2, "every": "1s"}}, "asked")
        k8s.create("services", {"metadata": {"name": "sluice"}, "spec": {"ports": [{"name": "http", "port": 7171}]}})
        behind(k8s, 7171, 7172)
        config = reader(k8s, rig.folder)

        def sluice(*words, config=config, code=0):
            done = subprocess.run(k8s.cluster.command([str(BIN), *words, "--kubeconfig", str(config), "--namespace",
                                                       k8s.name]), capture_output=True, text=True, timeout=60)
            equal(done.returncode, code, f"the exit code of {words}: {done.stderr}")
            return done.stdout if code == 0 else done.stderr

        def pools():
            return [json.loads(line) for line in sluice("status", "-o", "json").splitlines()]

        k8s.wait("three workers to be told of", lambda: [one["workers"]["live"] for one in pools()
                                                         if one["workers"]] == [3], 60)
        for _ in range(10):  # whichever of the two the proxy picks
            one = pools()[0]
            equal((one["pool"], one["ready"], one["max"]), (f"{k8s.name}/orders", 5, 3), "the pool")
        contains(sluice("explain", "orders"), f"{k8s.name}/orders ")
        told = sluice("explain", "orders", "-n", "50", "-o", "json").splitlines()
        words = {json.loads(line)["word"] for line in told}
        equal("grow" in words, True, f"decisions to grow among {words}")
        contains(sluice("status", "--service", "nobody:7171", config=k8s.cluster.kubeconfig, code=1), "--service")
        contains(sluice("status", "--service", "nobody:7171", code=1), "services/proxy")
        k8s.delete("workerpools", "orders")
        k8s.wait("the pool to be gone", lambda: pools() == [], 30)


main()
