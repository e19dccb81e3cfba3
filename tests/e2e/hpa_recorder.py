# SPDX-License-Identifier: Apache-2.0
"""Stands between a cluster's API server and a server of external metrics, and writes down what the HPA was given.

    with Server(cluster, answer) as behind, Recorder(cluster, forward(cluster, *behind.address)) as recorder:
        # The Deployment, and the metrics of its HPA in order, each "NAME" or "NAME SELECTOR".
        recorder.follow("orders", namespace, ["backlog pool=orders"])
        ...
        recorder.syncs("orders")                     # hpa_replay.Sync, complete ones only

An `answer(namespace, metric, selector, headers)` gives (code, JSON). `forward` makes one that asks a server behind the
recorder as the API server would: a Server that a test makes values up for, or a `sluice adapter`. What it answers is
what is recorded, so the replay does not know the difference.

A sync is known by the HPA's requests, one for each metric, and the scale is read while the first is being answered: the
controller has read it just before.
"""

import base64
import http.client
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.parse

from hpa_replay import Sync, failed, values

GROUP = "external.metrics.k8s.io"
VERSION = f"/apis/{GROUP}/v1beta1"
CONTROLLER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
SERVICE, NAMESPACE = "hpa-recorder", "hpa-recorder"
API_SERVICE = f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{GROUP}"


def value_list(metric, *quantities):
    items = [{"metricName": metric, "metricLabels": {}, "value": str(one),
              "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} for one in quantities]
    return 200, {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/v1beta1", "metadata": {}, "items": items}


def status(code, reason, message):
    return code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
                  "code": code, "message": message}


def reading(code, body):
    """What the HPA makes of an answer."""
    if code == 200 and body["items"]:
        return values(*[item["value"] for item in body["items"]])
    return failed(body.get("message", "no metrics returned from external metrics API"))


def forward(cluster, host, port, authority):
    """An `answer` of the server there, asked with the API server's certificate and the headers that say who asks.
    `authority`: whose certificate it has."""
    tls = ssl.create_default_context(cafile=authority)
    tls.check_hostname = False  # an address of loopback is in no certificate of a Service
    pki = cluster._pki
    tls.load_cert_chain(pki.cert("front-proxy-client"), pki.key("front-proxy-client"))

    def answer(namespace, metric, selector, headers):
        with cluster.network():
            plain = socket.create_connection((host, port), 10)
        connection = http.client.HTTPSConnection(host, port, context=tls)
        try:
            connection.sock = tls.wrap_socket(plain, server_hostname=host)
            query = f"?{urllib.parse.urlencode({'labelSelector': selector})}" if selector else ""
            connection.putrequest("GET", f"{VERSION}/namespaces/{namespace}/{metric}{query}")
            for name, value in headers.items():
                if name.lower().startswith(("x-remote-", "accept")) and name.lower() != "accept-encoding":
                    connection.putheader(name, value)
            connection.endheaders()
            said = connection.getresponse()
            return said.status, json.loads(said.read())
        finally:
            connection.close()

    return answer


class Server:
    """A server of external metrics in the cluster's network, on a port of loopback, for the API server alone."""

    def __init__(self, cluster, answer):
        self._cluster, self.answer = cluster, answer

    def __enter__(self):
        pki = self._cluster._pki
        pki.identity(SERVICE, f"/CN={SERVICE}", hosts=[f"DNS:{SERVICE}.{NAMESPACE}.svc"])
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pki.cert(SERVICE), pki.key(SERVICE))
        tls.load_verify_locations(pki.cert("front-proxy-ca"))
        tls.verify_mode = ssl.CERT_REQUIRED
        with self._cluster.network():
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self):
        """(host, port, whose certificate it has)"""
        return *self._server.server_address, self._cluster._pki.cert("ca")

    def asked(self, namespace, metric, selector, headers):
        return self.answer(namespace, metric, selector, headers)


class _Followed:
    def __init__(self, namespace, deployment, metrics):
        self.namespace, self.deployment, self.metrics = namespace, deployment, metrics
        self.syncs, self.current = [], None


class Recorder(Server):
    """What the APIService v1beta1.external.metrics.k8s.io points at."""

    def __init__(self, cluster, answer):
        super().__init__(cluster, answer)
        self._api, self._followed, self._lock = cluster.api, {}, threading.Lock()

    def __enter__(self):
        super().__enter__()
        self._register(self._cluster._pki.cert("ca").read_bytes())
        return self

    def __exit__(self, *_):
        self._api.delete(API_SERVICE)
        super().__exit__()

    def asked(self, namespace, metric, selector, headers):
        code, body = super().asked(namespace, metric, selector, headers)
        if headers.get("X-Remote-User") == CONTROLLER:
            self._record(namespace, f"{metric} {selector}".strip(), code, body)
        return code, body

    def _register(self, authority):
        """The API server reaches a process beside it by a name, with no node and no address of a pod."""
        port = self._server.server_address[1]
        self._api.put_new("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        path = f"/api/v1/namespaces/{NAMESPACE}/services"
        service = self._api.put_new(path, {"metadata": {"name": SERVICE}, "spec": {
            "type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}})
        service["spec"]["ports"] = [{"port": port}]
        self._api.put(f"{path}/{SERVICE}", service)
        self._api.post(API_SERVICE.rsplit("/", 1)[0], {"metadata": {"name": f"v1beta1.{GROUP}"}, "spec": {
            "group": GROUP, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": SERVICE, "namespace": NAMESPACE, "port": port},
            "caBundle": base64.b64encode(authority).decode()}})

    def available(self):
        return self._api.condition(API_SERVICE, "Available") == "True"

    # What is recorded

    def follow(self, deployment, namespace, metrics):
        with self._lock:
            self._followed[deployment] = _Followed(namespace, deployment, metrics)

    def syncs(self, deployment):
        with self._lock:
            return list(self._followed[deployment].syncs)

    def _scale(self, one):
        path = f"/apis/apps/v1/namespaces/{one.namespace}/deployments/{one.deployment}"
        scale = self._api.get(f"{path}/scale")
        pods = self._api.list(f"/api/v1/namespaces/{one.namespace}/pods", labelSelector=scale["status"]["selector"])
        ready = sum(pod["status"].get("phase") == "Running" and any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in pod["status"].get("conditions", [])) for pod in pods)
        return scale["spec"].get("replicas", 0), scale["status"].get("replicas", 0), ready

    def _record(self, namespace, metric, code, body):
        one = next((f for f in self._followed.values() if f.namespace == namespace and metric in f.metrics), None)
        if one is None:
            return
        if metric == one.metrics[0]:
            spec, there, ready = self._scale(one)
            one.current = Sync(at_s=0, metrics=[], spec=spec, status=there, ready=ready)
        if one.current is None or len(one.current.metrics) != one.metrics.index(metric):
            one.current = None  # begun before it was followed, or broken off
            return
        one.current.metrics.append(reading(code, body))
        if len(one.current.metrics) == len(one.metrics):
            one.current.at_s = time.monotonic()
            with self._lock:
                one.syncs.append(one.current)
            one.current = None


def _handler(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            path, _, query = self.path.partition("?")
            parts = path.removeprefix(f"{VERSION}/namespaces/").split("/")
            if path == VERSION:
                code, body = 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1beta1",
                                   "resources": []}
            elif path.startswith(f"{VERSION}/namespaces/") and len(parts) == 2:
                selector = urllib.parse.parse_qs(query).get("labelSelector", [""])[0]
                code, body = server.asked(parts[0], parts[1], selector, self.headers)
            else:
                code, body = status(404, "NotFound", "the server could not find the requested resource")
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
