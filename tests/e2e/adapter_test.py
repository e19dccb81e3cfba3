# SPDX-License-Identifier: Apache-2.0
"""`sluice adapter` before a real kube-apiserver: who may ask, what HPAs are told when something is wrong, and
certificates that change while it is asked."""

import base64
import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import hpa_story
import pubsub
from components import API_PORT
from e2e import ON_KWOK, contains, equal, main, pod_spec, test, wait_until
from hpa_adapter import METRIC, NAME, NAMESPACE, Adapter, Pools

GROUP = hpa_story.GROUP
SOAK = os.environ.get("SLUICE_SOAK") == "1"


def ask(cluster, port, path, pair=None, headers=(), host="127.0.0.1"):
    """(status, type, text) of one request on a connection of its own; `pair` is (certificate, key)."""
    pki = cluster._pki
    tls = ssl.create_default_context(cafile=pki.cert("ca"))
    tls.check_hostname = False
    if pair:
        tls.load_cert_chain(*pair)
    with cluster.network():
        plain = socket.create_connection((host, port), 20)
    connection = http.client.HTTPSConnection(host, port)
    try:
        connection.sock = tls.wrap_socket(plain, server_hostname=host)
        connection.putrequest("GET", path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        said = connection.getresponse()
        return said.status, said.headers.get("Content-Type", ""), said.read().decode()
    finally:
        connection.close()


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def certificate(cluster, name, subject, authority, usage="clientAuth", days=30):
    """(certificate, key) that pki.identity() would not make: of another usage, or out of date."""
    pki = cluster._pki
    if not pki.cert(name).exists():
        request = pki.folder / f"{name}.csr"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                "-addext", f"extendedKeyUsage={usage}", "-keyout", pki.key(name), "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", pki.cert(authority), "-CAkey", pki.key(authority), "-days", days,
                "-copy_extensions", "copy", "-out", pki.cert(name))
    return pki.cert(name), pki.key(name)


def grant(k8s, *users):
    """They may list Deployments and external metrics in this namespace."""
    k8s.create("roles", {"metadata": {"name": "lists"}, "rules": [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
        {"apiGroups": ["external.metrics.k8s.io"], "resources": ["*"], "verbs": ["list"]}]})
    k8s.create("rolebindings", {
        "metadata": {"name": "lists"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lists"},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"} for user in users]
        + [{"kind": "ServiceAccount", "name": "asks", "namespace": k8s.name},
           {"kind": "Group", "name": "testers", "apiGroup": "rbac.authorization.k8s.io"}]})


