#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What lag costs beside other policies on eleven workloads, and writes docs/results/policies.md.

The workloads are those of tests/scenarios, four of them real traces ($SLUICE_TRACES). lag has one setting everywhere,
`max: 30s`. Each rival family brings its cheapest listed setting for each workload, chosen in hindsight among those that
are not later than lag: p99 at most 1.02 times ours, the late share at most 1.1 times ours and 0.3 points. A family with
none has no number there.
"""

import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORKLOADS = ("step", "diurnal", "flash", "heavy", "batch", "longjob", "mmpp",
             "trace-llm", "trace-taxi", "trace-elb", "trace-aapl")
SEEDS = 3
P99_ALLOWED, LATE_ALLOWED, LATE_POINTS = 1.02, 1.1, 0.003
GEOMEAN_WANTED, WORST_WANTED = 0.70, 1.05
AT_ONCE = 60  # policies of one scenario file; it takes 64
PARTS = ("choice", "credibility", "feasible", "floor", "keep")  # of lag, left out one at a time
PROMISED = ("batch", "step", "flash", "mmpp")  # with a `max` that can be met for any burst
INNER = {"target": lambda it: it["value"],
         "behavior": lambda it: f"down after {it['scaleDown']['stabilizationWindowSeconds']} s"}
STEPS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 60, 80)


def listed():
    """{family: its settings}."""
    average = [{"target": {"type": "AverageValue", "value": str(n)}} for n in ("500m", "700m", *STEPS)]
    behaviors = [{}, *({"behavior": {"scaleDown": {"stabilizationWindowSeconds": n}}} for n in (60, 0))]
    return {
        "hpa": [{"hpa": {**one, **behavior}} for behavior in behaviors for one in average],
        "kedaScaledObject": [{"kedaScaledObject": {**one, **behavior}} for behavior in behaviors for one in average],
        "kedaScaledJob": [{"kedaScaledJob": {"target": n, "strategy": strategy, "pollingInterval": poll}}
                          for strategy in ("default", "accurate", "eager") for n in (1, 2, 5, 10, 20)
                          for poll in ("10s", "30s")],
        "backlogPerWorker": [{"backlogPerWorker": {"messages": n, "every": "5s"}} for n in STEPS],
        "threshold": [{"threshold": {"messages": n, "age": age, "every": every}} for n in (1, 5, 20, 100)
                      for age in ("10s", "20s") for every in ("5s", "10s")],
        "sqsTargetTracking": [{"sqsTargetTracking": {"target": n}} for n in (1, 2, 5, 10, 20, 50)],
        "knativeKpa": [{"knativeKpa": {"target": n, "targetUtilizationPercentage": share, "stableWindow": window}}
                       for n in (1, 1.5, 2) for share in (50, 70, 100) for window in ("60s", "300s")],
        "flinkLike": [{"flinkLike": {"utilizationPercent": share, "window": window, "catchUp": catch_up,
                                     "restart": "60s", "stabilization": "0s", "scaleDownInterval": down,
                                     "interval": "10s"}}
                      for share in (50, 70, 90) for window in ("30s", "60s", "180s") for catch_up in ("30s", "120s")
                      for down in ("60s", "300s")],
        "dataflowLike": [{"dataflowLike": {"drain": drain, "utilizationPercent": share}}
                         for drain in ("15s", "30s", "60s", "150s") for share in (60, 75, 90)],
    }


def scenario(name, late="30s"):
    """The workload's file up to its policies, with our seeds and our idea of late."""
    text = (ROOT / f"tests/scenarios/{name}.yaml").read_text()
    text = re.sub(r"(?m)^late: .*$", f"late: {late}", text[:text.index("policies:")])
    return re.sub(r"(?m)^seeds: .*$", f"seeds: [{', '.join(str(n + 1) for n in range(SEEDS))}]", text)


def simulate(binary, name, policies, jobs, late="30s"):
    """{policy's number: its means}; `policies` as in a scenario."""
    out = {}
    for first in range(0, len(policies), AT_ONCE):
        part = run(binary, name, policies[first:first + AT_ONCE], jobs, late)
        out.update({first + i: means for i, means in part.items()})
    return out


