# SPDX-License-Identifier: Apache-2.0
"""Stands between a cluster's API server and a server of external metrics, and writes down what the HPA was given.

    with Recorder(cluster, answer) as recorder:         # the APIService v1beta1.external.metrics.k8s.io points at it
        recorder.follow("orders", namespace, ["backlog"])   # the Deployment, the metrics of its HPA in order
        ...
        recorder.syncs("orders")                     # hpa_replay.Sync, complete ones only

`answer(namespace, metric, selector, headers)` gives (code, JSON): a function of the test's that makes values up, or
one that asks another server, a `sluice adapter` for one, with the same headers and the cluster's front-proxy
certificate. What it answers is what is recorded, so the replay does not know the difference.

A sync is known by the HPA's requests, one for each metric, and the scale is read while the first is being answered: the
controller has read it just before.
"""

import base64
import http.server
import json
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


class _Followed:
    def __init__(self, namespace, deployment, metrics):
        self.namespace, self.deployment, self.metrics = namespace, deployment, metrics
        self.syncs, self.current = [], None


class Recorder:
    def __init__(self, cluster, answer):
        self._cluster, self._answer, self._api = cluster, answer, cluster.api
        self._followed, self._lock = {}, threading.Lock()

    def __enter__(self):
        pki = self._cluster._pki
        pki.identity(SERVICE, f"/CN={SERVICE}", hosts=[f"DNS:{SERVICE}.{NAMESPACE}.svc"])
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pki.cert(SERVICE), pki.key(SERVICE))
        tls.load_verify_locations(pki.cert("front-proxy-ca"))
        tls.verify_mode = ssl.CERT_REQUIRED  # nobody but the API server asks here
        with self._cluster.network():
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._register(pki.cert("ca").read_bytes())
        return self

    def __exit__(self, *_):
        self._api.delete(API_SERVICE)
        self._server.shutdown()
        self._server.server_close()

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

    def _handler(recorder):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                path, _, query = self.path.partition("?")
                parts = path.removeprefix(f"{VERSION}/namespaces/").split("/")
                if path == VERSION:
                    code, body = 200, {"kind": "APIResourceList", "apiVersion": "v1",
                                       "groupVersion": f"{GROUP}/v1beta1", "resources": []}
                elif path.startswith(f"{VERSION}/namespaces/") and len(parts) == 2:
                    selector = urllib.parse.parse_qs(query).get("labelSelector", [""])[0]
                    code, body = recorder._answer(parts[0], parts[1], selector, self.headers)
                    if self.headers.get("X-Remote-User") == CONTROLLER:
                        recorder._record(parts[0], parts[1], code, body)
                else:
                    code, body = status(404, "NotFound", "the server could not find the requested resource")
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler
