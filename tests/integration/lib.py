# SPDX-License-Identifier: Apache-2.0
"""What every integration script shares: a box of its own, the real binary, waiting on conditions, the closing line.

A script is `tests/integration/NAME_test.py`. ctest runs it by itself (test `integration.NAME_test`), python3 standard
library only:

    from lib import equal, main, test, wait_until

    @test("a confirmed message survives a kill of its worker")
    def _(box):
        pool = box.pool(policy={"threshold": {"messages": 1, "every": "1s"}})
        box.sluice("publish", "-f", pool, "--count", 3, exit=0)
        worker = box.start_sluice("work", "-f", pool, "--simulate", "10s")
        wait_until(lambda: "consuming" in worker.err(), what="the worker to consume")
        worker.kill()
        done = box.sluice("status", "-f", pool, "--output", "json", exit=0)
        equal(done.json[-1]["ready"], 3, "messages that wait")

    main()

- Each test gets a fresh `Box`: a temporary folder (`box.dir`), which is also the working directory of all it runs.
- `box.sluice(...)` runs the binary to its end; `box.run([...])` runs any program. Both give a `Done` and, with
  `exit=N`, fail unless it ended with N. `box.start_sluice(...)` and `box.start([...])` leave it running and give a
  `Process`.
- When the test ends, whatever it started is killed by process id, workers in sessions of their own included: they are
  known by a mark in their environment. `box.living()` lists them, so a test can also demand that none is left.
- Nothing sleeps for a fixed time: `wait_until(condition)` polls until the condition holds or fails with what it
  waited for.
- What is of use without a test as well is in tests/tools, and can be imported once this is: brokers, fault proxies,
  the judge of a run.
- Each test runs on every queue of `run_on(...)`, usually on "local" alone: the same test, in the same words, on
  "classic" and "quorum" queues of a real RabbitMQ that is started for it. `box.queue()` and `box.pool()` name such a
  queue; `box.broker` is the RabbitMQ.
- After each test on a RabbitMQ all that it wrote is searched for the password: it must be nowhere.
- `scaled(quick, full)` is `full` when SLUICE_SOAK=1 (`make soak`), else `quick`: the counts of the long tests.
- `main()` runs the tests in order, or those whose name contains a word of the command line, prints a line each and at
  the end exactly `N passed, N failed`; exit 1 if one failed or there were none. With SLUICE_RESULTS=DIR the counts
  are also written there.
- `needs(why)` has every test of the script skipped, counted and said aloud, where `why` is not empty: for what no
  package of the system installs.
- SLUICE_BIN names the binary (default build/dev/sluice), SLUICE_KEEP=1 keeps the folders of failed tests.
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/tools"))

from waiting import free_port, wait_until  # noqa: E402 F401

BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/dev/sluice")).resolve()
SOAK = os.environ.get("SLUICE_SOAK") == "1"
USER, CANARY = "canary", "S3cr3t-canary/@:?#"  # of RabbitMQ; with what a URL would have to escape
MARK = "SLUICE_TEST_BOX"  # in the environment of all a box starts; what they start inherits it

_tests = []
_kinds = ["local"]
_broker = None  # of RabbitMQ, shared by the tests of a script


def run_on(*kinds, only=None):
    """Has every test of the script run on these kinds of queue; `only`: those whose name contains one of these."""
    _kinds[:] = kinds
    _only[:] = only or []


_only = []
_missing = []


def needs(why):
    """The whole script is skipped, for this reason, unless it is empty."""
    _missing[:] = [why] if why else []


def missing():
    """Why the script is skipped; empty: it is not."""
    return _missing[0] if _missing else ""


def scaled(quick, full):
    """The count to use: `full` in a soak run, else `quick`."""
    return full if SOAK else quick


def test(name):
    """Registers a function of one argument, the Box. The name is a sentence of behaviour."""

    def register(function):
        _tests.append((name, function))
        return function

    return register


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def contains(text, part, what="text"):
    if part not in text:
        raise AssertionError(f"{what}: {part!r} is not in:\n{text}")


def json_lines(text):
    """Every line as JSON; another line is a failure, since stdout carries nothing else with --output json."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            lines.append(json.loads(line))
        except ValueError:
            raise AssertionError(f"line {number} is not JSON: {line!r}") from None
    return lines


class Done:
    """A program that has ended: `exit` (negative: the signal), `out`, `err`, `seconds`, `json` (stdout, by lines)."""

    def __init__(self, argv, exit, out, err, seconds):
        self.argv, self.exit, self.out, self.err, self.seconds = argv, exit, out, err, seconds

    @property
    def json(self):
        return json_lines(self.out)

    def __str__(self):
        command = " ".join(self.argv)
        return (f"$ {command}\nexit {self.exit} after {self.seconds:.2f} s\n"
                f"stdout:\n{self.out[-4000:]}\nstderr:\n{self.err[-4000:]}")