def run(binary, name, policies, jobs, late):
    with tempfile.TemporaryDirectory(prefix="sluice-results-") as folder:
        path = pathlib.Path(folder) / f"{name}.yaml"
        rows = "".join(f"  - {json.dumps({'name': f'p{i}', **one})}\n" for i, one in enumerate(policies))
        path.write_text(f"{scenario(name, late)}policies:\n{rows}")
        done = subprocess.run([binary, "simulate", str(path), "--output", "json", "--jobs", str(jobs)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name}: {done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {int(line["policy"][1:]): line for line in lines if line["event"] == "policy"}


def cheapest(ours, means):
    """The number of the cheapest of `means` that is not later than ours, or None."""
    p99 = ours["wait_s"]["p99"] * P99_ALLOWED
    late = ours["late_share"] * LATE_ALLOWED + LATE_POINTS
    good = [i for i, one in means.items() if one["wait_s"]["p99"] <= p99 and one["late_share"] <= late]
    return min(good, key=lambda i: means[i]["node_s"], default=None)


def setting(policy):
    """"target 5" of a policy's object."""
    (_, options), = policy.items()
    words = [INNER[key](value) if isinstance(value, dict) else f"{key} {value}" for key, value in options.items()]
    return ", ".join(words)


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def percent(share):
    return f"{100 * share:.1f} %"


def regret(means):
    """How much more than one who knows the future would pay, in percent."""
    return f"{100 * (means['node_s'] / means['clairvoyant_node_s'] - 1):.0f} %"


def parts(binary, jobs):
    """{workload: means of lag, whole and without each of PARTS}."""
    out = {}
    for name, most in [(name, "30s") for name in WORKLOADS] + [(name, "2m") for name in PROMISED]:
        lag = {"policy": {"lag": {"max": most}}}
        means = simulate(binary, name, [lag, *({**lag, "without": [part]} for part in PARTS)], jobs,
                         late=most)
        out[name if most == "30s" else f"{name}, max: {most}"] = [means[i] for i in range(1 + len(PARTS))]
        print(f"{name}: lag {most} without its parts", flush=True)
    return out


class Table:
    """Our means and, for each family and workload, (the ratio of node-seconds, the rival's means, its setting)."""

    def __init__(self):
        self.ours, self.ratios = {}, {}

    def add(self, name, families, means):
        self.ours[name] = ours = means[0]
        at = 1
        for family, policies in families.items():
            of_family = {i: means[i] for i in range(at, at + len(policies))}
            best = cheapest(ours, of_family)
            self.ratios[family, name] = best and (ours["node_s"] / means[best]["node_s"], means[best],
                                                  setting(policies[best - at]))
            at += len(policies)

    def numbers(self, family):
        return [self.ratios[family, name][0] for name in self.ours if self.ratios[family, name]]

    def worst(self, name, families):
        known = [(self.ratios[f, name][0], f) for f in families if self.ratios[f, name]]
        return max(known, default=None)

    def sums(self, families):
        half = len(self.ours) / 2
        counted = {f: geomean(self.numbers(f)) for f in families if len(self.numbers(f)) >= half}
        worst = {name: self.worst(name, families) for name in self.ours}
        return counted, worst


def left_to_win(table, families):
    """The section on regret."""
    out = ["\n## What is left to win\n",
           "Node-hours of one who knows every arrival and every service time and is as late as lag: a lower bound, not "
           "a plan. Beside it how much\nmore lag pays, and each family at its best, by the bound for its own p99 "
           "(docs/explanation/lag-policy.md).\n",
           f"| workload | bound, node-hours | lag | {' | '.join(families)} |",
           f"| --- | --- | --- |{' --- |' * len(families)}"]
    for name, ours in table.ours.items():
        found = [table.ratios[family, name] for family in families]
        cells = [regret(one[1]) if one else "x" for one in found]
        out.append(f"| {name} | {ours['clairvoyant_node_s'] / 3600:.1f} | {regret(ours)} | {' | '.join(cells)} |")
    return [*out, "\nWho knows the future has nodes up when a burst comes, and the bound buys parts of nodes and "
            "divides work at will: where loads are short\nor small (batch, trace-llm) that is most of the distance.\n"]


def worth(rows):
    """The section on the parts of lag."""
    out = ["## What the parts of lag are worth\n",
           "Node-hours and the share that waits longer than `max` (30 s but where it is said), of all of lag and "
           "without one of its parts.\n",
           f"| workload | all | {' | '.join(PARTS)} |", f"| --- | --- |{' --- |' * len(PARTS)}"]
    for name, means in rows.items():
        cells = [f"{one['node_s'] / 3600:.1f}, {percent(one['late_share'])}" for one in means]
        out.append(f"| {name} | {' | '.join(cells)} |")
    return [*out, ""]


def page(table, families, rows):
    counted, worst = table.sums(families)
    names = list(table.ours)
    out = [
        "# What policies cost\n",
        "Written by `make results`, which needs the traces (`SLUICE_TRACES`). The scaler is the one that ships; queue, "
        "workers and nodes are modelled\n(`sluice simulate`). Nodes have 4 slots and take 51 to 75 s to boot, empty "
        f"ones go after 2 min; late is more than 30 s; {SEEDS} seeds, means.\n",
        "`lag` is not tuned: `max: 30s` everywhere. Each other family is tuned in hindsight: for each workload its "
        "cheapest listed setting\n(tools/results.py) that is not later than lag, that is p99 at most "
        f"{P99_ALLOWED} times and the late share at most {LATE_ALLOWED} times ours and {100 * LATE_POINTS:.1f} points."
        "\n**x**: no listed setting of that family gets there, at any price.\n",
        "## Node-seconds of lag, by those of each family at its best\n",
        "Below 1 lag is cheaper. In brackets the rival's late share.\n",
        f"| workload | lag: late, p99, node-hours | {' | '.join(families)} |",
        f"| --- | --- |{' --- |' * len(families)}"]
    for name in names:
        ours = table.ours[name]
        cells = []
        for family in families:
            found = table.ratios[family, name]
            cells.append(f"{found[0]:.2f} ({percent(found[1]['late_share'])})" if found else "x")
        out.append(f"| {name} | {percent(ours['late_share'])}, {ours['wait_s']['p99']:.0f} s, "
                   f"{ours['node_s'] / 3600:.1f} | {' | '.join(cells)} |")
    means = [f"**{geomean(table.numbers(f)):.2f}** of {len(table.numbers(f))}" if table.numbers(f) else "-"
             for f in families]
    out += [f"| geometric mean | | {' | '.join(means)} |\n",
            "## Where lag is closest to losing, or loses\n",
            "| workload | cheapest family | its setting | lag costs | its late share, ours |",
            "| --- | --- | --- | --- | --- |"]
    for name in names:
        if worst[name]:
            ratio, family = worst[name]
            _, rival, words = table.ratios[family, name]
            out.append(f"| {name} | {family} | {words} | {ratio:.2f} | {percent(rival['late_share'])}, "
                       f"{percent(table.ours[name]['late_share'])} |")
        else:
            out.append(f"| {name} | none gets there | | | {percent(table.ours[name]['late_share'])} |")
    out += [*left_to_win(table, families), *worth(rows)]
    ratios = [one[0] for one in worst.values() if one]
    lost = [name for name, one in worst.items() if one and one[0] > 1]
    out += ["## Sums\n",
            f"- Largest geometric mean over the families with a number on at least half of the workloads: "
            f"{max(counted.values()):.2f} ({max(counted, key=counted.get)}); aimed at: {GEOMEAN_WANTED:.2f}.",
            f"- The worst single one: {max(ratios):.2f}; aimed at: {WORST_WANTED:.2f}.",
            f"- Dearer than the cheapest rival on: {', '.join(lost) or 'none'}.",
            "- Not equal: pod-seconds. lag lets nodes become empty and keeps workers where a node is paid anyway; who "
            "pays by the pod should look at\n  WORKER-H of `sluice simulate`.\n",
            "The rivals' settings were chosen with the workload known, lag's were not; the rivals are models of their "
            "documented or published\nalgorithms (docs/reference/rivals.md), run here, not their programs.\n"]
    return "\n".join(out), counted, ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/results/policies.md", help="the page")
    parser.add_argument("--only", nargs="*", help="only these workloads, and no page")
    arguments = parser.parse_args()
    binary = os.environ.get("SLUICE_BIN", str(ROOT / "build/release/sluice"))
    if not os.environ.get("SLUICE_TRACES"):
        sys.exit("SLUICE_TRACES is not set: four of the workloads are traces that are not in this repository")
    families = listed()
    policies = [{"lag": {"max": "30s"}}, *(one for family in families.values() for one in family)]
    table = Table()
    for name in arguments.only or WORKLOADS:
        contenders = [{"policy": one} for one in policies]
        table.add(name, families, simulate(binary, name, contenders, arguments.jobs))
        worst = table.worst(name, families)
        print(f"{name}: {'none gets there' if worst is None else f'{worst[0]:.2f} of {worst[1]}'}", flush=True)
    if arguments.only:
        return
    text, counted, ratios = page(table, families, parts(binary, arguments.jobs))
    arguments.out.write_text(text)
    print(f"largest geometric mean {max(counted.values()):.2f}, worst {max(ratios):.2f}: {arguments.out}")


if __name__ == "__main__":
    main()
