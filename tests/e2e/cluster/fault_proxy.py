# SPDX-License-Identifier: Apache-2.0
"""The fault proxy in front of the API server, as a test steers it. kube/cluster-tools/faultproxy.go is the proxy.

    faults.rule(method="POST", path="/jobs$", action="commit-drop", times=1)    # the server does it, nobody hears of it
    faults.rule(path="/pods$", watch=True, action="freeze")                     # open and silent, until heal()
    faults.rule(method="PUT", action="status", code=429, retry_after_s=2)
    faults.rule(path="/leases/", action="pass", delay_s=5)                      # asked late
    faults.rule(path="/jobs$", watch=True, action="event-drop", event="DELETED", times=1)
    faults.requests()                                                           # what came, and what became of it
    faults.heal()

Who comes through it is to the API server who he is: a bearer token is passed on, and the name and groups of a client
certificate are handed over as an aggregating front proxy does. The newest rule that fits a request is applied.

| action | what happens |
| --- | --- |
| pass | as usual; with delay_s the server is asked later, with late_s its answer comes later |
| cut | the connection is reset, the server not asked |
| commit-drop | the server is asked and does it; then the connection is reset |
| commit-status | the server is asked and does it; the answer says `code` |
| status | the answer is `code` with a metav1.Status, the server not asked |
| truncate | `bytes` of the answer's body, then a reset |
| stale | the first answer after the rule was made is given to all the same requests after it (not to watches) |
| freeze | the answer stops where it is, the connection open; heal() lets it go on |
| event-drop | an event of a watch is left out |
| event-duplicate | it comes twice |
| event-swap | it comes after the next one |
| event-gone | an ERROR event with code 410 in its place, then the end of the watch |

`times` counts requests, for event-* events; 0 is until heal(). `skip` lets the first ones pass. `path` and `query` are
regular expressions (Go's) that must be found, `event` one for "TYPE NAME" of an event's object, `user` one for the
user's name (of a certificate; "bearer" for a token). `watch`: True watches alone, False all others, None both.
"""

import http.client
import json
import socket

SECONDS = 10.0


class Faults:
    def __init__(self, network, host, port):
        self._network, self._address = network, (host, port)

    def rule(self, action, method="", path="", query="", user="", event="", watch=None, times=0, skip=0, delay_s=0.0,
             late_s=0.0, code=0, reason="", message="", retry_after_s=0, bytes=0):
        """In force when this returns. Returns its number."""
        rule = {"action": action, "method": method, "path": path, "query": query, "user": user, "event": event,
                "watch": watch, "times": times, "skip": skip, "delay_s": delay_s, "late_s": late_s, "code": code,
                "reason": reason, "message": message, "retry_after_s": retry_after_s, "bytes": bytes}
        return self._ask("POST", "/rules", rule)["id"]

    def rules(self):
        """Those in force, each with how often it was applied (`hits`)."""
        return self._ask("GET", "/rules")

    def hits(self, number):
        """How often a rule was applied; it may be over or healed."""
        return self._ask("GET", f"/rules/{number}")["hits"]

    def heal(self, number=None):
        """Ends this rule, or all; what was frozen goes on, and the proxy listens again."""
        self._ask("DELETE", "/rules" if number is None else f"/rules/{number}")

    def cut(self, path=""):
        """Resets every connection that waits for, or gets, the answer to such a request. Returns how many."""
        return self._ask("POST", "/cut", {"path": path})["cut"]

    def refuse(self):
        """Nobody listens any more, and every connection is reset, until heal()."""
        self._ask("POST", "/refuse", {})

    def requests(self, since=0):
        """What came, from the number `since` on: {"n", "at", "method", "path", "query", "user", "status", "action"}; a
        status of 0 is none. The newest 100,000 are kept."""
        return self._ask("GET", f"/requests?since={since}")

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(*self._address)
        with self._network():
            connection.sock = socket.create_connection(self._address, SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"fault proxy: {text.decode(errors='replace').strip()}")
        return json.loads(text) if text else None