class Process:
    """A program that runs. Its output goes to files, so it never blocks on us; out() and err() read what is there."""

    def __init__(self, argv, popen, out_path, err_path):
        self.argv, self.popen, self.pid = argv, popen, popen.pid
        self._out_path, self._err_path, self._begin = out_path, err_path, time.monotonic()

    def out(self):
        return self._out_path.read_text(errors="replace")

    def err(self):
        return self._err_path.read_text(errors="replace")

    def json(self):
        """The whole lines of stdout so far."""
        whole, _, _ = self.out().rpartition("\n")
        return json_lines(whole)

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def stop(self, timeout=30):
        """SIGTERM, then the end."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        """SIGKILL, then the end."""
        self.popen.kill()
        return self.wait(10)

    def wait(self, timeout=30):
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            so_far = Done(self.argv, None, self.out(), self.err(), timeout)
            raise AssertionError(f"still running after {timeout:g} s\n{so_far}") from None
        return Done(self.argv, self.popen.returncode, self.out(), self.err(), time.monotonic() - self._begin)


class Box:
    """The world of one test: a folder, an environment, and the processes started in it."""

    def __init__(self, kind="local"):
        self.kind = kind  # of queue
        self._declared = set()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sluice-test-"))
        self.mark = uuid.uuid4().hex
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
        self.env.update({MARK: self.mark, "NO_COLOR": "1", "SLUICE_BIN": str(BIN)})
        self._processes = []
        self._logs = self.dir / ".logs"
        self._logs.mkdir()

    def path(self, name):
        return self.dir / name

    def write(self, name, text, mode=0o644):
        """A file of the box; mode=0o755 makes it a program."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def read(self, name):
        return (self.dir / name).read_text()

    @property
    def broker(self):
        """The RabbitMQ of this script, started for whoever asks first."""
        global _broker
        if _broker is None:
            import rabbitmq
            folder = tempfile.mkdtemp(prefix="sluice-rabbit-")
            _broker = rabbitmq.Broker(folder, os.environ.get("SLUICE_TEST_RABBITMQ", "3.10"))
            _broker.start()
            _broker.request("PUT", f"/users/{USER}", {"password": CANARY, "tags": "monitoring"})
            _broker.request("PUT", f"/permissions/%2F/{USER}", {"configure": ".*", "write": ".*", "read": ".*"})
        return _broker

    def queue_of(self, name):
        """The pool's `queue` block for a queue of this box."""
        if self.kind == "local":
            return {"local": {"path": f"{name}.db"}}
        url = self.broker.amqp_url
        self.write("secrets/canary/username", USER + "\n", mode=0o600)
        self.write("secrets/canary/password", CANARY + "\n", mode=0o600)
        return {"rabbitmq": {"url": url, "credentials": {"secret": "canary"}, "queue": f"{name}-{self.mark[:8]}",
                             "declare": {"type": self.kind}}}

    def said(self):
        """(where, bytes) of every file of the box but its secrets, and of what /proc shows of its processes."""
        for folder, _, names in os.walk(self.dir):
            for path in (os.path.join(folder, name) for name in names):
                if "/secrets/" not in path and os.path.isfile(path):
                    with open(path, "rb") as f:
                        yield path, f.read()
        for pid in self.living():
            for what in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{what}", "rb") as f:
                        yield f"/proc/{pid}/{what}", f.read()
                except OSError:
                    pass  # gone since

    def no_word_of(self, secret, *names):
        """Fails when a password was written or shown anywhere: as it is, as a URL or JSON would spell it, or in a login
        of one of these users. Returns the number of bytes that were searched."""
        spelled = {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), json.dumps(secret)[1:-1],
                   *(base64.b64encode(form.format(name, secret).encode()).decode().rstrip("=")
                     for name in names for form in ("{}:{}", "\0{}\0{}"))}
        searched = 0
        for where, text in self.said():
            searched += len(text)
            for word in spelled:
                assert word.encode() not in text, f"the password is in {where}"
        return searched

    def queue(self, name="q", **more):
        """What --queue takes for a queue of this box, which is there afterwards; `more` is deadLetter and retry."""
        text = json.dumps({"queue": self.queue_of(name), **more})
        self._declare(name, "--queue", text)
        return text

    def _declare(self, name, flag, value):
        if self.kind != "local" and name not in self._declared:
            self._declared.add(name)
            self.sluice("publish", flag, value, "--declare", input="", exit=0)

    def pool(self, name="orders", file=None, namespace="default", **spec):
        """Writes FILE (default NAME.yaml) and returns its path. A local queue NAME.db, a threshold policy and one place
        for a worker that simulates are filled in where `spec` is silent; `workers` is merged key by key. JSON is YAML.
        """
        workers = {"max": 1, "run": {"command": ["sluice", "work", "--simulate", "10ms"]}}
        workers.update(spec.pop("workers", {}))
        whole = {"policy": {"threshold": {"messages": 1, "every": "1s"}}}
        whole.update(spec)
        own_queue = "queue" not in whole
        if own_queue:
            whole["queue"] = self.queue_of(name)
        whole["workers"] = workers
        pool = {"apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool",
                "metadata": {"name": name, "namespace": namespace}, "spec": whole}
        path = self.write(file or f"{name}.yaml", json.dumps(pool, indent=1) + "\n")
        if own_queue:
            self._declare(name, "-f", path)
        return path

    def start(self, argv, env=None, stdin=subprocess.DEVNULL, cwd=None):
        """Starts a program and returns at once. `env` is added to the box's."""
        argv = [str(a) for a in argv]
        stem = f"{len(self._processes):04d}-{pathlib.Path(argv[0]).name}"
        out_path, err_path = self._logs / f"{stem}.out", self._logs / f"{stem}.err"
        with open(out_path, "wb") as out, open(err_path, "wb") as err:
            popen = subprocess.Popen(argv, cwd=cwd or self.dir, stdin=stdin, stdout=out, stderr=err,
                                     env={**self.env, **(env or {})})
        process = Process(argv, popen, out_path, err_path)
        self._processes.append(process)
        return process

    def start_sluice(self, *args, **options):
        return self.start([BIN, *args], **options)

    def run(self, argv, exit=None, input=None, timeout=60, **options):
        """Runs a program to its end. Fails after `timeout` seconds, or if it did not end with `exit` (None: any)."""
        if input is not None:
            source = self._logs / f"{len(self._processes):04d}.in"
            source.write_bytes(input if isinstance(input, bytes) else input.encode())
            with open(source, "rb") as stdin:
                process = self.start(argv, stdin=stdin, **options)
        else:
            process = self.start(argv, **options)
        try:
            done = process.wait(timeout)
        except AssertionError:
            process.popen.kill()
            process.popen.wait()
            raise
        if exit is not None and done.exit != exit:
            raise AssertionError(f"want exit {exit}\n{done}")
        return done

    def sluice(self, *args, **options):
        return self.run([BIN, *args], **options)

    def living(self):
        """{pid: command line} of every process of this box that is alive, zombies not counted."""
        found = {}
        mark = f"{MARK}={self.mark}".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open(f"/proc/{entry}/environ", "rb") as f:  # empty for a zombie
                    if mark not in f.read().split(b"\0"):
                        continue
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    found[int(entry)] = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue  # gone since, or not ours to look at
        return found

    def close(self, keep=False):
        """Kills what is left, until nothing is: a dying scaler may still start a worker."""
        end = time.monotonic() + 10
        while (left := self.living()) and time.monotonic() < end:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        for process in self._processes:
            process.popen.poll()
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        if left:
            raise AssertionError(f"could not be stopped: {left}")

    def print_logs(self):
        for process in self._processes[-5:]:
            state = "running" if process.alive() else f"exit {process.popen.returncode}"
            print(f"--- {' '.join(process.argv)} ({state})\n{process.out()[-2000:]}{process.err()[-4000:]}")


