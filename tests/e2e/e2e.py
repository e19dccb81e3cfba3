# SPDX-License-Identifier: Apache-2.0
"""What every test on the real cluster shares: one cluster for a script, a namespace for each test, the closing line.

    from e2e import equal, main, test, wait_until

    @test("a Job of the first image runs on the real node")
    def _(k8s):
        k8s.create("jobs", {...})
        k8s.wait("the Job to end", lambda: k8s.job_state("hello") == "Complete")

    main()

- `k8s` is a Namespace of its own, gone after the test; `k8s.cluster` is the Cluster (cluster/cluster.py).
- A test that fails shows the namespace's events and pods; the logs of the cluster of a failed script are kept in
  build/e2e/log/SCRIPT.
- SLUICE_E2E_CLUSTER=DIR takes the cluster that runs there (cluster.py --state DIR up) and leaves it: 10 s less a run.
- `main()` runs all tests, or those whose name contains a word of the command line, prints a line each and at the end
  `N passed, N failed`; with SLUICE_RESULTS=DIR the counts are also written there.
- `needs(why)` has every test of the script skipped, and said aloud, where `why` is not empty; `scaled(quick, full)` is
  `full` with SLUICE_SOAK=1.
- `main(side_by_side=4)` runs so many tests at a time, each in a thread: for tests that mostly wait. Faults that such a
  test made are its own to heal.
"""

import os
import pathlib
import shutil
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
for _folder in ("tests/e2e/cluster", "tests/integration", "tests/tools"):
    sys.path.insert(0, str(ROOT / _folder))

from api import ApiError  # noqa: E402
from cluster import Cluster  # noqa: E402
from components import IMAGE  # noqa: E402
from lib import contains, equal, missing, needs, report, scaled  # noqa: E402 F401
from waiting import wait_until  # noqa: E402 F401

GROUPS = {"jobs": "/apis/batch/v1", "deployments": "/apis/apps/v1", "statefulsets": "/apis/apps/v1",
          "roles": "/apis/rbac.authorization.k8s.io/v1", "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
          "leases": "/apis/coordination.k8s.io/v1", "workerpools": "/apis/sluice.dev/v1alpha1"}
ON_KWOK = {"tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]}

_tests = []


def test(name):
    """Registers a function of one argument, the Namespace. The name is a sentence of behaviour."""

    def register(function):
        _tests.append((name, function))
        return function

    return register


def pod_spec(*command, pool="real", cpu="10m", memory="16Mi", **more):
    """A pod of one container `c`: the first image on the real node, or any on a node group of KWOK."""
    container = {"name": "c", "image": IMAGE, "imagePullPolicy": "Never",
                 "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    if command:
        container["command"] = list(command)
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [container],
            "nodeSelector": {"sluice.test/pool": pool}, **more}
    return spec if pool == "real" else {**ON_KWOK, **spec}


def job(name, spec, annotations=None, **more):
    template = {"metadata": {"annotations": annotations or {}}, "spec": spec}
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template, **more}}


