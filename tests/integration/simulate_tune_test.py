# SPDX-License-Identifier: Apache-2.0
"""sluice simulate --tune: it finds what trying every setting finds, and says what to paste, or what is in the way.

What needs the traces (SLUICE_TRACES) is said to be left out without them.
"""

import csv
import io
import json
import os

from lib import ROOT, contains, equal, main, scaled, test

TRACES = os.environ.get("SLUICE_TRACES")
POLICIES_MAX = 64  # of one scenario

LOADED = """\
scenario: waves
duration: 40m
late: 30s
seeds: [1, 2]
pools: [{arrivals: [{diurnal: {least: 1, most: 12, period: 20m}}], service: {exponential: 2s}}]
workers: {max: 60}
environment: {nodes: {slots: 4, boot: {least: 20s, most: 30s}}, pods: {start: {mean: 2s}}}
price: {node: 0.2}
"""
WAVES = LOADED + "policies: [{policy: {backlogPerWorker: {messages: 7, every: 5s}}}]\n"


def simulate(box, *arguments, exit=0):
    env = {"SLUICE_TRACES": TRACES} if TRACES else {}
    return box.sluice("simulate", *arguments, "--jobs", "2", exit=exit, env=env, timeout=1800)


def two_digits(limit):
    """Every number of at most two digits and zeros: the finest grid of the search."""
    out, step = [], 1
    n = 1
    while n <= limit:
        step = step * 10 if n == 100 * step else step
        out.append(n)
        n += step
    return out


def each(box, head, policy, settings, *arguments):
    """The means of every setting, by the simulator itself: policies of scenarios as anybody could write them."""
    out = {}
    for first in range(0, len(settings), POLICIES_MAX):
        lines = [f"  - {{name: \"{n}\", policy: {policy % n}}}\n" for n in settings[first:first + POLICIES_MAX]]
        box.write("each.yaml", head + "policies:\n" + "".join(lines))
        done = simulate(box, "each.yaml", "--output", "json", *arguments)
        out |= {int(line["policy"]): line for line in done.json if line["event"] == "policy"}
    equal(sorted(out), settings, "settings that were run")
    return out


def cheapest(means, meets):
    good = [n for n in means if meets(means[n])]
    return min(good, key=lambda n: (means[n]["cost"], means[n]["node_s"], n)) if good else None


def tuned(box, path, policy, target, *arguments, exit=0):
    done = simulate(box, path, "--tune", policy, "--for", target, "--output", "json", *arguments, exit=exit)
    return done.json[-1]


def same_as_all(box, path, head, policy, form, settings, targets, *arguments):
    """For each target --tune finds what is the cheapest of all settings."""
    means = each(box, head, form, settings, *arguments)
    for target, meets in targets.items():
        best = cheapest(means, meets)
        found = tuned(box, path, policy, target, *arguments)
        equal(found["policy"], f"{policy} {best}", f"for {target}, of {len(settings)} settings")
        equal(found["tried"] < len(settings), True, f"{found['tried']} tries for {target}")


@test("on the taxi trace it finds the averageValue that an exhaustive sweep finds")
def _(box):
    if not TRACES:
        print("    left out without SLUICE_TRACES: trace-taxi")
        return
    path = ROOT / "tests/scenarios/trace-taxi.yaml"
    head = path.read_text().split("policies:")[0]
    far = [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]
    settings = scaled(two_digits(40) + [50, 60, 80] + far, two_digits(100_000))
    arguments = scaled(["--seeds", "1", "--first", "90m"], [])
    targets = {"p99=60s": lambda mean: mean["wait_s"]["p99"] <= 60}
    targets |= scaled({}, {"late=5%": lambda mean: mean["late_share"] <= 0.05})
    same_as_all(box, path, head, "hpa", "{hpa: {target: {type: AverageValue, value: \"%d\"}}}", settings, targets,
                *arguments)


@test("on waves it finds the messages per worker that an exhaustive sweep finds")
def _(box):
    box.write("waves.yaml", WAVES)
    settings = scaled(two_digits(40) + [50, 60, 80, 100, 200, 500, 1000], two_digits(100_000))
    targets = {"p95=20s": lambda mean: mean["wait_s"]["p95"] <= 20}
    form = "{backlogPerWorker: {messages: %d, every: 5s}}"
    same_as_all(box, "waves.yaml", LOADED, "backlogPerWorker", form, settings, targets, *scaled(["--seeds", "1"], []))


