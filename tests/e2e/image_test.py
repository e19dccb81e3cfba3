# SPDX-License-Identifier: Apache-2.0
"""The image of the release binary (make image), unpacked and entered as its user: the program needs nothing that is not
in it. Names, trusted roots and times, the three that static programs get wrong, are each tried."""

import datetime
import json
import os
import pathlib
import socket
import ssl
import sys
import tarfile
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("tests/integration", "tools"):
    sys.path.insert(0, str(ROOT / folder))

from lib import BIN, contains, equal, main, test  # noqa: E402

import image  # noqa: E402
from certificates import Certificates  # noqa: E402
from dnsserver import DnsServer  # noqa: E402

NAME_SERVER = "127.77.0.2"
HOST = "elsewhere.test"  # that of the certificate `wrong_name`


_made = tempfile.TemporaryDirectory(prefix="sluice-image-")  # of all tests: to compress it takes seconds


def made(box):
    """The archive, put together for whoever asks first."""
    if not os.listdir(_made.name):
        box.run([sys.executable, ROOT / "tools/image.py", "--binary", BIN, "--out", _made.name], exit=0)
    name, = os.listdir(_made.name)
    return os.path.join(_made.name, name)


class Unpacked:
    """The image's file system in a folder of the box. Needs root, as the whole of tests/e2e does."""

    def __init__(self, box):
        self.box, self.root = box, box.path("root")
        with tarfile.open(made(box)) as outer:
            def read(path):
                return outer.extractfile(path)

            manifest, = json.load(read("manifest.json"))
            self.config = json.load(read(manifest["Config"]))["config"]
            with tarfile.open(fileobj=read(manifest["Layers"][0])) as layer:
                self.root.mkdir()
                previous = os.umask(0)
                try:
                    layer.extractall(self.root, numeric_owner=True)
                finally:
                    os.umask(previous)

    def run(self, *args, program="sluice", env=None, **options):
        """As an engine would: its user, its environment and nothing else."""
        own = dict(line.split("=", 1) for line in self.config["Env"])
        argv = ["/usr/sbin/chroot", f"--userspec={self.config['User']}", self.root, program, *args]
        cleared = ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in {**own, **(env or {})}.items()), *argv]
        return self.box.run(cleared, **options)


class TlsServer:
    """Shakes hands on a port of 127.0.0.1, and notes the first bytes that a client sends."""

    def __init__(self, pair):
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*pair)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.said = self._socket.getsockname()[1], []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                plain, _ = self._socket.accept()
                with self._context.wrap_socket(plain, server_side=True) as client:
                    self.said.append(client.recv(8))
            except ssl.SSLError:
                continue  # the client thinks nothing of the certificate
            except OSError:
                return

    def close(self):
        self._socket.close()


@test("the program is found by its name, starts as a user that is not root, and has nowhere to write but /tmp")
def _(box):
    unpacked = Unpacked(box)
    for program in ("sluice", unpacked.config["Entrypoint"][0]):
        contains(unpacked.run("--version", program=program, exit=0).out, f"sluice {image.project_version()}")
    equal(unpacked.run(*unpacked.config["Cmd"], exit=0).out, box.sluice("--help", exit=0).out, "what it says by itself")
    refused = unpacked.run("publish", "--queue", "/q.db", "--count", "1")
    equal(refused.exit, 1, str(refused))
    contains(refused.err, "ermission denied")
    equal(sorted(os.listdir(unpacked.root)), ["etc", "sluice", "tmp", "usr"])


@test("messages are published, taken and done in there; times are UTC, since there are no time zones")
def _(box):
    unpacked = Unpacked(box)
    queue = ["--queue", "/tmp/q.db"]
    unpacked.run("publish", *queue, "--count", "3", exit=0)
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    done = unpacked.run("work", *queue, "--simulate", "1ms", "--idle-exit", "100ms", exit=0,
                        env={"TZ": "America/New_York"})
    after = datetime.datetime.now(datetime.timezone.utc)
    lines = [line for line in (done.out + done.err).splitlines() if " done " in line]
    equal(len(lines), 3, done)
    said = datetime.datetime.combine(before.date(), datetime.time.fromisoformat(lines[0].split()[0]), before.tzinfo)
    if said < before:
        said += datetime.timedelta(days=1)  # it was midnight
    assert before <= said <= after, f"{before} <= {said} <= {after}"


@test("a broker's name is asked of the name server, and its certificate is judged by the roots in the image")
def _(box):
    unpacked = Unpacked(box)
    signed = Certificates(box.path("tls"))
    server = TlsServer(signed.wrong_name)
    (unpacked.root / "etc/resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")  # an engine puts it there
    pool = {"apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": "orders"},
            "spec": {"queue": {"rabbitmq": {"url": f"amqps://{HOST}:{server.port}", "queue": "q",
                                            "credentials": {"secret": "login"}}},
                     "policy": {"threshold": {"messages": 1}},
                     "workers": {"max": 1, "run": {"command": ["sluice", "work", "--simulate", "1s"]}}}}
    (unpacked.root / "tmp/pool.yaml").write_text(json.dumps(pool))
    (unpacked.root / "tmp/secrets/login").mkdir(parents=True)
    for key in ("username", "password"):
        (unpacked.root / "tmp/secrets/login" / key).write_text(key)
    bundle = unpacked.root / image.BUNDLE
    try:
        with DnsServer(NAME_SERVER) as dns:
            dns.addresses = ["127.0.0.1"]
            done = unpacked.run("doctor", "-f", "/tmp/pool.yaml")
            equal((done.exit, dns.asked > 0, server.said), (1, True, []), str(done))
            contains(done.out + done.err, "unable to get local issuer certificate")
            bundle.write_text(bundle.read_text() + signed.ca.read_text())
            done = unpacked.run("doctor", "-f", "/tmp/pool.yaml")
            equal(server.said[:1], [b"AMQP\0\0\x09\x01"], str(done))
            bundle.unlink()
            contains(unpacked.run("doctor", "-f", "/tmp/pool.yaml").out, "no trusted roots")
            dns.addresses = "nxdomain"
            contains(unpacked.run("doctor", "-f", "/tmp/pool.yaml").out, f"{HOST}: no such name")
    finally:
        server.close()


main()
