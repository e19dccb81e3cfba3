# SPDX-License-Identifier: Apache-2.0
"""sluice simulate: the same scenario and seed give the same bytes; goldens; bad input; outputs.

That builds agree is tests/e2e/builds_test.py. SNAP_UPDATE=1 rewrites tests/scenarios/golden. What needs the traces
(SLUICE_TRACES) is said to be left out without.
"""

import csv
import io
import json
import os

from lib import ROOT, contains, equal, main, scaled, test

SCENARIOS = sorted((ROOT / "tests/scenarios").glob("*.yaml"))
GOLDEN = ROOT / "tests/scenarios/golden"
TRACES = os.environ.get("SLUICE_TRACES")
HERE = [one for one in SCENARIOS if TRACES or "trace-" not in one.name]
FIRST = scaled("6m", "48h")  # of each scenario, in a build with sanitizers
GOLDEN_FIRST = {"threshold": "30m", "lag": "12m"}  # lag looks and thinks more, which sanitizers make slow
GOLDEN_TICKS = 8

SMALL = """\
scenario: small
duration: 10m
late: 30s
pools: [{arrivals: [{batch: {size: 20, first: 2m}}], service: {mean: 10s}}]
workers: {max: 20}
environment: {nodes: {slots: 4, boot: {mean: 30s}}, pods: {start: {mean: 2s}}}
price: {node: 0.5}
policies:
  - policy: {threshold: {messages: 5, every: 10s}}
  - {name: one each, policy: {backlogPerWorker: {messages: 1, every: 5s}}}
"""


def said_of_traces():
    if not TRACES:
        print(f"    left out without SLUICE_TRACES: {', '.join(s.stem for s in SCENARIOS if s not in HERE)}")


def simulate(box, *arguments, exit=0, timeout=600):
    env = {"SLUICE_TRACES": TRACES} if TRACES else {}
    return box.sluice("simulate", *arguments, exit=exit, env=env, timeout=timeout)


@test("every scenario gives the same bytes twice, one after the other and two at a time")
def _(box):
    said_of_traces()
    arguments = [*HERE, "--seeds", "1", "--first", FIRST, "--output", "json"]
    first = simulate(box, *arguments, "--jobs", "2")
    again = simulate(box, *arguments)
    equal(first.out, again.out)
    runs = [line for line in first.json if line["event"] == "run"]
    equal(len({run["scenario"] for run in runs}), len(HERE))
    for run in runs:
        equal(run["published"], run["done"] + run["unfinished"] + run["expired"] + run["purged"])


@test("the journals of the policies threshold and lag are the golden ones")
def _(box):
    said_of_traces()
    for policy in ("threshold", "lag"):
        compared = [path for path in HERE if f"{policy}:" in path.read_text()]
        out = simulate(box, *compared, "--seeds", "1", "--first", GOLDEN_FIRST[policy], "--policy", policy,
                       "--output", "json", "--journal", "j", "--jobs", "2")
        runs = {line["scenario"]: line for line in out.json if line["event"] == "run"}
        for path in compared:
            compare_golden(box, policy, path.stem, runs[path.stem])


def compare_golden(box, policy, name, run):
    text = "".join(f"{pool['pool']}: {pool['journal']['lines']} lines, {pool['journal']['hash']}\n"
                   for pool in run["pools"])
    for journal in sorted((box.dir / "j").glob(f"{name}.{policy}*")):
        text += first_ticks(journal)
    golden = GOLDEN / f"{name}.{policy}.txt"
    if os.environ.get("SNAP_UPDATE") == "1":
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(text)
    equal(text, golden.read_text() if golden.exists() else "", f"{golden.name}: SNAP_UPDATE=1 accepts it")


def first_ticks(journal):
    """The first decisions that change something."""
    out = []
    for line in journal.read_text().splitlines():
        tick = json.loads(line)
        if tick["event"] == "tick" and tick["decision"]["change"] != 0 and len(out) < GOLDEN_TICKS:
            out.append(f"{tick['at'][11:19]} {tick['decision']['workers']} {tick['decision']['reason']}\n")
    return "".join(out)


@test("a simulated journal runs again to the same decisions, and can be explained")
def _(box):
    box.write("small.yaml", SMALL)
    simulate(box, "small.yaml", "--journal", "j")
    journals = sorted((box.dir / "j").iterdir())
    equal([one.name for one in journals], ["small.one-each.1.jsonl", "small.threshold-5.1.jsonl"])
    for journal in journals:
        again = box.sluice("decide", "--journal", journal, exit=0)
        contains(again.err, "0 different")


@test("the table marks the winner, and says who came late and what it cost")
def _(box):
    box.write("small.yaml", SMALL)
    table = simulate(box, "small.yaml").out
    contains(table, "POLICY")
    contains(table, "* ")
    contains(table, "COST")
    equal("\x1b" in table, False, "no colour without a terminal")


@test("CSV has a line for each run, and the page needs nothing but itself")
def _(box):
    box.write("small.yaml", SMALL)
    out = simulate(box, "small.yaml", "--seeds", "3", "--csv", "all.csv", "--html", "page.html", "--output", "json")
    rows = list(csv.DictReader(io.StringIO((box.dir / "all.csv").read_text())))
    runs = [line for line in out.json if line["event"] == "run"]
    equal([(row["policy"], row["seed"], row["late"]) for row in rows],
          [(run["policy"], str(run["seed"]), str(run["late"])) for run in runs])
    page = (box.dir / "page.html").read_text()
    for what in ["<svg", "one each", "Cost against lateness", "data-say", "Waiting time"]:
        contains(page, what)
    for what in ["http://", "https://", "<link", "src="]:
        equal(what in page, False, f"{what} in the page")


@test("bad scenarios are told with every mistake and its place, and nothing runs")
def _(box):
    box.write("bad.yaml", SMALL.replace("late: 30s", "late: soon").replace("slots: 4", "slot: 4"))
    done = simulate(box, "bad.yaml", exit=2)
    equal(done.out, "")
    contains(done.err, "bad.yaml:3:7: $.late: ")
    contains(done.err, 'bad.yaml:6:23: $.environment.nodes.slot: unknown field, did you mean "slots"?')
    box.write("none.yaml", SMALL.replace("{batch: {size: 20, first: 2m}}", "{trace: {file: nowhere.csv}}"))
    contains(simulate(box, "none.yaml", exit=2).err,
             "none.yaml:4:36: $.pools[0].arrivals[0].trace.file: nowhere.csv is not there")
    box.write("small.yaml", SMALL)
    contains(simulate(box, "small.yaml", "--seeds", "0", exit=2).err, "--seeds 0; accepted: 1 to 10000")
    contains(simulate(box, "small.yaml", "--policy", "lags", exit=2).err, "accepted: threshold 5, one each")
    simulate(box, "missing.yaml", exit=2)
    simulate(box, exit=2)


@test("what cannot be written is said, and the exit code says it too")
def _(box):
    box.write("small.yaml", SMALL)
    done = simulate(box, "small.yaml", "--csv", "no/such/folder.csv", exit=1)
    contains(done.err, "no/such/folder.csv")
    contains(done.out, "POLICY")


main()
