# SPDX-License-Identifier: Apache-2.0
"""How each program of the cluster is told what to do: its command line, and its file where it has one.

All is as a cluster made by kubeadm has it - TLS, RBAC and Node authorizers, NodeRestriction, aggregation layer, bound
service-account tokens - but for what a throw-away cluster on two cores needs, which is said where it stands.
"""

import json

from world import HOST, PODS

NODE = "node-0"  # the real one
REAL_POOL = "real"  # its label sluice.test/pool; KWOK's nodes have that of their node group
API_PORT, PROXY_PORT, CONTROL_PORT = 6443, 6444, 6445
SERVICES, KUBERNETES_IP = "10.96.0.0/16", "10.96.0.1"
FAKE_PODS = "10.89.0.0/16"
DOMAIN = "cluster.local"
IMAGE = "sluice.test/busybox:1"  # the sandbox of each pod too
API_HOSTS = ["IP:127.0.0.1", f"IP:{HOST}", f"IP:{KUBERNETES_IP}", "DNS:localhost", "DNS:kubernetes",
             "DNS:kubernetes.default", "DNS:kubernetes.default.svc", f"DNS:kubernetes.default.svc.{DOMAIN}"]
# The collector of the API server is a third of what it uses of a core at 100; memory is plenty here.
LESS_COLLECTING = {"GOGC": "400"}

