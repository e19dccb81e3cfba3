# SPDX-License-Identifier: Apache-2.0
"""The tests of the tests' own tools: a failure is seen, a wait ends, nothing that was started stays alive."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import lib
from lib import contains, equal, main, test, wait_until

FOLDER = pathlib.Path(__file__).resolve().parent


def run_script(body, **environment):
    """Runs a script of the usual shape with this body; returns the finished process."""
    with tempfile.TemporaryDirectory(prefix="sluice-lib-") as folder:
        script = pathlib.Path(folder) / "script_test.py"
        script.write_text(f"import sys\nsys.path.insert(0, {str(FOLDER)!r})\nfrom lib import *\n{body}\nmain()\n")
        return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "SLUICE_BIN": sys.executable, "SLUICE_RESULTS": folder, **environment})


def closing(done):
    return done.stdout.splitlines()[-1]


@test("a script counts what passed and what failed, and exits 1 if one failed")
def _(box):
    done = run_script("@test('good')\ndef _(box): pass\n@test('bad')\ndef _(box): equal(1, 2)\n")
    equal((closing(done), done.returncode), ("1 passed, 1 failed", 1))
    equal(run_script("@test('good')\ndef _(box): pass\n").returncode, 0)


@test("a script without tests, or without a binary, has failed")
def _(box):
    equal(run_script("").returncode, 1)
    done = run_script("@test('good')\ndef _(box): pass\n", SLUICE_BIN="/nonexistent")
    equal((closing(done), done.returncode), ("0 passed, 1 failed", 1))


@test("an exit code that was not asked for is a failure that shows the output")
def _(box):
    equal(box.run(["sh", "-c", "exit 3"], exit=3).exit, 3)
    done = run_script("@test('bad')\ndef _(box): box.run(['sh', '-c', 'echo seen; exit 3'], exit=0)\n")
    equal(done.returncode, 1)
    contains(done.stdout + done.stderr, "seen")


@test("a program gets its input and environment, and its output comes apart")
def _(box):
    done = box.run(["sh", "-c", "cat; echo $WORD; echo err >&2"], input="in\n", env={"WORD": "word"}, exit=0)
    equal((done.out, done.err), ("in\nword\n", "err\n"))


@test("a program that does not end in time is a failure and is killed")
def _(box):
    try:
        box.run(["sleep", "1000"], timeout=0.1)
    except AssertionError as problem:
        contains(str(problem), "still running")
    else:
        raise AssertionError("it should have failed")
    equal(box.living(), {})


@test("a wait that is in vain says what it waited for")
def _(box):
    try:
        wait_until(lambda: False, timeout=0.05, what="the moon")
    except AssertionError as problem:
        contains(str(problem), "the moon")
    else:
        raise AssertionError("it should have failed")


@test("closing a box kills what it started, in sessions of their own and after their parents too")
def _(box):
    other = lib.Box()
    try:
        parent = other.start(["sh", "-c", "setsid sleep 1000 & setsid sh -c 'trap \"\" TERM; sleep 1000' & wait"])
        wait_until(lambda: len(other.living()) == 4, what="the parent and its three")
        parent.kill()
        wait_until(lambda: len(other.living()) == 3, what="the three that are left")
    finally:
        other.close()
    equal(other.living(), {})
    equal(other.dir.exists(), False)


@test("a process can be asked to stop, and its last output is read")
def _(box):
    process = box.start(["sh", "-c", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"])
    wait_until(lambda: "ready" in process.out(), what="it to be ready")
    equal(process.alive(), True)
    done = process.stop()
    equal((done.exit, done.out), (7, "ready\nbye\n"))
    equal(box.start(["sleep", "1000"]).kill().exit, -signal.SIGKILL)


@test("stdout that is not JSON lines is a failure")
def _(box):
    equal(box.run(["echo", '{"a":1}\n{"b":null}']).json, [{"a": 1}, {"b": None}])
    try:
        _ = box.run(["echo", "hello"]).json
    except AssertionError as problem:
        contains(str(problem), "hello")
    else:
        raise AssertionError("it should have failed")


main()
