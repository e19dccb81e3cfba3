# SPDX-License-Identifier: Apache-2.0
"""A file of real-looking jobs through a small Python program, as the README says: by --exec and by --http."""

import http.server
import json
import socketserver
import sys
import threading

from jobs import jobs
from lib import ROOT, contains, equal, main, scaled, test, wait_until

HANDLER = """#!/usr/bin/env python3
import json, os, sys
job = json.load(sys.stdin)
with open("done.jsonl", "a") as f:
    f.write(json.dumps([os.environ["SLUICE_MESSAGE_ID"], job["job"], job["total"]]) + "\\n")
"""


def write_jobs(box, count):
    lines = jobs(count)
    box.write("jobs.txt", "\n".join(lines) + "\n")
    return lines


def check(got, lines):
    """`got`: (id, job, total) of every handler run."""
    want = sorted((job["job"], job["total"]) for job in map(json.loads, lines))
    equal(sorted((number, total) for _, number, total in got), want, "jobs done, each once, none changed on the way")


@test("the README's words are commands that exist")
def _(box):
    readme = (ROOT / "README.md").read_text()
    for command in ["sluice publish -f orders.yaml --lines jobs.txt", "sluice scale -f orders.yaml"]:
        contains(readme, command, "README")


@test("lines of a file through a Python program started for each, by the README's pool")
def _(box):
    lines = write_jobs(box, scaled(300, 10_000))
    readme = (ROOT / "README.md").read_text()
    pool = readme.split("```yaml\n")[1].split("```")[0]
    contains(pool, "command: [sluice, work, --exec, ./handle]")
    # The README's pool as it is, but that workers come at once instead of one every 10 s.
    pool = pool.replace("{threshold: {messages: 20, age: 60s, every: 10s}}",
                        "{backlogPerWorker: {messages: 50, every: 1s}}")
    contains(pool, "backlogPerWorker")
    box.write("orders.yaml", pool)
    box.write("handle", HANDLER, mode=0o755)
    box.sluice("publish", "-f", "orders.yaml", "--lines", "jobs.txt", exit=0, timeout=300)
    scaler = box.start_sluice("scale", "-f", "orders.yaml")
    path = box.path("done.jsonl")
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= len(lines), what="all jobs to be done",
               timeout=scaled(150, 900), every=0.2)
    equal(scaler.stop().exit, 0, "exit of the scaler")
    check([json.loads(line) for line in path.read_text().splitlines()], lines)


class JobServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64


@test("lines of a file through a Python server")
def _(box):
    lines = write_jobs(box, scaled(2_000, 10_000))
    done, busy = [], threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            job = json.loads(body)
            with busy:
                done.append((self.headers["Sluice-Message-Id"], job["job"], job["total"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = JobServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        box.sluice("publish", "--queue", "q.db", "--lines", "jobs.txt", exit=0, timeout=300)
        worked = box.sluice("work", "--queue", "q.db", "--http", f"http://127.0.0.1:{server.server_address[1]}/jobs",
                            "--concurrency", 8, "--idle-exit", "3s", "-o", "json", exit=0, timeout=scaled(120, 600))
    finally:
        server.shutdown()
        server.server_close()
    equal(worked.json[-1]["done"], len(lines), "done by the worker's word")
    check(done, lines)


if sys.version_info < (3, 9):
    raise SystemExit("python 3.9 or newer")
main()
