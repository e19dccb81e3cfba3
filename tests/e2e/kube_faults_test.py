# SPDX-License-Identifier: Apache-2.0
"""The fault table's rows of the Kubernetes API: each through the fault proxy, or done to the real cluster, with the
result that is expected and how soon. Of every row the audit log is judged (audit_check.py) as well: never a Job above
max, none touched that runs, nothing beyond the chart's Role."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from e2e import contains, equal, main, pod_spec, test, wait_until
from api import ApiError
from faults import Row, keep
from scaling import WAIT_S, Rig, ensure_nodes, scaled, seconds_since

GROUP = "faulty"
# `seconds` is None where the row itself says what its bound counts from.
ROWS = {
    "F45": Row("kube API", "409 on create, on update of the Lease; a foreign Job has a slot's name",
               "create: adopt or warn; update: re-read, retry; the foreign one is left alone", "2 s", 2),
    "F46": Row("kube API", "410 on a watch, and on page 2 of a list", "relist; no action on a partial list", "5 s", 5),
    "F47": Row("kube API", f"429 + Retry-After 3 on creates for {scaled(10, 300)} s",
               "obeyed; the Lease is renewed on time all the while", "Retry-After + 2 s", 5),
    "F48": Row("kube API", "500, 503, 504 after the commit of a create", "GET by name; no second object", "2 s", 2),
    "F49": Row("kube API", f"every connection cut and refused for {scaled(25, 300)} s, two replicas",
               "hold; the leader steps down; no crash loop; no burst after", "35 s", 35),
    "F50": Row("kube API", "watches stay open and say nothing", "begun anew", "90 s", 90),
    "F51": Row("kube API", "events twice, in another order, intermediate ones left out",
               "the end state of a run without faults", "5 s", 5),
    "F52": Row("kube API", "a list of before the own writes (a stale API server)",
               "no Job twice, none deleted; caught up by the watch", "5 s", 5),
    "F53": Row("kube API", "only Jobs cannot be listed", "hold, create nothing", "next poll", None),
    "F54": Row("kube API", "a quota of Jobs is used up; an admission webhook denies",
               "slow start stops after the first; full, with the words; backoff", "backoff", None),
    "F55": Row("kube API", "pods find no node; an image cannot be pulled",
               "no more creates; both said, and the second is broken", "-", None),
    "F56": Row("kube API", "a pod evicted, one deleted by hand, a node gone", "replaced once, counted once",
               "1 poll + 5 s after the pod is gone", 6),
    "F57": Row("kube API", "service account token rotated, the old one refused", "read again; the process goes on",
               "1 min", 60),
}


def row(number):
    """Registers the test of a row: a function of the Namespace, which returns (seconds or None, what was seen)."""
    told = ROWS[number]

    def register(function):
        def run(k8s):
            verdict, seconds, seen = "failed", None, ""
            try:
                ensure_nodes(k8s, GROUP, cpu="10000", pods=5000)
                seconds, seen = function(k8s)
                verdict = "ok"
                print(f"{number}: {'' if seconds is None else f'{seconds:.2f} s, bound {told.bound}: '}{seen}")
                # A quick run's machine does other things beside it.
                if told.seconds is not None and seconds > told.seconds * scaled(3, 1):
                    verdict = "late"
                    raise AssertionError(f"{seconds:.2f} s after the end of the fault; the bound is {told.bound}")
            finally:
                keep(number, told, verdict, seconds, seen)

        return test(f"{number} {told.component}: {told.fault}")(run)

    return register


def grown(rig, count, since):
    """Seconds since `since` when there are so many live Jobs."""
    wait_until(lambda: len(rig.live()) == count, WAIT_S, f"{count} live Jobs", 0.05)
    return seconds_since(since)


def faulty(k8s):
    return Rig(k8s, GROUP, proxied=True)


# The rows that take longest come first.


@row("F50")
def _(k8s):
    with faulty(k8s) as rig:
        rig.publish(9)
        first = rig.controller()
        rig.pool(max=4)
        rig.wait_live(4)
        rig.next_tick()
        frozen = [rig.fault("freeze", f"/{kind}$", watch=True) for kind in ("jobs", "pods", "workerpools")]
        begun = time.monotonic()
        k8s.delete("jobs", "orders-w2", propagationPolicy="Background")
        # A watch that is begun meanwhile is frozen as well: the fault ends when the first of them is.
        since = k8s.cluster.faults.requests()[-1]["n"] + 1
        wait_until(lambda: rig.requests("GET", "/jobs$", since), 120, "another watch", 0.2)
        rig.heal(*frozen)
        took = grown(rig, 4, begun)
        equal(first.alive(), True, "the controller lives")
        creates = rig.check().creates()
        equal(creates.count("orders-w2"), 2, f"{creates}: the slot was filled again once")
        return took, f"watches begun anew after {took:.0f} s of silence, the worker that went meanwhile was replaced"


@row("F56")
def _(k8s):
    with faulty(k8s) as rig:
        k8s.cluster.nodes(f"going-{k8s.name}", 1)
        rig.group = f"going-{k8s.name}"
        rig.publish(9)
        rig.controller()
        rig.pool(max=3)
        rig.wait_live(3)
        k8s.wait("them to run", lambda: sum(pod["status"]["phase"] == "Running" for pod in k8s.list("pods")) == 3)
        took = []

        def replaced(uids, since=None):
            gone = since or k8s.wait("a pod to be gone", lambda: len(set(rig.uids()) & uids) < len(uids)
                                     and time.monotonic(), 2 * WAIT_S)
            k8s.wait("another", lambda: len(rig.live()) == 3 and len(rig.uids()) == 3, WAIT_S)
            took.append(seconds_since(gone))

        def pod(slot):
            return k8s.pods_of(f"orders-w{slot}")[0]["metadata"]["name"]

        k8s.wait("three pods", lambda: all(k8s.pods_of(f"orders-w{slot}") for slot in range(3)))
        before = set(rig.uids())
        k8s.api.post(k8s.path("pods", f"{pod(0)}/eviction"), {
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod(0)}})
        replaced(before)
        before = set(rig.uids())
        k8s.delete("pods", pod(1))
        replaced(before)
        k8s.wait("them to run again", lambda: sum(pod["status"]["phase"] == "Running"
                                                  for pod in k8s.list("pods")) == 3, WAIT_S)
        before = set(rig.uids())
        k8s.cluster.nodes(rig.group, 1, first=1)
        k8s.api.delete(f"/api/v1/nodes/{rig.group}-0")
        k8s.wait("all three to be gone", lambda: not set(rig.uids()) & before, 3 * WAIT_S)
        replaced(before, time.monotonic())
        check = rig.check()
        equal(len(check.creates()), 3 + 1 + 1 + 3, f"{check.creates()}: each replaced once")
        return max(took), "evicted, deleted, node gone (after the pod collector saw it): 3 + 5 Jobs in all"


@row("F49")
def _(k8s):
    with faulty(k8s) as rig:
        both = [rig.controller("a"), rig.controller("b")]
        starts = 2
        rig.publish(2)
        rig.pool(max=6)
        rig.wait_live(2)
        leader = k8s.wait("a leader", lambda: next((one for one in both if one.leads()), None))
        cut = rig.fault("cut")
        begun = time.monotonic()
        k8s.cluster.faults.cut(f"/namespaces/{k8s.name}")
        rig.publish(10)
        k8s.wait("the leader to step down", lambda: not leader.alive(), 40)
        stepped = seconds_since(begun)
        while seconds_since(begun) < scaled(25, 300):
            for at, one in enumerate(both):
                if not one.alive():  # as a Deployment starts it again
                    both[at], starts = rig.controller(one.name), starts + 1
            wait_until(lambda: seconds_since(begun) >= scaled(25, 300) or not all(one.alive() for one in both), 400,
                       "the end of the outage", 0.1)
        equal(len(rig.live()), 2, "Jobs at the end of it")
        rig.heal(cut)
        healed = time.monotonic()
        took = grown(rig, 6, healed)
        check = rig.check()
        # In no order: those of one tick are asked for side by side.
        equal(sorted(check.creates()), [f"orders-w{slot}" for slot in range(6)], "Jobs that were made")
        equal(starts <= 3 + seconds_since(begun) / 10, True, f"{starts} starts: no crash loop")
        return took, f"leader down after {stepped:.1f} s, {starts} starts in all, 2 workers held, then 4 more"


@row("F47")
def _(k8s):
    with faulty(k8s) as rig:
        rig.controller()
        rig.pool(max=4)
        rig.settled()
        rule = rig.fault("status", "/jobs$", method="POST", code=429, reason="TooManyRequests", retry_after_s=3)
        begun, wall = time.monotonic(), time.time()
        rig.publish(9)
        wait_until(lambda: seconds_since(begun) > scaled(10, 300), 400, "the end of it", 0.1)
        since = time.time()
        rig.heal(rule)
        took = grown(rig, 4, time.monotonic())
        refused = [one["at"] for one in rig.requests("POST", "/jobs$") if one["status"] == 429]
        gaps = [b - a for a, b in zip(refused, refused[1:])]
        equal(len(refused) > 1 and min(gaps) >= 2.9, True, f"{gaps}: never sooner than asked for")
        renewals = [one["at"] for one in rig.requests("PUT", "/leases/") if wall <= one["at"] <= since]
        slowest = max(b - a for a, b in zip(renewals, renewals[1:]))
        equal(slowest < 6, True, f"{slowest:.1f} s between two renewals")
        rig.check()
        return took, f"{len(refused)} creates, {min(gaps):.1f} s apart and more; the Lease renewed each {slowest:.1f} s"


@row("F54")
def _(k8s):
    with faulty(k8s) as rig:
        hard = {"spec": {"hard": {"count/jobs.batch": "2"}}}
        k8s.create("resourcequotas", {"metadata": {"name": "two"}, **hard})
        k8s.wait("the quota to count", lambda: k8s.get("resourcequotas", "two").get("status", {}).get("used"))
        rig.publish(20)
        rig.controller()
        rig.pool(max=9, surge=9)
        tick = rig.wait_word("full")
        contains(tick["decision"]["reason"], "exceeded quota: two", "the reason")
        # One, then two at a time: the second of those is refused, and that was it.
        equal((len(rig.live()), rig.refused_jobs() <= 2), (2, True), "(Jobs, refused at most twice)")
        refused = rig.refused_jobs()
        for _ in range(3):
            equal(rig.next_tick()["plan"]["start"], [], "what a tick starts meanwhile")
        k8s.api.patch(k8s.path("resourcequotas", "two"), {"spec": {"hard": {"count/jobs.batch": "9"}}})
        begun = time.monotonic()
        denied = rig.fault("status", "/jobs$", method="POST", code=403, reason="Forbidden",
                           message='jobs.batch "x" is forbidden: admission webhook "guard.test" denied the request')
        k8s.wait("a refusal by the webhook", lambda: k8s.cluster.faults.hits(denied), WAIT_S)
        waited = seconds_since(begun)
        tick = rig.wait_word("full")
        contains(tick["decision"]["reason"], 'webhook "guard.test" denied', "the reason")
        hits = k8s.cluster.faults.hits(denied)
        rig.heal(denied)
        took = grown(rig, 9, time.monotonic())
        rig.check()
        return None, (f"{refused} refused, next try {waited:.0f} s after the quota was raised, {hits} by the webhook, "
                      f"then 9 Jobs {took:.0f} s after it let them")


@row("F45")
def _(k8s):
    with faulty(k8s) as rig:
        foreign = k8s.create("jobs", {"metadata": {"name": "orders-w1"},
                                      "spec": {"suspend": True, "template": {"spec": {
                                          **rig.pod()["spec"], "restartPolicy": "Never"}}}})
        rig.controller()
        rig.pool(max=4)
        rig.settled()
        holder = rig.holder()
        twice = rig.fault("status", "/jobs$", method="POST", code=409, reason="AlreadyExists", times=2)
        lease = rig.fault("status", "/leases/", method="PUT", code=409, reason="Conflict", times=3)
        rig.publish(9)
        k8s.wait("both conflicts", lambda: k8s.cluster.faults.hits(twice) == 2, WAIT_S)
        took = grown(rig, 3, time.monotonic())
        k8s.wait("the conflicts of the Lease", lambda: k8s.cluster.faults.hits(lease) == 3, WAIT_S)
        rig.next_tick()
        equal((rig.holder(), sorted(rig.live())), (holder, ["orders-w0", "orders-w2", "orders-w3"]), "(leader, Jobs)")
        now = k8s.get("jobs", "orders-w1")["metadata"]
        equal((now["uid"], now["generation"]), (foreign["metadata"]["uid"], 1), "the foreign Job")
        rig.check()
        return took, "made at the next try; slot 1 is somebody else's and left out; the same leader leads"


@row("F46")
def _(k8s):
    with faulty(k8s) as rig:
        def other(number):  # of another pool, and more than a page of them
            k8s.create("jobs", {"metadata": {"name": f"many-w{number}", "labels": {"sluice.dev/pool": "many"}},
                                "spec": {"suspend": True, "template": {"spec": {
                                    **rig.pod()["spec"], "restartPolicy": "Never"}}}})

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(other, range(501)))
        broken = rig.fault("status", "/jobs$", method="GET", query="continue=", code=410, reason="Expired")
        rig.publish(9)
        rig.controller()
        rig.pool(max=4)
        k8s.wait("three lists that broke off", lambda: k8s.cluster.faults.hits(broken) >= 3, WAIT_S)
        equal([name for name in rig.jobs() if name.startswith("orders")], [], "Jobs, of a partial list")
        rig.heal(broken)
        begun = time.monotonic()
        wait_until(lambda: len(rig.jobs()) == 505, WAIT_S, "the pool's Jobs", 0.1)
        first = seconds_since(begun)
        k8s.wait("four that are ready", lambda: rig.ticks()[-1]["seen"]["workers"]["ready"] == 4, WAIT_S)
        gone = rig.fault("event-gone", "/jobs$", event="MODIFIED", times=1)
        begun = time.monotonic()
        k8s.delete("pods", k8s.pods_of("orders-w2")[0]["metadata"]["name"])
        k8s.wait("the watch to be ended", lambda: k8s.cluster.faults.hits(gone) == 1, WAIT_S)
        wait_until(lambda: len(rig.jobs()) == 505 and len(rig.live()) == 505, WAIT_S, "its replacement", 0.1)
        again = seconds_since(begun)
        rig.check()
        return max(first, again), f"nothing on part of a list, Jobs {first:.1f} s after; replaced {again:.1f} s after"


@row("F48")
def _(k8s):
    with faulty(k8s) as rig:
        rig.controller()
        rig.pool(max=4)
        rig.settled()
        rules = [rig.fault("commit-status", "/jobs$", method="POST", code=code, times=1) for code in (500, 503, 504)]
        rules.append(rig.fault("commit-drop", "/jobs$", method="POST", times=1))
        rig.publish(9)
        k8s.wait("all four", lambda: all(k8s.cluster.faults.hits(rule) for rule in rules), WAIT_S)
        took = grown(rig, 4, time.monotonic())
        rig.next_tick()
        check = rig.check()
        equal(sorted(check.creates()), [f"orders-w{slot}" for slot in range(4)], "Jobs")
        looked = [one["path"].rpartition("/")[2] for one in rig.requests("GET", "/jobs/")]
        equal(sorted(set(looked)), [f"orders-w{slot}" for slot in range(4)], "looked up by name")
        return took, f"4 creates, 4 replies lost or wrong, {len(looked)} looks by name, 4 Jobs"


@row("F51")
def _(k8s):
    with faulty(k8s) as rig:
        for kind in ("jobs", "pods"):
            rig.fault("event-swap", f"/{kind}$", event=" orders-w", skip=1, times=15)
            rig.fault("event-drop", f"/{kind}$", event="^ADDED ", skip=1, times=2)
            rig.fault("event-duplicate", f"/{kind}$", event=" orders-w[02]", times=10)
        rig.publish(9)
        rig.controller()
        rig.pool(max=4)
        rig.wait_live(4)
        k8s.delete("jobs", "orders-w1", propagationPolicy="Background")
        k8s.wait("it to be made again", lambda: len(rig.requests("POST", "/jobs$")) >= 5
                 and {"orders-w1"} <= rig.live().keys(), WAIT_S)
        rig.heal()
        # What a swap still holds back comes with the next event of its watch.
        labels = {"sluice.dev/pool": "other"}
        k8s.create("pods", {"metadata": {"name": "other", "labels": labels}, "spec": pod_spec(pool="nowhere")})
        k8s.create("jobs", {"metadata": {"name": "other", "labels": labels}, "spec": {
            "suspend": True, "template": {"spec": pod_spec(pool="nowhere")}}})
        begun = time.monotonic()
        k8s.wait("four ready workers", lambda: rig.next_tick()["seen"]["workers"]["ready"] == 4, WAIT_S)
        took = seconds_since(begun)
        check = rig.check()
        equal(sorted(check.creates()), ["orders-w0", "orders-w1", "orders-w1", "orders-w2", "orders-w3"], "Jobs")
        return took, "each of 4 workers made once, the one that was deleted made again, all 4 seen ready"


@row("F52")
def _(k8s):
    with faulty(k8s) as rig:
        stale = rig.fault("stale", "/jobs$", method="GET", watch=False)
        rig.controller()  # its first list is what every later one will be: no Jobs
        rig.pool(max=4)
        rig.settled()
        rig.publish(9)
        rig.wait_live(4)
        rig.next_tick()
        since = k8s.cluster.faults.requests()[-1]["n"] + 1
        gone = rig.fault("event-gone", "/jobs$", event=".", times=1)
        k8s.api.patch(k8s.path("jobs", "orders-w0"), {"metadata": {"annotations": {"a": "b"}}})
        k8s.wait("the watch to be ended", lambda: k8s.cluster.faults.hits(gone) == 1, WAIT_S)
        begun = time.monotonic()
        k8s.wait("a stale list", lambda: [one for one in rig.requests("GET", "/jobs$", since)
                                          if one["action"] == "stale"], WAIT_S)
        k8s.wait("what is true to be seen", lambda: rig.next_tick()["seen"]["workers"]["ready"] == 4, WAIT_S)
        took = seconds_since(begun)
        rig.heal(stale)
        again = [one["status"] for one in rig.requests("POST", "/jobs$", since)]
        check = rig.check()
        equal(len(check.creates()), 4, "Jobs that were made")
        return took, f"{len(again)} creates on the old list, answered {sorted(set(again)) or 'nothing'}; 4 Jobs"


@row("F53")
def _(k8s):
    with faulty(k8s) as rig:
        rule = rig.fault("status", "/jobs$", method="GET", code=500)
        rig.publish(9)
        rig.controller()
        rig.pool(max=4)
        tick = rig.wait_word("blind")
        contains(tick["decision"]["reason"], "the Jobs cannot be listed", "the reason")
        k8s.wait("some more tries", lambda: k8s.cluster.faults.hits(rule) >= 4, WAIT_S)
        equal(rig.requests("POST", "/jobs$"), [], "creates")
        tries = k8s.cluster.faults.hits(rule)
        rig.heal(rule)
        took = grown(rig, 4, time.monotonic())
        rig.check()
        return None, f"{tries} lists failed, nothing was created; 4 Jobs {took:.1f} s after the first that did not"


@row("F55")
def _(k8s):
    with faulty(k8s) as rig:
        threshold = {"threshold": {"messages": 1, "every": "1s"}}
        rig.publish(9)
        rig.controller()
        rig.pool(max=9, policy=threshold, pod=rig.pod(nodeSelector={"sluice.test/pool": "nowhere"}))
        rig.pool(max=9, policy=threshold, name="pulling", startDeadline="5s",
                 pod=rig.pod({"sluice.test/wait": "ImagePullBackOff"}))
        k8s.wait("the first to wait", lambda: rig.ticks() and rig.ticks()[-1]["seen"]["workers"]["unscheduled"], WAIT_S)
        k8s.wait("the second to fail", lambda: rig.ticks("pulling")[-1]["seen"]["workers"]["failing"], WAIT_S)
        for _ in range(4):
            rig.next_tick()
            rig.next_tick("pulling")
        reasons = [rig.ticks(pool)[-1]["decision"]["reason"] for pool in ("orders", "pulling")]
        contains(reasons[0], "orders-w0", "who waits")
        contains(reasons[1], "ImagePullBackOff", "why the other does not start")
        equal(len([name for name in rig.live() if name.startswith("orders")]), 1, "Jobs that wait for a node")
        pulling = len([name for name in rig.live() if name.startswith("pulling")])
        equal(pulling <= 4, True, f"{pulling} Jobs that cannot start")
        rig.check()
        return None, f"{reasons[0]} / {reasons[1]}"


@row("F57")
def _(k8s):
    with faulty(k8s) as rig:
        for name in ("first", "second"):
            k8s.create("secrets", {"metadata": {"name": name}})
        rig.token_file("a").write_text(rig.token("first"))
        one = rig.controller("a")
        rig.pool(max=4)
        rig.settled()
        rig.token_file("a").write_text(rig.token("second"))
        old = rig.token("first")
        k8s.delete("secrets", "first")
        begun = time.monotonic()
        as_old = k8s.cluster.api_as(token=old)

        def refused():
            try:
                as_old.get(k8s.path("jobs"))
            except ApiError as problem:
                return problem.code == 401
            return False

        k8s.wait("the old token to be refused", refused)
        # The API server believes a token that it has seen for 10 s more: what counts is who asks from now on.
        k8s.wait("the new one to be used for the Lease", lambda: len(rig.who("update", "leases")) == 2, 60)
        k8s.cluster.faults.cut(f"/namespaces/{k8s.name}")  # watches that were opened with it
        rig.publish(9)
        took = grown(rig, 4, begun)
        rig.next_tick()
        equal((one.alive(), one.leads()), (True, True), "(it lives, it leads)")
        rig.check()
        one.signal(signal.SIGTERM)
        equal(one.process.wait(20), 0, "how it ends")
        return took, "the old token refused, the new one read, the same process leads on"


main(side_by_side=5)
