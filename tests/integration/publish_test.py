# SPDX-License-Identifier: Apache-2.0
"""sluice publish: what is confirmed is in the queue, what is not is listed, and the exit code says which."""

import json
import os
import re
import subprocess
import sys

from lib import BIN, contains, equal, main, test, wait_until

HANDLER = """#!/usr/bin/env python3
import json, os, sys
line = {"id": os.environ["SLUICE_MESSAGE_ID"], "attempt": int(os.environ["SLUICE_MESSAGE_ATTEMPT"]),
        "headers": json.loads(os.environ["SLUICE_MESSAGE_HEADERS"]), "body": sys.stdin.buffer.read().decode("latin-1")}
with open("ledger.jsonl", "a") as f:
    f.write(json.dumps(line) + "\\n")
"""


def work_all(box, queue="q.db"):
    """Works the queue until it stays empty; the ledger's lines."""
    box.write("handle", HANDLER, mode=0o755)
    box.sluice("work", "--queue", queue, "--exec", "./handle", "--idle-exit", "200ms", "--concurrency", 4, exit=0)
    path = box.path("ledger.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@test("numbered messages are confirmed and counted")
def _(box):
    done = box.sluice("publish", "--queue", "q.db", "--count", 25, "--run", "r", "-o", "json", exit=0)
    summary = done.json[-1]
    seconds = summary.pop("seconds")
    equal(summary, {"event": "summary", "attempted": 25, "confirmed": 25, "failed": 0, "unknown": 0}, "summary")
    assert 0 <= seconds < 60, seconds
    equal(sorted(line["id"] for line in work_all(box)), sorted(f"r-{n}" for n in range(1, 26)), "ids in the queue")


@test("lines become messages: CR LF, no last line end, bytes as they are, empty lines counted and left out")
def _(box):
    box.path("in").write_bytes(b"one\r\ntwo\n\n\r\nth\xff\x00ree\rx\nlast")
    done = box.sluice("publish", "--queue", "q.db", "--lines", "in", "--run", "r", "--header", "k=v=w",
                      "--id-prefix", "p-", exit=0)
    contains(done.out, "4 of 4 confirmed")
    contains(done.out, "2 empty lines skipped")
    got = {line["id"]: line for line in work_all(box)}
    equal({key: line["body"] for key, line in got.items()},
          {"p-r-1": "one", "p-r-2": "two", "p-r-5": "th\xff\x00ree\rx", "p-r-6": "last"}, "bodies by line number")
    equal(got["p-r-1"]["headers"]["k"], "v=w", "header")


@test("standard input is read as it comes, without waiting for its end")
def _(box):
    publisher = box.start_sluice("publish", "--queue", "q.db", stdin=subprocess.PIPE)
    worker = box.start_sluice("work", "--queue", "q.db", "--simulate", "0ms", "-o", "json")
    for n in range(3):
        publisher.popen.stdin.write(b"line\n")
        publisher.popen.stdin.flush()
        wait_until(lambda: len(worker.json()) == n + 1, what=f"message {n + 1} to be done", timeout=20)
    publisher.popen.stdin.close()
    equal(publisher.wait().exit, 0, "exit of publish")
    equal(worker.stop().exit, 0, "exit of work")


@test("a line over the limit is named and the others are confirmed: exit 3")
def _(box):
    box.path("in").write_bytes(b"a\n" + b"x" * (17 << 20) + b"\nb\n")
    done = box.sluice("publish", "--queue", "q.db", "--lines", "in", "-o", "json", exit=3)
    refused, summary = done.json
    contains(refused["why"], "in:2: 17825792 bytes")
    equal((summary["attempted"], summary["confirmed"], summary["failed"]), (3, 2, 1), "counts")


@test("the same run again adds nothing that still waits")
def _(box):
    for _ in range(2):
        box.sluice("publish", "--queue", "q.db", "--count", 10, "--run", "r", exit=0)
    equal(len(work_all(box)), 10, "messages")


@test("a full disk: what was confirmed is there, the rest is listed with the reason")
def _(box):
    # A limit on the size of files fails writes as a full disk does, without a disk.
    launcher = """if True:
        import resource, signal, subprocess, sys
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (400000, 400000))
        # Through a pipe: our own output is a file too.
        program = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, preexec_fn=limit)
        for block in program.stdout:
            sys.stdout.buffer.write(block)
        sys.stdout.flush()
        sys.exit(program.wait())
    """
    done = box.run([sys.executable, "-c", launcher, BIN, "publish", "--queue", "q.db", "--count", 20000, "--run", "r",
                    "-o", "json"], exit=3)
    *refused, summary = done.json
    assert 0 < summary["confirmed"] < 20000, summary
    equal(summary["confirmed"] + summary["failed"] + summary["unknown"], 20000, "each message has one answer")
    contains(refused[0]["why"], "q.db", "the reason")
    missing = {line["id"] for line in refused if line["state"] == "failed"}
    equal(len(missing), summary["failed"], "ids listed as failed")
    worked = box.sluice("work", "--queue", "q.db", "--simulate", "0ms", "--idle-exit", "200ms", "-o", "json",
                        "--concurrency", 16, exit=0, timeout=120)
    ids = {line["id"] for line in worked.json[:-1] if line["outcome"] == "done"}
    lost = {f"r-{n}" for n in range(1, 20001)} - ids - {line["id"] for line in refused}
    equal(lost, set(), "confirmed and gone")
    equal(ids & missing, set(), "listed as failed and yet in the queue")


@test("a file that is no queue is refused by name, and left as it is")
def _(box):
    box.write("q.db", "not a queue at all, but somebody's file\n" * 100)
    done = box.sluice("publish", "--queue", "q.db", "--count", 1, exit=1)
    contains(done.err, "q.db")
    contains(box.read("q.db"), "somebody's file")


@test("a folder that is missing, a file that cannot be opened: said, with the path")
def _(box):
    contains(box.sluice("publish", "--queue", "no/such/q.db", "--count", 1, exit=1).err, "no/such")
    contains(box.sluice("publish", "--queue", "q.db", "--lines", "absent.txt", exit=2).err, "absent.txt")


@test("usage errors are said before anything is made")
def _(box):
    for args, says in [(["--count", "1", "--lines", "x"], "one source"),
                       (["--header", "novalue", "--count", "1"], "KEY=VALUE"),
                       (["--count", "-1"], "whole number"), (["--cuont", "1"], "did you mean --count?"),
                       (["--queue", '{"queue":{"local":{"pth":"x"}}}', "--count", "1"], "$.queue.local")]:
        queue = [] if "--queue" in args else ["--queue", "q.db"]
        contains(box.sluice("publish", *queue, *args, exit=2).err, says)
    contains(box.sluice("publish", "--count", 1, exit=2).err, "SLUICE_QUEUE")
    equal(sorted(p for p in os.listdir(box.dir) if p != ".logs"), [], "files made")


@test("closed descriptors and a stdout that is full are survived")
def _(box):
    done = box.run(["/bin/sh", "-c", f"{BIN} publish --queue q.db --count 2 <&- >&- 2>&-"], exit=0)
    equal(done.err, "", "stderr")
    done = box.run(["/bin/sh", "-c", f"{BIN} publish --queue q.db --count 2 >/dev/full"], exit=1)
    contains(done.err, "cannot write to stdout")
    equal(len(work_all(box)), 4, "messages in the queue all the same")


@test("Ctrl-C tells what was confirmed until then")
def _(box):
    publisher = box.start_sluice("publish", "--queue", "q.db", "-o", "json", stdin=subprocess.PIPE)
    worker = box.start_sluice("work", "--queue", "q.db", "--simulate", "0ms", "-o", "json")
    publisher.popen.stdin.write(b"a\nb\n")
    publisher.popen.stdin.flush()
    wait_until(lambda: len(worker.json()) == 2, what="both messages to be done", timeout=20)
    publisher.signal(2)
    done = publisher.wait()
    equal((done.exit, done.json[-1]["confirmed"]), (3, 2), "exit and confirmed")


@test("the text summary is one line on stdout")
def _(box):
    done = box.sluice("publish", "--queue", "q.db", "--count", 3, exit=0)
    assert re.fullmatch(r"3 of 3 confirmed in \d+\.\d\d s\n", done.out), done.out


main()