def _run_one(name, function, kind):
    begin = time.monotonic()
    box = Box(kind)
    name = name if kind == "local" else f"{name} [{kind}]"
    failure = None
    try:
        function(box)
        if kind != "local":
            box.no_word_of(CANARY, USER)
    except BaseException as problem:  # also a KeyboardInterrupt must not leave processes behind
        failure = problem
    finally:
        if failure is not None:
            traceback.print_exception(failure)
            box.print_logs()
        keep = failure is not None and os.environ.get("SLUICE_KEEP") == "1"
        try:
            box.close(keep)
        except AssertionError as problem:
            print(problem)
            failure = failure or problem
        if keep:
            print(f"kept: {box.dir}")
    word = "ok    " if failure is None else "FAILED"
    print(f"{word} {time.monotonic() - begin:7.2f} s  {name}", flush=True)
    if failure is not None and not isinstance(failure, Exception):
        raise failure
    return failure is None


def report(suite, passed, failed, skipped=0):
    """The closing line, and the counts for tools/summary.py."""
    folder = os.environ.get("SLUICE_RESULTS")
    if folder:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{suite}.json"), "w", encoding="utf-8") as f:
            json.dump({"suite": suite, "passed": passed, "failed": failed, "skipped": skipped}, f)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)


def main():
    words = sys.argv[1:]
    suite = pathlib.Path(sys.argv[0]).stem
    if not BIN.exists():
        print(f"no binary at {BIN}: build it, or name it in SLUICE_BIN")
        report(suite, 0, 1)
        sys.exit(1)
    chosen = [(n, f, kind) for kind in _kinds for n, f in _tests
              if all(not some or any(w in n for w in some) for some in (words, _only))]
    if chosen and _missing:
        print(f"SKIPPED {len(chosen)} tests: {_missing[0]}")
        report(suite, 0, 0, len(chosen))
        sys.exit(0)
    if not chosen:
        print("no test has such a name" if words else "no test is registered")
    try:
        passed = sum(_run_one(*one) for one in chosen)
    finally:
        if _broker is not None:
            _broker.close()
            shutil.rmtree(_broker.folder, ignore_errors=True)
    failed = len(chosen) - passed
    report(suite, passed, failed)
    sys.exit(0 if chosen and failed == 0 else 1)
