# SPDX-License-Identifier: Apache-2.0
"""`sluice adapter` before a real kube-apiserver: who may ask, and certificates and keys that change meanwhile."""

import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import threading
import time

import hpa_story
from adapter_client import ask, certificate
from components import API_PORT
from e2e import equal, main, test, wait_until
from hpa_adapter import METRIC, NAME, NAMESPACE, Adapter, Pools, registered

GROUP = hpa_story.GROUP


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
    if not k8s.get("serviceaccounts", account):
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


class Load:
    """Asks for one metric through the API server, on several connections, until it is ended."""

    def __init__(self, api, path, clients=4):
        self._api, self._path, self._end = api, path, threading.Event()
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
                equal(len(self._api.get(self._path)["items"]), 1, "items")
                self.asked[number] += 1
            except (OSError, AssertionError) as problem:
                self.failed.append(f"{time.strftime('%H:%M:%S')} {problem}")
            self._end.wait(0.01)  # the machine has other things to do

    def goes_on(self, count=100):
        """So many more are answered, and none failed so far."""
        until = sum(self.asked) + count
        wait_until(lambda: sum(self.asked) >= until or self.failed, 60, "more answers")
        equal(self.failed[:3], [], "failed requests")


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
    with Pools(cluster, [f"{k8s.name}/orders"], lambda _: 1000) as pools:
        with Adapter(cluster, "--controller", pools.url) as adapter, registered(cluster, adapter.port, "next-ca"):
            metric = f"{GROUP}/namespaces/{k8s.name}/{METRIC}?labelSelector=pool%3Dorders"
            k8s.wait("the first answer", lambda: k8s.api.get(metric)["items"], 30)
            before = {path: path.read_bytes() for path in (pki.cert(NAME), pki.key(NAME), pki.cert("front-proxy-ca"),
                                                           pki.cert("front-proxy-client"),
                                                           pki.key("front-proxy-client"))}
            try:
                with Load(k8s.api, metric) as load:
                    load.goes_on()
                    first = serial(cluster, adapter.port)
                    replace(pki.cert(NAME), pki.cert("next-serving").read_bytes())
                    load.goes_on()  # with a certificate and a key that do not fit
                    replace(pki.key(NAME), pki.key("next-serving").read_bytes())
                    wait_until(lambda: serial(cluster, adapter.port) != first, 30, "the new certificate to be served")
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
                for path, data in before.items():
                    replace(path, data)


def part(token, number):
    """The head (0) or the claims (1) of a token."""
    text = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def delegate(k8s, account):
    """What the chart lets the adapter do: ask who somebody is and what he may, and read the front proxy's authority."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": k8s.name}]
    for path, kind, role in ((f"{rbac}/clusterrolebindings", "ClusterRole", "system:auth-delegator"),
                             (f"{rbac}/namespaces/kube-system/rolebindings", "Role",
                              "extension-apiserver-authentication-reader")):
        k8s.api.post(path, {"metadata": {"name": f"{k8s.name}-{role.replace(':', '-')}"}, "subjects": subjects,
                            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}})


def with_token(k8s, token):
    """A kubeconfig that reads its token from the file, as that of a pod is read."""
    config = json.loads(k8s.cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"tokenFile": str(token)}
    path = token.with_suffix(".kubeconfig")
    path.write_text(json.dumps(config))
    return path


def restart_api_server(k8s, metric):
    """Until it gives this metric again. Nobody can ask while it is away."""
    cluster, old = k8s.cluster, k8s.cluster.pid("kube-apiserver")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: cluster.pid("kube-apiserver") is None, 30, "the API server to be gone")
    cluster.up()

    def answers():
        with contextlib.suppress(OSError):
            return k8s.api.get(metric)["items"]

    wait_until(answers, 60, "the API server to give the metric again", 0.1)


def used(k8s, token):
    """Whether the adapter has shown this token to the API server."""
    credential = f"JTI={part(token, 1)['jti']}"
    return any(credential in one["user"].get("extra", {}).get("authentication.kubernetes.io/credential-id", [])
               and one["objectRef"]["resource"] == "subjectaccessreviews" for one in k8s.cluster.audit()
               if one.get("objectRef"))


@test("the key that signs service accounts' tokens is replaced: no request fails, the adapter's own token with it")
def _(k8s):
    cluster, pki = k8s.cluster, k8s.cluster._pki
    pki.signing_pair("next-sa")
    public, private = pki.folder / "sa.pub", pki.key("sa")
    before = {path: path.read_bytes() for path in (public, private)}
    own = cluster.folder / "adapter.token"
    own.write_text(token_of(k8s, "adapter"))
    delegate(k8s, "adapter")
    grant(k8s, "jane")
    # Somebody about whom the adapter must ask the API server; about an administrator it need not.
    jane = cluster.api_as(*cluster.identity("jane"))
    metric = f"{GROUP}/namespaces/{k8s.name}/{METRIC}?labelSelector=pool%3Dorders"

    def status(port, path, token):
        return ask(cluster, port, path, None, [("Authorization", f"Bearer {token}")])[0]

    with Pools(cluster, [f"{k8s.name}/orders"], lambda _: 1000) as pools:
        with (Adapter(cluster, "--controller", pools.url, kubeconfig=with_token(k8s, own)) as adapter,
              registered(cluster, adapter.port)):
            k8s.wait("the first answer", lambda: k8s.api.get(metric)["items"], 30)
            try:
                old = token_of(k8s, "asks")
                with Load(jane, metric) as load:
                    load.goes_on()
                replace(public, before[public] + (pki.folder / "next-sa.pub").read_bytes())
                replace(private, pki.key("next-sa").read_bytes())
                restart_api_server(k8s, metric)
                with Load(jane, metric) as load:
                    load.goes_on()  # the adapter shows a token of the key before
                    fresh, new = token_of(k8s, "adapter"), token_of(k8s, "asks")
                    assert part(fresh, 0)["kid"] != part(old, 0)["kid"], "a token of the next key"
                    replace(own, fresh.encode())
                    equal([status(adapter.port, metric, one) for one in (old, new)], [200, 200], "tokens of both keys")
                    begin = time.monotonic()
                    wait_until(lambda: used(k8s, fresh), 90, "the adapter to show its next token", 1)
                    load.goes_on()
                    print(f"       its next token is shown after {time.monotonic() - begin:.0f} s", flush=True)
                replace(public, (pki.folder / "next-sa.pub").read_bytes())
                restart_api_server(k8s, metric)
                with Load(jane, metric) as load:
                    load.goes_on()  # what it shows is of the next key
                    wait_until(lambda: status(adapter.port, metric, old) == 401, 60, "the key before to be forgotten")
                    equal(status(API_PORT, k8s.path("deployments"), old), 401, "by the API server too")
                    equal(status(adapter.port, metric, new), 200, "a token of the next key")
                    load.goes_on()
            finally:
                for path, data in before.items():
                    replace(path, data)
                restart_api_server(k8s, metric)


main()
