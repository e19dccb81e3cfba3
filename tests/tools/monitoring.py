#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the two calls of the Cloud Monitoring API that sluice takes, on a loopback port of its own.

    with Monitoring() as monitoring:
        monitoring.sees("my-project", "orders-sub", 20, age=90)    # num_undelivered_messages, 90 s ago
        ... SLUICE_MONITORING_ENDPOINT=monitoring.url ...

It knows one metric, and shows of each subscription the last value that it was told, with the time it was told for:
what the real one does a minute to three late. Filters are not judged: all series of the project are listed.
"""

import datetime
import http.server
import json
import threading
import time
import urllib.parse

METRIC = "pubsub.googleapis.com/subscription/num_undelivered_messages"


def _stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Monitoring:
    def __init__(self):
        self._lock = threading.Lock()
        self._seen = {}  # (project, subscription): (value, time)
        self.requests = 0
        monitoring = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body = monitoring._answer(urllib.parse.urlsplit(self.path))
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def sees(self, project, subscription, value, age=0):
        with self._lock:
            self._seen[project, subscription] = (value, time.time() - age)

    def _answer(self, url):
        with self._lock:
            self.requests += 1
            parts = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
            if parts[:2] != ["v3", "projects"] or len(parts) < 4:
                return 404, {"error": {"code": 404, "status": "NOT_FOUND"}}
            if parts[3] == "metricDescriptors":
                kind = {"type": "/".join(parts[4:]), "metricKind": "GAUGE", "valueType": "INT64"}
                return (200, kind) if kind["type"] == METRIC else (404, {"error": {"code": 404, "status": "NOT_FOUND"}})
            asked = urllib.parse.parse_qs(url.query).get("filter", [""])[0]
            return 200, {"timeSeries": [self._series(parts[2], name, *seen) for (project, name), seen
                                        in self._seen.items() if project == parts[2] and METRIC in asked]}

    @staticmethod
    def _series(project, subscription, value, at):
        return {"metric": {"type": METRIC}, "metricKind": "GAUGE", "valueType": "INT64",
                "resource": {"type": "pubsub_subscription",
                             "labels": {"project_id": project, "subscription_id": subscription}},
                "points": [{"interval": {"startTime": _stamp(at), "endTime": _stamp(at)},
                            "value": {"int64Value": str(value)}}]}
