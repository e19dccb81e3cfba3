# SPDX-License-Identifier: Apache-2.0
"""A Deployment of workers on a Pub/Sub subscription under the stock HPA: once on its backlog, by `sluice adapter` and
the manifest that users of the Stackdriver adapter have, and once on its processor, side by side.

The emulator of Pub/Sub counts nothing and has no Cloud Monitoring: PubsubCounter counts what passes before it, and
Monitoring shows those counts as Google does, sampled and late.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time

from demo_images import sluice_image
from e2e import ROOT, contains, equal, wait_until
from monitoring import Monitoring
from pubsub import PROJECT, Emulator
from pubsub_counter import PubsubCounter
from resource_metrics import ResourceMetrics
from world import HOST

SPACE = "sluice"
API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
METRIC = "pubsub.googleapis.com|subscription|num_undelivered_messages"
GROUP = "/apis/external.metrics.k8s.io/v1beta1"
HPAS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
BACKLOG, CPU = "on-backlog", "on-cpu"  # Deployments, and HPAs of the same names
PROCESSOR = "50m"  # what a worker asks for; it waits nearly all of the time
PER_POD = 100


class Rig:
    """The emulator with its counter, Cloud Monitoring, and the chart with its adapter."""

    def __init__(self, cluster, sample_s, delay_s, *values):
        self.cluster, self.api, self._values = cluster, cluster.api, values
        self._sample_s, self._delay_s, self._stack = sample_s, delay_s, contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-pubsub-"))
            with self.cluster.network():
                emulator = stack.enter_context(Emulator(folder))
                self.counter = stack.enter_context(PubsubCounter(emulator.address, HOST))
                self.google = stack.enter_context(Monitoring(PROJECT, self._sample_s, self._delay_s, HOST))
            self.google.watch(self.counter)
            self.image = sluice_image(self.cluster)
            self._install()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.cluster.helm("uninstall", "sluice", "--namespace", SPACE, "--wait", check=False)
        self._stack.close()

    def _install(self):
        name, _, tag = self.image.rpartition(":")
        values = {"image.repository": name, "image.tag": tag, "image.pullPolicy": "Never", "adapter.enabled": "true",
                  "adapter.monitoring.enabled": "true", "adapter.monitoring.project": PROJECT,
                  "adapter.monitoring.endpoint": self.google.url,
                  "adapter.extraEnv[0].name": "PUBSUB_EMULATOR_HOST", "adapter.extraEnv[0].value": self.counter.address}
        words = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        self.cluster.helm("install", "sluice", ROOT / "deploy/charts/sluice", "--namespace", SPACE,
                          "--create-namespace", *words, *self._values, "--wait", "--timeout", "180s")
        wait_until(lambda: self.api.condition(API_SERVICE, "Available") == "True", 60, "the APIService")

    def pubsub(self, method, path, body):
        """One request through the counter, as a worker's would go."""
        host, _, port = self.counter.address.partition(":")
        code = ("import http.client,sys\n"
                "c=http.client.HTTPConnection(sys.argv[1],int(sys.argv[2]),timeout=30)\n"
                "c.request(sys.argv[3],sys.argv[4],sys.argv[5],{'Content-Type':'application/json'})\n"
                "a=c.getresponse();print(a.status,a.read().decode())\n")
        done = subprocess.run(self.cluster.command([sys.executable, "-c", code, host, port, method,
                                                    f"/v1/projects/{PROJECT}/{path}", json.dumps(body)]),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
        contains(done.stdout, "200 ", f"{method} {path}")

    def topic(self, name, *subscriptions):
        self.pubsub("PUT", f"topics/{name}", {})
        for one in subscriptions:
            self.pubsub("PUT", f"subscriptions/{one}", {"topic": f"projects/{PROJECT}/topics/{name}",
                                                        "ackDeadlineSeconds": 30})

    def publish(self, topic, count):
        for first in range(0, count, 500):
            self.pubsub("POST", f"topics/{topic}:publish",
                        {"messages": [{"data": "eyJuIjoxfQ=="} for _ in range(min(500, count - first))]})

    def backlog(self, subscription):
        return self.counter.undelivered(f"projects/{PROJECT}/subscriptions/{subscription}")

    def raw(self, path):
        return json.loads(self.cluster.kubectl("get", "--raw", path))


def deployment(name, image, pubsub, subscription, work, topic):
    container = {"name": "worker", "image": image, "imagePullPolicy": "Never",
                 "args": ["work", "--queue", f"pubsub://{PROJECT}/{subscription}?topic={topic}", "--simulate", work,
                          "--idle-exit", "never"],
                 "env": [{"name": "PUBSUB_EMULATOR_HOST", "value": pubsub}],
                 "resources": {"requests": {"cpu": PROCESSOR, "memory": "32Mi"}}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 30,
            "nodeSelector": {"sluice.test/pool": "real"}}
    return {"metadata": {"name": name}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}}


def hpa_on_backlog(subscription, least=1):
    """As users have it: docs/how-to/hpa-on-pubsub.md."""
    return {"metadata": {"name": BACKLOG}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": BACKLOG},
        "minReplicas": least, "maxReplicas": 50, "metrics": [{"type": "External", "external": {
            "metric": {"name": METRIC, "selector": {"matchLabels": {"resource.labels.subscription_id": subscription}}},
            "target": {"type": "AverageValue", "averageValue": str(PER_POD)}}}]}}


