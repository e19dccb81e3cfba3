#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A metric through a real kube-apiserver, as an HPA asks for it, beside the same request of another group, which nginx
answers with the same bytes whatever it is asked. The two take turns. Needs what `make e2e` needs, and nginx; SLUICE_BIN
is the binary of a release build.
"""

import contextlib
import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
for folder in ("tests/e2e", "tests/e2e/cluster", "tests/tools", "tests/integration"):
    sys.path.insert(0, str(ROOT / folder))

from cluster import Cluster  # noqa: E402
from components import API_PORT  # noqa: E402
from hpa_adapter import GROUP, METRIC, NAMESPACE, Adapter, Pools, registered  # noqa: E402
from waiting import free_port, wait_until  # noqa: E402

LOAD = ROOT / "build/release/bench/https_load"
STATIC = "static.metrics.test"
ROUNDS, SECONDS, CONNECTIONS = 9, 3, 2
SERVER = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{ default_type application/json; return 200 '{body}'; }}
  }}
}}
"""


@contextlib.contextmanager
def static_server(cluster, body):
    """Its port. It answers everything with these bytes."""
    port, folder, pki = free_port(), cluster.folder / "static", cluster._pki
    folder.mkdir(exist_ok=True)
    pki.identity("static", "/CN=static", hosts=[f"DNS:static.{NAMESPACE}.svc", "IP:127.0.0.1"])
    (folder / "nginx.conf").write_text(SERVER.format(
        folder=folder, port=port, cert=pki.cert("static"), key=pki.key("static"), body=body))
    with subprocess.Popen(cluster.command(
            [shutil.which("nginx") or "nginx", "-e", "stderr", "-c", folder / "nginx.conf"])) as process:
        try:
            yield port
        finally:
            process.send_signal(signal.SIGTERM)


def main():
    with Cluster(node=False) as cluster:
        pki = cluster._pki
        pki.identity("root", "/O=system:masters/CN=root")

        def path(group):
            return f"/apis/{group}/v1beta1/namespaces/default/{METRIC}?labelSelector=pool%3Dorders"

        def load(group):
            done = subprocess.run(cluster.command([
                LOAD, str(API_PORT), str(CONNECTIONS), str(SECONDS), pki.cert("ca"), pki.cert("root"), pki.key("root"),
                path(group)]), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            return json.loads(done.stdout)

        with contextlib.ExitStack() as stack:
            pools = stack.enter_context(Pools(cluster, ["default/orders"], lambda _: 1000))
            adapter = stack.enter_context(Adapter(cluster, "--controller", pools.url))
            stack.enter_context(registered(cluster, adapter.port))
            wait_until(lambda: cluster.api.get(path(GROUP))["items"], 60, "the first answer")
            body = json.dumps(cluster.api.get(path(GROUP)))
            port = stack.enter_context(static_server(cluster, body))
            stack.enter_context(registered(cluster, port, group=STATIC))
            rounds = [(load(STATIC), load(GROUP)) for _ in range(ROUNDS)]
        for what, of in (("nginx, the same bytes always", 0), ("a metric", 1)):
            p50 = statistics.median(one[of]["p50_us"] for one in rounds) / 1000
            p99 = statistics.median(one[of]["p99_us"] for one in rounds) / 1000
            print(f"{what:<40} p50 {p50:.2f} ms  p99 {p99:.2f} ms")
        ratio = statistics.median(metric["p50_us"] / fixed["p50_us"] for fixed, metric in rounds)
        print(f"{'a metric takes of its time':<40} {ratio:.2f}  wanted <= 1.10, median of {ROUNDS} rounds")


main()
