# SPDX-License-Identifier: Apache-2.0
"""What tests of `sluice controller` on the real cluster share: a broker, pools, controllers with the chart's rights.

    with Rig(k8s, "many") as rig:                  # the node group whose nodes its pools' pods are for
        rig.publish(20)
        rig.controller("a")                        # as the chart's service account, with its Role and no more
        rig.pool(max=5)
        rig.wait_live(5)
        rig.check()                                # the audit log, by audit_check.py: no sins

One RabbitMQ serves a script; the queue of a Rig is its own. `proxied`: its controllers reach the API server through the
fault proxy; `rig.fault(...)` is a fault that only this namespace meets, healed at the Rig's end at the latest. A
controller's journal is what `rig.ticks()` and `rig.timeline()` read.
"""

import atexit
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from e2e import ON_KWOK, ROOT, equal, wait_until

# After e2e, which says where they are.
import amqp_script
from audit_check import AuditCheck, rules_of
from charts import render
from components import API_PORT, PROXY_PORT
from lib import scaled  # noqa: F401
from world import HOST
from rabbitmq_management import Management
from waiting import free_port

BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/sluice"))
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRD_FILES = sorted((ROOT / "deploy/charts/sluice/crds").glob("*.yaml"))
# Where the chart has none: the controller judges a spec in any case.
ANY_POOL = {"metadata": {"name": "workerpools.sluice.dev"}, "spec": {
    "group": "sluice.dev", "scope": "Namespaced",
    "names": {"kind": "WorkerPool", "plural": "workerpools", "singular": "workerpool", "shortNames": ["wp"]},
    "versions": [{"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}},
                  "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
WAIT_S = 90.0  # what takes seconds may take so long where four tests share two cores

_one_at_a_time = threading.Lock()
_broker = None


class Broker(Management):
    """RabbitMQ in the cluster's network."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._process = subprocess.Popen(cluster.command([sys.executable, ROOT / "tests/tools/rabbitmq.py"]),
                                         stdout=subprocess.PIPE, text=True)
        atexit.register(self._end)
        told = dict(line.split(None, 1) for line in (self._process.stdout.readline() for _ in range(2)))
        self.url, self.management = told["amqp"].strip(), told["management"].strip()
        self.port, self.management_port = (int(url.rpartition(":")[2]) for url in (self.url, self.management))

    def _end(self):
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(60)
        self._process.kill()
        self._process.wait()

    def request(self, *words, **more):
        with self._cluster.network():
            return super().request(*words, **more)

    @contextlib.contextmanager
    def channel(self):
        with self._cluster.network(), amqp_script.Publisher(self.port) as channel:
            yield channel


def broker(cluster):
    global _broker
    with _one_at_a_time:
        _broker = _broker or Broker(cluster)
        return _broker


def install_crd(k8s):
    """The chart's own."""
    with _one_at_a_time:
        for file in CRD_FILES:
            k8s.cluster.kubectl("apply", "--server-side", "-f", file)
        if not CRD_FILES:
            k8s.api.put_new(CRDS, ANY_POOL)
        path = f"{CRDS}/workerpools.sluice.dev"
        wait_until(lambda: k8s.api.condition(path, "Established") == "True", 60, "the CRD", 0.1)


def ensure_nodes(k8s, group, count=1, **more):
    """Nodes of KWOK that several tests share."""
    with _one_at_a_time:
        if not k8s.api.list("/api/v1/nodes", labelSelector=f"sluice.test/pool={group}"):
            k8s.cluster.nodes(group, count, **more)


class Controller:
    """One process."""

    def __init__(self, rig, name, number):
        self.rig, self.name = rig, name
        self.log = rig.folder / f"{name}-{number}.log"
        self.journal = rig.folder / f"{name}-{number}.jsonl"
        with rig.k8s.cluster.network():
            port = free_port()
        with open(self.log, "ab") as out:
            # names=False: nothing between us and the program, so that signals reach it.
            argv = [rig.program, "controller", "--kubeconfig", rig.kubeconfig(name), "--namespace", rig.k8s.name,
                    "--lease", "sluice", "--lease-namespace", rig.k8s.name, "--listen", f"127.0.0.1:{port}",
                    "--journal", self.journal]
            self.process = subprocess.Popen(rig.k8s.cluster.command(argv, names=False), stdout=out, stderr=out,
                                            env={**os.environ, "HOSTNAME": name})

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def alive(self):
        return self.process.poll() is None

    def leads(self):
        return (self.rig.holder() or "").startswith(f"{self.name}_")

    def end(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.kill()


class Rig:
    """`group`: of nodes. `program`: another binary than sluice."""

    def __init__(self, k8s, group, proxied=False, program=BIN):
        self.k8s, self.group, self.proxied, self.program = k8s, group, proxied, program
        self._stack, self._rules, self._controllers = contextlib.ExitStack(), [], []
        install_crd(k8s)
        self.folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.account = f"system:serviceaccount:{k8s.name}:sluice"
        self.roles = []
        self._install_roles()
        self.broker = broker(k8s.cluster)
        with self.broker.channel() as channel:
            channel.declare(k8s.name, "classic")
        self.queue = {"rabbitmq": {"url": self.broker.url, "queue": k8s.name}}

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        for number in self._rules:
            with contextlib.suppress(ValueError):
                self.k8s.cluster.faults.heal(number)
        for controller in self._controllers:
            controller.end()
        for log in sorted(self.folder.glob("*.log")) if failure else ():
            print(f"--- {log.name}\n{log.read_text()[-3000:]}")
        if failure:
            print("\n".join(self.timeline()[-40:]))
        self._stack.close()

    # Rights

    def _install_roles(self):
        kinds = {"ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings"}
        for one in render("sluice", namespace=self.k8s.name,
                          more=("-s", "templates/rbac.yaml", "-s", "templates/serviceaccount.yaml")):
            self.k8s.create(kinds[one["kind"]], one)
            self.roles += [one] if one["kind"] == "Role" else []

    def token(self, secret=None):
        """Of the controllers' service account; with `secret` it is good as long as that Secret is there."""
        bound = {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": secret}} if secret else {}
        path = self.k8s.path("serviceaccounts", "sluice/token")
        return self.k8s.api.post(path, {"spec": {"expirationSeconds": 7200, **bound}})["status"]["token"]

    def token_file(self, name):
        return self.folder / f"{name}.token"

    def kubeconfig(self, name):
        """Its token is its own, so that the audit log tells one controller from the other."""
        file, token = self.folder / f"{name}.kubeconfig", self.token_file(name)
        if not token.exists():
            token.write_text(self.token())
        server = f"https://{HOST}:{PROXY_PORT if self.proxied else API_PORT}"
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": self.k8s.name}}],
            "clusters": [{"name": "it", "cluster": {
                "server": server, "certificate-authority": str(self.k8s.cluster.folder / "pki/ca.crt")}}],
            "users": [{"name": "it", "user": {"tokenFile": str(token)}}]}))
        return file

    # Messages

    def publish(self, count):
        with self.broker.channel() as channel:
            for number in range(count):
                channel.publish(self.k8s.name, b"%d" % number)

    def purge(self):
        self.broker.purge_queue(self.k8s.name)

    def ready(self):
        with self.broker.channel() as channel:
            return channel.ready(self.k8s.name)

    # Pools

    def pod(self, annotations=None, **more):
        """The pod of a pool's template: on the group's nodes of KWOK, where nothing runs for real."""
        container = {"name": "it", "image": "none:1", "resources": {"requests": {"cpu": "1"}}}
        return {"metadata": {"annotations": annotations or {}},
                "spec": {**ON_KWOK, "nodeSelector": {"sluice.test/pool": self.group}, "containers": [container],
                         **more}}

    def pool(self, max, policy=None, name="orders", pod=None, job=None, more=None, **workers):
        """`job`: more of the Jobs' spec, `more`: more of the pool's."""
        template = {"spec": {"template": pod or self.pod(), **(job or {})}}
        return self.k8s.create("workerpools", {
            "apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": name},
            "spec": {"queue": self.queue, "policy": policy or each(1), **(more or {}),
                     "workers": {"max": max, "claim": "readiness", "job": {"template": template}, **workers}}})

    def change(self, spec, name="orders"):
        return self.k8s.api.patch(self.k8s.path("workerpools", name), {"spec": spec})

    def status(self, name="orders"):
        return self.k8s.get("workerpools", name).get("status", {})

    # Jobs

    def jobs(self):
        """Of pools, by name."""
        return {one["metadata"]["name"]: one for one in self.k8s.list("jobs", labelSelector="sluice.dev/pool")}

    def live(self):
        return {name: one for name, one in self.jobs().items()
                if not any(c["type"] in ("Complete", "Failed") and c["status"] == "True"
                           for c in one.get("status", {}).get("conditions", []))}

    def uids(self):
        return sorted(one["metadata"]["uid"] for one in self.live().values())

    def unplaced(self):
        return [pod["metadata"]["name"] for pod in self.k8s.list("pods") if not pod["spec"].get("nodeName")]

    def wait_live(self, count, timeout=WAIT_S):
        """Exactly so many live Jobs; {name: Job}."""
        wait_until(lambda: len(self.live()) == count, timeout, f"{count} live Jobs", 0.1)
        return self.live()

    # Controllers

    def controller(self, name="a"):
        one = Controller(self, name, len(self._controllers))
        self._controllers.append(one)
        return one

    def holder(self):
        lease = self.k8s.get("leases", "sluice")
        return lease["spec"].get("holderIdentity") if lease else None

    def lines(self):
        """Of all journals, in the order in which they were written."""
        out = []
        for file in self.folder.glob("*.jsonl"):
            out += [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return sorted(out, key=lambda line: line.get("at") or line.get("to") or "")

    def ticks(self, pool="orders"):
        return [line for line in self.lines()
                if line["event"] == "tick" and line["pool"] == f"{self.k8s.name}/{pool}"]

    def word(self, pool="orders"):
        """Of the last decision; empty before the first."""
        ticks = self.ticks(pool)
        return ticks[-1]["decision"]["reason"].partition(":")[0] if ticks else ""

    def wait_word(self, *words, pool="orders", timeout=WAIT_S):
        return wait_until(lambda: self.word(pool) in words and self.ticks(pool)[-1], timeout, f"the word {words}", 0.1)

    def next_tick(self, pool="orders"):
        """One that began after now."""
        known = len(self.ticks(pool)) + 1
        return wait_until(lambda: len(self.ticks(pool)) > known and self.ticks(pool)[-1], WAIT_S, "a tick", 0.1)

    def timeline(self, pool="orders"):
        """A line for each time that something was otherwise than before: what a person reads of a journal."""
        out, last, begin = [], None, None
        for tick in self.ticks(pool):
            begin = tick["at_ms"] if begin is None else begin
            workers = " ".join(f"{n} {state}" for state, n in (tick["seen"].get("workers") or {}).items() if n)
            start = " ".join(f"+w{slot}" for slot in tick["plan"]["start"])
            reason = tick["decision"]["reason"]
            now = (workers, start, re.sub(r"[0-9]+", "", reason))
            if now != last:
                out.append(f"{(tick['at_ms'] - begin) / 1000:6.1f} s  {workers or 'no workers':34} {start:8} {reason}")
            last = now
        return out

    # Faults of this namespace alone

    def fault(self, action, path="", **more):
        """`path` is what follows the namespace: "/jobs$". Needs `proxied`."""
        number = self.k8s.cluster.faults.rule(action, path=f"/namespaces/{self.k8s.name}{path}", **more)
        self._rules.append(number)
        return number

    def heal(self, *numbers):
        for number in numbers or list(self._rules):
            self.k8s.cluster.faults.heal(number)
            self._rules.remove(number)

    def requests(self, method, path, since=0, tried=False):
        """What came through the proxy for this namespace; `path` is a pattern for what follows it. `tried`: those that
        were dry runs, instead of the others."""
        pattern = re.compile(f"/namespaces/{self.k8s.name}{path}")
        return [one for one in self.k8s.cluster.faults.requests(since) if one["method"] == method
                and pattern.search(one["path"]) and ("dryRun=" in one["query"]) == tried]

    def settled(self):
        """Its template is judged and a decision made: the next creates are for workers."""
        wait_until(self.word, WAIT_S, "a decision", 0.1)
        wait_until(lambda: self.requests("POST", "/jobs$", tried=True), WAIT_S, "the template's dry run", 0.1)

    # The judge

    def asked(self, verb, resource):
        """What these controllers have asked the API server for."""
        return [event for event in self.k8s.cluster.audit() if event["user"].get("username") == self.account
                and (event["verb"], event.get("objectRef", {}).get("resource")) == (verb, resource)]

    def refused_jobs(self):
        """How many creates of Jobs were refused."""
        return sum(1 for event in self.asked("create", "jobs") if event["responseStatus"]["code"] == 403)

    def who(self, verb, resource):
        """Which tokens they showed: one of each controller."""
        return {event["user"]["extra"]["authentication.kubernetes.io/credential-id"][0]
                for event in self.asked(verb, resource)}

    def check(self, actor=None, **options):
        """The audit log of this namespace has no sins; the AuditCheck."""
        check = self.judged(actor, **options)
        equal(check.sins(), [], "sins")
        return check

    def judged(self, actor=None, **options):
        own = actor or (lambda event: event["user"].get("username") == self.account)
        return AuditCheck(self.k8s.cluster.audit(), self.k8s.name, rules_of(*self.roles), own, **options)


def each(messages, every="1s"):
    """The policy of a worker for so many messages."""
    return {"backlogPerWorker": {"messages": messages, "every": every}}


def seconds_since(begin):
    return time.monotonic() - begin
