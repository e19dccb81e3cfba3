# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ's management API as the tests use it. The password goes into a header, never into a URL or an error."""

import base64
import http.client
import json
import urllib.parse


class ManagementError(Exception):
    """An answer that is not 2xx; `status` is its number."""

    def __init__(self, status, what):
        super().__init__(what)
        self.status = status


class Management:
    """Needs `management_port`, `user` and `password` from whoever inherits it.

    The broker gathers its figures every 5 s, or as `collect_statistics_interval` (ms) of its configuration says: counts
    and connections are as old as that. Wait for what you expect, with wait_until.
    """

    management_port = None
    user = password = "guest"

    def request(self, method, path, body=None, timeout=10, headers=None):
        """The JSON of the answer; None for an empty one. `path` is below /api, its parts already quoted."""
        if not self.management_port:
            raise RuntimeError("this broker was started without its management API")
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.management_port, timeout=timeout)
        try:
            connection.request(method, "/api" + path, None if body is None else json.dumps(body),
                               {"Authorization": f"Basic {secret}", "Content-Type": "application/json",
                                **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise ManagementError(answer.status, f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text else None

    def found(self, path):
        """As GET, but None for what is not there."""
        try:
            return self.request("GET", path)
        except ManagementError as problem:
            if problem.status == 404:
                return None
            raise

    # Queues

    def declare_queue(self, name, type="classic", arguments=None, durable=True, vhost="/"):
        whole = {"x-queue-type": type, **(arguments or {})}
        self.request("PUT", _path("queues", vhost, name), {"durable": durable, "arguments": whole})

    def delete_queue(self, name, vhost="/"):
        self.request("DELETE", _path("queues", vhost, name))

    def purge_queue(self, name, vhost="/"):
        self.request("DELETE", _path("queues", vhost, name, "contents"))

    def queue(self, name, vhost="/"):
        """All that the broker says about it; None when there is no such queue."""
        return self.found(_path("queues", vhost, name))

    def counts(self, name, vhost="/"):
        """(ready, unacked); None for what the broker does not say, as for seconds after a declare."""
        seen = self.queue(name, vhost) or {}
        return seen.get("messages_ready"), seen.get("messages_unacknowledged")

    def consumers(self, queue=None, vhost="/"):
        """All consumers of the vhost, or of one queue."""
        return [one for one in self.request("GET", _path("consumers", vhost))
                if queue is None or one["queue"]["name"] == queue]

    def declare_exchange(self, name, type="direct", vhost="/", **options):
        self.request("PUT", _path("exchanges", vhost, name), {"type": type, "durable": True, **options})

    def bind(self, exchange, queue, key="", vhost="/"):
        self.request("POST", _path("bindings", vhost, "e", exchange, "q", queue), {"routing_key": key})

    # Messages, a few for a check

    def publish(self, queue, body="", properties=None, exchange="amq.default", vhost="/"):
        """True when it reached a queue. Persistent unless `properties` says otherwise."""
        message = {"routing_key": queue, "payload": body, "payload_encoding": "string",
                   "properties": {"delivery_mode": 2, **(properties or {})}}
        return self.request("POST", _path("exchanges", vhost, exchange, "publish"), message)["routed"]

    def get(self, queue, count=1, requeue=False, vhost="/"):
        """Takes up to `count` messages, [{"payload":.., "properties":.., "redelivered":..}]; requeue puts them back."""
        mode = "ack_requeue_true" if requeue else "ack_requeue_false"
        return self.request("POST", _path("queues", vhost, queue, "get"),
                            {"count": count, "ackmode": mode, "encoding": "auto"})

    # Users, virtual hosts, policies

    def add_user(self, name, password, tags=""):
        """Also changes the password or the tags of one that is there. Permissions come from set_permissions."""
        self.request("PUT", _path("users", name), {"password": password, "tags": tags})

    def delete_user(self, name):
        self.request("DELETE", _path("users", name))

    def set_permissions(self, user, configure=".*", write=".*", read=".*", vhost="/"):
        self.request("PUT", _path("permissions", vhost, user), {"configure": configure, "write": write, "read": read})

    def clear_permissions(self, user, vhost="/"):
        self.request("DELETE", _path("permissions", vhost, user))

    def add_vhost(self, name):
        self.request("PUT", _path("vhosts", name))

    def delete_vhost(self, name):
        self.request("DELETE", _path("vhosts", name))

    def set_policy(self, name, pattern, definition, apply_to="queues", priority=0, vhost="/"):
        self.request("PUT", _path("policies", vhost, name),
                     {"pattern": pattern, "definition": definition, "apply-to": apply_to, "priority": priority})

    def delete_policy(self, name, vhost="/"):
        self.request("DELETE", _path("policies", vhost, name))

    # Connections

    def connections(self, name_prefix=""):
        """Those whose name, as the client gave it, begins so. One that gave none goes by its addresses."""
        return [one for one in self.request("GET", "/connections") if _name(one).startswith(name_prefix)]

    def close_connections(self, name_prefix="", reason="closed by the test"):
        """Closes them as an administrator would; the number of those that were still there."""
        closed = 0
        for one in self.connections(name_prefix):
            try:
                self.request("DELETE", _path("connections", one["name"]), headers={"X-Reason": reason})
                closed += 1
            except ManagementError as problem:
                if problem.status != 404:  # gone since
                    raise
        return closed


def _name(connection):
    properties = connection.get("client_properties") or {}  # an empty list where there are none
    given = properties.get("connection_name") if isinstance(properties, dict) else None
    return connection.get("user_provided_name") or given or connection.get("name", "")


def _path(*parts):
    return "".join("/" + urllib.parse.quote(part, safe="") for part in parts)
