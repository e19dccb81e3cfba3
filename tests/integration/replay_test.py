# SPDX-License-Identifier: Apache-2.0
"""sluice simulate --from-journal: journals of the real scaler decide the same again, and other policies run on them."""

import json
import re

from lib import contains, equal, json_lines, main, scaled, test

JOURNAL = "sluice-demo/.sluice/orders/journal.jsonl"
SCENARIO = """\
scenario: small
duration: 1h
late: 30s
pools: [{arrivals: [{step: {base: 1, peak: 8, every: 20m, for: 4m}}], service: {mean: 2s}}]
workers: {max: 40}
environment: {nodes: {slots: 4, boot: {mean: 30s}}, pods: {start: {mean: 3s}}}
policies:
  - policy: {threshold: {messages: 5, every: 10s}}
  - policy: {lag: {max: 90s, every: 5s}}
"""


def ticks_of(journal):
    return sum(line["event"] == "tick" for line in json_lines(journal))


@test("the real demo's journal replays to the same decisions, and other policies run on what came")
def _(box):
    summary = box.sluice("demo", "--count", scaled(40, 200), "--output", "json", exit=0, timeout=240).json[-1]
    journal = box.read(JOURNAL)
    done = box.sluice("simulate", "--from-journal", JOURNAL, "--output", "json", exit=0, timeout=120)
    record = done.json[0]
    equal(record["event"], "journal")
    equal((record["decisions"], record["same"]), (ticks_of(journal), ticks_of(journal)), "decisions, and the same")
    equal((record["undecided"], record["first_difference"]), (0, None))
    equal(record["recorded"]["starts"], summary["workers_started"], "workers asked for")
    policies = {line["policy"]: line for line in done.json if line["event"] == "policy"}
    own = policies["threshold 20"]
    equal(own["published"], summary["published"], "messages")
    assert abs(own["starts"] - summary["workers_started"]) <= 1, (own, summary)
    assert {name.split()[0] for name in policies} >= {"threshold", "lag", "backlogPerWorker"}, list(policies)
    text = box.sluice("simulate", "--from-journal", JOURNAL, exit=0, timeout=120).out
    n = ticks_of(journal)
    contains(text, f"{n} of {n} decisions in the journal come out the same today")
    contains(text, "nodes as the pool's file has them: 1 to 3 of 2 workers, 5 s to boot")


@test("journals of threshold and lag, an hour each, replay to the same decisions; the same policy costs the same")
def _(box):
    box.write("small.yaml", SCENARIO)
    made = box.sluice("simulate", "small.yaml", "--journal", "j", "--output", "json", exit=0, timeout=300).json
    for line in [line for line in made if line["event"] == "policy"]:
        name = "small." + re.sub(r"[^a-zA-Z0-9.]", "-", line["policy"]) + ".1.jsonl"
        again = box.sluice("simulate", "--from-journal", f"j/{name}", "--policy", line["policy"], "--late", "30s",
                           "--output", "json", exit=0, timeout=300).json
        record = again[0]
        equal(record["same"], ticks_of(box.read(f"j/{name}")), f"decisions of {line['policy']}")
        own = next(one for one in again if one["event"] == "policy")
        assert abs(own["worker_s"] / line["worker_s"] - 1) < 0.2, (own, line)


@test("a decision that comes out otherwise is a failure and named; a torn end is none; bad lines are told")
def _(box):
    box.write("small.yaml", SCENARIO)
    box.sluice("simulate", "small.yaml", "--policy", "threshold", "--journal", "j", exit=0, timeout=300)
    lines = box.read("j/small.threshold-5.1.jsonl").splitlines()
    box.write("torn.jsonl", "\n".join(lines) + "\n" + lines[-1][:50])
    box.sluice("simulate", "--from-journal", "torn.jsonl", "--policy", "threshold 5", exit=0, timeout=120)
    box.write("bad.jsonl", "\n".join([*lines, "nonsense", lines[-1]]) + "\n")
    bad = box.sluice("simulate", "--from-journal", "bad.jsonl", "--policy", "threshold 5", exit=3, timeout=120)
    contains(bad.err, f"1 line could not be used, the first: bad.jsonl:{len(lines) + 1}: $: not JSON")
    at = next(i for i, line in enumerate(lines) if '"decision":{"workers":1,' in line)
    changed = json.loads(lines[at])
    changed["decision"]["workers"] = 7
    lines[at] = json.dumps(changed, separators=(",", ":"))
    box.write("changed.jsonl", "\n".join(lines) + "\n")
    done = box.sluice("simulate", "--from-journal", "changed.jsonl", "--policy", "threshold 5", exit=1, timeout=120)
    contains(done.out, f"differs  changed.jsonl:{at + 1}: tick {changed['tick']}: 7 workers")


@test("what cannot be replayed is refused with what would help")
def _(box):
    contains(box.sluice("simulate", exit=2).err, "--from-journal FILE")
    contains(box.sluice("simulate", "a.yaml", "--service", "1s", exit=2).err, "--from-journal FILE beside it")
    contains(box.sluice("simulate", "--from-journal", "none.jsonl", exit=2).err, "none.jsonl")
    box.write("empty.jsonl", "")
    contains(box.sluice("simulate", "--from-journal", "empty.jsonl", exit=2).err, "no tick of a pool")


main()