def hpa_on_cpu():
    return {"metadata": {"name": CPU}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": CPU},
        "minReplicas": 1, "maxReplicas": 50, "metrics": [{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]}}


class Timeline:
    """Backlog and pods of one Deployment, look by look."""

    def __init__(self, k8s, rig, name, subscription):
        self.k8s, self.rig, self.name, self.subscription = k8s, rig, name, subscription
        self.begin, self.rows = time.monotonic(), []  # (s, backlog, replicas wanted, pods ready, what the HPA read)

    def look(self):
        there = self.k8s.get("deployments", self.name)
        hpa = self.k8s.api.get(f"{HPAS.format(self.k8s.name)}/{self.name}").get("status", {})
        row = (time.monotonic() - self.begin, self.rig.backlog(self.subscription), there["spec"]["replicas"],
               there.get("status", {}).get("readyReplicas", 0), current(hpa))
        self.rows.append(row)
        return row

    def peak(self):
        return max(row[2] for row in self.rows)

    def changes(self):
        """A line for each new number of replicas, with the backlog of that instant."""
        out, last = [], None
        for at, backlog, replicas, ready, read in self.rows:
            if replicas != last:
                out.append(f"{at:6.0f} s  backlog {backlog:5}  replicas {replicas:3}  ready {ready:3}  "
                           f"the HPA read {read}")
            last = replicas
        return out


def current(status):
    """What an HPA says of its metric: "812m", "3 %"; None: it has no number."""
    for one in status.get("currentMetrics") or []:
        told = one.get("external", one.get("resource", {})).get("current", {})
        if "averageUtilization" in told:
            return f"{told['averageUtilization']} %"
        if told.get("averageValue") or told.get("value"):
            return told.get("averageValue") or told.get("value")
    return None


def condition(k8s, name, kind):
    status = k8s.api.get(f"{HPAS.format(k8s.name)}/{name}").get("status", {})
    return next((one for one in status.get("conditions") or [] if one["type"] == kind), {})


def begin(k8s, rig, work, resource_metrics, least=1):
    """Both Deployments with their HPAs, each with its own subscription of one topic; the CPU one has a number. `least`
    is 0 where the cluster's HPA can."""
    rig.topic("orders", "orders-backlog", "orders-cpu")
    for name, subscription in ((BACKLOG, "orders-backlog"), (CPU, "orders-cpu")):
        k8s.create("deployments", deployment(name, rig.image, rig.counter.address, subscription, work, "orders"))
    k8s.wait("a worker of each", lambda: all(
        k8s.get("deployments", name).get("status", {}).get("readyReplicas") == 1 for name in (BACKLOG, CPU)), 120)
    k8s.wait("metrics.k8s.io to be available", resource_metrics.available, 60)
    k8s.api.post(HPAS.format(k8s.name), hpa_on_backlog("orders-backlog", least))
    k8s.api.post(HPAS.format(k8s.name), hpa_on_cpu())
    k8s.wait("a number of the processor", lambda: condition(k8s, CPU, "ScalingActive").get("status") == "True", 120)


def play(k8s, rig, messages, say, timeout, least=1):
    """Publishes, and looks until the backlog under its HPA is done and the Deployment small again. Both timelines."""
    lines = [Timeline(k8s, rig, BACKLOG, "orders-backlog"), Timeline(k8s, rig, CPU, "orders-cpu")]
    for line in lines:
        line.look()
    rig.publish("orders", messages)
    end, said = time.monotonic() + timeout, None
    while True:
        (_, left, replicas, *_), cpu = lines[0].look(), lines[1].look()
        if (replicas, cpu[2]) != said:
            said = (replicas, cpu[2])
            say(f"{lines[0].rows[-1][0]:5.0f} s   on backlog: {left:5} wait, {replicas:2} pods"
                f"   on CPU: {cpu[1]:5} wait, {cpu[2]:2} pods at {cpu[4]}")
        if left == 0 and replicas == least and lines[0].peak() > 1:
            return lines
        assert time.monotonic() < end, f"not done after {timeout} s: {left} wait, {replicas} pods"
        time.sleep(1)  # between two looks


def judge(lines, messages):
    """What the demonstration must have shown."""
    backlog, cpu = lines
    equal(backlog.peak(), messages // PER_POD, "pods at most, on backlog")
    equal({row[2] for row in cpu.rows}, {1}, "pods on CPU")
    equal([row for row in cpu.rows if row[4] is None], [], "looks at which the CPU's HPA had no number")
    assert cpu.rows[-1][1] > messages / 2, f"on CPU {cpu.rows[-1][1]} wait still"


@contextlib.contextmanager
def scene(cluster, fast=False):
    """`fast`: samples every 2 s, shown within 2 s; else as Google's, every 60 s and up to 120 s later."""
    values = ["--set-json", 'adapter.extraArgs=["--monitoring-every=1s"]'] if fast else []
    with (Rig(cluster, *((2, (0, 2)) if fast else (60, (0, 120))), *values) as rig,
          ResourceMetrics(cluster) as resource_metrics):
        yield rig, resource_metrics
