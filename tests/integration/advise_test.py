# SPDX-License-Identifier: Apache-2.0
"""sluice advise: a journal in; the pool's file out, with the policy that its load asks for, and the evidence."""

import json

from lib import contains, equal, main, test

SCENARIO = """\
scenario: orders
duration: 40m
late: 90s
pools: [{arrivals: [{step: {base: 1, peak: 8, every: 20m, for: 4m}}], service: {mean: 2s}}]
workers: {max: 40}
environment: {nodes: {slots: 4, boot: {mean: 30s}}, pods: {start: {mean: 3s}}}
policies: [{policy: %s}]
"""
POOL = """\
# The shop's orders.
apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata:
  name: orders   # as its queue
spec:
  queue:
    local: {path: ./orders.db}
  policy:
    threshold:   # tried for a year
      messages: 1
      every: 10s

  # At most what the database can take.
  workers:
    max: 40
    run: {command: [sluice, work, --simulate, 10ms]}
"""
DEPLOYMENT = """\
apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata: {name: orders}
spec:
  queue: {rabbitmq: {url: "amqp://localhost:5672", queue: orders, management: "http://localhost:15672"}}
  policy:
    hpa: {target: {type: AverageValue, value: "2"}}
  workers: {max: 30, deployment: {name: orders}}
"""
WASTEFUL = "{threshold: {messages: 1, every: 10s}}"


def journal_of(box, policy=WASTEFUL):
    box.write("orders.yml", SCENARIO % policy)
    box.sluice("simulate", "orders.yml", "--journal", "j", exit=0, timeout=120)
    return next(str(path) for path in box.dir.glob("j/*.jsonl"))


def policy_of(spec):
    return next(iter(spec["policy"]))


@test("the file with a cheaper policy that is not later: the rest as it was, valid, the evidence beside it")
def _(box):
    journal = journal_of(box)
    box.write("orders.yaml", POOL)
    done = box.sluice("advise", journal, "-f", "orders.yaml", exit=0, timeout=240)
    contains(done.err, "would have cost ")
    contains(done.err, "% less than threshold 1, with ")
    head, rest = done.out.split("\n\n", 1)
    assert all(line.startswith("#") for line in head.splitlines()), head
    contains(head, "# default/orders: ")
    contains(head, "messages, late being more than ")
    before, after = POOL.split("  policy:\n")[0], POOL.split("every: 10s\n")[1]
    assert rest.startswith(before) and rest.endswith(after), rest
    assert "threshold:   # tried for a year" not in rest, rest
    box.write("advised.yaml", done.out)
    contains(box.sluice("doctor", "-f", "advised.yaml", exit=0).out, "advised.yaml is valid")

    data = box.sluice("advise", journal, "-f", "orders.yaml", "-o", "json", exit=0, timeout=240).json[-1]
    candidates = data["candidates"]
    best = next(one for one in candidates if one["policy"] == data["policy"])
    equal((data["present"], data["change"], data["met"]), ("threshold 1", True, True))
    limit = max(candidates[0]["late_share"], 0.001)
    assert best["late_share"] <= limit, data
    equal(best["cost"], min(one["cost"] for one in candidates if one["late_share"] <= limit), "the cheapest's cost")
    assert abs(data["saves"] - (1 - best["cost"] / candidates[0]["cost"])) < 0.001, data
    assert {one["policy"].split()[0] for one in candidates} >= {"threshold", "lag", "backlogPerWorker"}, candidates
    assert not any("hpa" in one["policy"] for one in candidates), "workers that leave by themselves have no HPA"

    # Asked again, what it proposed is the best there is, and what an earlier advice said is replaced.
    again = box.sluice("advise", journal, "-f", "advised.yaml", exit=0, timeout=240).out
    equal(again.count("# sluice advise"), 1, "advices in the file")
    contains(again, "is another than the journal's last")
    assert policy_of(data["spec"]) + ":" in again, again


@test("a policy that is not beaten stays, with the file as it is; without a file the journal has the pool")
def _(box):
    journal = journal_of(box, "{lag: {max: 90s, every: 10s}}")
    data = box.sluice("advise", journal, "-o", "json", exit=0, timeout=240).json[-1]
    present = data["candidates"][0]
    limit = max(present["late_share"], 0.001)
    rivals = [one for one in data["candidates"][1:] if one["late_share"] <= limit]
    beaten = any(one["cost"] < 0.98 * present["cost"] for one in rivals)
    equal(data["change"], beaten, "whether to change")
    equal(data["spec"]["workers"]["max"], 40)
    text = box.sluice("advise", journal, "--first", "20m", exit=0, timeout=240).out
    contains(text, "kind: WorkerPool")
    contains(text, "max: 40")
    if not beaten:
        contains(data["why"], "lag 1m30s is the best of ")
        equal(data["spec"]["policy"]["lag"]["max"], "1m30s")


@test("of a table only the policy is known, and with a Deployment the HPA is one of them")
def _(box):
    box.write("orders.csv", "time,arrivals\n" + "".join(f"{30 * i},{90 if i % 20 < 4 else 12}\n"
                                                       for i in range(30)))
    done = box.sluice("advise", "--from-csv", "orders.csv", "--service", "2s", "--start", "20s", "--late", "1m", exit=0,
                      timeout=240)
    policy = done.out.split("\n\n", 1)[1]
    assert policy.startswith("policy:\n"), policy
    contains(done.err, "that have at most 1.0 % late messages")
    box.write("orders.yaml", DEPLOYMENT)
    data = box.sluice("advise", "--from-csv", "orders.csv", "--service", "2s", "-f", "orders.yaml", "-o", "json",
                      exit=0, timeout=240).json[-1]
    equal(data["present"], "hpa 2")
    assert sum(one["policy"].startswith("hpa") for one in data["candidates"]) == 2, data


@test("what cannot be advised on is refused with what would help")
def _(box):
    contains(box.sluice("advise", exit=2).err, "JOURNAL is missing")
    contains(box.sluice("advise", "none.jsonl", exit=2).err, "none.jsonl")
    journal = journal_of(box)
    box.write("other.yaml", POOL.replace("name: orders ", "name: mail "))
    contains(box.sluice("advise", journal, "-f", "other.yaml", exit=2).err,
             "pool default/mail of other.yaml is not in the journal; there is default/orders")
    other = [json.loads(line) for line in box.read(journal).splitlines()]
    for line in other:
        if "pool" in line:
            line["pool"] = "default/mail"
    box.write("both.jsonl", box.read(journal) + "".join(json.dumps(line) + "\n" for line in other))
    contains(box.sluice("advise", "both.jsonl", exit=2).err, "several pools are in it; accepted: --pool NAME, one of "
                                                             "default/mail, default/orders")


main()
