#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts an emulator of Google Pub/Sub in a folder of its own, on a free loopback port, and stops and kills it.

    with Emulator(box.path("pubsub")) as emulator:
        emulator.topic("orders")
        emulator.subscription("orders-sub", "orders", ack_deadline=10)
        ... f"http://127.0.0.1:{emulator.port}" ...

It is Google's own, which comes with their command line tools: found beside `gcloud` on PATH, or where
SLUICE_PUBSUB_EMULATOR says (the program platform/pubsub-emulator/bin/cloud-pubsub-emulator); needs Java. missing() says
why there is none. It keeps everything in memory: what it had is gone when it ends.
As a program it starts one, prints its address and stops it at Ctrl-C.
"""

import argparse
import atexit
import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from waiting import free_port, wait_until

PROJECT = "sluice-test"
START_SECONDS = 120  # 1 to 3 s were measured; a machine busy with a build takes its time
LATEST = "platform/pubsub-emulator/bin/cloud-pubsub-emulator"


class EmulatorError(Exception):
    pass


def program():
    """The emulator's path, or None."""
    named = os.environ.get("SLUICE_PUBSUB_EMULATOR")
    gcloud = shutil.which("gcloud")
    if named:
        return named if os.access(named, os.X_OK) else None
    path = pathlib.Path(gcloud).resolve().parents[1] / LATEST if gcloud else None
    return str(path) if path and os.access(path, os.X_OK) else None


def missing():
    """Why there is no emulator here; empty when there is one."""
    if program() is None:
        return ("no emulator of Pub/Sub: gcloud components install pubsub-emulator (or SLUICE_PUBSUB_EMULATOR=PROGRAM)")
    return "" if shutil.which("java") else "the emulator of Pub/Sub needs java on PATH"


class Emulator:
    """One emulator. Nothing is shared with another."""

    def __init__(self, folder, project=PROJECT):
        self.folder, self.project = pathlib.Path(folder).resolve(), project
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._process = None

    @property
    def address(self):
        """As PUBSUB_EMULATOR_HOST has it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def start(self, timeout=START_SECONDS):
        """Returns when it answers. After close(): empty, on the same port."""
        why = missing()
        if why:
            raise EmulatorError(why)
        atexit.register(self.close)  # a test that ends by an exception leaves nothing behind
        with open(self.folder / "out.log", "ab") as log:
            self._process = subprocess.Popen([program(), "--host=127.0.0.1", f"--port={self.port}"], cwd=self.folder,
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(self._ready, timeout, f"the emulator of Pub/Sub to answer on port {self.port}", every=0.05)
        except AssertionError as problem:
            self.close()
            log = (self.folder / "out.log").read_text(errors="replace")[-3000:]
            raise EmulatorError(f"{problem}\n{log}") from None
        return self

    def close(self):
        """It and what it started, at once. The folder stays."""
        atexit.unregister(self.close)
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait(10)
            self._process = None

    def alive(self):
        return self._process is not None and self._process.poll() is None

    # What it holds

    def request(self, method, path, body=None, timeout=30):
        """(status, JSON) of one request below /v1/projects/PROJECT."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, f"/v1/projects/{self.project}/{path}",
                               None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.strip() else {}
        finally:
            connection.close()

    def ask(self, method, path, body=None, timeout=30):
        status, answer = self.request(method, path, body, timeout)
        if status != 200:
            raise EmulatorError(f"{method} {path}: {status} {answer}")
        return answer

    def topic(self, name):
        self.ask("PUT", f"topics/{name}", {})

    def subscription(self, name, topic, ack_deadline=10, **more):
        """`more` are fields of a Subscription, as its JSON spells them."""
        self.ask("PUT", f"subscriptions/{name}", {"topic": f"projects/{self.project}/topics/{topic}",
                                                  "ackDeadlineSeconds": ack_deadline, **more})

    def publish(self, topic, *messages, **attributes):
        """Texts, each with the same attributes."""
        self.ask("POST", f"topics/{topic}:publish", {"messages": [
            {"data": base64.b64encode(m.encode()).decode(), "attributes": attributes} for m in messages]})

    def pull(self, subscription, most=1000):
        """What is there now: [{"ackId":.., "message":..}]; nobody waits."""
        return self.ask("POST", f"subscriptions/{subscription}:pull",
                        {"maxMessages": most, "returnImmediately": True}).get("receivedMessages", [])

    def acknowledge(self, subscription, received):
        if received:
            ids = [one["ackId"] for one in received]
            self.ask("POST", f"subscriptions/{subscription}:acknowledge", {"ackIds": ids})

    def _ready(self):
        if not self.alive():
            raise EmulatorError(f"it ended at once: {(self.folder / 'out.log').read_text(errors='replace')[-3000:]}")
        try:
            return self.request("GET", "topics", timeout=5)[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", default=PROJECT)
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="sluice-pubsub-")
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: enough.set())
    try:
        with Emulator(folder, arguments.project) as emulator:
            print(f"PUBSUB_EMULATOR_HOST={emulator.address}\nproject  {emulator.project}", flush=True)
            enough.wait()
    except EmulatorError as problem:
        sys.exit(f"pubsub: {problem}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
