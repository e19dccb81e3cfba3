# SPDX-License-Identifier: Apache-2.0
"""sluice demo --queue amqp://..: the same as on a file, and the broker's own counts agree."""

import os

from lib import contains, equal, json_lines, main, run_on, scaled, test, wait_until


def queue_of(box):
    """The queue that the demo made, by its pool file."""
    line = next(line for line in box.read("sluice-demo/pool.yaml").splitlines() if " queue: sluice-demo-" in line)
    return line.split()[1]


@test("every message is done once, every worker leaves, and the broker has nothing left")
def _(box):
    count = scaled(60, 200)
    done = box.sluice("demo", "--queue", box.broker.amqp_url, "--queue-type", box.kind, "--count", count, "--output",
                      "json", exit=0, timeout=240)
    summary = done.json[-1]
    for key, want in {"published": count, "confirmed": count, "processed": count, "duplicates": 0, "lost": 0,
                      "dead_lettered": 0, "queued": 0, "in_flight": 0}.items():
        equal(summary[key], want, key)
    assert summary["workers_left"] == summary["workers_started"] >= 1, summary
    equal(len(set(line.split()[0] for line in box.read("sluice-demo/ledger.txt").splitlines())), count, "the ledger")
    name = queue_of(box)
    wait_until(lambda: box.broker.exact_counts(name) == (0, 0), timeout=20, every=0.5,
               what="ready and unacknowledged to be 0 by the broker's own count")
    equal(box.broker.request("GET", f"/queues/%2F/{name}")["type"], box.kind, "type of the queue")
    again = box.sluice("decide", "--journal", "sluice-demo/.sluice/orders/journal.jsonl", exit=0).json
    equal([line for line in again if not line["same"]], [], "ticks that are decided otherwise when run again")
    more = box.sluice("publish", "-f", "sluice-demo/pool.yaml", "--count", 3, exit=0)
    contains(more.out, "3 of 3 confirmed", "what the summary's next command says")
    journal = json_lines(box.read("sluice-demo/.sluice/orders/journal.jsonl"))
    assert any(line["event"] == "act" and line["did"]["started"] for line in journal)


@test("a login in the URL is guest's alone; another is refused with the way out, and never repeated")
def _(box):
    port = box.broker.amqp_port
    for url, says in [(f"amqp://me:pa55word@127.0.0.1:{port}", "--secrets"), ("http://127.0.0.1", "amqp://HOST"),
                      ("amqp://", "amqp://host:port"), ("amqp://h:99999", "amqp://host:port"),
                      ("amqp://h:1/a/b", "virtual host")]:
        done = box.sluice("demo", "--queue", url, exit=2)
        contains(done.err, says)
        assert "pa55word" not in done.err, done
    assert not os.path.exists(box.path("sluice-demo")), "a folder was made for a queue that is none"
    refused = box.sluice("demo", "--queue", f"amqp://guest:guest@127.0.0.1:{port}/nowhere", exit=1)
    contains(refused.err, "nowhere")
    box.write("secrets/rabbitmq/username", "guest\n")
    box.write("secrets/rabbitmq/password", "wrong\n")
    refused = box.sluice("demo", "--queue", box.broker.amqp_url, "--secrets", "secrets", exit=1)
    contains(refused.err, "login of user guest")


run_on("quorum", "classic")
main()
