# SPDX-License-Identifier: Apache-2.0
"""Two controllers that are killed, stopped and lied to never make a Job too many, nor touch one that runs: the audit
log says so. As scaling_test.py runs it: part of that script."""

import os
import pathlib
import random
import signal
import time

from e2e import ROOT, equal, test, wait_until
from scaling import WAIT_S, Rig, ensure_nodes, scaled

MAX = 50
# cmake's target sluice_no_lease: every controller believes that it leads.
NO_LEASE = pathlib.Path(os.environ.get("SLUICE_NO_LEASE_BIN", ROOT / "build/dev/sluice_no_lease"))


class Pair:
    """Two controllers of one pool, a and b, and the pool's way from 0 to 50 workers and back."""

    def __init__(self, rig):
        self.rig, self.kills = rig, 0
        self.both = [rig.controller("a"), rig.controller("b")]
        rig.pool(max=MAX, surge=MAX, pod=rig.pod({"sluice.test/run": "8s"}), job={"ttlSecondsAfterFinished": 0})

    def leader(self):
        return wait_until(lambda: next((one for one in self.both if one.alive() and one.leads()), None), WAIT_S,
                          "a leader", 0.1)

    def up(self, least):
        wait_until(self._restarted(lambda: len(self.rig.live()) >= least), WAIT_S, f"{least} live Jobs", 0.05)

    def down(self):
        self.rig.purge()
        wait_until(self._restarted(lambda: not self.rig.live()), WAIT_S, "the last worker to leave", 0.2)

    def kill(self, one):
        one.kill()
        self.kills += 1
        self.restart()

    def restart(self):
        """As a Deployment does: who has ended comes again."""
        for at, one in enumerate(self.both):
            if not one.alive():
                self.both[at] = self.rig.controller(one.name)

    def _restarted(self, condition):
        def look():
            self.restart()
            return condition()
        return look


def kills(rig, pair, count, victim):
    """So many cycles with a kill each, at a random number of Jobs, while some replies to creates are lost."""
    for _ in range(count):
        lost = rig.fault("commit-drop", "/jobs$", method="POST", skip=random.randrange(20), times=3)
        rig.publish(MAX)
        pair.up(random.randint(5, MAX - 5))
        pair.kill(victim())
        pair.up(MAX - 5)
        rig.heal(lost)
        pair.down()


@test("kill -9 of the leading controller in the middle of its creates, replies lost: never a Job too many")
def _(k8s):
    ensure_nodes(k8s, "many", cpu="10000", pods=5000)
    with Rig(k8s, "many", proxied=True) as rig:
        pair = Pair(rig)
        kills(rig, pair, scaled(3, 30), pair.leader)
        check = rig.check(led=True)
        print(f"{pair.kills} kills; {check.summary()}")
        equal(MAX - 5 <= check.most_live("orders") <= MAX, True, f"{check.most_live('orders')} live Jobs at most")


@test("the same without the lease: both act all the time, are killed, and never make a Job too many")
def _(k8s):
    ensure_nodes(k8s, "many", cpu="10000", pods=5000)
    with Rig(k8s, "many", proxied=True, program=NO_LEASE) as rig:
        pair = Pair(rig)
        kills(rig, pair, scaled(3, 30), lambda: random.choice(pair.both))
        check = rig.check()
        print(f"{pair.kills} kills; {check.summary()}")
        equal(len(rig.who("create", "jobs")), 2, "controllers that made Jobs")
        equal(check.count("create", "jobs", 409) > 0, True, "they got into each other's way")
        equal(MAX - 5 <= check.most_live("orders") <= MAX, True, f"{check.most_live('orders')} live Jobs at most")


@test("a leader stopped for 30 s inside a create, which arrives when another leads: no Job too many, and it ends")
def _(k8s):
    ensure_nodes(k8s, "many", cpu="10000", pods=5000)
    with Rig(k8s, "many", proxied=True) as rig:
        pair = Pair(rig)
        leader = pair.leader()
        since = len(k8s.cluster.faults.requests())
        late = rig.fault("pass", "/jobs$", method="POST", skip=7, times=1, delay_s=25)
        rig.publish(MAX)
        wait_until(lambda: k8s.cluster.faults.hits(late), WAIT_S, "a create on its way", 0.02)
        stopped_at = time.monotonic()
        leader.signal(signal.SIGSTOP)
        other = next(one for one in pair.both if one is not leader)
        wait_until(other.leads, WAIT_S, "the other to lead", 0.1)
        wait_until(lambda: len(rig.live()) >= MAX - 5, WAIT_S, "its workers", 0.1)
        wait_until(lambda: time.monotonic() - stopped_at >= 30, 60, "the 30 s to be over", 0.1)
        leader.signal(signal.SIGCONT)
        wait_until(lambda: not leader.alive(), WAIT_S, "the old leader to end", 0.1)
        equal(other.alive() and other.leads(), True, "the other leads on")
        pair.up(MAX - 5)
        pair.down()
        check = rig.check()
        print(f"{len(rig.requests('POST', '/jobs$', since))} creates; {check.summary()}")
