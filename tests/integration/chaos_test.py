# SPDX-License-Identifier: Apache-2.0
"""Workers and scalers are killed at random while work goes on; a ledger of its own tells what became of each."""

import os
import random
import signal
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


@test("kill -9 of workers and of the scaler: everything done, nothing twice without a cause, never too many workers")
def _(box):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    messages, kills, scaler_kills, workers_max = scaled((200, 6, 2, 4), (2000, 20, 5, 12))
    every = scaled(1.0, 2.0)
    box.write("handle", HANDLER.format(seconds=0.3), mode=0o755)
    pool = box.pool(policy={"backlogPerWorker": {"messages": 10, "every": "1s"}},
                    workers={"max": workers_max, "idleExit": "2s",
                             "run": {"command": ["sluice", "work", "--exec", "./handle"]}})
    box.sluice("publish", "-f", pool, "--count", messages, "--run", "r", exit=0, timeout=120)
    published = {f"r-{n}" for n in range(1, messages + 1)}
    path = box.path("ledger.txt")
    path.touch()
    watch = Watch(box)
    scaler = box.start_sluice("scale", "-f", pool)
    killed = killed_scalers = 0
    next_kill = time.monotonic() + every
    next_scaler_kill = time.monotonic() + 2.5 * every
    end = time.monotonic() + scaled(150, 600)

    def missing():
        return published - {message for message, _, _ in parse(path.read_text().rpartition("\n")[0])}

    while (left := missing()) or worker_processes(box):
        assert time.monotonic() < end, f"{len(left)} messages never begun, {killed} workers killed"
        now = time.monotonic()
        if now >= next_kill and left and (alive := worker_processes(box)):
            try:
                os.kill(rng.choice(alive), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass  # it left a moment ago
            next_kill = now + every
        if now >= next_scaler_kill and left and killed_scalers < scaler_kills:
            scaler.kill()
            killed_scalers += 1
            scaler = box.start_sluice("scale", "-f", pool)
            next_scaler_kill = now + scaled(4.0, 8.0)
        time.sleep(0.05)  # the pace of looking
    watch.stop()
    equal(scaler.stop().exit, 0, "exit of the last scaler")
    assert killed >= kills and killed_scalers >= scaler_kills, (killed, killed_scalers)
    runs = parse(path.read_text())
    equal(judge(published, runs), [], "what the ledger says")
    assert watch.samples > 20 and 0 < watch.most <= workers_max, (watch.samples, watch.most)
    left = box.sluice("work", "--queue", box.queue("orders"), "--simulate", "0ms", "--idle-exit", "500ms", "-o", "json", exit=0)
    equal(left.json[-1]["done"], 0, "messages left in the queue")
    twice = len(runs) - len(published)
    print(f"{messages} messages, {killed} workers and {killed_scalers} scalers killed, {twice} begun again, all with a "
          f"cause; at most {watch.most} workers in {watch.samples} looks")


main()
