#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo-hpa`: the stock HPA on a Pub/Sub backlog, beside the same workers under an HPA on CPU, on a cluster of its
own. Cloud Monitoring's numbers come as Google's do, sampled every 60 s and shown up to 120 s later: it takes about ten
minutes. Ends with a picture.

    tests/e2e/demo_hpa.py [--fast] [--to-zero] [--picture FILE]
"""

import argparse
import pathlib
import sys

import hpa_story
import pubsub
from e2e import ROOT, Cluster, Namespace
from hpa_picture import picture

MESSAGES = 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="numbers within 2 s, not within 3 minutes: 2 min in all")
    parser.add_argument("--to-zero", action="store_true", help="minReplicas 0, which needs a gate of the cluster's")
    parser.add_argument("--picture", type=pathlib.Path, default=ROOT / "build/demo-hpa.svg", help="where it goes")
    arguments = parser.parse_args()
    if pubsub.missing():
        sys.exit(f"demo-hpa: {pubsub.missing()}")
    least = 0 if arguments.to_zero else 1
    gate = ["--feature-gates=HPAScaleToZero=true"] if arguments.to_zero else []
    cluster = Cluster(apiserver=gate, controller_manager=gate)
    try:
        cluster.up(say=lambda text: print(f"cluster  {text}", flush=True))
        k8s = Namespace(cluster, "demo-hpa")
        with hpa_story.scene(cluster, arguments.fast) as (rig, resource_metrics):
            print("the chart with its adapter is installed; two Deployments of one worker each begin", flush=True)
            hpa_story.begin(k8s, rig, "300ms" if arguments.fast else "1500ms", resource_metrics, least)
            print(f"{MESSAGES} messages are published", flush=True)
            lines = hpa_story.play(k8s, rig, MESSAGES, lambda text: print(text, flush=True), 300 if arguments.fast
                                   else 1500, least)
    finally:
        cluster.down()
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    arguments.picture.write_text(picture(lines, MESSAGES))
    for line in lines:
        print(f"\n{line.name}")
        print("\n".join(line.changes()))
    hpa_story.judge(lines, MESSAGES)
    took = lines[0].rows[-1][0]
    print(f"\n✓ on backlog: 1 to {lines[0].peak()} pods and back, {MESSAGES} messages in {took:.0f} s"
          f"   on CPU: 1 pod, {lines[1].rows[-1][1]} messages left\n{arguments.picture}")


main()