# Who wrote what, and the bodies of what is written to Jobs, pods, pools and Leases: enough to replay each Job's life in
# the order of revisions, which only an answer has. What the kubelet writes most often is kept short.
_WRITES = ["create", "update", "patch", "delete", "deletecollection"]
AUDIT = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "omitManagedFields": True,
    "rules": [
        {"level": "Metadata", "namespaces": ["kube-node-lease", "kube-system"]},
        {"level": "RequestResponse", "verbs": _WRITES, "resources": [
            {"group": "batch", "resources": ["jobs", "jobs/status"]},
            {"group": "sluice.dev", "resources": ["workerpools"]},
            {"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "RequestResponse", "verbs": ["create", "delete"],
         "resources": [{"group": "", "resources": ["pods"]}]},
        {"level": "Request", "verbs": _WRITES,
         "resources": [{"group": "", "resources": ["pods", "pods/binding", "pods/eviction"]}]},
        {"level": "Metadata"},
    ],
}


def _list(options):
    """["--name=value", ..] of {name: value}; a name whose value is None stands alone."""
    return [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]


class Components:
    """`folder` is the cluster's, `pki` its Pki, `bin` where the programs are, `cgroup` the name of its cgroups."""

    socket = "/run/containerd.sock"  # /run is its own

    def __init__(self, folder, pki, bin, cgroup):
        self.folder, self.pki, self.bin, self.cgroup = folder, pki, bin, cgroup
        self.conf = folder / "conf"

    def _put(self, name, content):
        """A file of ours; a file with the same content stays, since kube-proxy ends when its own is written again."""
        path = self.conf / name
        text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return path

    # Control plane

    def etcd(self):
        return [self.bin / "etcd", *_list({
            "name": "s0", "data-dir": self.folder / "etcd", "log-level": "warn",
            "unsafe-no-fsync": None,  # its state need not survive this machine
            "quota-backend-bytes": 4 << 30,  # 10,000 Jobs take 634 MB
            "auto-compaction-mode": "periodic", "auto-compaction-retention": "5m",
            "listen-client-urls": "http://127.0.0.1:2379", "advertise-client-urls": "http://127.0.0.1:2379",
            "listen-peer-urls": "http://127.0.0.1:2380", "initial-advertise-peer-urls": "http://127.0.0.1:2380",
            "initial-cluster": "s0=http://127.0.0.1:2380"})]

    def kube_apiserver(self, audit_log, extra=()):
        pki = self.pki
        return [self.bin / "kube-apiserver", *_list({
            "etcd-servers": "http://127.0.0.1:2379",
            "bind-address": "0.0.0.0", "secure-port": API_PORT, "advertise-address": HOST,
            "service-cluster-ip-range": SERVICES,
            "tls-cert-file": pki.cert("apiserver"), "tls-private-key-file": pki.key("apiserver"),
            "client-ca-file": pki.cert("ca"),
            "authorization-mode": "Node,RBAC", "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": None,
            "service-account-issuer": f"https://kubernetes.default.svc.{DOMAIN}",
            "service-account-key-file": pki.folder / "sa.pub", "service-account-signing-key-file": pki.key("sa"),
            "requestheader-client-ca-file": pki.cert("front-proxy-ca"),
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "requestheader-group-headers": "X-Remote-Group", "requestheader-username-headers": "X-Remote-User",
            "proxy-client-cert-file": pki.cert("front-proxy-client"),
            "proxy-client-key-file": pki.key("front-proxy-client"),
            "kubelet-client-certificate": pki.cert("kubelet-client"),
            "kubelet-client-key": pki.key("kubelet-client"), "kubelet-certificate-authority": pki.cert("ca"),
            "kubelet-preferred-address-types": "InternalIP",
            "max-requests-inflight": 1200, "max-mutating-requests-inflight": 600,  # tests are impatient
            "event-ttl": "30m",
            "audit-policy-file": self._put("audit.json", AUDIT), "audit-log-path": audit_log,
            "audit-log-maxsize": 10240,  # MB: never a second file
        }), *extra]

    def kube_controller_manager(self, extra=()):
        config = self.conf / "kube-controller-manager.kubeconfig"
        return [self.bin / "kube-controller-manager", *_list({
            "kubeconfig": config, "authentication-kubeconfig": config, "authorization-kubeconfig": config,
            "bind-address": "127.0.0.1", "leader-elect": "false", "use-service-account-credentials": None,
            "service-account-private-key-file": self.pki.key("sa"), "root-ca-file": self.pki.cert("ca"),
            "cluster-signing-cert-file": self.pki.cert("ca"), "cluster-signing-key-file": self.pki.key("ca"),
            "controllers": "*",
            "horizontal-pod-autoscaler-sync-period": "2s",  # 15 s and 300 s by default: too long for a test
            "horizontal-pod-autoscaler-downscale-stabilization": "10s",
            "concurrent-job-syncs": 10, "concurrent-ttl-after-finished-syncs": 10,
            "kube-api-qps": 500, "kube-api-burst": 1000}), *extra]

    def kube_scheduler(self):
        config = self.conf / "kube-scheduler.kubeconfig"
        return [self.bin / "kube-scheduler", *_list({
            "kubeconfig": config, "authentication-kubeconfig": config, "authorization-kubeconfig": config,
            "bind-address": "127.0.0.1", "leader-elect": "false", "kube-api-qps": 500, "kube-api-burst": 1000})]

    def kwok(self, stages):
        return [self.bin / "kwok", *_list({
            "kubeconfig": self.conf / "tools.kubeconfig", "config": stages, "manage-all-nodes": "false",
            "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=fake", "node-lease-duration-seconds": 40,
            "cidr": FAKE_PODS, "node-ip": HOST, "server-address": "127.0.0.1:10247"})]

    # Ours

    def dns(self, names):
        return [self.bin / "cluster-tools", "dns", *_list({
            "kubeconfig": self.conf / "tools.kubeconfig", "listen": f"{HOST}:53", "domain": DOMAIN, "names": names})]

    def fault_proxy(self):
        pki = self.pki
        return [self.bin / "cluster-tools", "fault-proxy", *_list({
            "listen": f"{HOST}:{PROXY_PORT}", "control": f"{HOST}:{CONTROL_PORT}", "target": f"{HOST}:{API_PORT}",
            "ca": pki.cert("ca"), "cert": pki.cert("apiserver"), "key": pki.key("apiserver"),
            "front-proxy-cert": pki.cert("front-proxy-client"), "front-proxy-key": pki.key("front-proxy-client")})]

    def node_group(self, name, options):
        return [self.bin / "cluster-tools", "node-group", *_list({
            "kubeconfig": self.conf / "tools.kubeconfig", "name": name, **options})]

    # The real node

    def containerd(self, snapshotter):
        network = {"cniVersion": "0.4.0", "name": "sluice", "plugins": [
            {"type": "bridge", "bridge": "sl0", "isGateway": True, "ipMasq": False, "hairpinMode": True,
             "ipam": {"type": "host-local", "dataDir": str(self.folder / "cni-ipam"),
                      "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": PODS, "gateway": HOST}]]}},
            {"type": "portmap", "capabilities": {"portMappings": True}}]}
        self._put("cni/10-sluice.conflist", network)
        # oom_score_adj: to lower it takes CAP_SYS_RESOURCE, which root in a container often lacks. RuntimeDefault
        # profiles of AppArmor need its parser.
        return ["containerd", "--config", self._put("containerd.toml", f"""version = 2
root = "{self.folder}/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  sandbox_image = "{IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{self.conf}/cni"
""")]

    def ctr(self, *words):
        return ["ctr", "--address", self.socket, "--namespace", "k8s.io", *words]

    def kubelet(self):
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "address": HOST, "readOnlyPort": 0, "healthzBindAddress": "127.0.0.1",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{self.cgroup}",
            "failCgroupV1": False, "failSwapOn": False, "oomScoreAdj": 0,
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                               "x509": {"clientCAFile": str(self.pki.cert("ca"))}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(self.pki.cert("kubelet")), "tlsPrivateKeyFile": str(self.pki.key("kubelet")),
            "resolvConf": "", "clusterDNS": [HOST], "clusterDomain": DOMAIN,
            "volumePluginDir": str(self.folder / "volume-plugins"),
            "maxPods": 200, "podLogsDir": str(self.folder / "podlogs"), "serializeImagePulls": False,
            "imageGCHighThresholdPercent": 100,  # what was imported cannot be pulled again
            # A machine whose disk is nearly full would else evict every pod.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%",
                             "nodefs.inodesFree": "1%"},
            "nodeStatusUpdateFrequency": "5s",
        }
        return [self.bin / "kubelet", *_list({
            "config": self._put("kubelet.json", config), "kubeconfig": self.conf / "kubelet.kubeconfig",
            "root-dir": self.folder / "kubelet", "cert-dir": self.pki.folder, "hostname-override": NODE,
            "node-ip": HOST, "node-labels": f"sluice.test/pool={REAL_POOL}"})]

    def kube_proxy(self):
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
            "bindAddress": "127.0.0.1", "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249", "clusterCIDR": PODS, "hostnameOverride": NODE,
            "nodePortAddresses": ["127.0.0.0/8"],
            "clientConnection": {"kubeconfig": str(self.conf / "kube-proxy.kubeconfig")},
            # The machine's own settings of connection tracking stay.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
        return [self.bin / "kube-proxy", *_list({"config": self._put("kube-proxy.json", config)})]
