# SPDX-License-Identifier: Apache-2.0
"""A client of the API server for tests and checkers: plain requests, JSON as dicts, one connection a thread.

    pods = api.list("/api/v1/namespaces/default/pods", labelSelector="app=x")   # every page
    job = api.post("/apis/batch/v1/namespaces/default/jobs", {...})
    api.patch(path, {"metadata": {"labels": {"a": "b"}}})
    for event in api.watch("/apis/batch/v1/jobs", resourceVersion=version): ...

An answer of 400 and above is an ApiError, which has `code`, `reason` and the server's Status.
"""

import http.client
import json
import select
import socket
import ssl
import threading
import urllib.parse

SECONDS = 30.0  # for one answer
PAGE = 500  # objects a page of a list


class ApiError(OSError):
    def __init__(self, method, path, code, body):
        try:
            self.status = json.loads(body)
        except ValueError:
            self.status = {"message": body.decode(errors="replace")[:500]}
        self.code, self.reason = code, self.status.get("reason", "")
        super().__init__(f"{method} {path}: {code} {self.status.get('message', '')}")


class Api:
    """`network` is a context in which sockets are opened: Cluster.network."""

    def __init__(self, network, host, port, ca, cert=None, key=None, token=None):
        self._network, self._address = network, (host, port)
        self._tls = ssl.create_default_context(cafile=ca)
        if cert:
            self._tls.load_cert_chain(cert, key)
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._of_thread = threading.local()

    # One request

    def get(self, path, **query):
        return self.request("GET", path, **query)

    def post(self, path, body, **query):
        return self.request("POST", path, body, **query)

    def put(self, path, body, **query):
        return self.request("PUT", path, body, **query)

    def delete(self, path, body=None, **query):
        return self.request("DELETE", path, body, **query)

    def patch(self, path, body, kind="merge", **query):
        """kind: merge, strategic-merge, json, apply (then with fieldManager=..)."""
        return self.request("PATCH", path, body,
                            content_type=f"application/{kind}-patch+{'yaml' if kind == 'apply' else 'json'}", **query)

    def put_new(self, path, body):
        """Creates it if there is none of that name."""
        try:
            return self.post(path, body)
        except ApiError as problem:
            if problem.reason != "AlreadyExists":
                raise
            return self.get(f"{path}/{body['metadata']['name']}")

    def request(self, method, path, body=None, content_type="application/json", **query):
        """The answer's JSON; its text where it is none (/readyz, logs)."""
        status, kind, text = self._send(method, path, body, content_type, query)
        if status >= 400:
            raise ApiError(method, path, status, text)
        return json.loads(text) if "json" in kind else text.decode(errors="replace")

    def _send(self, method, path, body, content_type, query):
        path = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()  # bytes: as they are
        headers = {**self._headers, **({"Content-Type": content_type} if data else {})}
        connection = getattr(self._of_thread, "connection", None)
        # An idle connection has nothing to say but its end. No request is ever sent twice.
        if connection is not None and select.select([connection.sock], [], [], 0)[0]:
            self.close()
            connection = None
        if connection is None:
            connection = self._of_thread.connection = self._connect(SECONDS)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read()
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            if isinstance(problem, OSError):
                raise
            raise ConnectionError(f"{method} {path}: {problem!r}") from problem

    def _connect(self, timeout):
        host, port = self._address
        with self._network():
            plain = socket.create_connection((host, port), timeout)
        connection = http.client.HTTPSConnection(host, port, context=self._tls)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock = self._tls.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        return connection

    def close(self):
        """The connection of this thread; the next request opens another."""
        connection = getattr(self._of_thread, "connection", None)
        if connection is not None:
            connection.close()
            self._of_thread.connection = None

    # Several

    def list(self, path, **query):
        """All objects, page by page."""
        items, more = [], ""
        while True:
            page = self.get(path, **{"limit": PAGE, **query, **({"continue": more} if more else {})})
            items += page["items"]
            more = page["metadata"].get("continue", "")
            if not more:
                return items

    def watch(self, path, timeout=SECONDS, **query):
        """Yields events on a connection of its own until the server ends the watch, or nothing comes for `timeout`
        seconds (then a TimeoutError)."""
        query = urllib.parse.urlencode({"watch": "true", **query})
        connection = self._connect(timeout)
        try:
            connection.request("GET", f"{path}?{query}", headers=self._headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise ApiError("GET", path, answer.status, answer.read())
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def condition(self, path, kind):
        """The status ("True", "False", "Unknown") of an object's condition; None: it has none, or there is no such
        object."""
        try:
            conditions = self.get(path).get("status", {}).get("conditions") or []
        except ApiError as problem:
            if problem.code == 404:
                return None
            raise
        return next((one["status"] for one in conditions if one["type"] == kind), None)
