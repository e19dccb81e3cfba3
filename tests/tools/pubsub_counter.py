# SPDX-License-Identifier: Apache-2.0
"""Passes REST requests on to an emulator of Pub/Sub, and counts what each subscription has not acknowledged: the
emulator has no such number. What does not go through here is not seen, nor what the emulator moves to a dead-letter
topic by itself.

    with PubsubCounter(emulator.address) as counter:
        ... PUBSUB_EMULATOR_HOST=counter.address ...
        counter.undelivered("projects/p/subscriptions/s"), counter.oldest_age(...)
"""

import http.client
import http.server
import json
import re
import socketserver
import threading
import time

NAME = re.compile(r"^/v1/(projects/[^/:]+/(?:topics|subscriptions)/[^/:?]+)(?::(\w+))?(?:\?.*)?$")
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
PULL_MAX_S = 120


class _Subscription:
    def __init__(self, topic):
        self.topic = topic
        self.waiting = {}  # message id -> when it was published
        self.handed = {}   # ack id -> message id


class PubsubCounter:
    def __init__(self, emulator, host="127.0.0.1"):
        self._emulator, self._lock, self._subscriptions = emulator, threading.Lock(), {}
        self._server = _Server((host, 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self):
        return "{}:{}".format(*self._server.server_address)

    def subscriptions(self):
        with self._lock:
            return sorted(self._subscriptions)

    def undelivered(self, subscription):
        """Published and not acknowledged; as Pub/Sub counts, with what is being worked on."""
        with self._lock:
            return len(self._subscriptions[subscription].waiting)

    def oldest_age(self, subscription):
        with self._lock:
            return time.monotonic() - min(self._subscriptions[subscription].waiting.values(), default=time.monotonic())

    # What passes

    def forward(self, method, path, headers, body):
        connection = http.client.HTTPConnection(self._emulator, timeout=PULL_MAX_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def saw(self, method, path, asked, answered):
        """An exchange that went well."""
        found = NAME.match(path)
        if not found:
            return
        name, action = found.groups()
        with self._lock:
            if method == "PUT" and "/subscriptions/" in name:
                self._subscriptions.setdefault(name, _Subscription(answered.get("topic")))
            elif method == "DELETE":
                self._subscriptions.pop(name, None)
            elif action == "publish":
                for one in self._subscriptions.values():
                    if one.topic == name:
                        one.waiting.update(dict.fromkeys(answered.get("messageIds", []), time.monotonic()))
            elif name in self._subscriptions and action == "pull":
                for received in answered.get("receivedMessages", []):
                    self._subscriptions[name].handed[received["ackId"]] = received["message"]["messageId"]
            elif name in self._subscriptions and action == "acknowledge":
                one = self._subscriptions[name]
                for ack in asked.get("ackIds", []):
                    one.waiting.pop(one.handed.pop(ack, None), None)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(counter):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _pass(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            try:
                status, told, data = counter.forward(self.command, self.path, headers, body)
            except OSError:
                self.close_connection = True
                return
            if status == 200:
                counter.saw(self.command, self.path, json.loads(body or b"{}"), json.loads(data or b"{}"))
            try:
                self.send_response(status)
                for name, value in told:
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # a worker that left in the middle of a pull

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _pass

    return Handler
