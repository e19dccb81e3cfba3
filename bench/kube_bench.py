#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The controller before a real control plane: how soon a Job is there, how fast many are, what pools cost.

SLUICE_BIN is the binary. Needs what `make e2e` needs. Nodes are KWOK's. Times of requests are the API server's own, by
its audit log; KEDA's figures are those measured of KEDA 2.20 on the same kind of machine.
"""

import contextlib
import datetime
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
for folder in ("tests/e2e/cluster", "tests/tools"):
    sys.path.insert(0, str(ROOT / folder))

import amqp_script  # noqa: E402
from cluster import Cluster  # noqa: E402
from processes import processor_seconds, resident_kb  # noqa: E402

SLUICE = os.environ["SLUICE_BIN"]
SPACE = "default"
JOBS = f"/apis/batch/v1/namespaces/{SPACE}/jobs"
POOLS = f"/apis/sluice.dev/v1alpha1/namespaces/{SPACE}/workerpools"
SAMPLES = 20
BURST = 100
IDLE = 1000
ACTIVE = 100
FACE = "127.0.0.1:7171"


def stamp(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class World:
    def __init__(self, cluster, folder):
        self.cluster, self.api, self.folder = cluster, cluster.api, folder
        cluster.kubectl("apply", "--server-side", "-f", ROOT / "deploy/charts/sluice/crds")
        cluster.kubectl("wait", "--for=condition=Established", "crd/workerpools.sluice.dev")
        cluster.nodes("many", 4, cpu="200", pods=250)
        self.broker = subprocess.Popen(cluster.command([sys.executable, ROOT / "tests/tools/rabbitmq.py"]),
                                       stdout=subprocess.PIPE, text=True)
        told = dict(self.broker.stdout.readline().split(None, 1) for _ in range(2))
        self.url, self.port = told["amqp"].strip(), int(told["amqp"].strip().rpartition(":")[2])
        self.publisher = self.open()

    def close(self):
        self.broker.send_signal(signal.SIGTERM)
        self.broker.wait(60)

    def open(self):
        with self.cluster.network():
            return amqp_script.Publisher(self.port)

    @contextlib.contextmanager
    def controller(self, name):
        self.journal = self.folder / f"{name}.jsonl"
        log = open(self.folder / f"{name}.log", "wb")
        self.started = time.time()
        process = subprocess.Popen(self.cluster.command([
            SLUICE, "controller", "--kubeconfig", self.cluster.kubeconfig, "--namespace", SPACE, "--lease", name,
            "--listen", FACE, "--journal", self.journal]), stdout=log, stderr=log)
        try:
            yield self.pid_of(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            log.close()

    def pid_of(self, process):
        """Of sluice itself: what runs in the cluster's network may be a child of what was started."""
        while True:
            for pid in [process.pid, *children(process.pid)]:
                with contextlib.suppress(OSError):
                    if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(SLUICE):
                        return pid
            time.sleep(0.01)

    def pool(self, name, policy, most=1):
        spec = {"tolerations": [{"operator": "Exists"}], "nodeSelector": {"sluice.test/pool": "many"},
                "containers": [{"name": "it", "image": "none:1", "resources": {"requests": {"cpu": "10m"}}}]}
        self.api.post(POOLS, {"apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": name},
                              "spec": {"queue": {"rabbitmq": {"url": self.url, "queue": name}}, "policy": policy,
                                       "workers": {"max": most, "surge": most, "claim": "readiness",
                                                   "job": {"template": {"spec": {"template": {"spec": spec}}}}}}})

    def publish(self, queue, count=1):
        for _ in range(count):
            self.publisher.publish(queue, b"x")

    def clear(self):
        """No pools, no Jobs."""
        self.cluster.kubectl("delete", "workerpools,jobs", "--all", "--wait=true")

    def lines(self, event):
        for line in self.journal.read_text().splitlines():
            told = json.loads(line)
            if told["event"] == event:
                yield told


