#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster on this machine, in a world of its own, for tests: etcd, API server, controller manager,
scheduler, one real node (kubelet, kube-proxy, containerd, runc), and as many nodes played by KWOK as are wanted.

    cluster.py up               # builds what is missing, starts it: 8 s to a ready node; again: what has died
    cluster.py run CMD..        # a program in its network, with its KUBECONFIG, kubectl and helm in PATH, its names
    cluster.py env              # lines for a shell: eval "$(cluster.py env)", then $SLUICE_E2E_RUN CMD..
    cluster.py load FILE.tar..  # images for the real node; pods say imagePullPolicy: Never
    cluster.py down             # all of it away

From Python:

    with Cluster() as cluster:                              # in a temporary folder; gone when the process is gone
        cluster.api.post("/api/v1/namespaces", {...})       # as the administrator; see api.py
        cluster.nodes("small", 3, cpu="4")                  # KWOK's; their pods are steered by annotations: stages.yaml
        cluster.node_group("late", most=2, delay="30s")     # its nodes come when pods wait for them
        cluster.faults.rule(method="POST", path="jobs$", action="commit-drop", times=1)   # see fault_proxy.py
        subprocess.run(cluster.command([program, ...]))     # in its network; killed by its id as usual
        with cluster.network(): serve(("10.88.0.1", 8080))  # a server of the test's, which pods reach
        for event in cluster.audit(): ...                   # who wrote what so far
        cluster.set_name("rabbitmq.demo.svc.cluster.local", "servfail")      # what its name server says of a name

Services are at NAME.NAMESPACE.svc.cluster.local. Pods reach the API server at kubernetes.default.svc, the same through
the fault proxy at https://10.88.0.1:6444, and nothing outside. Needs root, Go 1.26 and the packages of tools/setup e2e.
SLUICE_E2E_BIN=DIR takes programs that were built already.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import image
from api import Api
from components import (API_HOSTS, API_PORT, CONTROL_PORT, IMAGE, LESS_COLLECTING, NODE, PROXY_PORT, SERVICES,
                        Components)
from fault_proxy import Faults
from pki import Pki
from world import BRIDGE, HOST, World

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# Where each program is from, for those who lack it; see tools/setup.
PROGRAMS = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "busybox": "busybox-static",
            "iptables": "iptables", "ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux",
            "openssl": "openssl", "curl": "curl", "sysctl": "procps"}
CNI_PLUGINS = pathlib.Path("/usr/lib/cni")


class Missing(Exception):
    """Something that this machine must have. One sentence each."""


def missing():
    """What this machine lacks, one sentence each."""
    said = []
    if os.geteuid() != 0:
        said.append("the test cluster makes namespaces, mounts and cgroups, so it needs root: run it as root")
    for program, package in PROGRAMS.items():
        if not shutil.which(program):
            said.append(f"there is no {program}: tools/setup e2e installs it (Debian package {package})")
    if not (CNI_PLUGINS / "bridge").exists():
        said.append(f"there are no network plugins in {CNI_PLUGINS}: tools/setup e2e installs them (Debian package "
                    "containernetworking-plugins)")
    return said


