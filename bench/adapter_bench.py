#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The adapter under load: requests a second over TLS with a client certificate, what one costs, and what many metrics
take. SLUICE_BIN is the binary of a release build. KEDA's figures are those measured of KEDA 2.20, asked directly on the
same kind of machine. The API server beside it is a stand-in that answers each review once; what is measured is ours.
"""

import http.server
import json
import os
import pathlib
import signal
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/tools"))

from apiserver import ApiServer  # noqa: E402
from certificates import Certificates  # noqa: E402
from monitoring import Monitoring  # noqa: E402
from processes import processor_seconds, resident_kb  # noqa: E402
from waiting import free_port, wait_until  # noqa: E402

SLUICE = os.environ["SLUICE_BIN"]
LOAD = ROOT / "build/release/bench/https_load"
SECONDS = int(os.environ.get("SLUICE_BENCH_SECONDS", "10"))
CONNECTIONS = 16
POOLS = 10_000
SUBSCRIPTIONS = 1_000
PUBSUB = "pubsub.googleapis.com|subscription|num_undelivered_messages"
GROUP = "/apis/external.metrics.k8s.io/v1beta1/namespaces"


def pool(n):
    name = f"default/pool-{n:05d}"
    return {"event": "pool", "pool": name, "at": "2026-01-01T00:00:00.000Z", "state": "steady", "ready": n,
            "in_flight": 3, "total": n + 3, "delayed": 0, "dead": 0, "sample_age_s": 0.1, "stale_after_s": 3600,
            "oldest_age_s": 1.5, "oldest_age_kind": "exact", "published_n": 10 * n, "acked_n": 9 * n, "in_per_s": 1.0,
            "out_per_s": 1.0, "workers": {"live": 3, "busy": 3}, "desired": 3, "max": 10,
            "why": "3 workers do what there is", "tick": "ab-7", "decided_s_ago": 0.1, "scaler": None,
            "needs_you": False, "errors": []}


class Controller:
    """/api/v1/status of so many pools."""

    def __init__(self, pools):
        body = json.dumps({"v": 1, "at": "2026-01-01T00:00:00.000Z", "role": "controller", "version": "0",
                           "installation": None, "pools": [pool(n) for n in range(pools)]}).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class Adapter:
    def __init__(self, folder, api, made, *flags):
        self.made, self.port = made, free_port()
        self._log = open(folder / "adapter.log", "ab")
        self._context = ssl.create_default_context(cafile=made.ca)
        self._context.load_cert_chain(made.stranger.cert, made.stranger.key)
        began = time.monotonic()
        self.process = subprocess.Popen(
            [SLUICE, "adapter", "--kubeconfig", api.kubeconfig(folder / "kubeconfig"), "--listen",
             f"127.0.0.1:{self.port}", "--cert-file", made.server.cert, "--key-file", made.server.key, *flags],
            stdout=self._log, stderr=self._log)
        wait_until(lambda: self.get("/readyz")[0] == 200, what="the adapter", timeout=30)
        self.ready_s = time.monotonic() - began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self._log.close()

    def get(self, target):
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{target}", headers={"X-Remote-User": "jane"})
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def load(self, target, connections=CONNECTIONS, seconds=SECONDS):
        """What https_load says, and the processor time of a request in milliseconds."""
        before = processor_seconds(self.process.pid)
        done = subprocess.run([LOAD, str(self.port), str(connections), str(seconds), self.made.ca,
                               self.made.stranger.cert, self.made.stranger.key, target, "X-Remote-User: jane"],
                              check=True, stdout=subprocess.PIPE, text=True)
        told = json.loads(done.stdout)
        told["ms"] = (processor_seconds(self.process.pid) - before) * 1000 / told["requests"]
        return told


def row(what, got, wanted, keda=""):
    print(f"{what:<62} {got:<22} wanted {wanted:<9}{' KEDA ' + keda if keda else ''}", flush=True)


def requests(folder, api, made):
    with Controller(100) as url, Adapter(folder, api, made, "--controller", url) as adapter:
        row("readiness after the start", f"{adapter.ready_s:.2f} s", "<= 1 s")
        target = f"{GROUP}/default/sluice-backlog?labelSelector=pool%3Dpool-00042"
        wait_until(lambda: adapter.get(target)[0] == 200, what="the pools", timeout=30)
        adapter.load(target, seconds=2)
        first = resident_kb(adapter.process.pid)
        got = adapter.load(target)
        row(f"metric requests a second, {CONNECTIONS} connections", f"{got['per_s']:.0f}", ">= 20000", "1900")
        row("  p50, p99 of an answer", f"{got['p50_us'] / 1000:.2f}, {got['p99_us'] / 1000:.2f} ms", "< 2 ms", "26-32")
        row("  processor time of a request", f"{got['ms']:.3f} ms", "<= 0.05", "0.7")
        after = resident_kb(adapter.process.pid)
        row("  memory before and after", f"{first / 1024:.1f}, {after / 1024:.1f} MB", "flat")
        one = adapter.load(target, connections=1, seconds=max(2, SECONDS // 3))
        row("  one connection: p50, p99", f"{one['p50_us'] / 1000:.3f}, {one['p99_us'] / 1000:.3f} ms", "-")


def metrics(folder, api, made):
    with Controller(POOLS) as url, Adapter(folder, api, made, "--controller", url) as adapter:
        target = f"{GROUP}/default/sluice-backlog?labelSelector=pool%3Dpool-{POOLS - 1:05d}"
        wait_until(lambda: adapter.get(target)[0] == 200, what="the pools", timeout=60)
        before, at = processor_seconds(adapter.process.pid), time.monotonic()
        wait_until(lambda: time.monotonic() > at + SECONDS, what="some time", timeout=SECONDS + 30)
        row(f"{POOLS} pools: resident memory", f"{resident_kb(adapter.process.pid) / 1024:.1f} MB", "<= 30 MB")
        used = (processor_seconds(adapter.process.pid) - before) * 60 / (time.monotonic() - at)
        row("  processor time a minute without a request", f"{used:.2f} s", "-")


def subscriptions(folder, api, made):
    with Monitoring("p") as google:
        for n in range(SUBSCRIPTIONS):
            google.show(f"sub-{n}", n, age_s=1)
        with Adapter(folder, api, made, "--monitoring", "--monitoring-project", "p", "--monitoring-endpoint",
                     google.url) as adapter:
            began, bad = time.monotonic(), 0
            while time.monotonic() < began + 60:
                for n in range(SUBSCRIPTIONS):
                    label = urllib.parse.quote(f"resource.labels.subscription_id=sub-{n}")
                    bad += adapter.get(f"{GROUP}/default/{urllib.parse.quote(PUBSUB)}?labelSelector={label}")[0] != 200
            calls = len(google.calls("timeSeries")) + len(google.calls("metricDescriptors"))
            row(f"{SUBSCRIPTIONS} subscriptions asked for all the time: calls in a minute", f"{calls}", "<= 5")
            row("  questions without an answer", f"{bad}", "0")
            row("  resident memory", f"{resident_kb(adapter.process.pid) / 1024:.1f} MB", "<= 30 MB")


def main():
    parts = {"requests": requests, "metrics": metrics, "subscriptions": subscriptions}
    chosen = sys.argv[1:] or list(parts)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        made = Certificates(folder / "certificates")
        with ApiServer(made.ca.read_text(), made.other_ca.read_text(), ["stranger"]) as api:
            api.rights.add(("jane", "default"))
            for part in chosen:
                parts[part](folder, api, made)


main()
