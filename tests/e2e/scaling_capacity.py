# SPDX-License-Identifier: Apache-2.0
"""How a pool meets the end of the room there is, as scaling_test.py runs it: part of that script."""

import threading

from e2e import Namespace, contains, equal, test, wait_until
from api import ApiError
from scaling import WAIT_S, Rig, each, ensure_nodes, scaled

THRESHOLD = {"threshold": {"messages": 1, "every": "1s"}}


@test("a node group grows to two nodes: no Job is made while one has no place, then it is full, then there is room")
def _(k8s):
    group, delay = f"group-{k8s.name}", scaled(12, 30)
    with Rig(k8s, group) as rig:
        k8s.cluster.node_group(group, most=2, least=1, delay=f"{delay}s", idle="10m", cpu="3")
        try:
            rig.publish(20)
            rig.controller()
            rig.pool(max=9, policy=THRESHOLD, fullAfter="10s")
            k8s.wait("a fourth worker, which waits for a node", lambda: len(rig.live()) == 4 and rig.unplaced(), WAIT_S)
            k8s.wait("the second node", lambda: len(rig.live()) == 7 and rig.unplaced(), WAIT_S + delay)
            k8s.wait("the word full", lambda: rig.word() == "full" and len(rig.live()) == 7, WAIT_S)
            k8s.wait("its status", lambda: rig.status().get("state") == "full", WAIT_S)
            condition, = [one for one in rig.status()["conditions"] if one["type"] == "Scaling"]
            equal((condition["status"], condition["reason"]), ("False", "Full"), "the condition Scaling")
            k8s.cluster.nodes(group, 1, first=2, cpu="3")
            rig.wait_live(9)
        finally:
            k8s.cluster.stop_node_group(group)
        check = rig.check(one_by_one=True)
        equal(check.most_live("orders"), 9, "workers at most")
        told = rig.timeline()
        print("\n".join(told))
        words = [tick["decision"]["reason"].partition(":")[0] for tick in rig.ticks()]
        at = [words.index(word) for word in ("grow", "full")]
        equal(at == sorted(at) and "grow" in words[at[1]:], True, f"{told}: it grows, is full, grows again")


class Scheduler:
    """Binds pods that say schedulerName: test, when and where the test wants it."""

    def __init__(self, k8s, node):
        self._k8s, self._node = k8s, node

    def waiting(self):
        return [pod["metadata"]["name"] for pod in self._k8s.list("pods")
                if not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")]

    def bind(self, name):
        """Whether it was in time."""
        try:
            self._k8s.api.post(self._k8s.path("pods", f"{name}/binding"), {
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": self._node}})
            return True
        except ApiError as problem:
            if problem.code not in (404, 409):
                raise
            return False


def race(k8s, group, places, waiting):
    """One pool whose queue is purged, and whose pods get nodes while they are taken back. (taken back, bound)"""
    with Rig(k8s, group, proxied=True) as rig:
        scheduler = Scheduler(k8s, f"{group}-0")
        rig.publish(40)
        rig.controller()
        rig.pool(max=40, policy=each(1), surge=waiting, pod=rig.pod(schedulerName="test"))
        for _ in range(places):
            name, *_ = k8s.wait("a pod for the scheduler", scheduler.waiting, WAIT_S)
            scheduler.bind(name)
        k8s.wait("all to wait that may", lambda: len(scheduler.waiting()) == waiting, WAIT_S)
        rig.next_tick()
        names = sorted(scheduler.waiting(), key=lambda name: int(name.split("-w")[1].split("-")[0]))
        # The newest are taken back first and the oldest bound first: where they meet, a delete is on its way.
        rig.fault("pass", "/pods/", method="DELETE", skip=2, delay_s=0.1)
        known = len(rig.ticks())
        rig.purge()
        wait_until(lambda: any(tick["plan"]["withdraw"] for tick in rig.ticks()[known:]), WAIT_S, "withdrawals", 0.005)
        for name in names:
            scheduler.bind(name)
        k8s.wait("nobody without a place", lambda: not scheduler.waiting(), WAIT_S)
        check = rig.check()
        taken = check.count("delete", "pods", 200)
        bound = sum(1 for pod in k8s.list("pods") if pod["spec"].get("nodeName")) - places
        equal(taken + bound, waiting, f"{taken} taken back and {bound} bound, of those that waited")
        return taken, bound


@test("workers without a place are taken back when the backlog is gone, and none that got one at that instant")
def _(k8s):
    group, found, failures = "raced", [], []
    ensure_nodes(k8s, group, cpu="10000", pods=5000)

    def one(number):
        space = Namespace(k8s.cluster, f"{k8s.name}-{number}")
        try:
            found.append(race(space, group, places=4, waiting=10))
        except BaseException as problem:
            failures.append(problem)
        finally:
            space.remove()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(scaled(3, 20))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for problem in failures:
        raise problem
    taken, bound = (sum(column) for column in zip(*found))
    print(f"{10 * len(found)} waited, {taken} were taken back, {bound} got a node first, in {len(found)} pools")
    equal(taken > 0 and bound > 0, True, "both happened")


@test("a quota of no pods is a full node group: one Job waits for its pod, no other is made until there is room")
def _(k8s):
    ensure_nodes(k8s, "many", cpu="10000", pods=5000)
    with Rig(k8s, "many") as rig:
        k8s.create("resourcequotas", {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
        k8s.wait("the quota to count", lambda: k8s.get("resourcequotas", "none").get("status", {}).get("hard"))
        rig.publish(20)
        rig.controller()
        rig.pool(max=3, policy=THRESHOLD)
        tick = rig.wait_word("full")
        contains(tick["decision"]["reason"], "exceeded quota: none", "the reason")
        for _ in range(5):
            equal(rig.next_tick()["plan"]["start"], [], "what a tick starts")
        equal(list(rig.live()), ["orders-w0"], "Jobs")
        k8s.delete("resourcequotas", "none")
        rig.wait_live(3)  # the Job controller tries again ever more slowly, from 1 s on
        rig.check(one_by_one=True)