class Namespace:
    """One namespace. `kind` is a plural: jobs, pods, services, .."""

    def __init__(self, cluster, name):
        self.cluster, self.name, self.api = cluster, name, cluster.api
        self.api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(lambda: self._there(account), 20, "the namespace's service account", 0.02)

    def _there(self, path):
        try:
            return self.api.get(path)
        except ApiError as problem:
            if problem.code != 404:
                raise
            return None

    def path(self, kind, name=""):
        return f"{GROUPS.get(kind, '/api/v1')}/namespaces/{self.name}/{kind}" + (f"/{name}" if name else "")

    def create(self, kind, body):
        return self.api.post(self.path(kind), body)

    def get(self, kind, name):
        """None if there is none."""
        return self._there(self.path(kind, name))

    def list(self, kind, **query):
        return self.api.list(self.path(kind), **query)

    def delete(self, kind, name, **options):
        return self.api.delete(self.path(kind, name), options or None)

    def wait(self, what, condition, timeout=60.0):
        return wait_until(condition, timeout, what, 0.1)

    def job_state(self, name):
        """Complete, Failed, or "" while it runs."""
        found = [one["type"] for one in self.get("jobs", name).get("status", {}).get("conditions", [])
                 if one["status"] == "True"]
        return next((state for state in ("Complete", "Failed") if state in found), "")

    def ended(self, name, timeout=60.0):
        """Waits for a Job's end; its state then."""
        return self.wait(f"Job {name} to end", lambda: self.job_state(name), timeout)

    def pods_of(self, job_name):
        return self.list("pods", labelSelector=f"job-name={job_name}")

    def run(self, name, script, timeout=60.0):
        """What a shell script printed, run to its end in a pod of the first image on the real node."""
        self.create("pods", {"metadata": {"name": name}, "spec": pod_spec("sh", "-c", script)})
        self.wait(f"pod {name} to end",
                  lambda: self.get("pods", name).get("status", {}).get("phase") in ("Succeeded", "Failed"), timeout)
        return self.log(name)

    def log(self, pod):
        return self.api.get(self.path("pods", f"{pod}/log"))

    def events(self):
        """Oldest first."""
        return sorted(self.list("events"), key=lambda e: e["lastTimestamp"] or e["metadata"]["creationTimestamp"])

    def show(self):
        """For whoever reads why a test failed."""
        for pod in self.list("pods"):
            print(f"--- pod {pod['metadata']['name']} on {pod['spec'].get('nodeName')}: {pod.get('status')}")
        for event in self.events()[-20:]:
            print(f"--- {event['involvedObject']['name']}: {event['reason']}: {event['message']}")

    def remove(self):
        """Asks for its end, which takes some seconds, and does not wait."""
        self.api.delete(f"/api/v1/namespaces/{self.name}")


def _run_one(cluster, number, name, function, alone):
    begin, failure, namespace = time.monotonic(), None, None
    try:
        namespace = Namespace(cluster, f"t{number}-{os.getpid()}")
        function(namespace)
    except BaseException as problem:  # a KeyboardInterrupt must not leave it behind either
        failure = problem
        traceback.print_exception(problem)
    try:
        if alone:
            cluster.faults.heal()
        if namespace is not None:
            if failure is not None:
                namespace.show()
            namespace.remove()
    except (OSError, RuntimeError) as problem:
        print(problem)
        failure = failure or problem
    print(f"{'ok    ' if failure is None else 'FAILED'} {time.monotonic() - begin:7.2f} s  {name}", flush=True)
    if failure is not None and not isinstance(failure, Exception):
        raise failure
    return failure is None


def _run_all(cluster, chosen, side_by_side):
    """How many passed."""
    if side_by_side == 1:
        return sum(_run_one(cluster, number, *one, True) for number, one in enumerate(chosen))
    with ThreadPoolExecutor(side_by_side) as threads:
        running = [threads.submit(_run_one, cluster, number, *one, False) for number, one in enumerate(chosen)]
        try:
            return sum(one.result() for one in running)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def main(side_by_side=1):
    words = sys.argv[1:]
    suite = pathlib.Path(sys.argv[0]).stem
    chosen = [(name, function) for name, function in _tests if not words or any(word in name for word in words)]
    if not chosen:
        print("no test has such a name")
        report(suite, 0, 1)
        sys.exit(1)
    if missing():
        print(f"SKIPPED {len(chosen)} tests: {missing()}")
        report(suite, 0, 0, len(chosen))
        sys.exit(0)
    kept = os.environ.get("SLUICE_E2E_CLUSTER")
    cluster, passed = Cluster(kept), 0
    logs = ROOT / "build/e2e/log" / suite
    shutil.rmtree(logs, ignore_errors=True)
    try:
        cluster.up(say=lambda text: print(f"       {text}", flush=True))
        passed = _run_all(cluster, chosen, side_by_side)
    except Exception as problem:
        traceback.print_exception(problem)
    finally:
        if not kept:
            cluster.down(keep_logs=None if passed == len(chosen) else logs)
    failed = len(chosen) - passed
    if failed and not kept:
        print(f"the cluster's logs: {logs}")
    report(suite, passed, failed)
    sys.exit(0 if failed == 0 else 1)
