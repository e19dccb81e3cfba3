# SPDX-License-Identifier: Apache-2.0
"""`sluice adapter` as a process: certificates of the connection, answers from its sources, and how it leaves."""

import contextlib
import http.client
import json
import signal
import socket
import ssl
import threading
import time
import urllib.parse

from lib import contains, equal, free_port, main, test, wait_until

# After lib, which says where they are.
import monitoring
from apiserver import ApiServer
from certificates import Certificates

GROUP = "/apis/external.metrics.k8s.io/v1beta1"
PUBSUB = "pubsub.googleapis.com|subscription|num_undelivered_messages"


class Rig:
    """An adapter before a stand-in of the API server. `made.client` is a user's certificate, `made.stranger` the front
    proxy's, and the serving certificate is `made.server`."""

    def __init__(self, box, api, made, *flags, name="adapter"):
        self.box, self.api, self.made, self.port = box, api, made, free_port()
        self.process = box.start_sluice(
            "adapter", "--kubeconfig", api.kubeconfig(box.path(f"{name}.kubeconfig")), "--listen",
            f"127.0.0.1:{self.port}", "--cert-file", made.server.cert, "--key-file", made.server.key, *flags)
        wait_until(lambda: self.ready() == 200, what="the adapter to be ready", timeout=60)

    def ready(self):
        try:
            return self.get("/readyz")[0]
        except OSError:
            return None

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def connection(self, pair=None):
        context = ssl.create_default_context(cafile=self.made.ca)
        if pair:
            context.load_cert_chain(pair.cert, pair.key)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)

    def get(self, target, pair=None, **headers):
        with contextlib.closing(self.connection(pair)) as connection:
            return ask(connection, target, **headers)

    def metric(self, metric, space="default", **labels):
        """(status, values) or (status, message), as the front proxy asks for jane."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        status, _, body = self.get(f"{GROUP}/namespaces/{space}/{urllib.parse.quote(metric)}?labelSelector="
                                   + urllib.parse.quote(selector), self.made.stranger, **{"X-Remote-User": "jane"})
        return status, [one["value"] for one in body["items"]] if status == 200 else body["message"]


def ask(connection, target, **headers):
    """(status, content type, body): of JSON what it says."""
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    body, kind = answer.read().decode(), answer.headers.get("Content-Type", "")
    return answer.status, kind, json.loads(body) if kind == "application/json" else body


@contextlib.contextmanager
def cluster(box):
    made = Certificates(box.path("certificates"))
    with ApiServer(made.ca.read_text(), made.other_ca.read_text(), ["stranger"]) as api:
        api.rights.add(("jane", "default"))
        api.tokens["good"] = "jane"
        yield api, made


@test("a pool's numbers are metrics of its namespace, for whom the API server lets, in the form of its answers")
def _(box):
    pool = box.pool(policy={"threshold": {"messages": 1000, "every": "1s"}})
    box.sluice("publish", "-f", pool, "--count", "37", exit=0)
    port = free_port()
    box.start_sluice("scale", "-f", pool, "--listen", f"127.0.0.1:{port}", "--dry-run")
    with cluster(box) as (api, made):
        rig = Rig(box, api, made, "--controller", f"http://127.0.0.1:{port}", "--record", box.path("record"))
        name = json.loads(pool.read_text())["metadata"]["name"]
        wait_until(lambda: rig.metric("sluice-backlog", pool=name)[0] == 200, what="the pool to be known", timeout=60)
        equal(rig.metric("sluice-backlog", pool=name), (200, ["37"]), "backlog")
        equal(rig.metric("SLUICE-ready", pool=name), (200, ["37"]), "in another case")
        equal(rig.metric("sluice-in-flight", pool=name), (200, ["0"]), "in flight")
        equal(rig.metric("sluice-desired-workers", pool=name)[0], 200, "desired")
        status, said = rig.metric("sluice-ready", pool="nothing")
        equal((status, said), (404, f"namespace default has no pool that pool=nothing selects; pools there: {name}"),
              "no such pool")
        equal(rig.metric("sluice-ready", space="bank", pool=name)[0], 403, "another namespace")
        equal(rig.metric("other")[0], 404, "no such metric")
        token = {"Authorization": "Bearer good"}
        equal(rig.get(f"{GROUP}/namespaces/default/sluice-ready", **token)[0], 200, "a token")
        equal(rig.get(f"{GROUP}/namespaces/default/sluice-ready", Authorization="Bearer bad")[0], 401, "a bad one")
        equal(rig.get(f"{GROUP}/namespaces/default/sluice-ready", **{"X-Remote-User": "jane"})[0], 401, "headers alone")
        for accept in ("application/json", "application/vnd.kubernetes.protobuf, */*",
                       "application/json;as=Table;g=meta.k8s.io;v=v1, application/json"):
            for target in ("/apis", "/apis/external.metrics.k8s.io", GROUP, f"{GROUP}/namespaces/default/sluice-ready"):
                status, kind, body = rig.get(target, made.client, Accept=accept)
                equal((status, kind), (403 if "ready" in target else 200, "application/json"), target)
                equal("kind" in body, True, "kind")
        answers = [json.loads(line) for line in box.path("record").read_text().splitlines()]
        first = next(one for one in answers if one["status"] == 200)
        equal((first["metric"], first["selector"], first["values"]), ("sluice-backlog", f"pool={name}", ["37"]),
              "what is recorded")


@test("a scaler that only watches says how many workers its policy wants, for an HPA to have them")
def _(box):
    pool = box.pool(policy={"backlogPerWorker": {"messages": 10, "every": "1s"}}, workers={"max": 20})
    box.sluice("publish", "-f", pool, "--count", "37", exit=0)
    port = free_port()
    box.start_sluice("scale", "-f", pool, "--listen", f"127.0.0.1:{port}", "--dry-run")
    with cluster(box) as (api, made):
        rig = Rig(box, api, made, "--controller", f"http://127.0.0.1:{port}")
        wait_until(lambda: rig.metric("sluice-desired-workers", pool="orders") == (200, ["4"]), timeout=60,
                   what="four workers to be wanted for 37 messages")


@test("a queue without a pool is read by the adapter itself, and a file that cannot be is refused line by line")
def _(box):
    pool = box.pool()
    box.sluice("publish", "-f", pool, "--count", "5", exit=0)
    queue = json.loads(pool.read_text())["spec"]["queue"]
    lists = box.write("queues.yaml", json.dumps({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "QueueList",
        "queues": [{"name": "mails", "queue": queue, "every": "1s"},
                   {"name": "none", "queue": {"local": {"path": "not-there.db"}}}]}))
    with cluster(box) as (api, made):
        rig = Rig(box, api, made, "--queues", lists)
        wait_until(lambda: rig.metric("sluice-backlog", pool="mails") == (200, ["5"]), what="its backlog", timeout=60)
        contains(rig.metric("sluice-backlog", pool="none")[1], "sluice-backlog of pool default/none is not known: ")
        box.sluice("publish", "-f", pool, "--count", "4", exit=0)
        wait_until(lambda: rig.metric("sluice-ready", pool="mails") == (200, ["9"]), what="it to follow", timeout=60)
        bad = box.write("bad.yaml", "apiVersion: sluice.dev/v1alpha1\nkind: QueueList\n"
                        "queues:\n- name: A\n  qeue: {}\n")
        said = box.sluice("adapter", "--kubeconfig", box.path("adapter.kubeconfig"), "--queues", bad, exit=2).err
        contains(said, f"{bad}:4:9: $.queues[0].name: ")
        contains(said, f"{bad}:5:3: $.queues[0].qeue: ")


@test("a subscription's backlog is read by the name and selector of the Stackdriver adapter, once for all who ask")
def _(box):
    with cluster(box) as (api, made), monitoring.Monitoring("my-project") as google:
        google.show("orders-sub", 1000, age_s=1)
        rig = Rig(box, api, made, "--monitoring", "--monitoring-project", "my-project", "--monitoring-endpoint",
                  google.url)
        labels = {"resource.labels.subscription_id": "orders-sub"}
        for _ in range(20):
            equal(rig.metric(PUBSUB, **labels), (200, ["1k"]), "backlog")
        # One, and another where the moment at which every adapter asks falls into them.
        equal(len(google.calls("timeSeries")) in (1, 2), True, "calls for twenty questions")
        messages = {rig.metric(PUBSUB, **{"resource.labels.subscription_id": "none"}),
                    rig.metric("pubsub.googleapis.com|subscription|no_such_metric", **labels),
                    rig.metric(PUBSUB, bad="x")}
        equal(sorted(status for status, _ in messages), [400, 404, 404], f"statuses of {messages}")
        equal(len({text for _, text in messages}), 3, f"messages {messages}")


@test("what is unknown here is asked of another server of external metrics")
def _(box):
    with cluster(box) as (api, made), monitoring.Monitoring("my-project") as google:
        google.show("orders-sub", 5, age_s=1)
        api.tokens["mine"] = "me"
        api.rights.add(("me", "default"))
        behind = Rig(box, api, made, "--monitoring", "--monitoring-project", "my-project", "--monitoring-endpoint",
                     google.url, name="behind")
        rig = Rig(box, api, made, "--controller", "http://127.0.0.1:1", "--forward-to", behind.url,
                  "--forward-ca-file", made.ca)
        equal(rig.metric(PUBSUB, **{"resource.labels.subscription_id": "orders-sub"}), (200, ["5"]), "forwarded")
        status, said = rig.metric(PUBSUB, **{"resource.labels.subscription_id": "none"})
        equal(status, 404, said)
        contains(said, f"(from {behind.url})", "who says it")
        contains(rig.metric("sluice-ready", pool="x")[1], "cannot be asked", "its own names are not passed on")
        behind.process.stop()
        equal(rig.metric(PUBSUB, **{"resource.labels.subscription_id": "orders-sub"})[0], 503, "it is gone")


@test("authorities change under load, and it leaves after its time, without a failed request")
def _(box):
    with cluster(box) as (api, made), monitoring.Monitoring("my-project") as google:
        google.show("orders-sub", 7, age_s=1)
        rig = Rig(box, api, made, "--monitoring", "--monitoring-project", "my-project", "--monitoring-endpoint",
                  google.url, "--drain", "3s")
        target = (f"{GROUP}/namespaces/default/{urllib.parse.quote(PUBSUB)}?labelSelector="
                  + urllib.parse.quote("resource.labels.subscription_id=orders-sub"))
        asked, failed, end = [], [], threading.Event()

        def load():
            connection = rig.connection(made.stranger)
            while not end.is_set():
                try:
                    status, _, body = ask(connection, target, **{"X-Remote-User": "jane"})
                    asked.append(status)
                    if status != 200:
                        failed.append((status, body))
                except (OSError, http.client.HTTPException) as error:
                    # A kept connection that ended before its answer began: every client of HTTP asks again.
                    if isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
                        connection.close()
                        continue
                    failed.append(error)
                    return

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(asked) > 50 or failed, what="load", timeout=60)
        api.configure(proxy_ca=made.other_ca.read_text() + made.ca.read_text())
        seen = len(asked)
        wait_until(lambda: len(asked) > seen + 50 or failed, what="more load", timeout=60)
        equal(failed, [], "failures by a change of authorities")
        rig.process.signal(signal.SIGTERM)
        wait_until(lambda: rig.ready() == 503, what="it to be no longer ready", timeout=10)
        seen = len(asked)
        wait_until(lambda: len(asked) > seen + 10 or failed, what="load while it leaves", timeout=60)
        end.set()
        for thread in threads:
            thread.join(30)
        equal(failed, [], "failures")
        equal(rig.process.wait(30).exit, 0, "exit")


@test("a thousand clients that never finish what they begin keep nobody from an answer")
def _(box):
    with cluster(box) as (api, made), monitoring.Monitoring("my-project") as google:
        google.show("orders-sub", 7, age_s=1)
        rig = Rig(box, api, made, "--monitoring", "--monitoring-project", "my-project",
                  "--monitoring-endpoint", google.url)
        labels = {"resource.labels.subscription_id": "orders-sub"}
        equal(rig.metric(PUBSUB, **labels), (200, ["7"]), "before")
        slow = []
        try:
            for number in range(1000):
                slow.append(socket.create_connection(("127.0.0.1", rig.port), 30))
                if number % 3:
                    slow[-1].sendall(b"\x16\x03\x01" if number % 3 == 1 else b"GET / HTTP/1.1\r\n")
            begin = time.monotonic()
            for _ in range(20):
                equal(rig.metric(PUBSUB, **labels), (200, ["7"]), "among them")
            each_ms = (time.monotonic() - begin) / 20 * 1000
            print(f"       {each_ms:.0f} ms an answer, a handshake with each", flush=True)
            status, _, _ = rig.get(f"{GROUP}/namespaces/default/x", made.stranger, Large="x" * 20_000)
            equal(status, 431, "a head that is too large")
            equal(rig.metric(PUBSUB, **labels), (200, ["7"]), "after it")
        finally:
            for one in slow:
                one.close()


@test("flags that cannot be are refused before anything starts, with what is accepted")
def _(box):
    with cluster(box) as (api, made):
        config = api.kubeconfig(box.path("kubeconfig"))
        for flags, part in (
                ([], "accepted: at least one of --controller URL (pools), --queues FILE"),
                (["--monitoring-project", "p"], "accepted beside --monitoring"),
                (["--monitoring", "--monitoring-endpoint", "ftp://x"], "accepted: http://HOST:PORT or https://HOST"),
                (["--monitoring", "--cert-file", made.server.cert], "accepted: both, or none"),
                (["--forward-to", "http://x"], "--forward-to: accepted: https://HOST[:PORT]"),
                (["--controller", "nowhere"], "--controller: accepted: http://HOST:PORT or https://HOST[:PORT][/PATH]"),
                (["--monitoring", "--service", "A/B"], "accepted: NAMESPACE/NAME"),
                (["--monitoring", "--monitoring-stale-after", "2h"], "accepted: 1s to 1h")):
            contains(box.sluice("adapter", "--kubeconfig", config, *flags, exit=2).err, part, str(flags))


main()
