# SPDX-License-Identifier: Apache-2.0
"""A `sluice adapter` in a cluster's network, and a stand-in of the controller whose pools it serves.

    with Pools(cluster, {"orders": 8600}.get) as pools, Adapter(cluster, pools.url) as adapter:
        forward(cluster, *adapter.address)

`oldest` gives milliseconds for a pool's name: sluice-oldest-age-seconds is then as exact as a metric can be. None: the
controller cannot read that pool's queue.
"""

import base64
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import signal
import ssl
import subprocess
import threading
import time

from e2e import ROOT
from waiting import free_port, wait_until

SLUICE = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/sluice"))
METRIC = "sluice-oldest-age-seconds"
NAME, NAMESPACE = "hpa-adapter", "hpa-adapter"
GROUP = "external.metrics.k8s.io"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
API_SERVICE = f"{API_SERVICES}/v1beta1.{GROUP}"


class Pools:
    """`pools` names them, as namespace/name."""

    def __init__(self, cluster, pools, oldest):
        self._cluster, self._pools, self._oldest = cluster, pools, oldest

    def __enter__(self):
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                data = json.dumps(stand_in.answer()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        with self._cluster.network():
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self):
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        return {"v": 1, "at": at, "role": "controller", "version": "0", "installation": None,
                "pools": [self.pool(name, at) for name in self._pools]}

    def pool(self, name, at):
        oldest = self._oldest(name.partition("/")[2])
        # What a controller cannot read it does not forget at once: it says how old its last reading is.
        return {"event": "pool", "pool": name, "at": at, "state": "blind" if oldest is None else "steady", "why": "",
                "oldest_age_s": 1 if oldest is None else oldest / 1000, "ready": 1,
                "sample_age_s": 3600 if oldest is None else 0, "stale_after_s": 30, "decided_s_ago": 0,
                "tick": "a-1", "errors": ["connection refused"] if oldest is None else []}


class Adapter:
    """Asked by whoever has the front proxy's certificate; `flags` after those of its controller. It is the
    administrator to the API server, or who this kubeconfig says."""

    def __init__(self, cluster, *flags, kubeconfig=None):
        self._cluster, self._flags, self.port = cluster, flags, free_port()
        self._kubeconfig = kubeconfig or cluster.kubeconfig

    def __enter__(self):
        pki = self._cluster._pki
        pki.identity(NAME, f"/CN={NAME}", hosts=[f"DNS:{NAME}.{NAMESPACE}.svc", "IP:127.0.0.1"])
        self.log = self._cluster.folder / "adapter.log"
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(self._cluster.command([
                SLUICE, "adapter", "--kubeconfig", self._kubeconfig, "--listen", f"127.0.0.1:{self.port}",
                "--cert-file", pki.cert(NAME), "--key-file", pki.key(NAME), *self._flags]), stdout=log, stderr=log)
        wait_until(self.ready, 60, "the adapter to be ready")
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    @property
    def address(self):
        """(host, port, whose certificate it has)"""
        return "127.0.0.1", self.port, self._cluster._pki.cert("ca")

    def ready(self):
        tls = ssl.create_default_context(cafile=self._cluster._pki.cert("ca"))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=tls, timeout=5)
        try:
            with self._cluster.network():
                connection.connect()
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextlib.contextmanager
def registered(cluster, port, *authorities, group=GROUP):
    """The APIService points at an adapter beside the API server, whose certificate the cluster's authority signed, or
    one of these."""
    name = NAME if group == GROUP else group.split(".")[0]
    api_service = f"{API_SERVICES}/v1beta1.{group}"
    api = cluster.api
    api.put_new("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    path = f"/api/v1/namespaces/{NAMESPACE}/services"
    service = api.put_new(path, {"metadata": {"name": name}, "spec": {
        "type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}})
    service["spec"]["ports"] = [{"port": port}]
    api.put(f"{path}/{name}", service)
    bundle = b"".join(cluster._pki.cert(name).read_bytes() for name in ("ca", *authorities))
    api.post(API_SERVICES, {
        "metadata": {"name": f"v1beta1.{group}"}, "spec": {
            "group": group, "version": "v1beta1", "groupPriorityMinimum": 100,
            "versionPriority": 100, "service": {"name": name, "namespace": NAMESPACE, "port": port},
            "caBundle": base64.b64encode(bundle).decode()}})
    try:
        wait_until(lambda: api.condition(api_service, "Available") == "True", 60, "the APIService")
        yield
    finally:
        api.delete(api_service)