def children(pid):
    with contextlib.suppress(OSError):
        return [int(one) for one in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def until(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return found


def looks(world):
    """(ticks of all pools, how often the loop was late by more than 0.25 s), since the controller started."""
    with world.cluster.network(), urllib.request.urlopen(f"http://{FACE}/metrics", timeout=10) as answer:
        text = answer.read().decode()

    def total(*marks):
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if all(mark in line for mark in marks)
                   and not line.startswith("#"))

    seen = total("sluice_loop_stall_seconds_count")
    return total("sluice_ticks_total"), seen - total("sluice_loop_stall_seconds_bucket", 'le="0.25"')


def creates(cluster, agent, since):
    """(received, answered) of every Job that `agent` made since then."""
    for event in cluster.audit():
        where = event.get("objectRef", {})
        if (event["verb"] == "create" and where.get("resource") == "jobs" and agent in event.get("userAgent", "")
                and event.get("responseStatus", {}).get("code") == 201 and "dryRun" not in event["requestURI"]
                and stamp(event["requestReceivedTimestamp"]) >= since):
            yield stamp(event["requestReceivedTimestamp"]), stamp(event["stageTimestamp"])


def reaction(world, every):
    """From the confirm of one message on an empty queue to the Job's creation; the API server's clock is ours."""
    name, took = f"reaction-{every}", []
    world.publisher.declare(name, "classic")
    with world.controller(name):
        world.pool(name, {"threshold": {"messages": 0, "every": every}})
        until("the first ticks", lambda: world.journal.exists() and len(list(world.lines("state"))) > 0)
        for _ in range(SAMPLES):
            time.sleep(random.uniform(1.5, 2.5))  # a measurement: any phase of the poll interval
            begin = time.time()
            world.publish(name)
            until("a Job", lambda: list(creates(world.cluster, "sluice", begin)))
            received, answered = next(creates(world.cluster, "sluice", begin))
            took.append(answered - begin)
            world.publisher.get(name)
            world.cluster.kubectl("delete", "jobs", "--all", "--wait=true")
    world.clear()
    return took


def burst(world):
    world.publisher.declare("burst", "classic")
    world.publish("burst", BURST)
    begin = time.time()
    with world.controller("burst"):
        world.pool("burst", {"backlogPerWorker": {"messages": 1, "every": "1s"}}, BURST)
        until("100 Jobs", lambda: len(list(creates(world.cluster, "sluice", begin))) >= BURST)
        times = list(creates(world.cluster, "sluice", begin))
    body = json.dumps(job_like(world))
    world.clear()
    return max(end for _, end in times) - min(start for start, _ in times), body


def job_like(world):
    """What the controller made, without what the server added."""
    one = world.api.list(JOBS)[0]
    kept = {key: one["metadata"].get(key, {}) for key in ("labels", "annotations")}
    template = one["spec"]["template"]
    spec = {key: value for key, value in one["spec"].items() if key != "selector"}
    spec["template"] = {"metadata": {"annotations": template["metadata"].get("annotations", {})},
                        "spec": template["spec"]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": kept, "spec": spec}


def bare_burst(world, body):
    """The same 100 creates by curl, 32 at a time over connections that it keeps."""
    world.folder.joinpath("bare").mkdir()
    cert, key = world.cluster.identity("bare", ["system:masters"])
    config = []
    for n in range(BURST):
        job = json.loads(body)
        job["metadata"]["name"] = f"bare-w{n}"
        file = world.folder / f"bare/{n}.json"
        file.write_text(json.dumps(job))
        config += [f'url = "https://10.88.0.1:6443{JOBS}"', f'data-binary = "@{file}"', 'output = "/dev/null"',
                   'header = "Content-Type: application/json"', f'cert = "{cert}"', f'key = "{key}"', "insecure",
                   "http1.1", 'user-agent = "bare"', "next"]
    (world.folder / "bare/config").write_text("\n".join(config[:-1]))
    begin = time.time()
    curl = ["curl", "-sS", "--no-progress-meter", "--parallel", "--parallel-max", "32", "-K"]
    subprocess.run(world.cluster.command([*curl, world.folder / "bare/config"]), check=True)
    until("100 bare Jobs", lambda: len(list(creates(world.cluster, "bare", begin))) >= BURST)
    times = list(creates(world.cluster, "bare", begin))
    world.clear()
    return max(end for _, end in times) - min(start for start, _ in times)


def many_pools(world, name, count, policy, before=None):
    for n in range(count):
        queue = f"{name}-{n}"
        world.publisher.declare(queue, "classic")
        if before:
            before(queue)
        world.pool(queue, policy)


def idle(world):
    many_pools(world, "idle", IDLE, {"threshold": {"messages": 20, "every": "30s"}})
    with world.controller("idle") as pid:
        def polled():
            return len({tick["pool"] for tick in world.lines("pool")}) if world.journal.exists() else 0

        until("all pools polled", lambda: polled() >= IDLE)
        all_polled = max(stamp(line["at"]) for line in world.lines("pool")) - world.started
        time.sleep(90)  # a measurement: the statuses are written
        begin = processor_seconds(pid)
        time.sleep(60)
        used, held = processor_seconds(pid) - begin, resident_kb(pid) / 1024
    world.clear()
    return all_polled, used, held


def active(world):
    many_pools(world, "active", ACTIVE, {"backlogPerWorker": {"messages": 1, "every": "1s"}},
               lambda queue: world.publish(queue))
    with world.controller("active") as pid:
        until("a worker of each", lambda: len(list(creates(world.cluster, "sluice", world.started))) >= ACTIVE)
        started = max(end for _, end in creates(world.cluster, "sluice", world.started)) - world.started
        time.sleep(30)
        begin, before, ticks = time.time(), processor_seconds(pid), looks(world)
        time.sleep(60)
        end, used = time.time(), processor_seconds(pid) - before
        ticks = [now - then for now, then in zip(looks(world), ticks)]
    writes = [event for event in world.cluster.audit()
              if "sluice" in event.get("userAgent", "") and event["verb"] not in ("get", "list", "watch")
              and begin <= stamp(event["stageTimestamp"]) < end]
    world.clear()
    return started, len(writes) / 60, used, ticks


def show(what, measured, wanted="", keda=""):
    print(f"{what:58} {measured:>10}  {wanted:>8}  {keda}", flush=True)


def show_reaction(world):
    for every, wanted, keda in (("1s", "0.60 s", "0.53 s"), ("adaptive", "0.25 s", "19 s (its 30 s)")):
        took = reaction(world, every)
        show(f"publish -> Job, every: {every}, median of {len(took)}", f"{statistics.median(took):.2f} s",
             wanted, keda)


def show_burst(world):
    took, body = burst(world)
    bare = bare_burst(world, body)
    show(f"{BURST} Jobs, from the first request to the last answer", f"{took:.2f} s", "0.70 s", "3.5 s")
    show("  the same by curl, 32 at a time", f"{bare:.2f} s")
    show("  sluice's part of its speed", f"{bare / took:.0%}", "90 %")


def show_active(world):
    started, writes, used, (ticks, late) = active(world)
    show(f"{ACTIVE} active pools at 1 s: all have their worker after", f"{started:.2f} s", "",
         "65 of 100 after 401 s")
    show("  writes to the API server a second", f"{writes:.2f}", "4.00", "20")
    show("  processor of one core", f"{used / 60:.1%}")
    show("  looks a minute", f"{ticks:.0f}", f"{60 * ACTIVE}", "2.6 s late each")
    show("  times the loop was more than 0.25 s late", f"{late:.0f}", "0")


def show_idle(world):
    polled, used, held = idle(world)
    show(f"{IDLE} idle pools at 30 s: all looked at after", f"{polled:.2f} s", "1.50 s", "146 s")
    show("  processor a minute", f"{used:.2f} s", "0.20 s", "3.96 s")
    show("  resident memory", f"{held:.1f} MB", "30 MB", "301 MB")


PARTS = {"reaction": show_reaction, "burst": show_burst, "active": show_active, "idle": show_idle}


def main():
    parts = sys.argv[1:] or ["reaction", "burst", "active", "idle"]
    with tempfile.TemporaryDirectory() as folder, Cluster() as cluster:
        world = World(cluster, pathlib.Path(folder))
        try:
            show("", "sluice", "wanted", "KEDA 2.20")
            for part in parts:
                PARTS[part](world)
        finally:
            world.close()


if __name__ == "__main__":
    main()
