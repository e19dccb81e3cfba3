# SPDX-License-Identifier: Apache-2.0
"""Processes beside a cluster, in its network: a broker, and controllers of one namespace."""

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import tempfile

from e2e import ROOT
from pools import BIN


class Beside:
    """A broker with the queue `orders`, and a folder for logs, which are shown when the test fails."""

    def __init__(self, k8s):
        self.k8s, self._stack = k8s, contextlib.ExitStack()
        self.folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        broker = self._start([sys.executable, ROOT / "tests/tools/rabbitmq.py"], stdout=subprocess.PIPE, text=True)
        self.url = broker.stdout.readline().split()[1]
        self.queue = {"rabbitmq": {"url": self.url, "queue": "orders", "declare": {"type": "classic"}}}

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        for log in self.folder.glob("*.log") if failure else ():
            print(f"--- {log.name}\n{log.read_text()[-5000:]}")
        self._stack.close()

    def _start(self, argv, **options):
        process = subprocess.Popen(self.k8s.cluster.command([str(word) for word in argv]), **options)

        def end():
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()

        self._stack.callback(end)
        return process

    def publish(self, bodies):
        argv = [BIN, "publish", "--queue", json.dumps({"queue": self.queue}), "--declare", "--lines", "-"]
        subprocess.run(self.k8s.cluster.command(argv), input="".join(f"{body}\n" for body in bodies), text=True,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def controller(self, listen="127.0.0.1:7171"):
        port = listen.rpartition(":")[2]
        with open(self.folder / f"controller-{port}.log", "ab") as out:
            return self._start([BIN, "controller", "--kubeconfig", self.k8s.cluster.kubeconfig,
                                "--namespace", self.k8s.name, "--lease-namespace", self.k8s.name, "--listen", listen,
                                "--journal", self.folder / f"journal-{port}.jsonl"], stdout=out, stderr=out)
