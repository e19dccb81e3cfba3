# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ over TLS: who is trusted, who is let in, what is said when not. Nothing is ever sent in plain instead."""

import contextlib
import json
import socket
import ssl
import threading

from lib import contains, equal, main, test, wait_until

# After lib, which says where they are.
import rabbitmq
from certificates import Certificates
from waiting import free_port

CANARY = "S3CR3T-canary"


def queue(url, tls=None, credentials=None):
    return ["--queue", json.dumps({"queue": {"rabbitmq": rabbit(url, tls, credentials)}})]


def rabbit(url, tls=None, credentials=None):
    out = {"url": url, "queue": "q"}
    if tls:
        out["tls"] = {key: str(path) for key, path in tls.items()}
    if credentials:
        out["credentials"] = {"secret": credentials}
    return out


def start_scaler(box, url, tls, credentials=None):
    """One that asks every second, and never has a reason to start anybody."""
    pool = box.pool(queue={"rabbitmq": rabbit(url, tls, credentials)},
                    policy={"threshold": {"messages": 1000, "every": "1s"}})
    return box.start_sluice("scale", "-f", pool, "--secrets", box.path("secrets"), "-o", "json")


def secret(box, name, **files):
    for key, text in files.items():
        box.write(f"secrets/{name}/{key}", text, mode=0o600)


def publish(box, *args):
    return box.sluice("publish", *args, "--secrets", box.path("secrets"), "--count", 1)


def published(box, *args):
    done = publish(box, *args)
    equal(done.exit, 0, done.err)


def refused(box, words, *args):
    done = publish(box, *args)
    equal(done.exit, 1, done.err)
    lines = [line for line in done.err.splitlines() if line.startswith("not published")]
    equal(len(lines), 1, f"lines in {done.err}")
    for word in words if isinstance(words, tuple) else (words,):
        contains(lines[0], word)
    assert CANARY not in done.err, done.err


def by_ip(url):
    return url.replace("localhost", "127.0.0.1")


@test("only a certificate that is valid, trusted and for this name is taken, by name and by address")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), tls=True, env=box.env) as broker:
        broker.declare_queue("q")
        url, made = broker.tls_url, broker.certificates
        trust = {"ca": made.ca}
        published(box, *queue(url, trust))
        published(box, *queue(by_ip(url), trust))
        stranger = ("certificate refused",
                    "nobody who is trusted here signed it; give the certificate of who did (tls.ca)")
        refused(box, stranger, *queue(url, {"ca": made.other_ca}))
        refused(box, stranger, *queue(url))
        broker.show("expired")
        refused(box, ("certificate has expired: it was valid until 20", "needs a new one"), *queue(url, trust))
        broker.show("wrong_name")
        refused(box, "hostname mismatch: it is for elsewhere.test; connect by such a name", *queue(url, trust))
        refused(box, "IP address mismatch: it is for elsewhere.test", *queue(by_ip(url), trust))
        published(box, *queue(url, {**trust, "serverName": "elsewhere.test"}))
        broker.show("wrong_ip")
        refused(box, "IP address mismatch: it is for localhost, 192.0.2.1", *queue(by_ip(url), trust))
        published(box, *queue(url, trust))
        broker.show("server")
        refused(box, "this port speaks TLS, for which the url begins with amqps://",
                *queue(url.replace("amqps", "amqp")))
        refused(box, "does not speak TLS; for a port without TLS the url begins with amqp://",
                *queue(broker.amqp_url.replace("amqp", "amqps"), trust))
        # A certificate alone is a login only where the broker takes it for one.
        secret(box, "mine", username="guest", **{"tls.crt": made.client.cert.read_text(),
                                                 "tls.key": made.client.key.read_text()})
        refused(box, ("there is no password", "PLAIN", "not EXTERNAL", "rabbitmq_auth_mechanism_ssl"),
                *queue(url, trust, "mine"))
        equal(broker.exact_counts("q"), (4, 0), "messages")