@test("the table marks what it found, and its YAML in a scenario does what was said of it")
def _(box):
    box.write("waves.yaml", WAVES)
    done = simulate(box, "waves.yaml", "--tune", "backlogPerWorker", "--for", "p95=20s", "--for", "late=20%", "--seeds",
                    "1", "--csv", "all.csv")
    contains(done.out, "SETTING")
    contains(done.out, "p95 at most 20 s and at most 20 % late")
    contains(done.out, 'What is not tuned is as in "backlogPerWorker 7" of the scenario.')
    marked = [line for line in done.out.splitlines() if line.startswith("* ")]
    equal(len(marked), 1, "settings that are marked")
    found = " ".join(marked[0].split()[1:3])
    contains(done.out, f"{found} is the cheapest of ")
    rows = {row["policy"]: row for row in csv.DictReader(io.StringIO((box.dir / "all.csv").read_text()))}
    for row in rows.values():
        good = float(row["wait_p95_s"]) <= 20 and float(row["late_share"]) <= 0.2
        cheaper = float(row["cost"]) < float(rows[found]["cost"])
        equal(good and cheaper, False, f"{row['policy']} is better than {found}")
    paste = done.out[done.out.index("\npolicy:\n") + 1:].replace("\n", "\n    ").rstrip()
    box.write("pasted.yaml", LOADED + "policies:\n  - " + paste + "\n")
    again = simulate(box, "pasted.yaml", "--output", "json", "--seeds", "1").json[0]
    for what in ["worker_s", "node_s", "late"]:
        equal(float(again[what]), float(rows[found][what]), what)


@test("the same search gives the same bytes, and its line says the setting, the spec and that it is met")
def _(box):
    box.write("waves.yaml", WAVES)
    arguments = ["waves.yaml", "--tune", "hpa", "--for", "p99=3m", "--seeds", "1", "--first", "10m", "--output", "json"]
    first = simulate(box, *arguments)
    equal(first.out, box.sluice("simulate", *arguments, exit=0).out, "one run at a time")
    line = first.json[-1]
    equal((line["event"], line["scenario"], line["tuned"], line["met"], line["bounds"]),
          ("tune", "waves", "hpa", True, []))
    equal(line["spec"]["policy"]["hpa"]["target"], {"type": "AverageValue", "value": line["setting"]["averageValue"]})
    equal(line["policy"], f"hpa {line['setting']['averageValue']}")
    equal(len([one for one in first.json if one["event"] == "policy"]), line["tried"])
    equal([one["best"] for one in first.json if one["event"] == "summary"], [line["policy"]])


@test("where no setting meets the target it shows the nearest and what bounds it, and fails")
def _(box):
    box.write("waves.yaml", WAVES.replace("max: 60", "max: 6"))
    arguments = ["waves.yaml", "--tune", "threshold", "--for", "p99=1s", "--seeds", "1", "--first", "10m"]
    done = simulate(box, *arguments, exit=1)
    contains(done.out, " settings of threshold has p99 at most 1 s. Nearest is threshold ")
    contains(done.out, "all 6 workers that workers.max allows were there at once")
    contains(done.out, "a new node boots in 20 s to 30 s and a worker starts in 2 s")
    equal("\npolicy:\n" in done.out, False, "no YAML of what does not do")
    line = tuned(box, "waves.yaml", "threshold", "p99=1s", "--seeds", "1", "--first", "10m", exit=1)
    equal(line["met"], False)
    contains(json.dumps(line["bounds"]), "workers.max")


@test("what cannot be asked for is said, and nothing runs")
def _(box):
    box.write("waves.yaml", WAVES)
    box.write("blind.yaml", WAVES.replace("pods:", "metrics: {together: true}, pods:"))
    for arguments, why in [
        (["--tune", "hap", "--for", "p99=60s"], "hpa"),
        (["--tune", "hpa"], "--for nothing is asked for; accepted: p50=TIME, p95=TIME"),
        (["--for", "p99=60s"], "accepted: --tune POLICY --for p99=60s"),
        (["--tune", "hpa", "--for", "p98=60s"], "--for p98=60s: not a target"),
        (["--tune", "hpa", "--for", "p99=soon"], "--for p99=soon: "),
        (["--tune", "hpa", "--for", "late=2"], "--for late=2: not a share of the messages from 0% to 100%"),
        (["--tune", "hpa", "--for", "p99=60s", "--for", "p99=30s"], "p99 is there already"),
        (["--tune", "hpa", "--for", "p99=60s", "--html", "x.html"], "--html does not go with --tune"),
        (["--tune", "hpa", "--for", "p99=60s", "--policy", "hpa"], "--policy does not go with --tune"),
    ]:
        done = simulate(box, "waves.yaml", *arguments, exit=2)
        equal(done.out, "")
        contains(done.err, why)
    done = simulate(box, "blind.yaml", "--tune", "hpa", "--for", "p99=9m", "--seeds", "1", "--first", "2m")
    contains(done.out, "is the cheapest of")
    contains(simulate(box, "blind.yaml", "--tune", "lag", "--for", "p99=9m", exit=2).err,
             "waves: policy lag needs to know what waits")


main()
