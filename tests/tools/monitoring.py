# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Cloud Monitoring API: the two calls that an adapter makes, for the backlogs of Pub/Sub
subscriptions. Like the real one it samples now and then, and shows a sample only a while later.

    with Monitoring("my-project", sample_s=60, delay_s=(0, 120)) as monitoring:
        monitoring.set("orders-sub", 1000)                 # or: monitoring.watch(counter), a PubsubCounter
        ... monitoring.url ...
        monitoring.fault(status=429, reason="RESOURCE_EXHAUSTED")   # until heal()
        monitoring.calls("timeSeries")                     # how often it was asked

What it gives is as documented of v3 over REST: int64 as text, points newest first, pages, errors as Google's. A gauge
may be asked for raw, or aligned by ALIGN_NEXT_OLDER; anything else is refused. `tokens`: the bearer tokens that are
taken; None: it does not look.
"""

import contextlib
import http.server
import json
import random
import re
import socketserver
import threading
import time
import urllib.parse

METRICS = {"pubsub.googleapis.com/subscription/num_undelivered_messages": "count",
           "pubsub.googleapis.com/subscription/oldest_unacked_message_age": "age"}
KEPT_S = 3600
TERM = re.compile(r'^(NOT )?([\w.]+) (=|!=) (?:"((?:[^"\\]|\\.)*)"|one_of\((.*)\))$')
WORDS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
         429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def stamp(at):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def seconds_of(text):
    return time.mktime(time.strptime(text.partition(".")[0].rstrip("Z"), "%Y-%m-%dT%H:%M:%S")) - time.timezone


class Monitoring:
    """`delay_s`: how long after a sample it is shown, at least and at most; drawn with `seed`."""

    def __init__(self, project, sample_s=60, delay_s=(0, 120), host="127.0.0.1", tokens=None, seed=1):
        self.project, self._sample_s, self._delay_s = project, sample_s, delay_s
        self.tokens, self._random = tokens, random.Random(seed)
        self._lock, self._end = threading.Lock(), threading.Event()
        self._values, self._counter, self._points = {}, None, {}
        self._fault, self._calls = None, []
        self._server = _Server((host, 0), _handler(self))
        self._threads = [threading.Thread(target=run, daemon=True)
                         for run in (self._server.serve_forever, self._sample)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    @property
    def url(self):
        return "http://{}:{}".format(*self._server.server_address)

    # What a test says

    def set(self, subscription, count, oldest_age_s=0):
        with self._lock:
            self._values[subscription] = (count, int(oldest_age_s))

    def watch(self, counter):
        """From here on the numbers are its."""
        with self._lock:
            self._counter = counter

    def show(self, subscription, count, age_s=0):
        """A sample of so long ago, which is shown now; none comes after it by itself."""
        with self._lock:
            self._points.setdefault(subscription, []).append(
                {"end": time.time() - age_s, "shown": 0, "count": count, "age": 0})

    def sample(self):
        """Takes one now, beside those that come by themselves, and shows it at once."""
        self._take(time.time(), 0)

    def fault(self, status=None, reason="", hang=False):
        """Every answer is that error, or none comes, until heal()."""
        healed = threading.Event()
        with self._lock:
            self._fault = (status, reason, hang, healed)

    def heal(self):
        with self._lock:
            fault, self._fault = self._fault, None
        if fault:
            fault[3].set()

    def calls(self, kind):
        """When it was asked for "timeSeries" or "metricDescriptors"."""
        with self._lock:
            return [at for at, what in self._calls if what == kind]

    # What it does

    def _now(self):
        if self._counter is None:
            return dict(self._values)
        prefix = f"projects/{self.project}/subscriptions/"
        return {name.removeprefix(prefix): (self._counter.undelivered(name), int(self._counter.oldest_age(name)))
                for name in self._counter.subscriptions() if name.startswith(prefix)}

    def _take(self, at, delay):
        with self._lock:
            for subscription, (count, age) in self._now().items():
                points = self._points.setdefault(subscription, [])
                points.append({"end": at, "shown": at + delay, "count": count, "age": age})
                while points[0]["end"] < at - KEPT_S:
                    points.pop(0)

    def _sample(self):
        while not self._end.wait(self._sample_s):
            self._take(time.time(), self._random.uniform(*self._delay_s))

    def asked(self, path, query, headers):
        """JSON of a good answer; Refused."""
        parts = path.strip("/").split("/")
        if parts[:1] != ["v3"] or parts[1:2] != ["projects"] or len(parts) < 4:
            raise Refused(404, f"no such path: {path}")
        with self._lock:
            self._calls.append((time.monotonic(), parts[3]))
            fault = self._fault
        if fault:
            status, reason, hang, healed = fault
            if hang:
                healed.wait(120)
                raise ConnectionAbortedError
            raise Refused(status, reason or "a fault of the test")
        if self.tokens is not None and headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise Refused(401, "Request had invalid authentication credentials.")
        if parts[2] != self.project:
            raise Refused(403, f"Permission monitoring.timeSeries.list denied on project {parts[2]}")
        if parts[3] == "metricDescriptors":
            return self._descriptor("/".join(parts[4:]))
        if parts[3] == "timeSeries":
            return self._list({key: values[0] for key, values in urllib.parse.parse_qs(query).items()})
        raise Refused(404, f"no such path: {path}")

    def _descriptor(self, metric):
        if metric not in METRICS:
            raise Refused(404, f"Could not find descriptor for metric '{metric}'.")
        return {"name": f"projects/{self.project}/metricDescriptors/{metric}", "type": metric, "metricKind": "GAUGE",
                "valueType": "INT64", "unit": "1"}

    def _list(self, query):
        metric, wanted = self._filter(query.get("filter", ""))
        begin, end = seconds_of(query["interval.startTime"]), seconds_of(query["interval.endTime"])
        aligner = query.get("aggregation.perSeriesAligner", "ALIGN_NONE")
        if aligner not in ("ALIGN_NONE", "ALIGN_NEXT_OLDER") or "aggregation.crossSeriesReducer" in query:
            raise Refused(400, f"this stand-in does not align by {aligner} and does not reduce")
        now, series = time.time(), []
        with self._lock:
            for subscription, points in sorted(self._points.items()):
                shown = [one for one in reversed(points) if one["shown"] <= now and begin <= one["end"] <= end + 1]
                if not wanted(subscription) or not shown:
                    continue
                if aligner == "ALIGN_NEXT_OLDER":
                    shown = [{**shown[0], "end": end}]
                series.append(self._series(metric, subscription, shown))
        return self._page(series, query)

    def _filter(self, text):
        metric, terms = None, []
        for term in text.split(" AND "):
            found = TERM.match(term)
            if not found:
                raise Refused(400, f"Could not parse filter: {term}")
            inverse, key, sign, value, several = found.groups()
            values = [value] if value is not None else [one.strip().strip('"') for one in several.split(",")]
            if key == "metric.type" and sign == "=":
                metric, = values
            elif key in ("resource.labels.subscription_id", "resource.labels.project_id", "resource.type"):
                terms.append((key.rpartition(".")[2], values, bool(inverse) != (sign == "!=")))
            else:
                raise Refused(400, f"this stand-in has no {key}")
        if metric not in METRICS:
            raise Refused(404, f"Cannot find metric that matches type = \"{metric}\".")

        def wanted(subscription):
            labels = {"subscription_id": subscription, "project_id": self.project, "type": "pubsub_subscription"}
            return all((labels[key] in values) != inverse for key, values, inverse in terms)

        return metric, wanted

    def _series(self, metric, subscription, points):
        return {"metric": {"type": metric}, "metricKind": "GAUGE", "valueType": "INT64",
                "resource": {"type": "pubsub_subscription", "labels": {"project_id": self.project,
                                                                       "subscription_id": subscription}},
                "points": [{"interval": {"startTime": stamp(one["end"]), "endTime": stamp(one["end"])},
                            "value": {"int64Value": str(one[METRICS[metric]])}} for one in points]}

    def _page(self, series, query):
        """Pages hold so many points; a series that does not fit in begins anew on the next one."""
        size, skip = int(query.get("pageSize", 100_000)), int(query.get("pageToken", 0))
        out, at = [], 0
        for one in series:
            points = [point for n, point in enumerate(one["points"], at) if skip <= n < skip + size]
            at += len(one["points"])
            if points:
                out.append({**one, "points": points})
        return {"timeSeries": out, **({"nextPageToken": str(skip + size)} if at > skip + size else {})} if out else {}


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(monitoring):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            path, _, query = self.path.partition("?")
            try:
                status, body = 200, monitoring.asked(path, query, self.headers)
            except Refused as refused:
                status, body = refused.status, {"error": {"code": refused.status, "message": refused.message,
                                                          "status": WORDS.get(refused.status, "UNKNOWN")}}
            except ConnectionAbortedError:
                self.close_connection = True
                return
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            with contextlib.suppress(ConnectionError):  # who asked may be gone
                self.end_headers()
                self.wfile.write(data)

    return Handler
