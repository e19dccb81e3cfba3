# SPDX-License-Identifier: Apache-2.0
"""The README's story on a real cluster, by the scripts that a new user types: bin/demo-up, -watch, -publish, -down.

RabbitMQ is the chart's StatefulSet, the publisher the chart's Job, workers are pods of the image that `make image`
left. What was done is counted from the workers' own lines, one for each message, not from anybody's sum.
"""

import datetime
import json
import os
import subprocess
import sys
import time

from demo_images import sluice_image
from e2e import ROOT, contains, equal, main, test

RABBITMQ = "sluice.test/rabbitmq:1"
SPACE = "sluice-demo"
MESSAGES = 200


def images(cluster):
    """Has both images on the node; the name of sluice's."""
    rabbit = cluster.folder / "rabbitmq.tar"
    subprocess.run([sys.executable, ROOT / "tests/e2e/rabbit_image.py", rabbit, RABBITMQ], check=True,
                   stdout=subprocess.DEVNULL)
    return sluice_image(cluster, rabbit)


def script(cluster, name, *words, timeout=420):
    """Runs bin/NAME as a user of that cluster would; what it printed."""
    done = subprocess.run(cluster.command([ROOT / "bin" / name, *words], names=False), cwd=ROOT, text=True,
                          env={**os.environ, **cluster.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout)
    equal(done.returncode, 0, f"bin/{name}: {done.stdout}")
    return done.stdout


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Watched:
    """What was seen of the workers, look by look."""

    def __init__(self, api):
        self.api, self.ready, self.begun, self.most, self.unready = api, set(), {}, 0, []

    def jobs(self):
        return self.api.list(f"/apis/batch/v1/namespaces/{SPACE}/jobs", labelSelector="sluice.dev/pool")

    def pods(self):
        return self.api.list(f"/api/v1/namespaces/{SPACE}/pods", labelSelector="sluice.dev/pool")

    def look(self):
        """Jobs first, then pods: who was ready before the youngest Job is seen to be."""
        jobs, pods = self.jobs(), self.pods()
        for pod in pods:
            conditions = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", [])}
            if conditions.get("Ready") == "True" or pod["status"].get("phase") in ("Succeeded", "Failed"):
                self.ready.add(pod["metadata"]["ownerReferences"][0]["uid"])
        fresh = [job for job in jobs if job["metadata"]["uid"] not in self.begun]
        for job in fresh:
            self.unready += [job["metadata"]["name"]] if set(self.begun) - self.ready else []
        for job in fresh:
            self.begun[job["metadata"]["uid"]] = seconds(job["metadata"]["creationTimestamp"])
        live = [job for job in jobs if not job.get("status", {}).get("completionTime")]
        self.most = max(self.most, len(live))
        return len(live)


def pool_of(api):
    return api.get(f"/apis/sluice.dev/v1alpha1/namespaces/{SPACE}/workerpools/orders").get("status", {})


def settled(k8s, watched):
    """Every settled message that a worker's pod tells of: {id: [outcome, ..]}."""
    out = {}
    for pod in watched.pods():
        log = k8s.api.get(f"/api/v1/namespaces/{SPACE}/pods/{pod['metadata']['name']}/log")
        for line in log.splitlines():
            told = json.loads(line) if line.startswith("{") else {}
            if told.get("event") == "message":
                out.setdefault(told["id"], []).append(told["outcome"])
    return out


def until_idle(k8s, watched, confirmed, timeout):
    """Looks until the queue is empty and every worker has left."""
    end = time.monotonic() + timeout
    while True:
        live, status = watched.look(), pool_of(k8s.api)
        # The status is written every 30 s at most: the workers' own lines say when all is done.
        if live == 0 and watched.begun and len(settled(k8s, watched)) >= confirmed:
            return
        assert time.monotonic() < end, f"not idle after {timeout} s: {live} workers, {status}"
        time.sleep(0.2)  # between two looks


def outlives(k8s, watched):
    """Workers that run while the chart is upgraded, and then uninstalled, end as if nothing had been."""
    at_work = {pod["metadata"]["uid"] for pod in watched.pods() if pod["status"].get("phase") in ("Pending", "Running")}
    assert at_work, "a worker that runs"
    k8s.cluster.helm("upgrade", "sluice", ROOT / "deploy/charts/sluice", "--namespace", SPACE, "--reuse-values",
                     "--set", "podAnnotations.upgraded=yes", "--wait", "--timeout", "120s")
    k8s.cluster.helm("uninstall", "sluice", "--namespace", SPACE, "--wait", "--timeout", "120s")
    k8s.wait("every worker to leave", lambda: watched.look() == 0, 120)
    ends = {pod["metadata"]["uid"]: pod["status"]["phase"] for pod in watched.pods()}
    equal({ends.get(uid) for uid in at_work}, {"Succeeded"}, "how the workers ended that ran at the upgrade")
    equal(len(settled(k8s, watched)), MESSAGES + 30, "messages that were done")


@test("bin/demo-up, -watch, -publish and -down do what the README says; workers outlive the chart")
def _(k8s):
    cluster = k8s.cluster
    image = images(cluster)
    begin = time.monotonic()
    said = script(cluster, "demo-up", "--yes", "--image", image, "--rabbitmq-image", RABBITMQ,
                  "--no-persistence", "--work", "1s", "--demo-set", "worker.output=json")
    up = time.monotonic() - begin
    contains(said, "demo-watch")
    watched = Watched(k8s.api)
    try:
        until_idle(k8s, watched, MESSAGES, 400)
        took = time.monotonic() - begin
        done = settled(k8s, watched)
        equal(len(done), MESSAGES, "messages that were done")
        equal({outcome for outcomes in done.values() for outcome in outcomes}, {"done"}, "outcomes")
        equal([one for one, outcomes in done.items() if len(outcomes) > 1], [], "messages that were done twice")
        equal(watched.unready, [], "Jobs that came before the one before them was ready")
        starts = sorted(watched.begun.values())
        gaps = [later - earlier for earlier, later in zip(starts, starts[1:])]
        assert len(starts) >= 3 and min(gaps) >= 8, f"workers at 10 s intervals: {gaps}"
        k8s.wait("the pool to be seen empty", lambda: pool_of(k8s.api).get("backlog") == 0, 60)
        contains(script(cluster, "demo-watch", "--yes", "--once"), "orders")
        print(f"       up after {up:.0f} s; {MESSAGES} messages done by {len(starts)} workers, {watched.most} at a "
              f"time, all gone after {took:.0f} s; seconds between them: {[round(gap) for gap in gaps]}")
        contains(script(cluster, "demo-publish", "--yes", "30"), '"confirmed":30,"failed":0')
        k8s.wait("a worker for those", lambda: watched.look() > 0)
        outlives(k8s, watched)
    except BaseException:
        for words in (["get", "events", "--sort-by", ".lastTimestamp"], ["get", "pods,jobs,workerpools", "-o", "wide"],
                      ["describe", "workerpools"], ["logs", "deployment/sluice", "--tail", "60"]):
            print(cluster.kubectl("-n", SPACE, *words, check=False).stdout[-6000:])
        raise
    script(cluster, "demo-down", "--yes", "--crd")
    gone = cluster.kubectl("get", "namespace", SPACE, check=False)
    contains(gone.stderr, "not found")


main()