@test("a broker that wants a client's certificate gets it, and with EXTERNAL it is the login")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), tls=True, env=box.env, plugins=["rabbitmq_auth_mechanism_ssl"],
                         conf={"ssl_options.fail_if_no_peer_cert": "true", "auth_mechanisms.1": "PLAIN",
                               "auth_mechanisms.2": "EXTERNAL", "ssl_cert_login_from": "common_name"}) as broker:
        broker.declare_queue("q")
        url, made = broker.tls_url, broker.certificates
        trust = {"ca": made.ca}
        refused(box, ("refused by the peer", "it wants a client's certificate: give one (tls.cert and tls.key)"),
                *queue(url, trust))
        refused(box, ("refused by the peer", "it does not take our certificate"),
                *queue(url, {**trust, "cert": made.stranger.cert, "key": made.stranger.key}))
        own = {**trust, "cert": made.client.cert, "key": made.client.key}
        published(box, *queue(url, own))
        secret(box, "mine", **{"ca.crt": made.ca.read_text(), "tls.crt": made.client.cert.read_text(),
                               "tls.key": made.client.key.read_text()})
        refused(box, "login by certificate", *queue(url, None, "mine"))
        broker.ctl("add_user", "sluice-client", CANARY)
        broker.ctl("clear_password", "sluice-client")
        broker.ctl("set_permissions", "sluice-client", ".*", ".*", ".*")
        published(box, *queue(url, None, "mine"))
        secret(box, "mine", username="guest", password=CANARY)
        refused(box, "login of user guest", *queue(url, None, "mine"))
        equal(broker.exact_counts("q"), (2, 0), "messages")


@test("a scaler that refuses a certificate holds, says why, and takes the repaired one")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), tls="expired", env=box.env) as broker:
        broker.declare_queue("q")
        scaler = start_scaler(box, broker.tls_url, {"ca": broker.certificates.ca})
        wait_until(lambda: "blind" in scaler.out() and "certificate has expired" in scaler.out(), what="the refusal")
        broker.show("server")
        wait_until(lambda: '"reason":"steady' in scaler.out(), timeout=40, what="the queue to be read")
        equal(scaler.stop().exit, 0)


class Listener:
    """Keeps what each connection sends first. With a pair, it shakes hands for TLS and keeps what comes after."""

    def __init__(self, pair=None):
        self.port = free_port()
        self.heard, self.names = [], []
        self._context = None
        if pair:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pair.cert, pair.key)
            self._context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.close()

    def _serve(self):
        while True:
            try:
                raw, _ = self._server.accept()
            except OSError:
                return
            raw.settimeout(5)
            self.heard.append(b"")
            with raw, contextlib.suppress(OSError):
                stream = self._context.wrap_socket(raw, server_side=True) if self._context else raw
                self.heard[-1] = stream.recv(65536)


@test("neither a refused certificate nor a port without TLS ever gets a login, and both are tried with growing pauses")
def _(box):
    made = Certificates(box.path("made"))
    secret(box, "mine", username="me", password=CANARY)
    for pair in (made.wrong_name, None):
        with Listener(pair) as listener:
            scaler = start_scaler(box, f"amqps://localhost:{listener.port}", {"ca": made.ca}, "mine")
            wait_until(lambda: len(listener.heard) >= 3, timeout=30, what="three tries")
            ticks = scaler.out().count('"event":"tick"')
            scaler.stop()
            assert len(listener.heard) <= 4, f"{len(listener.heard)} tries"
            assert ticks > 0, scaler.out()
            for heard in listener.heard:
                assert b"AMQP" not in heard and CANARY.encode() not in heard, heard
                if pair is None:
                    equal(heard[:2], b"\x16\x03", "a TLS hello")
            if pair:
                equal(set(listener.names), {"localhost"}, "the server names that were asked for")
            assert CANARY not in scaler.err() + scaler.out()


main()
