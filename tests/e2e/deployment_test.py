# SPDX-License-Identifier: Apache-2.0
"""A pool whose workers are a Deployment's pods: real ones of `sluice work`, real drains, and Kubernetes' own choice of
who goes when replicas are lowered."""

import contextlib
import json
import select
import socket
import subprocess
import threading

from beside import Beside
from e2e import ON_KWOK, equal, main, pod_spec, test
from pools import BIN, install
from image import write as write_image

WORKER = "sluice.test/deployment-worker:1"
HOST = "10.88.0.1"  # where pods reach what runs beside the cluster


class Relay:
    """Lets pods reach a port of loopback, where the broker is."""

    def __init__(self, cluster, port):
        self._target, self._cluster = ("127.0.0.1", port), cluster
        with cluster.network():
            self._socket = socket.create_server((HOST, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with self._cluster.network(), contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                far = socket.create_connection(self._target)
                threading.Thread(target=self._pump, args=(near, far), daemon=True).start()

    @staticmethod
    def _pump(near, far):
        with near, far, contextlib.suppress(OSError):
            while True:
                for one in select.select([near, far], [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)

    def close(self):
        self._socket.close()


class Rig(Beside):
    """A queue, and one controller of one namespace."""

    def __init__(self, k8s):
        install(k8s.api)
        super().__init__(k8s)
        self.relay = Relay(k8s.cluster, int(self.url.rpartition(":")[2]))
        self._stack.callback(self.relay.close)

    def pool(self, most, policy=None):
        self.k8s.create("workerpools", {"apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool",
                                        "metadata": {"name": "orders"}, "spec": {
                                            "queue": self.queue,
                                            "policy": policy or {"backlogPerWorker": {"messages": 1, "every": "1s"}},
                                            "workers": {"max": most, "idleExit": "3s",
                                                        "deployment": {"name": "workers"}}}})

    def deployment(self, spec):
        self.k8s.create("deployments", {"metadata": {"name": "workers"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "workers"}},
            "template": {"metadata": {"labels": {"app": "workers"}}, "spec": spec}}})

    def worker(self):
        """A pod of `sluice work`; the body of a message says how many seconds it takes."""
        archive = self.folder / "worker.tar"
        write_image(archive, WORKER, {"bin/sluice": BIN})
        self.k8s.cluster.load(archive)
        # RabbitMQ takes its guest from its own machine alone, which is where the relay is; the worker must be told so.
        login = {"username": "guest", "password": "guest"}
        self.k8s.create("secrets", {"metadata": {"name": "rabbit"}, "stringData": login})
        url = f"amqp://{HOST}:{self.relay.port}"
        queue = {"rabbitmq": {**self.queue["rabbitmq"], "url": url, "credentials": {"secret": "rabbit"}}}
        spec = pod_spec("/bin/sluice", "work", "--exec", "/bin/sh", "--", "-c", "read seconds; sleep $seconds")
        del spec["restartPolicy"]
        spec["terminationGracePeriodSeconds"] = 120
        spec["volumes"] = [{"name": "login", "secret": {"secretName": "rabbit"}}]
        container, = spec["containers"]
        container.update(image=WORKER, resources={}, ports=[{"containerPort": 7172}],
                         volumeMounts=[{"name": "login", "mountPath": "/login/rabbit"}], env=[
            {"name": "SLUICE_QUEUE", "value": json.dumps({"queue": queue})},
            {"name": "SLUICE_SECRETS", "value": "/login"},
            {"name": "SLUICE_IDLE_EXIT", "value": "never"}, {"name": "SLUICE_WORKER_PORT", "value": "7172"},
            {"name": "SLUICE_WORKER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            readinessProbe={"httpGet": {"path": "/worker", "port": 7172}, "periodSeconds": 1, "failureThreshold": 1})
        return spec

    def replicas(self):
        return self.k8s.get("deployments", "workers")["spec"]["replicas"]

    def status(self):
        return self.k8s.get("workerpools", "orders").get("status", {})

    def says(self, pod):
        return self.k8s.api.get(self.k8s.path("pods", f"{pod}:7172/proxy/worker"))

    def writes(self):
        return [(event["verb"], event["objectRef"]["resource"], event["objectRef"].get("subresource", ""),
                 event["objectRef"].get("name", "")) for event in self.k8s.cluster.audit()
                if event.get("objectRef", {}).get("namespace") == self.k8s.name
                and "sluice" in event.get("userAgent", "") and event["verb"] not in ("get", "list", "watch")]


@test("a Deployment grows with its queue; idle workers drain, exactly they leave, and the busy one goes on")
def _(k8s):
    with Rig(k8s) as rig:
        rig.deployment(rig.worker())
        rig.publish([8, 8, 8, 60])
        rig.controller()
        rig.pool(4)
        k8s.wait("four pods", lambda: len(k8s.list("pods")) == 4, 60)
        begun = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in k8s.list("pods")}
        k8s.wait("three of them to leave", lambda: len(k8s.list("pods")) == 1, 120)
        equal(rig.replicas(), 1, "replicas")
        left, = k8s.list("pods")
        busy = left["metadata"]["name"]
        equal(begun[busy], left["metadata"]["uid"], "the pod that is left, one of the first four")
        words = rig.says(busy)
        words = json.loads(words) if isinstance(words, str) else words
        equal((words["state"], words["handling"]), ("busy", 1), "what it says")
        equal(left["status"]["containerStatuses"][0]["restartCount"], 0, "its restarts")
        touched = {name for verb, kind, _, name in rig.writes() if kind == "pods"}
        equal(touched, set(begun) - {busy}, "pods that were written to")
        k8s.wait("the last one to leave", lambda: not k8s.list("pods"), 200)
        equal(rig.replicas(), 0, "replicas at the end")
        kinds = {(verb, kind, part) for verb, kind, part, _ in rig.writes() if kind in ("deployments", "pods")}
        equal(kinds, {("update", "deployments", "scale"), ("patch", "pods", "")}, "what was written")


@test("another autoscaler is a conflict, which the status says, until it is gone")
def _(k8s):
    k8s.cluster.nodes(f"d-{k8s.name}", 1, cpu="8")
    with Rig(k8s) as rig:
        spec = {**ON_KWOK, "nodeSelector": {"sluice.test/pool": f"d-{k8s.name}"},
                "containers": [{"name": "it", "image": "none:1"}]}
        rig.deployment(spec)
        rig.publish(["x"] * 2)
        rig.controller()
        rig.pool(4)
        k8s.wait("two replicas", lambda: rig.replicas() == 2, 60)
        scalers = f"/apis/autoscaling/v2/namespaces/{k8s.name}/horizontalpodautoscalers"
        k8s.api.post(scalers, {"metadata": {"name": "other"}, "spec": {
            "minReplicas": 1, "maxReplicas": 9,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "workers"}}})

        def scaling():
            return next((one for one in rig.status().get("conditions", []) if one["type"] == "Scaling"), {})

        k8s.wait("the conflict", lambda: scaling().get("reason") == "Conflict", 120)
        assert "HorizontalPodAutoscaler other" in scaling()["message"], scaling()
        rig.publish(["x"] * 2)
        k8s.wait("the backlog in the status", lambda: rig.status().get("backlog") == 4, 120)
        equal(rig.replicas(), 2, "replicas while there is a conflict")
        k8s.api.delete(f"{scalers}/other")
        k8s.wait("growth again", lambda: rig.replicas() == 4, 120)


@test("the policy hpa sets the sizes of the stock HPA, and its journal is decided the same again")
def _(k8s):
    k8s.cluster.nodes(f"d-{k8s.name}", 1, cpu="8")
    with Rig(k8s) as rig:
        rig.deployment({**ON_KWOK, "nodeSelector": {"sluice.test/pool": f"d-{k8s.name}"},
                        "containers": [{"name": "it", "image": "none:1"}]})
        rig.publish(["x"] * 50)
        rig.controller()
        rig.pool(20, {"hpa": {"target": {"type": "AverageValue", "value": "2"}, "every": "2s"}})
        k8s.wait("20 replicas", lambda: rig.replicas() == 20, 120)
        lines = [json.loads(line) for line in (rig.folder / "journal-7171.jsonl").read_text().splitlines()]
        sizes = [line["decision"]["workers"] for line in lines if line["event"] == "tick"]
        equal(sorted(set(sizes) - {0}), [4, 8, 16, 20], "sizes")
        equal(sizes, sorted(sizes), "sizes in their order")
        again = subprocess.run([BIN, "decide", "--journal", rig.folder / "journal-7171.jsonl"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        equal(again.returncode, 0, again.stderr)


main()