def token_of(k8s, account):
    k8s.create("serviceaccounts", {"metadata": {"name": account}})
    made = k8s.api.post(k8s.path("serviceaccounts", f"{account}/token"),
                        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    return made["status"]["token"]


def cases_of(k8s):
    """(what, certificate, header fields); who asks has the right where his name is jane, asks or one of testers."""
    cluster, pki = k8s.cluster, k8s.cluster._pki
    pki.authority("strangers")
    front = pki.cert("front-proxy-client"), pki.key("front-proxy-client")
    jane = certificate(cluster, "jane", "/CN=jane", "ca")
    joe = certificate(cluster, "joe", "/CN=joe", "ca")
    asks, idle = token_of(k8s, "asks"), token_of(k8s, "idle")
    other_name = certificate(cluster, "other-proxy", "/CN=other-proxy", "front-proxy-ca")
    as_jane, as_joe = ("X-Remote-User", "jane"), ("X-Remote-User", "joe")
    masters = [as_joe, ("X-Remote-Group", "system:masters")]
    bearer = "Authorization"
    return [
        ("the front proxy for one with the right", front, [as_jane]),
        ("for one without it", front, [as_joe]),
        ("for one of a group with it", front, [as_joe, ("X-Remote-Group", "testers")]),
        ("for two groups, the second with it", front, [as_joe, ("X-Remote-Group", "x"), ("X-Remote-Group", "testers")]),
        ("for an administrator", front, masters),
        ("for nobody", front, []),
        ("for an empty name", front, [("X-Remote-User", "")]),
        ("in other letters", front, [("x-remote-user", "jane")]),
        ("of its authority, another name", other_name, [as_jane]),
        ("of its authority, for a server", certificate(cluster, "front-server", "/CN=front-proxy-client",
                                                       "front-proxy-ca", "serverAuth"), [as_jane]),
        ("of its authority, out of date", certificate(cluster, "front-old", "/CN=front-proxy-client", "front-proxy-ca",
                                                      days=-1), [as_jane]),
        ("of the clients' authority, with headers", jane, masters),
        ("of no authority, with headers", certificate(cluster, "front-stranger", "/CN=front-proxy-client",
                                                      "strangers"), [as_jane]),
        ("a client with the right", jane, []),
        ("a client without it", joe, []),
        ("a client of a group with it", certificate(cluster, "jim", "/O=testers/CN=jim", "ca"), []),
        ("an administrator", certificate(cluster, "root", "/O=system:masters/CN=root", "ca"), []),
        ("a client out of date", certificate(cluster, "jane-old", "/CN=jane", "ca", days=-1), []),
        ("a server's certificate", certificate(cluster, "jane-server", "/CN=jane", "ca", "serverAuth"), []),
        ("a client of no authority", certificate(cluster, "jane-stranger", "/CN=jane", "strangers"), []),
        ("a token with the right", None, [(bearer, f"Bearer {asks}")]),
        ("a token without it", None, [(bearer, f"Bearer {idle}")]),
        ("no token of anybody", None, [(bearer, "Bearer nobody")]),
        ("a broken token", None, [(bearer, f"Bearer {asks[:-2]}")]),
        ("a token and a client's certificate without the right", joe, [(bearer, f"Bearer {asks}")]),
        ("a token and headers", None, [(bearer, f"Bearer {asks}"), *masters]),
        ("nobody", None, []),
        ("headers alone", None, [as_jane]),
    ]


# kube-apiserver takes headers without a certificate for nothing, and who sends them for nobody: 403. Here they are
# refused aloud.
OTHERWISE = {"headers alone": (401, 403)}


@test("whoever asks gets the status that kube-apiserver gives him for a list of its own, in 28 ways to ask")
def _(k8s):
    cluster = k8s.cluster
    with Pools(cluster, [f"{k8s.name}/orders"], lambda _: 1000) as pools:
        with Adapter(cluster, "--controller", pools.url) as adapter:
            grant(k8s, "jane")
            metric = f"{GROUP}/namespaces/{k8s.name}/{METRIC}?labelSelector=pool%3Dorders"
            admin = certificate(cluster, "root", "/O=system:masters/CN=root", "ca")
            wait_until(lambda: ask(cluster, adapter.port, metric, admin)[0] == 200, 30, "the pool to be known")
            rows = []
            for what, pair, headers in cases_of(k8s):
                ours, kind, _ = ask(cluster, adapter.port, metric, pair, headers)
                theirs = ask(cluster, API_PORT, k8s.path("deployments"), pair, headers)[0]
                rows.append((what, ours, theirs))
                equal(kind, "application/json", what)
                print(f"       {ours}  kube-apiserver {theirs}  {what}", flush=True)
            assert len(rows) >= 20 and {200, 401, 403} <= {row[1] for row in rows}
            equal([row for row in rows if row[1] != row[2] and OTHERWISE.get(row[0]) != row[1:]], [], "differences")
            for path in ("/livez", "/readyz", "/healthz"):
                equal(ask(cluster, adapter.port, path)[0], 200, path)


def fleet(k8s, pool, name, replicas):
    """A Deployment whose pods are KWOK's."""
    spec = {**pod_spec(pool=pool), "restartPolicy": "Always", **ON_KWOK}
    k8s.create("deployments", {"metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})


def hpa(k8s, name, metric, least=1, **labels):
    k8s.api.post(hpa_story.HPAS.format(k8s.name), {"metadata": {"name": name}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": least, "maxReplicas": 50, "metrics": [{"type": "External", "external": {
            "metric": {"name": metric, "selector": {"matchLabels": labels}},
            "target": {"type": "AverageValue", "averageValue": "100"}}}]}})


def told(k8s, name):
    """What `kubectl describe hpa` says of its metric."""
    return hpa_story.condition(k8s, name, "ScalingActive").get("message", "")


def replicas(k8s, name):
    return k8s.get("deployments", name)["spec"]["replicas"]


def subscription(name):
    return {"resource.labels.subscription_id": name}


def documents(k8s, rig):
    """Each document, whatever form the client would like best."""
    cluster = k8s.cluster
    admin = certificate(cluster, "root", "/O=system:masters/CN=root", "ca")
    metric = f"{GROUP}/namespaces/{k8s.name}/{hpa_story.METRIC.replace('|', '%7C')}?labelSelector=" \
             "resource.labels.subscription_id%3Dorders-sub"
    for path in ("/apis/external.metrics.k8s.io", GROUP, metric):
        json.loads(cluster.kubectl("get", "--raw", path))
        for accept in ("application/json", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                       "application/vnd.kubernetes.protobuf,*/*"):
            status, kind, text = ask(cluster, API_PORT, path, admin, [("Accept", accept)])
            # The group's own document is kube-apiserver's.
            expected = "application/vnd.kubernetes.protobuf" if "protobuf" in accept and path.count("/") == 2 else \
                "application/json"
            equal((status, kind.partition(";")[0]), (200, expected), f"{path}, {accept}")
            if expected == "application/json":
                json.loads(text)
    equal(rig.raw(metric)["items"][0]["value"], "700", "value")


