# SPDX-License-Identifier: Apache-2.0
"""A small metrics.k8s.io for a test cluster: what its real node's kubelet says at /metrics/resource, so that an HPA on
CPU sees a real utilisation. Not for production: one node, and only what an HPA asks for.

    with ResourceMetrics(cluster) as metrics:     # the APIService v1beta1.metrics.k8s.io points at it
        metrics.usage("shop", "orders-7d4")       # cores of a pod, None before its second reading
"""

import base64
import datetime
import http.client
import http.server
import json
import re
import ssl
import threading
import time
import urllib.parse

from components import NODE
from hpa_recorder import status
from world import HOST

GROUP = "metrics.k8s.io"
VERSION = f"/apis/{GROUP}/v1beta1"
NAME, NAMESPACE = "resource-metrics", "resource-metrics"
API_SERVICE = f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{GROUP}"
EVERY_S = 2
KUBELET_PORT = 10250
LINE = re.compile(r"^(container_cpu_usage_seconds_total|container_memory_working_set_bytes)"
                  r"\{([^}]*)\} (\S+)(?: (\d+))?$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """{(namespace, pod, container): {"cpu": (seconds used, when), "memory": (bytes, when)}} of the kubelet's text; when
    is the kubelet's own time of the sample."""
    out = {}
    for line in text.splitlines():
        found = LINE.match(line)
        if not found:
            continue
        name, labels, value, at_ms = found.groups()
        told = dict(LABEL.findall(labels))
        key = (told["namespace"], told["pod"], told["container"])
        kind = "cpu" if name.startswith("container_cpu") else "memory"
        out.setdefault(key, {})[kind] = (float(value), int(at_ms) / 1000 if at_ms else time.time())
    return out


def usages(before, now):
    """{(namespace, pod): {container: (cores, bytes, window in s, end)}} between two readings. A container that is in
    one of them alone, or was started anew, or was not sampled again, has none."""
    out = {}
    for (namespace, pod, container), told in now.items():
        old = before.get((namespace, pod, container), {})
        if "cpu" not in told or "cpu" not in old or told["cpu"][1] <= old["cpu"][1] or told["cpu"][0] < old["cpu"][0]:
            continue
        window = told["cpu"][1] - old["cpu"][1]
        cores = (told["cpu"][0] - old["cpu"][0]) / window
        out.setdefault((namespace, pod), {})[container] = (cores, told.get("memory", (0, 0))[0], window, told["cpu"][1])
    return out


def pod_metrics(namespace, pod, labels, containers):
    window = max(one[2] for one in containers.values())
    end = min(one[3] for one in containers.values())
    at = datetime.datetime.fromtimestamp(end, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": {"name": pod, "namespace": namespace, "labels": labels}, "timestamp": at,
            "window": f"{window:.3f}s", "containers": [
                {"name": name, "usage": {"cpu": f"{round(cores * 1e9)}n", "memory": f"{round(held / 1024)}Ki"}}
                for name, (cores, held, _, _) in sorted(containers.items())]}


class ResourceMetrics:
    def __init__(self, cluster):
        self._cluster, self._api = cluster, cluster.api
        self._lock, self._end = threading.Lock(), threading.Event()
        self._before, self._now = {}, {}

    def __enter__(self):
        pki = self._cluster._pki
        pki.identity(NAME, f"/CN={NAME}", hosts=[f"DNS:{NAME}.{NAMESPACE}.svc"])
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pki.cert(NAME), pki.key(NAME))
        tls.load_verify_locations(pki.cert("front-proxy-ca"))
        tls.verify_mode = ssl.CERT_REQUIRED  # the API server has judged who asks
        with self._cluster.network():
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._threads = [threading.Thread(target=self._server.serve_forever, daemon=True),
                         threading.Thread(target=self._look, daemon=True)]
        for thread in self._threads:
            thread.start()
        self._register(pki.cert("ca").read_bytes())
        return self

    def __exit__(self, *_):
        self._api.delete(API_SERVICE)
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def _register(self, authority):
        port = self._server.server_address[1]
        self._api.put_new("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        path = f"/api/v1/namespaces/{NAMESPACE}/services"
        service = self._api.put_new(path, {"metadata": {"name": NAME}, "spec": {
            "type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}})
        service["spec"]["ports"] = [{"port": port}]
        self._api.put(f"{path}/{NAME}", service)
        self._api.post(API_SERVICE.rsplit("/", 1)[0], {"metadata": {"name": f"v1beta1.{GROUP}"}, "spec": {
            "group": GROUP, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": NAME, "namespace": NAMESPACE, "port": port},
            "caBundle": base64.b64encode(authority).decode()}})

    def available(self):
        return self._api.condition(API_SERVICE, "Available") == "True"

    def _scrape(self):
        pki = self._cluster._pki
        tls = ssl.create_default_context(cafile=pki.cert("ca"))
        tls.load_cert_chain(pki.cert("kubelet-client"), pki.key("kubelet-client"))
        with self._cluster.network():
            connection = http.client.HTTPSConnection(HOST, KUBELET_PORT, context=tls, timeout=10)
            connection.connect()
        try:
            connection.request("GET", "/metrics/resource")
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise RuntimeError(f"the kubelet of {NODE} answers {answer.status}: {text[:200]}")
            return parse(text)
        finally:
            connection.close()

    def _look(self):
        while not self._end.is_set():
            try:
                now = self._scrape()
            except (OSError, RuntimeError, http.client.HTTPException):
                now = None  # what was seen last stays, and grows old
            if now is not None:
                with self._lock:
                    self._take(now)
            self._end.wait(EVERY_S)

    def _take(self, now):
        """The kubelet samples each container at its own pace: one that it has not sampled again keeps its last pair."""
        for key in list(self._now):
            if key not in now:
                del self._now[key]
                self._before.pop(key, None)
        for key, told in now.items():
            held = self._now.get(key)
            if held is not None and told.get("cpu", (0, 0))[1] > held.get("cpu", (0, 0))[1]:
                self._before[key] = held
                self._now[key] = told
            elif held is None:
                self._now[key] = told

    def _usages(self):
        with self._lock:
            return usages(self._before, self._now)

    def usage(self, namespace, pod):
        containers = self._usages().get((namespace, pod))
        return sum(one[0] for one in containers.values()) if containers else None

    def pods(self, namespace, selector):
        """PodMetricsList; a pod without two samples is not in it, as with metrics-server."""
        found, items = self._usages(), []
        for pod in self._api.list(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector):
            name = pod["metadata"]["name"]
            if containers := found.get((namespace, name)):
                items.append(pod_metrics(namespace, name, pod["metadata"].get("labels", {}), containers))
        return {"kind": "PodMetricsList", "apiVersion": f"{GROUP}/v1beta1", "metadata": {}, "items": items}


def _handler(metrics):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            path, _, query = self.path.partition("?")
            parts = path.removeprefix(f"{VERSION}/namespaces/").split("/")
            if path == VERSION:
                code, body = 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1beta1",
                                   "resources": [{"name": "pods", "singularName": "", "namespaced": True,
                                                  "kind": "PodMetrics", "verbs": ["get", "list"]}]}
            elif path.startswith(f"{VERSION}/namespaces/") and parts[1:] == ["pods"]:
                selector = urllib.parse.parse_qs(query).get("labelSelector", [""])[0]
                code, body = 200, metrics.pods(parts[0], selector)
            else:
                code, body = status(404, "NotFound", "the server could not find the requested resource")
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
