#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A metric through a real kube-apiserver, as an HPA asks for it, beside a document of the same adapter that never
changes: what the metric costs beyond the way there. The two take turns. Needs what `make e2e` needs; SLUICE_BIN is the
binary of a release build.
"""

import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
for folder in ("tests/e2e", "tests/e2e/cluster", "tests/tools", "tests/integration"):
    sys.path.insert(0, str(ROOT / folder))

from cluster import Cluster  # noqa: E402
from components import API_PORT  # noqa: E402
from hpa_adapter import METRIC, Adapter, Pools, registered  # noqa: E402
from waiting import wait_until  # noqa: E402

LOAD = ROOT / "build/release/bench/https_load"
GROUP = "/apis/external.metrics.k8s.io/v1beta1"
ROUNDS, SECONDS, CONNECTIONS = 7, 3, 2


def main():
    with Cluster(node=False) as cluster:
        pki = cluster._pki
        pki.identity("root", "/O=system:masters/CN=root")
        metric = f"{GROUP}/namespaces/default/{METRIC}?labelSelector=pool%3Dorders"

        def load(path):
            done = subprocess.run(cluster.command([
                LOAD, str(API_PORT), str(CONNECTIONS), str(SECONDS), pki.cert("ca"), pki.cert("root"), pki.key("root"),
                path]), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            return json.loads(done.stdout)

        with Pools(cluster, ["default/orders"], lambda _: 1000) as pools:
            with Adapter(cluster, "--controller", pools.url) as adapter, registered(cluster, adapter.port):
                wait_until(lambda: cluster.api.get(metric)["items"], 60, "the first answer")
                rounds = [(load(GROUP), load(metric)) for _ in range(ROUNDS)]
        for what, of in (("a document that never changes", 0), ("a metric", 1)):
            p50 = statistics.median(one[of]["p50_us"] for one in rounds) / 1000
            p99 = statistics.median(one[of]["p99_us"] for one in rounds) / 1000
            print(f"{what:<40} p50 {p50:.2f} ms  p99 {p99:.2f} ms")
        ratio = statistics.median(metric["p50_us"] / fixed["p50_us"] for fixed, metric in rounds)
        print(f"{'a metric takes of its time':<40} {ratio:.2f}  wanted <= 1.10, median of {ROUNDS} rounds")


main()