def refusals(k8s, rig):
    """Each thing that can be wrong has its own line in the HPA."""
    bad = [("typo", "sluice-redy", {"pool": "orders"}, "could not find the metric sluice-redy"),
           ("type", "pubsub.googleapis.com|subscription|nothing", subscription("orders-sub"),
            "could not find the descriptor"),
           ("none", hpa_story.METRIC, subscription("nobodys-sub"), "has no subscription nobodys-sub"),
           ("label", hpa_story.METRIC, {"bad": "x"}, "is not allowed"),
           ("pool", "sluice-ready", {"pool": "nothing"}, "has no pool that pool=nothing selects")]
    for name, metric, labels, _ in bad:
        fleet(k8s, "none", name, 3)
        hpa(k8s, name, metric, **labels)
    lines = {}
    for name, _, _, part in bad:
        k8s.wait(f"what is wrong with {name}", lambda: part in told(k8s, name), 60)
        lines[name] = told(k8s, name)
    for word, fault, part in (
            ("permission", {"status": 403, "reason": "PERMISSION_DENIED"}, "grant roles/monitoring.viewer"),
            ("quota", {"status": 429, "reason": "RESOURCE_EXHAUSTED"}, "the quota of Cloud Monitoring")):
        rig.google.fault(**fault)
        k8s.wait(word, lambda: part in told(k8s, "none"), 90)
        lines[word] = told(k8s, "none")
        rig.google.heal()
        k8s.wait(f"it to be over: {word}", lambda: "has no subscription" in told(k8s, "none"), 90)
    equal(len(set(lines.values())), len(lines), "different lines")
    for line in lines.values():
        equal("\n" in line, False, "one line")
        print(f"       {line}", flush=True)
    k8s.create("serviceaccounts", {"metadata": {"name": "other"}})
    refused = k8s.cluster.kubectl("get", "--raw", f"{GROUP}/namespaces/{k8s.name}/sluice-ready", "--as",
                                  f"system:serviceaccount:{k8s.name}:other", check=False)
    contains(refused.stderr, "cannot list resource", "who may not")
    equal({replicas(k8s, name) for name, *_ in bad}, {3}, "replicas where nothing is known")


def outage(k8s, rig, seconds):
    """Monitoring says nothing for so long: what is there stays, and what is wrong is said."""
    before = replicas(k8s, "orders")
    rig.google.fault(status=503, reason="UNAVAILABLE")
    k8s.wait("the last value to be too old", lambda: "stale: the newest point ended" in told(k8s, "orders"), 60)
    print(f"       {told(k8s, 'orders')}", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        equal(replicas(k8s, "orders"), before, "replicas meanwhile")
        time.sleep(1)  # between two looks
    rig.google.set("orders-sub", 300)
    rig.google.heal()
    k8s.wait("it to go on without a restart", lambda: replicas(k8s, "orders") == 3, 90)
    contains(hpa_story.condition(k8s, "orders", "ScalingActive")["reason"], "ValidMetricFound")


@test("what an HPA is told when something is wrong; Monitoring away: replicas hold, and it goes on by itself")
def _(k8s):
    if pubsub.missing():
        print(f"       skipped: {pubsub.missing()}")
        return
    cluster = k8s.cluster
    words = ["--set", "adapter.pools=true", "--set-json",
             'adapter.extraArgs=["--monitoring-every=1s","--monitoring-stale-after=10s"]']
    with hpa_story.Rig(cluster, 1, (0, 0), *words) as rig:
        rig.google.watch(None)
        rig.google.set("orders-sub", 700)
        fleet(k8s, "none", "orders", 1)
        hpa(k8s, "orders", hpa_story.METRIC, **subscription("orders-sub"))
        k8s.wait("seven pods for 700 messages", lambda: replicas(k8s, "orders") == 7, 90)
        contains(told(k8s, "orders"), "the HPA was able to successfully calculate a replica count from external metric")
        documents(k8s, rig)
        outage(k8s, rig, 120 if SOAK else 20)
        refusals(k8s, rig)


class Load:
    """Asks for one metric through the API server, on several connections, until it is ended."""

    def __init__(self, k8s, path, clients=4):
        self._k8s, self._path, self._end = k8s, path, threading.Event()
        self.asked, self.failed = [0] * clients, []
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number):
        while not self._end.is_set():
            try:
                equal(len(self._k8s.api.get(self._path)["items"]), 1, "items")
                self.asked[number] += 1
            except (OSError, AssertionError) as problem:
                self.failed.append(f"{time.strftime('%H:%M:%S')} {problem}")
            self._end.wait(0.01)  # the machine has other things to do

    def goes_on(self, count=100):
        """So many more are answered, and none failed so far."""
        until = sum(self.asked) + count
        wait_until(lambda: sum(self.asked) >= until or self.failed, 60, "more answers")
        equal(self.failed[:3], [], "failed requests")


