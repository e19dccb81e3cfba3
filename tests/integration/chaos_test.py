# SPDX-License-Identifier: Apache-2.0
"""Workers and scalers are killed at random while work goes on; a ledger of its own tells what became of each."""

import collections
import os
import random
import signal
import subprocess
import threading
import time

from ledger import HANDLER, judge, parse
from lib import contains, equal, main, scaled, test, wait_until


@test("the judge finds a planted loss, a duplicate without a cause, a cause that is none, a message from nowhere")
def _(box):
    good = [("a", 1, None), ("b", 1, None), ("b", 2, "crash"), ("c", 1, None), ("c", 1, "requeued")]
    equal(judge({"a", "b", "c"}, good), [], "a clean ledger")
    for published, runs, says in [({"a", "b", "c", "d"}, good, "d: lost"),
                                  ({"a"}, [("a", 1, None), ("a", 1, None)], "without a cause"),
                                  ({"a"}, [("a", 1, None), ("a", 2, "gremlins")], "gremlins"),
                                  ({"a"}, [("a", 1, None), ("z", 1, None)], "z: begun, but never published")]:
        found = judge(published, runs)
        equal(len(found), 1, f"findings for {says}")
        contains(found[0], says)
    equal(parse('x-1 2 {"sluice-cause":"crash"}\n'), [("x-1", 2, "crash")], "a parsed line")


def started_at(pid):
    """(parent, start) of a process, which two lives of one number differ in; None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (int(fields[1]), fields[19])


def worker_processes(box):
    """The workers that all live at one moment: found by a first look, still the same ones in a second."""
    found = {pid: started_at(pid) for pid, line in box.living().items() if " work --exec " in line}
    # A handler on its way to exec looks like its worker for a moment.
    workers = [pid for pid, seen in found.items() if seen and seen[0] not in found]
    return [pid for pid in workers if started_at(pid) == found[pid]]


class Watch:
    """Samples the process table until stopped: how many workers live at once."""

    def __init__(self, box):
        self.most, self.samples, self._box, self._stop = 0, 0, box, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.02):
            self.most = max(self.most, len(worker_processes(self._box)))
            self.samples += 1

    def stop(self):
        self._stop.set()
        self._thread.join()


class Chaos:
    """Kills workers, scalers and, where there is one, the broker: each in its turn, until enough of each are dead."""

    def __init__(self, box, pool, rng, plan):
        self.box, self.pool, self.rng, self.plan = box, pool, rng, plan
        self.killed = dict.fromkeys(plan, 0)
        self.due = {what: time.monotonic() + every * rng.uniform(0.5, 1) for what, (_, every) in plan.items()}
        self.scaler = box.start_sluice("scale", "-f", pool)

    def wanted(self, what):
        return self.killed[what] < self.plan[what][0]

    def turn(self):
        for what, (_, every) in self.plan.items():
            if time.monotonic() >= self.due[what] and (self.wanted(what) or what == "worker"):
                self.killed[what] += getattr(self, "kill_" + what)()
                self.due[what] = time.monotonic() + every * self.rng.uniform(0.5, 1.5)

    def kill_worker(self):
        alive = worker_processes(self.box)
        try:
            os.kill(self.rng.choice(alive), signal.SIGKILL)
        except (IndexError, ProcessLookupError):
            return 0  # none, or it left a moment ago
        return 1

    def kill_scaler(self):
        self.scaler.kill()
        self.scaler = self.box.start_sluice("scale", "-f", self.pool)
        return 1

    def kill_broker(self):
        self.box.broker.kill()
        self.box.broker.start()
        return 1


def feed(publisher, count, seconds):
    """Gives the publisher its lines, a few at a time, over this time."""
    groups = max(1, int(seconds * 10))
    for n in range(groups):
        first, last = n * count // groups + 1, (n + 1) * count // groups
        publisher.popen.stdin.write("".join(f"{i}\n" for i in range(first, last + 1)).encode())
        publisher.popen.stdin.flush()
        time.sleep(0.1)  # the pace of publishing
    publisher.popen.stdin.close()


@test("kill -9 of workers, scaler and broker: all done, nothing twice without a cause, never too many workers")
def _(box):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    if box.kind == "local":
        messages, workers_max, handler, feeding = *scaled((200, 4), (2000, 12)), 0.3, 2
        plan = {"worker": scaled((6, 1.0), (20, 2.0)), "scaler": scaled((2, 4.0), (5, 8.0))}
    else:
        messages, workers_max, handler, feeding = *scaled((1000, 6), (20_000, 12)), 0.1, scaled(10, 400)
        plan = {"worker": scaled((10, 1.5), (100, 2.5)), "scaler": scaled((2, 8.0), (20, 12.0)),
                "broker": scaled((1, 10.0), (10, 20.0))}
        if box.kind == "classic":  # each crash of the broker counts for all that waits in a classic queue
            plan["broker"] = scaled((1, 10.0), (3, 60.0))
    box.write("handle", HANDLER.format(seconds=handler), mode=0o755)
    pool = box.pool(policy={"backlogPerWorker": {"messages": 10, "every": "1s"}},
                    workers={"max": workers_max, "idleExit": "2s",
                             "run": {"command": ["sluice", "work", "--exec", "./handle"]}})
    path = box.path("ledger.txt")
    path.touch()
    publisher = box.start_sluice("publish", "-f", pool, "--run", "r", "-o", "json", stdin=subprocess.PIPE)
    feeder = threading.Thread(target=feed, args=(publisher, messages, feeding), daemon=True)
    feeder.start()
    published = {f"r-{n}" for n in range(1, messages + 1)}
    watch = Watch(box)
    chaos = Chaos(box, pool, rng, plan)
    end = time.monotonic() + scaled(150, 1500)

    def missing():
        return published - {message for message, _, _ in parse(path.read_text().rpartition("\n")[0])}

    while (left := missing()) or worker_processes(box):
        assert time.monotonic() < end, f"{len(left)} messages never begun, killed: {chaos.killed}"
        if left:
            chaos.turn()
        time.sleep(0.05)  # the pace of looking
    feeder.join()
    sent = publisher.wait(120)
    equal((sent.exit, sent.json[-1]["confirmed"]), (0, messages), "exit of publish, and what it knows to be confirmed")
    watch.stop()
    equal(chaos.scaler.stop().exit, 0, "exit of the last scaler")
    for what, (enough, _) in plan.items():
        assert chaos.killed[what] >= enough, f"killed: {chaos.killed}, wanted {plan}"
    runs = parse(path.read_text())
    equal(judge(published, runs), [], "what the ledger says")
    assert watch.samples > 20 and 0 < watch.most <= workers_max, (watch.samples, watch.most)
    left = box.sluice("work", "--queue", box.queue("orders"), "--simulate", "0ms", "--idle-exit", "500ms", "-o", "json",
                      exit=0)
    equal(left.json[-1]["done"], 0, "messages left in the queue")
    if box.kind != "local":
        name = box.queue_of("orders")["rabbitmq"]["queue"]
        wait_until(lambda: box.broker.exact_counts(name) == (0, 0), timeout=20, every=0.5,
                   what="ready and unacknowledged to be 0 by the broker's own count")
        equal(box.broker.exact_counts(name + ".dead"), (0, 0), "dead letters")
    twice = len(runs) - len(published)
    causes = collections.Counter(cause for _, _, cause in runs if cause)
    print(f"{messages} messages; killed: {chaos.killed}; {twice} begun again, all with a cause: {dict(causes)}; at "
          f"most {watch.most} workers in {watch.samples} looks")


main()
