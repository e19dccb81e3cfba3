# SPDX-License-Identifier: Apache-2.0
"""Scaling by a subscription of Google Pub/Sub: its number comes from Cloud Monitoring, old, and is brought to now."""

import json
import shutil
import tempfile
import urllib.request

from lib import contains, equal, free_port, main, needs, test, wait_until

# After lib, which says where they are.
import monitoring
import pubsub

needs(pubsub.missing())


@test("an old number starts as many workers as it needs, and none for messages that they have done since")
def _(box):
    folder = tempfile.mkdtemp(prefix="sluice-pubsub-")
    try:
        with pubsub.Emulator(folder) as emulator, monitoring.Monitoring(pubsub.PROJECT) as seen:
            scale(box, emulator, seen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def started(scaler):
    return [name for line in scaler.json() if line["event"] == "act" for name in line["did"]["started"]]


def metric(port, *words):
    """The sum of the series that have all these words; None without one."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        found = [float(line.rsplit(" ", 1)[1]) for line in answer.read().decode().splitlines()
                 if line.startswith(words[0]) and all(word in line for word in words)]
    return sum(found) if found else None


def scale(box, emulator, seen):
    box.env.update({"SLUICE_MONITORING_ENDPOINT": seen.url})
    pool = box.pool(queue={"pubsub": {"project": pubsub.PROJECT, "subscription": "orders-sub", "topic": "orders",
                                      "endpoint": emulator.url}},
                    policy={"backlogPerWorker": {"messages": 5, "every": "1s"}},
                    workers={"max": 6, "idleExit": "2s",
                             "run": {"command": ["sluice", "work", "--simulate", "300ms"]}})
    box.sluice("publish", "-f", pool, "--declare", "--count", "20", "--run", "r", exit=0)
    seen.show("orders-sub", 20, age_s=1)
    port = free_port()
    scaler = box.start_sluice("scale", "-f", pool, "--output", "json", "--listen", f"127.0.0.1:{port}")
    wait_until(lambda: len(started(scaler)) >= 4, what="four workers", timeout=60)
    first = next(line for line in scaler.json() if line["event"] == "tick" and line["decision"]["change"] > 0)
    equal((first["seen"]["queue"]["ready"], first["seen"]["queue"]["total"]["n"]), (None, 20), "what was seen")
    contains(first["decision"]["reason"], "20 messages wait or are in work, at 5 a worker that is 4")
    # Monitoring goes on saying 20.
    wait_until(lambda: metric(port, "sluice_queue_messages{", 'kind="total"') == 0, timeout=90,
               what="the number to follow the work")
    wait_until(lambda: metric(port, "sluice_pool_workers{") == 0, what="the workers to leave", timeout=60)
    ticks = metric(port, "sluice_ticks_total")
    wait_until(lambda: metric(port, "sluice_ticks_total") >= ticks + 3, what="three more looks", timeout=60)
    equal(len(started(scaler)), 4, "workers that were started")
    equal(emulator.pull("orders-sub"), [], "what is left")
    status = box.sluice("status", "-f", pool, "--output", "json", exit=0)
    equal(status.json[-1].get("ready"), None, "what waits is not known")
    threshold = box.pool("other", queue=json.loads(pool.read_text())["spec"]["queue"])
    contains(box.sluice("scale", "-f", threshold, exit=2).err, "accepted: backlogPerWorker")
    scaler.stop()


main()