@contextlib.contextmanager
def registered(cluster, port):
    """The APIService points at an adapter beside the API server, whose certificate the cluster's authority signed."""
    api = cluster.api
    api.put_new("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    path = f"/api/v1/namespaces/{NAMESPACE}/services"
    service = api.put_new(path, {"metadata": {"name": NAME}, "spec": {
        "type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}})
    service["spec"]["ports"] = [{"port": port}]
    api.put(f"{path}/{NAME}", service)
    bundle = cluster._pki.cert("ca").read_bytes() + cluster._pki.cert("next-ca").read_bytes()
    api.post(hpa_story.API_SERVICE.rsplit("/", 1)[0], {
        "metadata": {"name": "v1beta1.external.metrics.k8s.io"}, "spec": {
            "group": "external.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100,
            "versionPriority": 100, "service": {"name": NAME, "namespace": NAMESPACE, "port": port},
            "caBundle": base64.b64encode(bundle).decode()}})
    try:
        wait_until(lambda: api.condition(hpa_story.API_SERVICE, "Available") == "True", 60, "the APIService")
        yield
    finally:
        api.delete(hpa_story.API_SERVICE)


def serial(cluster, port):
    """Of the certificate that is served to a new connection."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with cluster.network(), socket.create_connection(("127.0.0.1", port), 20) as plain:
        with tls.wrap_socket(plain) as secure:
            return secure.getpeercert(True)


def config_map(cluster):
    return cluster.api.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")["data"]


def replace(path, data):
    """As Kubernetes swaps a mounted file: in one step."""
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(data)
    fresh.replace(path)


@test("the serving certificate and the front proxy's authority are replaced under load: no request fails")
def _(k8s):
    cluster, pki = k8s.cluster, k8s.cluster._pki
    pki.authority("next-ca")
    pki.authority("next-proxy-ca")
    pki.identity("next-proxy", "/CN=front-proxy-client", "next-proxy-ca")
    pki.identity("next-serving", f"/CN={NAME}", "next-ca", [f"DNS:{NAME}.{NAMESPACE}.svc", "IP:127.0.0.1"])
    for name in ("front-proxy-ca", "front-proxy-client"):
        shutil.copy(pki.cert(name), pki.folder / f"{name}.before")
    shutil.copy(pki.key("front-proxy-client"), pki.folder / "front-proxy-client.key.before")
    with Pools(cluster, [f"{k8s.name}/orders"], lambda _: 1000) as pools:
        with Adapter(cluster, "--controller", pools.url) as adapter, registered(cluster, adapter.port):
            metric = f"{GROUP}/namespaces/{k8s.name}/{METRIC}?labelSelector=pool%3Dorders"
            k8s.wait("the first answer", lambda: k8s.api.get(metric)["items"], 30)
            try:
                with Load(k8s, metric) as load:
                    load.goes_on()
                    before = serial(cluster, adapter.port)
                    replace(pki.cert(NAME), pki.cert("next-serving").read_bytes())
                    load.goes_on()  # with a certificate and a key that do not fit
                    replace(pki.key(NAME), pki.key("next-serving").read_bytes())
                    wait_until(lambda: serial(cluster, adapter.port) != before, 30, "the new certificate to be served")
                    load.goes_on()
                    both = pki.cert("front-proxy-ca").read_bytes() + pki.cert("next-proxy-ca").read_bytes()
                    replace(pki.cert("front-proxy-ca"), both)
                    key = "requestheader-client-ca-file"
                    wait_until(lambda: config_map(cluster)[key].encode().strip() == both.strip(), 120,
                               "the API server to publish both authorities", 0.2)
                    load.goes_on()
                    replace(pki.cert("front-proxy-client"), pki.cert("next-proxy").read_bytes())
                    replace(pki.key("front-proxy-client"), pki.key("next-proxy").read_bytes())
                    load.goes_on(500)
                    equal(load.failed[:3], [], "failed requests")
                    print(f"       {sum(load.asked)} requests, none failed", flush=True)
            finally:
                shutil.copy(pki.folder / "front-proxy-ca.before", pki.cert("front-proxy-ca"))
                shutil.copy(pki.folder / "front-proxy-client.before", pki.cert("front-proxy-client"))
                shutil.copy(pki.folder / "front-proxy-client.key.before", pki.key("front-proxy-client"))


main()
