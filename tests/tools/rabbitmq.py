#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts RabbitMQ in a folder of its own, on loopback ports of its own, and stops, kills, freezes and restarts it.

    with Broker(box.path("rabbit"), env=box.env) as broker:
        broker.declare_queue("orders", type="quorum")
        broker.kill()        # SIGKILL; start() comes back on the same data and ports
        broker.start()
        wait_until(lambda: broker.counts("orders") == (0, 0), timeout=30)

Ready means that AMQP shakes hands and the management API answers. rabbitmq_management.py has what can be asked of it;
certificates.py what `tls=True` made, as broker.certificates. Version 4.0 is fetched from a later Debian at its first
start (rabbitmq_trixie.py). As a program it starts one, prints its URLs and stops it at Ctrl-C.
"""

import argparse
import atexit
import contextlib
import http.client
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import rabbitmq_trixie
from certificates import Certificates
from rabbitmq_management import Management, ManagementError
from waiting import free_port, wait_until

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # not the one in PATH, which becomes the user rabbitmq
START_SECONDS = 120  # 3 to 13 s were measured; a machine busy with a build takes its time
STOP_SECONDS = 60


class BrokerError(Exception):
    pass


class Broker(Management):
    """One node. Nothing is shared with another: folder, ports, node name, cookie, epmd.

    `conf` adds lines to rabbitmq.conf or replaces them ("default_user" is also whom the management helpers log in as);
    `plugins` are enabled beside management and prometheus; `env` is the environment, by default this process's own.
    `tls` is True or what certificates.py calls a pair: "server", "wrong_name", "wrong_ip", "expired".
    """

    def __init__(self, folder, version="3.10", tls=False, management=True, conf=None, plugins=(), env=None):
        if version not in ("3.10", "4.0"):
            raise BrokerError(f"version {version!r}; accepted: 3.10 (Debian 12), 4.0 (Debian 13)")
        self.folder, self.version = pathlib.Path(folder).resolve(), version
        self.folder.mkdir(parents=True, exist_ok=True)
        self._base = dict(os.environ if env is None else env)
        self._root = rabbitmq_trixie.root_folder() if version == "4.0" else None
        if self._root is None and not os.path.exists(SERVER):
            raise BrokerError("RabbitMQ is not installed: apt-get install rabbitmq-server (tools/setup does it)")
        self.amqp_port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()
        self.tls_port = free_port() if tls else None
        self.management_port = free_port() if management else None
        self.metrics_port = free_port() if management else None
        self.node = f"sluice{self.amqp_port}@localhost"
        self.certificates = Certificates(self.folder / "tls") if tls else None
        self.user, self.password = "guest", "guest"
        self._epmd = self._beam = None
        self._write_files(conf or {}, plugins)
        if tls:
            self.serve("server" if tls is True else tls)

    # Addresses; none of them carries a password

    @property
    def amqp_url(self):
        return f"amqp://127.0.0.1:{self.amqp_port}"

    @property
    def tls_url(self):
        return f"amqps://localhost:{self.tls_port}"

    @property
    def management_url(self):
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def metrics_url(self):
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    @property
    def pid(self):
        """Of the Erlang machine itself; None while it is down."""
        return self._beam.pid if self.alive() else None

    # Life

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def start(self, timeout=START_SECONDS):
        """Returns when it serves. After stop() or kill(): the same data, the same ports."""
        if self.alive():
            raise BrokerError(f"RabbitMQ already runs as {self.pid}")
        atexit.register(self.close)  # a test that ends by an exception leaves nothing behind
        try:
            self._start_epmd()
            self._beam = self._spawn([SERVER], RUNNING_UNDER_SYSTEMD="true")  # so the script becomes the Erlang machine
            wait_until(self._ready, timeout, f"RabbitMQ {self.version} to serve on port {self.amqp_port}", every=0.05)
        except BaseException as problem:
            self.close()
            if not isinstance(problem, (AssertionError, BrokerError)):
                raise
            raise BrokerError(f"{problem}\nthe end of {self.folder / 'out.log'}:\n{self.log()[-3000:]}") from None
        return self

    def stop(self, timeout=STOP_SECONDS):
        """As an operator stops it; returns when it's gone."""
        if self.alive():
            self.thaw()
            self._beam.terminate()
        self._gone(timeout)
        self._stop_epmd()

    def kill(self):
        """SIGKILL of the Erlang machine alone, and it is gone. What it had not written is lost."""
        self._signal(signal.SIGKILL)
        self._gone(10)

    def freeze(self):
        """Its connections stay and say nothing, as those of a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    def close(self):
        """Everything of it that lives, at once. The folder stays."""
        atexit.unregister(self.close)
        if self.alive():
            self._beam.kill()
        self._gone(10)
        self._stop_epmd()

    def alive(self):
        return self._beam is not None and self._beam.poll() is None

    # The rest

    def serve(self, name):
        """Which certificate it shows, from its next start on: "server", "wrong_name", "wrong_ip" or "expired"."""
        pair = getattr(self.certificates, name)
        shutil.copy(pair.cert, self.folder / "tls/serving.pem")
        shutil.copy(pair.key, self.folder / "tls/serving.key")

    def show(self, name):
        """As serve(), from the next connection on."""
        self.serve(name)
        self.ctl("eval", "ssl:clear_pem_cache().")

    def ctl(self, *arguments, timeout=60):
        """The output of rabbitmqctl: alarms, exact counts, what the management API cannot do. Takes a second or two."""
        argv = self._argv([str(pathlib.Path(SERVER).parent / "rabbitmqctl"), "--quiet", *arguments])
        done = subprocess.run(argv, env=self._environment(), cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise BrokerError(f"rabbitmqctl {arguments[0]}: exit {done.returncode}\n{done.stdout}{done.stderr}".strip())
        return done.stdout

    def exact_counts(self, name, vhost="/"):
        """(ready, unacked) as of now, asked of the queue itself. Slower than counts(); never old on a classic
        queue, up to 5 s old on a quorum queue, which has its numbers taken that often."""
        listed = self.ctl("list_queues", "--vhost", vhost, "--no-table-headers", "name", "messages_ready",
                          "messages_unacknowledged")
        for line in listed.splitlines():
            words = line.split("\t")
            if words[0] == name:
                return int(words[1]), int(words[2])
        raise BrokerError(f"there is no queue {name!r}")

    def log(self):
        try:
            return (self.folder / "out.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    # Inside

    def _inside(self, name):
        """The path of one of our files as the broker sees it."""
        return f"{rabbitmq_trixie.DATA if self._root else self.folder}/{name}"

    def _argv(self, argv):
        return rabbitmq_trixie.enter(self._root, self.folder, argv) if self._root else argv

    def _write_files(self, conf, plugins):
        (self.folder / "mnesia").mkdir(exist_ok=True)
        (self.folder / "log").mkdir(exist_ok=True)
        lines = {"log.console": "true", "log.file": "false"}
        enabled = list(plugins)
        if self.management_port:
            enabled += ["rabbitmq_management", "rabbitmq_prometheus"]
            lines.update({"management.tcp.ip": "127.0.0.1", "management.tcp.port": self.management_port,
                          "prometheus.tcp.ip": "127.0.0.1", "prometheus.tcp.port": self.metrics_port})
        if self.certificates:
            lines.update({"listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
                          "ssl_options.cacertfile": self._inside("tls/ca.pem"),
                          "ssl_options.certfile": self._inside("tls/serving.pem"),
                          "ssl_options.keyfile": self._inside("tls/serving.key"),
                          "ssl_options.verify": "verify_peer", "ssl_options.fail_if_no_peer_cert": "false"})
        lines.update(conf)
        self.user, self.password = lines.get("default_user", self.user), lines.get("default_pass", self.password)
        self._write("enabled_plugins", f"[{','.join(enabled)}].\n")
        self._write("rabbitmq.conf", "".join(f"{key} = {value}\n" for key, value in lines.items()))
        if not (self.folder / ".erlang.cookie").exists():
            self._write(".erlang.cookie", secrets.token_hex(20))
            (self.folder / ".erlang.cookie").chmod(0o400)  # Erlang insists

    def _write(self, name, text):
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _environment(self, **more):
        kept = {k: v for k, v in self._base.items() if not k.startswith(("RABBITMQ_", "ERL_"))}
        return {**kept, **more, "HOME": self._inside("").rstrip("/"), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "RABBITMQ_NODENAME": self.node, "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
                "RABBITMQ_NODE_PORT": str(self.amqp_port), "RABBITMQ_DIST_PORT": str(self._dist_port),
                "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(self._epmd_port),
                "RABBITMQ_MNESIA_BASE": self._inside("mnesia"), "RABBITMQ_LOG_BASE": self._inside("log"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": self._inside("enabled_plugins"),
                "RABBITMQ_CONFIG_FILE": self._inside("rabbitmq.conf"),
                "RABBITMQ_CONF_ENV_FILE": self._inside("none"),
                "RABBITMQ_ADVANCED_CONFIG_FILE": self._inside("none.config"),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                    "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"}

    def _signal(self, number):
        if not self.alive():
            raise BrokerError("RabbitMQ does not run")
        self._beam.send_signal(number)

    def _spawn(self, argv, **more):
        """A session of its own: a Ctrl-C in the terminal is ours to handle."""
        with open(self.folder / "out.log", "ab") as log:
            return subprocess.Popen(self._argv(argv), env=self._environment(**more), cwd=self.folder,
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _start_epmd(self):
        if self._epmd is None or self._epmd.poll() is not None:
            self._epmd = self._spawn(["/usr/bin/epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)])
            wait_until(lambda: self._epmd.poll() is not None or _connects(self._epmd_port), 10, "epmd to listen")
            if self._epmd.poll() is not None:
                raise BrokerError(f"epmd ended while it started, exit {self._epmd.returncode}")

    def _stop_epmd(self):
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(10)

    def _gone(self, timeout):
        if self._beam is not None:
            try:
                self._beam.wait(timeout)
            except subprocess.TimeoutExpired:
                raise BrokerError(f"RabbitMQ (pid {self._beam.pid}) still runs after {timeout:g} s") from None

    def _ready(self):
        if not self.alive():
            raise BrokerError(f"RabbitMQ {self.version} ended while it started, exit {self._beam.returncode}")
        if self.management_port:
            try:
                self.request("GET", "/overview", timeout=5)
            except ManagementError as problem:
                if problem.status != 401:  # it serves; whoever changed the password knows
                    return False
            except (OSError, ValueError, http.client.HTTPException):
                return False
            if not _connects(self.metrics_port):
                return False
        # Last and so but once: the broker logs each connection that ends without a word.
        return (not self.tls_port or _connects(self.tls_port)) and _shakes_hands(self.amqp_port)


def _connects(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _shakes_hands(port):
    """Whether Connection.Start comes: a port that is open is not yet a broker that serves."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as s:
        s.sendall(b"AMQP\0\0\x09\x01")
        return s.recv(1) == b"\x01"
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="3.10", choices=["3.10", "4.0"])
    parser.add_argument("--tls", action="store_true", help="also listen with TLS; the certificates' folder is printed")
    parser.add_argument("--folder", help="kept afterwards (default: a temporary one, removed)")
    arguments = parser.parse_args()
    folder = arguments.folder or tempfile.mkdtemp(prefix="sluice-rabbitmq-")
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: enough.set())
    try:
        with Broker(folder, arguments.version, tls=arguments.tls) as broker:
            print(f"amqp        {broker.amqp_url}\nmanagement  {broker.management_url}\n"
                  f"metrics     {broker.metrics_url}\nlogin       guest, from loopback only\nfolder      {folder}\n"
                  f"pid         {broker.pid}", flush=True)
            if arguments.tls:
                print(f"amqps       {broker.tls_url}\ntrust       {broker.certificates.ca}", flush=True)
            enough.wait()
            broker.stop()
    except (BrokerError, RuntimeError) as problem:
        sys.exit(f"rabbitmq: {problem}")
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
