# SPDX-License-Identifier: Apache-2.0
"""The fault proxy breaks exactly what it is told to, as cluster_test.py runs it: part of that script."""

import queue
import threading
import time

from e2e import contains, equal, job, pod_spec, test, wait_until
from api import ApiError
from components import PROXY_PORT


def through(k8s):
    """The API server through the proxy, as a user of its own."""
    cert, key = k8s.cluster.identity("tester", ["system:masters", "testers"])
    return k8s.cluster.api_as(cert, key, port=PROXY_PORT)


def small(name):
    return job(name, pod_spec(pool="nowhere"))


def refused(call, *arguments):
    """The error of a call that must fail."""
    try:
        call(*arguments)
    except (OSError, ValueError) as problem:
        return problem
    raise AssertionError("it succeeded")


class Watch:
    """The events of Jobs in the namespace, "TYPE NAME" each, as they come to this Api."""

    def __init__(self, k8s, api):
        self.events = queue.Queue()
        version = k8s.api.get(k8s.path("jobs"))["metadata"]["resourceVersion"]
        threading.Thread(target=self._run, args=(api, k8s.path("jobs"), version), daemon=True).start()

    def _run(self, api, path, version):
        try:
            for event in api.watch(path, resourceVersion=version):
                name = event["object"].get("metadata", {}).get("name") or event["object"].get("code")
                self.events.put(f"{event['type']} {name}")
            self.events.put("end")
        except OSError as problem:
            self.events.put(f"reset: {problem!r}")

    def next(self):
        return self.events.get(timeout=10)

    def until_silent(self, seconds):
        """All events, until none comes for so long."""
        events = []
        try:
            while True:
                events.append(self.events.get(timeout=seconds))
        except queue.Empty:
            return events


@test("the proxy loses the reply to a create that was done, and who came through it is who he is")
def _(k8s):
    api, faults = through(k8s), k8s.cluster.faults
    rule = faults.rule("commit-drop", method="POST", path="/jobs$", times=1)
    problem = refused(api.post, k8s.path("jobs"), small("once"))
    equal(isinstance(problem, ConnectionError), True, f"{problem!r}, a reset")
    equal(k8s.get("jobs", "once")["metadata"]["name"], "once", "the Job that nobody heard of")
    equal(refused(api.post, k8s.path("jobs"), small("once")).reason, "AlreadyExists", "to try again")
    equal(faults.hits(rule), 1, "times")
    seen = wait_until(lambda: [event for event in k8s.cluster.audit() if event["verb"] == "create"
                               and event["user"]["username"] == "tester" and event["objectRef"]["name"] == "once"
                               and event["objectRef"]["namespace"] == k8s.name], 10, "the audit log")
    equal("testers" in seen[0]["user"]["groups"], True, "his groups")
    passed = [(one["method"], one["user"], one["status"], one["action"]) for one in faults.requests()
              if one["path"] == k8s.path("jobs") and one["method"] == "POST"]
    equal(passed, [("POST", "tester", 201, "commit-drop"), ("POST", "tester", 409, "pass")], "what the proxy saw")


@test("the proxy answers with any code, asks or does not ask, cuts before and in the middle")
def _(k8s):
    api, faults, path = through(k8s), k8s.cluster.faults, k8s.path("jobs")
    for code, reason in ((409, "Conflict"), (410, "Expired"), (429, "TooManyRequests"), (500, "InternalError"),
                         (503, "ServiceUnavailable"), (504, "Timeout")):
        faults.rule("status", method="POST", path="/jobs$", code=code, retry_after_s=2, times=1)
        problem = refused(api.post, path, small(f"never{code}"))
        equal((problem.code, problem.reason, problem.status["details"]["retryAfterSeconds"]), (code, reason, 2),
              "the answer")
    faults.rule("commit-status", method="POST", path="/jobs$", code=504, times=1)
    equal(refused(api.post, path, small("done")).code, 504, "a timeout of what was done")
    faults.rule("cut", method="POST", path="/jobs$", times=1)
    equal(isinstance(refused(api.post, path, small("cut")), ConnectionError), True, "a reset")
    equal([one["metadata"]["name"] for one in k8s.list("jobs")], ["done"], "Jobs")
    faults.rule("truncate", path="/jobs$", bytes=40, times=1)
    equal(isinstance(refused(api.get, path), OSError), True, "half a list")
    equal(len(api.get(path)["items"]), 1, "afterwards")
    faults.rule("pass", path="/jobs$", delay_s=0.3, late_s=0.3, times=1)
    begin = time.monotonic()
    api.get(path)
    equal(0.6 <= time.monotonic() - begin < 3, True, "an answer 0.6 s late")
    contains(str(refused(faults.rule, "explode")), 'action "explode"; accepted: pass, cut, ', "a rule that is none")


@test("the proxy answers a list as it was, and a request that was delayed arrives after its sender has gone")
def _(k8s):
    api, faults, path = through(k8s), k8s.cluster.faults, k8s.path("jobs")
    rule = faults.rule("stale", method="GET", path="/jobs$")
    equal(api.get(path)["items"], [], "before")
    k8s.create("jobs", small("new"))
    equal(api.get(path)["items"], [], "as it was")
    faults.heal(rule)
    equal(len(api.get(path)["items"]), 1, "as it is")
    faults.rule("pass", method="POST", path="/jobs$", delay_s=30, times=1)
    sender = threading.Thread(target=lambda: refused(api.post, path, small("late")))
    since = len(faults.requests())
    sender.start()
    wait_until(lambda: any(one["method"] == "POST" for one in faults.requests(since)), 10, "it to be on its way")
    equal(faults.cut("/jobs$"), 1, "senders cut off")
    equal(k8s.get("jobs", "late"), None, "not there yet")
    faults.heal()
    wait_until(lambda: k8s.get("jobs", "late"), 10, "it to arrive")
    sender.join(10)
    equal(sender.is_alive(), False, "its sender waits still")


@test("the proxy drops, repeats and swaps events of a watch, freezes it, says 410, and refuses everybody")
def _(k8s):
    faults = k8s.cluster.faults
    faults.rule("event-drop", path="/jobs$", event="ADDED a$", times=1)
    faults.rule("event-duplicate", path="/jobs$", event="ADDED b$", times=1)
    faults.rule("event-swap", path="/jobs$", event="ADDED c$", times=1)
    watch, plain = Watch(k8s, through(k8s)), Watch(k8s, k8s.cluster.api)
    for name in "abcd":
        k8s.create("jobs", small(name))
    want, got = plain.until_silent(2), watch.until_silent(1)
    contains(want, "ADDED d", "what happened")
    want.remove("ADDED a")
    want.insert(want.index("ADDED b"), "ADDED b")
    at = want.index("ADDED c")
    want[at], want[at + 1] = want[at + 1], want[at]
    equal(got, want, "what came through")

    freeze = faults.rule("freeze", path="/jobs$", watch=True)
    k8s.create("jobs", small("e"))
    equal(watch.until_silent(1), [], "what came meanwhile")
    contains(plain.until_silent(0.5), "ADDED e", "what happened meanwhile")
    faults.heal(freeze)
    contains(watch.until_silent(1), "ADDED e", "what came at last")
    faults.rule("event-gone", path="/jobs$", event="ADDED f", times=1)
    k8s.create("jobs", small("f"))
    equal([watch.next(), watch.next()], ["ERROR 410", "end"], "what became of the watch")
    faults.refuse()
    equal(isinstance(refused(through(k8s).get, "/version"), ConnectionError), True, "nobody there")
    faults.heal()
    through(k8s).get("/version")