class Cluster:
    """`folder` is made if it is not there; None: a temporary one, and the cluster ends with this process. `node`: with
    the real node. `apiserver` and `controller_manager`: more of their arguments, which win over those of
    components.py."""

    def __init__(self, folder=None, node=True, apiserver=(), controller_manager=()):
        self._tied = folder is None
        self.folder = pathlib.Path(folder or f"{tempfile.gettempdir()}/sluice-e2e-{uuid.uuid4().hex[:12]}").resolve()
        self.bin = pathlib.Path(os.environ.get("SLUICE_E2E_BIN", ROOT / "build/e2e/bin")).resolve()
        self.logs = self.folder / "log"
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.proxied_kubeconfig = self.folder / "proxied.kubeconfig"  # the same user, through the fault proxy
        self._node, self._more = node, {"apiserver": list(apiserver), "controller_manager": list(controller_manager)}
        self._pki = Pki(self.folder / "pki")
        self._world = World.find(self.folder)
        self._begin = time.monotonic()
        self._say = lambda _: None

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    # Up

    def up(self, say=None):
        """Starts what does not run. `say` is called with each step's name when it is done. Returns itself."""
        self._say = say or (lambda _: None)
        if lacks := missing():
            raise Missing("\n".join(lacks))
        if "SLUICE_E2E_BIN" not in os.environ:
            built = subprocess.run([HERE / "kube/build.sh", self.bin], stdout=sys.stderr, stdin=subprocess.DEVNULL)
            if built.returncode != 0:
                raise Missing("the test cluster's programs could not be built")
        self._begin = time.monotonic()
        for folder in (self.logs, self.folder / "conf", self._pki.folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._pki.folder.chmod(0o700)
        if self._world is None or not self._world.alive:
            self._world = World.create(self.folder, self.bin / "cluster-tools", self._tied)
        try:
            self._certify()
            self._start_control_plane()
            if self._node:
                self._start_node()
        except BaseException:
            if self._tied:
                self.down()
            raise
        return self

    def _step(self, name):
        self._say(f"{time.monotonic() - self._begin:6.2f} s  {name}")

    def _certify(self):
        pki = self._pki
        pki.authority("ca")
        pki.authority("front-proxy-ca")
        pki.signing_pair("sa")
        pki.identity("apiserver", "/CN=kube-apiserver", hosts=API_HOSTS)
        pki.identity("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        pki.identity("front-proxy-client", "/CN=front-proxy-client", "front-proxy-ca")
        pki.identity("kubelet", f"/O=system:nodes/CN=system:node:{NODE}",
                     hosts=[f"IP:{HOST}", "IP:127.0.0.1", f"DNS:{NODE}"])
        for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
            pki.identity(name, f"/CN=system:{name}")
        pki.identity("admin", "/O=system:masters/CN=admin")
        pki.identity("tools", "/O=system:masters/CN=e2e-tools")  # so that the audit log tells them from the test
        server = f"https://{HOST}:{API_PORT}"
        for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "tools"):
            pki.kubeconfig(self.folder / f"conf/{name}.kubeconfig", name, server)
        pki.kubeconfig(self.kubeconfig, "admin", server)
        pki.kubeconfig(self.proxied_kubeconfig, "admin", f"https://{HOST}:{PROXY_PORT}")
        (self.folder / "resolv.conf").write_text(f"nameserver {HOST}\noptions timeout:1 attempts:2\n")
        self._step("certificates")

    @property
    def _components(self):
        return Components(self.folder, self._pki, self.bin, self._world.name)

    def _start(self, name, argv, env=None):
        self._world.start(name, argv, self.logs / f"{name}.log", env)

    def _start_control_plane(self):
        make = self._components
        self._start("etcd", make.etcd(), LESS_COLLECTING)
        self._wait("etcd", lambda: self._serves("http", 2379, "/health"))
        self._start("kube-apiserver", make.kube_apiserver(self.audit_log, self._more["apiserver"]), LESS_COLLECTING)
        self._wait("kube-apiserver", lambda: self.api.get("/readyz"), 60)
        self._start("kube-controller-manager", make.kube_controller_manager(self._more["controller_manager"]),
                    LESS_COLLECTING)
        self._start("kube-scheduler", make.kube_scheduler(), LESS_COLLECTING)
        self._start("kwok", make.kwok(HERE / "stages.yaml"), LESS_COLLECTING)
        self._start("dns", make.dns(self._names))
        self._start("fault-proxy", make.fault_proxy())
        self._wait("kube-controller-manager", lambda: self._serves("https", 10257, "/healthz"))
        self._wait("kube-scheduler", lambda: self._serves("https", 10259, "/healthz"))
        self._wait("kwok", lambda: self._serves("http", 10247, "/healthz"))
        self._wait("fault-proxy", lambda: self.faults.rules() is not None)
        self._wait("dns", lambda: self._listens(HOST, 53))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait("kube-controller-manager", lambda: self.api.get(account), what="the default service account")

    def _start_node(self):
        make = self._components
        # What is for a Service goes to the bridge where kube-proxy knows nothing of it yet, and not out.
        self._world.run(["ip", "route", "replace", SERVICES, "dev", BRIDGE])
        self._start("containerd", make.containerd(self._snapshotter()))
        self._wait("containerd", lambda: self._world.run(make.ctr("version")))
        if IMAGE not in self._world.run(make.ctr("images", "list", "--quiet")).stdout.split():
            image.write(self.folder / "busybox.tar", IMAGE, {"/bin/curl": shutil.which("curl")})
            self.load(self.folder / "busybox.tar")
        self._start("kubelet", make.kubelet())
        self.api.put_new("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
            "metadata": {"name": "kube-proxy"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "system:kube-proxy"}],
            "roleRef": {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io",
                        "name": "system:node-proxier"}})
        self._wait("kubelet", lambda: self.api.condition(f"/api/v1/nodes/{NODE}", "Ready") == "True", 60,
                   "the node to be ready")
        self._start("kube-proxy", make.kube_proxy())
        self._wait("kube-proxy", lambda: self._serves("http", 10256, "/healthz"))

    def _snapshotter(self):
        """overlayfs, or where this folder is on one already, plain copies."""
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            for name in ("lower", "upper", "work", "merged"):
                (pathlib.Path(made) / name).mkdir()
            options = ",".join(f"{name}dir={made}/{name}" for name in ("lower", "upper", "work"))
            done = self._world.run(["mount", "-t", "overlay", "overlay", "-o", options, f"{made}/merged"], check=False)
            if done.returncode == 0:
                self._world.run(["umount", f"{made}/merged"])
            return "overlayfs" if done.returncode == 0 else "native"

    def _serves(self, scheme, port, path):
        url = f"{scheme}://127.0.0.1:{port}{path}"
        return self._world.run(["curl", "-fsk", "-m", "2", url], check=False).returncode == 0

    def _listens(self, host, port):
        with self.network(), socket.create_connection((host, port), 2):
            return True

    def _wait(self, name, condition, seconds=30, what=None):
        """Until it is true, and does not fail. The last lines of its log come with a failure."""
        end, problem = time.monotonic() + seconds, "no"
        while True:
            try:
                if condition():
                    return self._step(what or name)
            except (OSError, RuntimeError) as failure:
                problem = str(failure)
            ended = not self._world.pid_of(name)
            if ended or time.monotonic() > end:
                log = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:]
                raise RuntimeError(f"{name} {'has ended' if ended else f'is not there after {seconds} s'} ({problem}); "
                                   "its log ends:\n" + "\n".join(log))
            time.sleep(0.05)

    # Down

    def down(self, keep_logs=None):
        """Nothing of it is left: no process, mount, namespace, cgroup, file. `keep_logs`: its logs go to this folder,
        the audit log with them. Without a cluster it does nothing."""
        if keep_logs and self.logs.exists():
            shutil.copytree(self.logs, keep_logs, dirs_exist_ok=True)
        if self._world is not None:
            self._world.destroy()
            self._world = None
        shutil.rmtree(self.folder, ignore_errors=True)

    # What a test does with it

    @property
    def world(self):
        if self._world is None or not self._world.alive:
            raise RuntimeError(f"no cluster runs in {self.folder}: cluster.py up starts one")
        return self._world

    @property
    def api(self):
        """The API server, as the administrator."""
        return self.api_as(self._pki.cert("admin"), self._pki.key("admin"))

    def api_as(self, cert=None, key=None, token=None, port=API_PORT):
        return Api(self.world.network, HOST, port, self._pki.cert("ca"), cert, key, token)

    def identity(self, name, groups=()):
        """(certificate, key) of a user of the cluster."""
        self._pki.identity(f"user-{name}", "".join(f"/O={group}" for group in groups) + f"/CN={name}")
        return self._pki.cert(f"user-{name}"), self._pki.key(f"user-{name}")

    @property
    def faults(self):
        return Faults(self.world.network, HOST, CONTROL_PORT)

    @property
    def env(self):
        """Environment variables for what is to use the cluster."""
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": f"{self.bin}:{os.environ.get('PATH', '/usr/bin:/bin')}",
                "HELM_CACHE_HOME": str(self.folder / "helm/cache"), "HELM_DATA_HOME": str(self.folder / "helm/data"),
                "HELM_CONFIG_HOME": str(self.folder / "helm/config")}

    def command(self, argv, names=True):
        """What runs a program in the cluster's network, as the process that is started. names: with its name server."""
        return self.world.command(argv, names)

    def network(self):
        """A context: what this thread opens or starts inside is in the cluster's network."""
        return self.world.network()

    def pid(self, name):
        """The process of a component (etcd, kube-apiserver, .., kubelet, dns, fault-proxy), for signals."""
        return self.world.pid_of(name)

    def kubectl(self, *words, check=True, **options):
        """Its output; a failure names what it said."""
        return self._program("kubectl", words, check, options)

    def helm(self, *words, check=True, **options):
        return self._program("helm", words, check, options)

    def _program(self, name, words, check, options):
        argv = self.command([self.bin / name, *words], names=False)
        options = {"capture_output": True, "text": True, "timeout": 300, **options}
        if "input" not in options:
            options["stdin"] = subprocess.DEVNULL
        done = subprocess.run(argv, env={**os.environ, **self.env}, **options)
        if check and done.returncode != 0:
            raise RuntimeError(f"{name} {' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout if check else done

    def load(self, *files):
        """Gives image archives to the real node. Returns the names of all its images."""
        ctr = self._components.ctr
        for file in files:
            self.world.run(ctr("images", "import", pathlib.Path(file).resolve()))
        return self.world.run(ctr("images", "list", "--quiet")).stdout.split()

    # KWOK's nodes

    def nodes(self, pool, count, cpu="32", memory="256Gi", pods=250, first=0, labels=None):
        """Nodes POOL-FIRST, .. with the label sluice.test/pool=POOL, which pods choose by a nodeSelector; they tolerate
        the taint kwok.x-k8s.io/node. Returns their names."""
        room = {"cpu": cpu, "memory": memory, "pods": str(pods)}
        names = [f"{pool}-{number}" for number in range(first, first + count)]
        for name in names:
            self.api.post("/api/v1/nodes", {
                "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"},
                             "labels": {"type": "kwok", "sluice.test/pool": pool, "kubernetes.io/hostname": name,
                                        "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **(labels or {})}},
                "spec": {"taints": [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]},
                "status": {"allocatable": room, "capacity": room}})
        return names

    def node_group(self, name, most, delay="30s", least=0, idle="60s", cpu="4", memory="64Gi", pods=110, events=True):
        """A managed node group, played: when pods whose nodeSelector is sluice.test/pool=NAME are unschedulable, the
        nodes they need come `delay` later, `most` at most; a node without pods for `idle` goes, down to `least`.
        events: pods are told TriggeredScaleUp and NotTriggerScaleUp, as cluster-autoscaler tells them. End it with
        stop_node_group()."""
        self._start(f"node-group-{name}", self._components.node_group(name, {
            "most": most, "least": least, "delay": delay, "idle": idle, "cpu": cpu, "memory": memory, "pods": pods,
            "events": json.dumps(events)}))

    def stop_node_group(self, name):
        """Its nodes stay."""
        pid = self.pid(f"node-group-{name}")
        if pid:
            os.kill(pid, 9)

    # What it has seen

    @property
    def audit_log(self):
        return self.logs / "audit.jsonl"

    def audit(self):
        """Every event of the audit log so far, in the order in which the API server finished them."""
        with open(self.audit_log, encoding="utf-8") as f:
            for line in f:
                if line.endswith("\n"):
                    yield json.loads(line)

    # Its name server

    @property
    def _names(self):
        return self.folder / "names.json"

    def set_name(self, name, answer):
        """`answer` is a list of addresses, or "nxdomain", "servfail", "silent"; None: what the Services say again. In
        force when this returns."""
        try:
            told = json.loads(self._names.read_text())
        except FileNotFoundError:
            told = {}
        told[name] = answer
        new = self._names.with_suffix(".new")
        new.write_text(json.dumps({name: answer for name, answer in told.items() if answer is not None}))
        new.replace(self._names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", default=ROOT / "build/e2e/cluster", help="its folder (default build/e2e/cluster)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="starts what does not run")
    up.add_argument("--no-node", action="store_true", help="without the real node: API server and KWOK alone")
    verbs.add_parser("down", help="ends all of it, and deletes its folder")
    verbs.add_parser("env", help="lines for a shell")
    load = verbs.add_parser("load", help="images for the real node")
    load.add_argument("files", nargs="+")
    run = verbs.add_parser("run", help="a program in its network")
    run.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    cluster = Cluster(arguments.state, node=not getattr(arguments, "no_node", False))
    try:
        _do(cluster, arguments)
    except (Missing, RuntimeError) as problem:
        sys.exit(str(problem))


def _do(cluster, arguments):
    if arguments.verb == "up":
        cluster.up(say=lambda text: print(text, flush=True))
        print(f"the cluster is up; {pathlib.Path(sys.argv[0]).name} run kubectl get nodes")
    elif arguments.verb == "down":
        cluster.down()
    elif arguments.verb == "load":
        print("\n".join(cluster.load(*arguments.files)))
    elif arguments.verb == "env":
        enter = shlex.join(cluster.command([]))
        for name, value in {**cluster.env, "SLUICE_E2E_RUN": enter}.items():
            print(f"export {name}={shlex.quote(value)}")
    else:
        command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
        if not command:
            sys.exit("run wants a command")
        argv = cluster.command(command)
        os.execvpe(argv[0], argv, {**os.environ, **cluster.env})


if __name__ == "__main__":
    main()
