# SPDX-License-Identifier: Apache-2.0
"""The C++ library: installed, found by a project that knows nothing of ours, built with g++ and with clang, and run."""

import json
import os
import pathlib
import re
import signal
import urllib.request

from lib import ROOT, contains, equal, free_port, main, test, wait_until

# A sanitizer's objects need its runtime in the user's program, so the library has a plain build of its own, kept from
# one run to the next. ccache makes the first one cheap where it is installed.
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build/dev")) / "library"
COMPILERS = ("g++", "clang++-19")
QUEUE = json.dumps({"queue": {"local": {"path": "q.db"}}, "deadLetter": {"after": 2}, "retry": {"delays": ["10ms"]}})


def examples(box):
    """{compiler: the example worker built with it}, against the library as it installs now."""
    cache = [f"-DCMAKE_{language}_COMPILER_LAUNCHER=ccache" for language in ("C", "CXX")] if box.run(
        ["sh", "-c", "command -v ccache"]).exit == 0 else []
    box.run(["cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DCMAKE_C_COMPILER=clang-19",
             "-DCMAKE_CXX_COMPILER=clang++-19", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1",
             "-DSLUICE_TESTS=OFF", *cache], exit=0)
    box.run(["ninja", "-C", BUILD, "sluice_library"], exit=0, timeout=1100)
    prefix = BUILD / "prefix"
    box.run(["cmake", "--install", BUILD, "--component", "library", "--prefix", prefix], exit=0)
    built = {}
    for compiler in COMPILERS:
        folder = BUILD / f"example-{compiler}"
        box.run(["cmake", "-S", ROOT / "tests/example_worker", "-B", folder, "-G", "Ninja",
                 f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_CXX_STANDARD=17", f"-DCMAKE_PREFIX_PATH={prefix}"],
                exit=0)
        box.run(["ninja", "-C", folder], exit=0, timeout=120)
        built[compiler] = folder / "example_worker"
    return built


def ledger(box, name="ledger"):
    """[[id, attempt, cause, length]] in order."""
    path = box.path(name)
    lines = path.read_text().splitlines() if path.exists() else []
    return [re.fullmatch(r"(\S+) (\d+) (.*) (\d+)", line).groups() for line in lines]


def publish(box, *bodies):
    box.sluice("publish", "--queue", "q.db", "--lines", "-", input="".join(b + "\n" for b in bodies), exit=0)


@test("what is installed is one header, one archive and the package that finds them")
def _(box):
    examples(box)
    found = {p.relative_to(BUILD / "prefix").as_posix() for p in (BUILD / "prefix").rglob("*") if p.is_file()}
    names = {pathlib.PurePath(name).name for name in found}
    equal(names, {"worker.h", "libsluice.a", "sluice-config.cmake", "sluice-config-version.cmake"}, "installed files")
    header = next((BUILD / "prefix").rglob("worker.h")).read_text()
    for word in ("boost", "co_await", "fmt/"):
        equal(word in header, False, f"{word} in the public header")


def does_all_that_is_asked(box, program, name, *words):
    bodies = ("ok", "throw", "later", "never", "fine " * 5000)
    publish(box, *bodies)
    env = {"SLUICE_QUEUE": QUEUE, "SLUICE_IDLE_EXIT": "300ms", "SLUICE_WORKER": "lib-w0", "SLUICE_CONCURRENCY": "3"}
    done = box.run([program, name, *words], env=env, exit=0)
    report = json.loads(done.out)
    counts = {k: report[k] for k in ("worker", "state", "handling", "done", "retried", "failed", "dead_lettered",
                                     "requeued", "reason")}
    equal(counts, {"worker": "lib-w0", "state": "gone", "handling": 0, "done": 3, "retried": 1, "failed": 1,
                   "dead_lettered": 2, "requeued": 0, "reason": "idle"}, "the report")
    runs = sorted((attempt, cause, length) for _, attempt, cause, length in ledger(box, name))
    again = [("2", "failed", "5"), ("2", "retried", "5")]
    equal(runs, sorted([("1", "first", str(len(b))) for b in bodies] + again), "the handler's ledger")


@test("a worker of the library does, retries, buries and counts, built with either compiler")
def _(box):
    for compiler, program in examples(box).items():
        does_all_that_is_asked(box, program, compiler)


@test("so does one whose function is brief, on the thread of run()")
def _(box):
    does_all_that_is_asked(box, examples(box)["g++"], "ledger", "brief")


@test("SIGTERM lets the function finish; a second one cancels it and puts the message back")
def _(box):
    program = examples(box)["g++"]
    publish(box, "wait")
    port = free_port()
    worker = box.start([program, "ledger"], env={"SLUICE_QUEUE": QUEUE, "SLUICE_WORKER_PORT": str(port)})

    def state():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/worker", timeout=10) as answer:
            return json.load(answer)["state"]

    wait_until(lambda: ledger(box), what="the message to be handled")
    equal(state(), "busy", "state while the message is handled")
    worker.signal(signal.SIGTERM)
    wait_until(lambda: state() == "draining", what="the worker to take the first SIGTERM")
    worker.signal(signal.SIGTERM)
    done = worker.wait(20)
    equal(done.exit, 0, "exit")
    report = json.loads(done.out)
    equal((report["requeued"], report["failed"], report["reason"]), (1, 0, "sigterm"), "requeued, failed, reason")


@test("a killed worker's message comes again, with its cause")
def _(box):
    program = examples(box)["g++"]
    publish(box, "wait")
    worker = box.start([program, "ledger"], env={"SLUICE_QUEUE": QUEUE})
    wait_until(lambda: ledger(box), what="the message to be handled")
    worker.kill()
    second = box.start([program, "ledger"], env={"SLUICE_QUEUE": QUEUE})
    wait_until(lambda: len(ledger(box)) == 2, what="the redelivery")
    equal([run[1:3] for run in ledger(box)], [("1", "first"), ("2", "crash")], "attempts and causes")
    second.kill()


@test("a scaler runs it like any worker: it sees it ready, and its last words")
def _(box):
    program = examples(box)["g++"]
    pool = box.pool(workers={"max": 2, "idleExit": "1s", "run": {"command": [str(program), str(box.path("ledger"))]}})
    box.sluice("publish", "-f", pool, "--count", 20, exit=0)
    scaler = box.start_sluice("scale", "-f", pool, "--output", "json")
    words = box.path(".sluice/orders/slots/0.last")
    wait_until(lambda: words.exists() and words.read_text(), timeout=60, what="the last words")
    equal(len(ledger(box)), 20, "messages handled")
    report = json.loads(words.read_text())
    equal((report["worker"], report["reason"]), ("orders-w0", "idle"), "worker and reason")
    contains(scaler.out(), '"claim":"reported"', "how the scaler knew that it had started")
    scaler.stop()


@test("a wrong configuration is said in full, and nothing is taken")
def _(box):
    program = examples(box)["g++"]
    done = box.run([program, "ledger"], exit=2)
    contains(done.err, "sluice: no queue: set SLUICE_QUEUE", "stderr")
    wrong = {"SLUICE_QUEUE": '{"queue":{"local":{}}}', "SLUICE_IDLE_EXIT": "soon"}
    done = box.run([program, "ledger"], env=wrong, exit=2)
    contains(done.err, "SLUICE_QUEUE:1:", "stderr")
    contains(done.err, 'SLUICE_IDLE_EXIT: "soon"; accepted is a duration such as 10s, or never', "stderr")
    done = box.run([program, "ledger"], env={"SLUICE_QUEUE": "/dev/null"}, exit=1)
    contains(done.err, "/dev/null", "stderr")


main()
