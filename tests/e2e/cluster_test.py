# SPDX-License-Identifier: Apache-2.0
"""The cluster of the tests is what it is taken for: a real one, with the nodes, names, records, faults it promises."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from e2e import ROOT, contains, equal, job, main, pod_spec, test, wait_until
from cluster import Cluster
from components import PROXY_PORT
from world import began

CLI = ROOT / "tests/e2e/cluster/cluster.py"
NOBODY = "192.0.2.1"  # of RFC 5737: for documents, and nobody's


def serving(k8s, name="web"):
    """A pod that serves "hello from NAME" on port 8080, and a Service of that name for it on port 80."""
    serve = f"echo hello from {name} > /tmp/index.html && exec httpd -f -p 8080 -h /tmp"
    k8s.create("pods", {"metadata": {"name": name, "labels": {"app": name}}, "spec": {
        **pod_spec("sh", "-c", serve), "hostname": "first", "subdomain": f"{name}-pods"}})
    ports = [{"port": 80, "targetPort": 8080}]
    k8s.create("services", {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}})
    k8s.create("services", {"metadata": {"name": f"{name}-pods"}, "spec": {
        "clusterIP": "None", "selector": {"app": name}, "ports": ports}})
    k8s.wait("the server", lambda: k8s.api.condition(k8s.path("pods", name), "Ready") == "True")


@test("a Job of the first image completes on the real node, and its log can be read")
def _(k8s):
    k8s.create("jobs", job("hello", pod_spec("sh", "-c", "echo hello from $(hostname)")))
    equal(k8s.ended("hello"), "Complete", "the Job")
    pod, = k8s.pods_of("hello")
    equal(pod["spec"]["nodeName"], "node-0", "its node")
    equal(k8s.log(pod["metadata"]["name"]), f"hello from {pod['metadata']['name']}\n", "its log")


@test("a container over its memory limit is killed, and one that is asked to end may drain")
def _(k8s):
    spec = pod_spec("sh", "-c", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}")
    spec["containers"][0]["resources"] = {"limits": {"memory": "32Mi"}}
    k8s.create("jobs", job("greedy", spec))
    k8s.create("pods", {"metadata": {"name": "patient"}, "spec": {**pod_spec(
        "sh", "-c", "trap 'echo drained > /dev/termination-log; exit 0' TERM; while :; do sleep 0.1; done"),
        "terminationGracePeriodSeconds": 20}})
    k8s.wait("it to run", lambda: k8s.api.condition(k8s.path("pods", "patient"), "Ready") == "True")
    version = k8s.get("pods", "patient")["metadata"]["resourceVersion"]
    k8s.delete("pods", "patient")
    words = []
    for event in k8s.api.watch(k8s.path("pods"), fieldSelector="metadata.name=patient", resourceVersion=version):
        state = event["object"]["status"]["containerStatuses"][0]["state"]
        words.append(state.get("terminated", {}).get("message"))
        if event["type"] == "DELETED":
            break
    contains(words, "drained\n", "its last words")
    equal(k8s.ended("greedy"), "Failed", "the Job")
    ended = k8s.pods_of("greedy")[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    equal(ended["exitCode"], 137, "exit code")


@test("nodes of KWOK run 50 Jobs, which end as their annotations say")
def _(k8s):
    pool = f"fake-{k8s.name}"
    equal(k8s.cluster.nodes(pool, 3, cpu="2"), [f"{pool}-0", f"{pool}-1", f"{pool}-2"], "nodes")
    words = {"sluice.test/start": "1s", "sluice.test/run": "1s", "sluice.test/words": '{"done":3}'}
    for number in range(50):
        fails = {"sluice.test/fail": "3", "sluice.test/reason": "OOMKilled"} if number % 10 == 9 else {}
        k8s.create("jobs", job(f"j{number}", pod_spec(pool=pool, cpu="100m"), {**words, **fails}))
    k8s.wait("all to end", lambda: all(k8s.job_state(f"j{number}") for number in range(50)))
    equal([n for n in range(50) if k8s.job_state(f"j{n}") == "Failed"], [9, 19, 29, 39, 49], "failed Jobs")
    pods = k8s.list("pods")
    equal({pod["spec"]["nodeName"] for pod in pods} <= {f"{pool}-{n}" for n in range(3)}, True, "on these nodes")
    ends = {(end["exitCode"], end["reason"], end["message"]) for pod in pods
            for end in [pod["status"]["containerStatuses"][0]["state"]["terminated"]]}
    equal(ends, {(0, "Completed", '{"done":3}'), (3, "OOMKilled", '{"done":3}')}, "how containers ended")


@test("a pod on a node of KWOK can wait for its image, become ready late, run until it is deleted, and drain")
def _(k8s):
    pool = f"slow-{k8s.name}"
    k8s.cluster.nodes(pool, 1)
    begin = time.monotonic()
    k8s.create("jobs", job("stuck", pod_spec(pool=pool), {"sluice.test/wait": "ImagePullBackOff"}))
    k8s.create("jobs", job("late", pod_spec(pool=pool), {"sluice.test/ready": "2s", "sluice.test/drain": "1s"}))

    def status(name):
        return (k8s.pods_of(name) or [{}])[0].get("status", {})

    def ready(name):
        return next((c["status"] for c in status(name).get("conditions", []) if c["type"] == "Ready"), None)

    k8s.wait("it to run", lambda: status("late").get("phase") == "Running")
    equal(ready("late"), "False", "ready at once")
    k8s.wait("it to be ready", lambda: ready("late") == "True")
    equal(time.monotonic() - begin > 2, True, "ready after 2 s and no sooner")
    waiting = status("stuck")["containerStatuses"][0]["state"]["waiting"]
    equal((status("stuck")["phase"], waiting["reason"]), ("Pending", "ImagePullBackOff"), "one without its image")
    stuck = k8s.pods_of("stuck")[0]["metadata"]["name"]
    k8s.api.patch(k8s.path("pods", stuck), {"metadata": {"annotations": {"sluice.test/wait": None}}})
    k8s.wait("the image to be there", lambda: status("stuck").get("phase") == "Running")
    k8s.delete("jobs", "late", propagationPolicy="Background")
    k8s.wait("the pod to go", lambda: not k8s.pods_of("late"), 30)


@test("a node appears some time after a pod of its group fits nowhere, up to the maximum, and an idle one goes")
def _(k8s):
    group = f"group-{k8s.name}"
    k8s.cluster.node_group(group, most=2, delay="3s", idle="3s", cpu="3", pods=10)
    try:
        foreign = job("foreign", pod_spec(pool="elsewhere"))
        k8s.create("jobs", foreign)  # of no group: nobody's node comes for it
        begin = time.monotonic()
        for number in range(8):  # of one core: six find a place
            k8s.create("jobs", job(f"j{number}", pod_spec(pool=group, cpu="1")))

        def places():
            return sorted(pod["spec"].get("nodeName", "") for pod in k8s.list("pods"))

        k8s.wait("six to run", lambda: sum(1 for place in places() if place) == 6, 30)
        equal(time.monotonic() - begin > 3, True, "no node before its time")
        equal(set(places()), {"", f"{group}-0", f"{group}-1"}, "nodes")
        k8s.wait("the autoscaler's words", lambda: {"TriggeredScaleUp", "NotTriggerScaleUp"} <= {
            event["reason"] for event in k8s.events()}, 20)
        told = [event["message"] for event in k8s.events() if event["reason"] == "NotTriggerScaleUp"]
        contains(told, "pod didn't trigger scale-up: 1 max node group size reached", "why not a third")
        for number in range(8):
            k8s.delete("jobs", f"j{number}", propagationPolicy="Background")
        k8s.wait("idle nodes to go", lambda: not k8s.api.list(
            "/api/v1/nodes", labelSelector=f"sluice.test/pool={group}"), 30)
    finally:
        k8s.cluster.stop_node_group(group)


@test("a pod finds Services and pods by their names, sees the names a test has changed, and reaches nothing outside")
def _(k8s):
    serving(k8s)
    zone = f"{k8s.name}.svc.cluster.local"
    k8s.cluster.set_name(f"elsewhere.{zone}", [k8s.get("services", "web")["spec"]["clusterIP"]])
    k8s.cluster.set_name(f"broken.{zone}", "servfail")
    said = k8s.run("asks", "; ".join(f"curl -sS -m 5 http://{name} 2>&1 | head -n 1" for name in (
        f"web.{zone}", "web", f"elsewhere.{zone}", f"first.web-pods.{zone}:8080", f"nobody.{zone}", f"broken.{zone}",
        "example.com", NOBODY)))
    hello, *refusals = said.splitlines()[0], *said.splitlines()[4:]
    equal(said.splitlines()[:4], ["hello from web"] * 4, "what is served")
    equal(hello, "hello from web", "the first answer")
    for name, refusal in zip((f"nobody.{zone}", f"broken.{zone}", "example.com"), refusals):
        contains(refusal, f"Could not resolve host: {name}", "a name that is none")
    contains(refusals[3], "curl:", "an address outside")
    equal(len(refusals), 4, said)


@test("a name of many addresses is answered whole, and one that is to be silent is not answered")
def _(k8s):
    def ask(name):
        done = subprocess.run(k8s.cluster.command(["getent", "ahostsv4", name]), capture_output=True, text=True)
        return sorted({line.split()[0] for line in done.stdout.splitlines()})

    many = sorted(f"198.51.100.{number}" for number in range(1, 101))  # more than a packet of 512 bytes holds
    k8s.cluster.set_name("many.test", many)
    equal(ask("many.test"), many, "addresses")
    k8s.cluster.set_name("many.test", None)
    equal(ask("many.test"), [], "afterwards")
    k8s.cluster.set_name("silent.test", "silent")
    begin = time.monotonic()
    equal(ask("silent.test"), [], "addresses")
    equal(time.monotonic() - begin >= 2, True, "two questions, each waited for")


@test("a program of the test is in the cluster's network and knows its names; a pod reaches a server of the test")
def _(k8s):
    serving(k8s)
    get = ["curl", "-sS", "-m", "5", f"http://web.{k8s.name}.svc.cluster.local"]
    said = k8s.wait("kube-proxy to know the pod", lambda: subprocess.run(
        k8s.cluster.command(get), capture_output=True, text=True).stdout, 10)
    equal(said, "hello from web\n", "what it is served")
    server = subprocess.Popen(k8s.cluster.command(
        [sys.executable, "-m", "http.server", "--bind", "10.88.0.1", "18080", "--directory", k8s.cluster.logs]),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        contains(k8s.run("calls", "curl -sS --retry 20 --retry-connrefused --retry-delay 1 http://10.88.0.1:18080/"),
                 "audit.jsonl", "what the server lists")
    finally:
        server.kill()
        server.wait()


@test("a pod is to the API server the service account it runs as, with that one's rights and no more")
def _(k8s):
    k8s.create("roles", {"metadata": {"name": "reader"}, "rules": [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}]})
    k8s.create("rolebindings", {
        "metadata": {"name": "reader"}, "subjects": [{"kind": "ServiceAccount", "name": "default"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}})
    ask = ('S=/var/run/secrets/kubernetes.io/serviceaccount; for P in "$@"; do curl -sS -m 10 -o /dev/null '
           '-w "%{http_code}\\n" --cacert $S/ca.crt -H "Authorization: Bearer $(cat $S/token)" "$P"; done')
    paths = [f"https://kubernetes.default.svc{k8s.path('jobs')}", f"https://10.88.0.1:{PROXY_PORT}{k8s.path('jobs')}",
             f"https://kubernetes.default.svc{k8s.path('secrets')}"]
    said = k8s.run("asks", f"set -- {' '.join(paths)}; {ask}")
    equal(said.split(), ["200", "200", "403"], "answers")
    user = f"system:serviceaccount:{k8s.name}:default"
    seen = [event["responseStatus"]["code"] for event in k8s.cluster.audit() if event["user"]["username"] == user]
    equal(seen, [200, 200, 403], "as the audit log has it")


@test("the audit log says who created a Job, with its body and its place in the order of all writes")
def _(k8s):
    def seen(resource):
        return [event for event in k8s.cluster.audit() if event.get("objectRef", {}).get("namespace") == k8s.name
                and event["objectRef"]["resource"] == resource]

    made = k8s.create("jobs", job("told", pod_spec("true")))
    pod = k8s.wait("its pod", lambda: k8s.pods_of("told"))[0]["metadata"]["name"]
    k8s.wait("it to be bound", lambda: k8s.get("pods", pod)["spec"].get("nodeName"))
    k8s.delete("jobs", "told", propagationPolicy="Background")

    def writes():
        return [event for event in seen("jobs") if event["user"]["username"] == "admin"
                and event["verb"] in ("create", "delete")]

    create, delete = wait_until(lambda: len(writes()) == 2 and writes(), 10, "both writes")
    equal((create["verb"], create["responseStatus"]["code"], create["requestObject"]["metadata"]["name"],
           create["responseObject"]["metadata"]["uid"], create["responseObject"]["metadata"]["resourceVersion"]),
          ("create", 201, "told", made["metadata"]["uid"], made["metadata"]["resourceVersion"]), "the create")
    equal((delete["verb"], delete["objectRef"]["name"], delete["requestObject"]["propagationPolicy"]),
          ("delete", "told", "Background"), "the delete")
    bound = [event["requestObject"]["target"]["name"] for event in seen("pods")
             if event["objectRef"].get("subresource") == "binding"]
    equal(bound, ["node-0"], "where its pod was bound")


@test("helm installs a chart, and takes it away again")
def _(k8s):
    with tempfile.TemporaryDirectory(prefix="sluice-chart-") as folder:
        chart = pathlib.Path(folder)
        (chart / "templates").mkdir()
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
        (chart / "templates/map.yaml").write_text(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\n"
            "data: {answer: {{ .Values.a | quote }}}\n")
        k8s.cluster.helm("install", "one", folder, "--namespace", k8s.name, "--set", "a=42", "--wait")
    equal(k8s.get("configmaps", "one")["data"], {"answer": "42"}, "what it made")
    k8s.cluster.helm("uninstall", "one", "--namespace", k8s.name, "--wait")
    equal(k8s.get("configmaps", "one"), None, "what it left")


def cmdline(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""  # gone since


def cli(state, *words):
    done = subprocess.run([sys.executable, CLI, "--state", state, *words], capture_output=True, text=True)
    equal(done.returncode, 0, f"{words} said {done.stderr}, exit code")
    return done.stdout


def machine():
    """What a cluster could leave on it: mounts, settings, files of programs."""
    return ({line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()},
            {name: pathlib.Path(f"/proc/sys/{name}").read_text() for name in (
                "vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")},
            [sorted(os.listdir(folder)) for folder in ("/run", "/var/lib", "/var/log")])


def live_namespaces():
    found = set()
    for pid in os.listdir("/proc"):
        if pid.isdigit() and began(pid):
            with contextlib.suppress(OSError):  # gone since
                found |= {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt", "pid")}
    return found


def use_and_leave(state):
    """Takes a second cluster up and down again, with a pod and a program of the test still running in it."""
    cli(state, "up")
    second, pods = Cluster(state), "/api/v1/namespaces/default/pods"
    contains(cli(state, "run", "kubectl", "get", "nodes"), "node-0", "nodes")
    second.api.post(pods, {"metadata": {"name": "stays"}, "spec": pod_spec("sleep", "1000")})
    wait_until(lambda: second.api.condition(f"{pods}/stays", "Ready") == "True", 60, "the pod")
    started = second.pid("kubelet")
    cli(state, "up")
    equal(second.pid("kubelet"), started, "the kubelet, when up comes again")

    world = second.world
    pids, cgroups = [*world.processes()], world.cgroups()
    namespaces = {os.readlink(f"/proc/{started}/ns/{kind}") for kind in ("net", "mnt", "pid")}
    equal(any("sleep" in argv[0] for argv in world.processes().values()), True, "the pod is one of them")
    equal(any("pod" in path.name for path in cgroups), True, "the pod has a cgroup")
    outside = subprocess.Popen(second.command(["sleep", "1000"]))
    wait_until(lambda: "sleep" in cmdline(outside.pid), 10, "it to run")
    cli(state, "down")
    equal(outside.wait(10), -signal.SIGKILL, "the end of a program in its network")
    equal([pid for pid in pids if began(pid)], [], "processes left")
    equal([path for path in cgroups if path.exists()] + world.cgroups(), [], "cgroups left")
    equal(namespaces & live_namespaces(), set(), "namespaces left")


@test("down leaves nothing: no process, mount, namespace, cgroup or file of it")
def _(_):
    with tempfile.TemporaryDirectory(prefix="sluice-e2e-second-") as folder:
        before, state = machine(), pathlib.Path(folder) / "state"
        try:
            use_and_leave(state)
        finally:
            cli(state, "down")  # of nothing is no error
        equal(state.exists(), False, "its folder")
        equal(machine(), before, "the machine")


@test("a cluster of a test that is killed is gone with it")
def _(k8s):
    script = ("import sys, time; sys.path.insert(0, sys.argv[1]); from cluster import Cluster; "
              "c = Cluster(node=False).up(); print(c.world.name, c.folder, flush=True); time.sleep(1000)")
    test_program = subprocess.Popen([sys.executable, "-c", script, CLI.parent], stdout=subprocess.PIPE, text=True)
    name, folder = test_program.stdout.readline().split()
    test_program.kill()
    test_program.wait()
    wait_until(lambda: not os.path.exists(folder), 20, "its folder to go")
    equal([path for path in pathlib.Path("/sys/fs/cgroup").glob(f"*/{name}")], [], "cgroups left")
    mine = pathlib.Path(folder).name
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and began(pid) and mine in cmdline(pid)]
    equal(left, [], "processes left")


import cluster_faults  # noqa: E402 F401  its tests come last

main()
