# SPDX-License-Identifier: Apache-2.0
"""A management API that errs, lies, hangs or stands still, a broker that hangs: the number of workers never moves."""

import contextlib
import json
import re
import time

from lib import contains, equal, main, scaled, test, wait_until

# After lib, which says where they are.
import httpfault
import rabbitmq

API = "/api/queues/*"
PASSWORD = "S3CR3T-canary"


def replaced(field, value):
    """An edit of an answer: the whole number that `field` has becomes `value`."""
    return lambda body: re.sub(rb'"%s":\d+' % field.encode(), b'"%s":%s' % (field.encode(), value.encode()), body)


def without(field):
    return lambda body: re.sub(rb'"%s":\d+,' % field.encode(), b"", body)


# What is done to the API of a pool, and what its journal then says is missing. Nothing of it moves a worker.
FAULTS = {
    "err500": (lambda front: front.answer(API, 500, "<html>oops</html>", "text/html"), "status 500"),
    "html": (lambda front: front.answer(API, 200, "<html>log in</html>", "text/html"), "a page of HTML"),
    "empty": (lambda front: front.answer(API, 200, "", "application/json"), "no JSON"),
    "absent": (lambda front: front.edit(API, without("messages_unacknowledged")), "messages_unacknowledged: absent"),
    "negative": (lambda front: front.edit(API, replaced("messages_unacknowledged", "-1")),
                 "messages_unacknowledged: a number out of range"),
    "huge": (lambda front: front.edit(API, replaced("messages_unacknowledged", "1e400")),
             "messages_unacknowledged: no whole number"),
    "text": (lambda front: front.edit(API, replaced("messages_unacknowledged", '"5"')),
             "messages_unacknowledged: a text"),
    "late": (lambda front: front.delay(API, 30), "in time"),
    "redirect": (lambda front: front.answer(API, 302, "", headers={"Location": "http://127.0.0.1:9/"}),
                 "a redirect, which is never followed"),
    "cut": (lambda front: front.truncate(API, 20), "cut off"),
}


def login(box, broker, tags="monitoring"):
    """A user whose password must never be seen, and the pool's credentials for it."""
    broker.add_user("scaler", PASSWORD, tags)
    broker.set_permissions("scaler")
    folder = box.dir / "secrets/rabbit"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "username").write_text("scaler")
    (folder / "password").write_text(PASSWORD)
    return {"credentials": {"secret": "rabbit"}}


def pool_of(box, broker, name, management, policy, credentials, simulate="600s", **workers):
    return box.pool(name, queue={"rabbitmq": {"url": broker.amqp_url, "queue": name, "management": management,
                                              **credentials}},
                    policy=policy,
                    workers={"max": 3, "run": {"command": ["sluice", "work", "--simulate", simulate]}, **workers})


def fill(broker, queue, count):
    broker.declare_queue(queue)
    for number in range(count):
        equal(broker.publish(queue, str(number)), True, "a message that reached its queue")


class Ticks:
    """The journal of a scaler, by pool."""

    def __init__(self, scaler):
        self.scaler = scaler

    def of(self, name, event="tick"):
        return [one for one in self.scaler.json() if one.get("event") == event and
                one.get("pool", "").endswith("/" + name)]

    def last(self, name):
        ticks = self.of(name)
        return ticks[-1] if ticks else None

    def seen(self, name):
        tick = self.last(name)
        return tick["seen"]["queue"] if tick else {}

    def starts(self):
        return [worker for one in self.scaler.json() if one.get("event") == "act" for worker in one["did"]["started"]]


def in_flight(ticks, name):
    return (ticks.seen(name).get("in_flight") or {}).get("n")


@test("whatever the management API answers, the number of workers stays and the reason is said")
def _(box):
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(rabbitmq.Broker(box.path("rabbit"), env=box.env))
        credentials = login(box, broker)
        fronts, pools = {}, []
        for name in FAULTS:
            fill(broker, name, 4)
            fronts[name] = stack.enter_context(httpfault.HttpFault(broker.management_port))
            # One worker holds one message, three wait: 4 messages at 5 a worker are one worker. A count in flight that
            # is taken for what it is not asks for more.
            pools += ["-f", pool_of(box, broker, name, fronts[name].url,
                                    {"backlogPerWorker": {"messages": 5, "every": "1s"}}, credentials)]
        scaler = box.start_sluice("scale", *pools, "--output", "json")
        ticks = Ticks(scaler)
        wait_until(lambda: all(in_flight(ticks, name) == 1 for name in FAULTS), timeout=90,
                   what="every pool to have one worker with one message")
        begun = ticks.starts()
        equal(len(begun), len(FAULTS), "workers started")
        for name, (inject, _) in FAULTS.items():
            inject(fronts[name])
        for name, (_, missing) in FAULTS.items():
            wait_until(lambda name=name, missing=missing: missing in (ticks.seen(name).get("error") or ""), timeout=40,
                       what=f"pool {name} to say {missing!r}")
        wait_until(lambda: all(ticks.seen(name)["in_flight"] is None for name in FAULTS), timeout=60,
                   what="what is in flight to become unknown")
        for name in FAULTS:
            equal(ticks.seen(name)["ready"]["n"], 3, f"messages that wait for pool {name}")
            equal({tick["decision"]["workers"] for tick in ticks.of(name)[-5:]}, {1}, f"workers that {name} wants")
            contains(ticks.last(name)["decision"]["reason"], "steady: ", name)
        for front in fronts.values():
            front.heal()
        wait_until(lambda: all(in_flight(ticks, name) == 1 and ticks.seen(name)["error"] is None for name in FAULTS),
                   timeout=40, what="every pool to see all again")
        equal(ticks.starts(), begun, "workers started, faults or not")
        scaler.stop()
        for text in (scaler.out(), scaler.err()):
            equal(PASSWORD in text, False, "the password in what the scaler writes")
        equal(any("/api/" not in target for front in fronts.values() for _, target in front.requests), False,
              "requests beside the API")


@test("statistics that stand still while the queue moves are not believed and start nobody")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker, \
            httpfault.HttpFault(broker.management_port) as front:
        broker.declare_queue("moving")
        now = int(time.time())
        frozen = {"name": "moving", "type": "classic", "state": "running", "messages_ready": 77,
                  "messages_unacknowledged": 5, "consumers": 1, "head_message_timestamp": now}
        front.answer(API, 200, json.dumps(frozen), "application/json")
        # Ten seconds later the message in front looks ten seconds old, and older with every second.
        policy = {"threshold": {"messages": 100, "age": "8s", "every": "1s"}}
        pool = pool_of(box, broker, "moving", front.url, policy, {}, simulate="300ms", min=1)
        scaler = box.start_sluice("scale", "-f", pool, "--output", "json")
        ticks = Ticks(scaler)

        published_at = 0.0

        def still():
            nonlocal published_at
            if time.monotonic() - published_at > 0.5:
                published_at = time.monotonic()
                broker.publish("moving", "x", {"timestamp": int(time.time())})
            return "have stood still" in (ticks.seen("moving").get("error") or "")

        wait_until(still, timeout=60, what="the statistics to be seen through")
        equal(ticks.seen("moving")["in_flight"], None, "in flight")
        until = time.monotonic() + scaled(10, 60)
        wait_until(lambda: not still() or time.monotonic() > until, timeout=90)
        equal(still(), True, "still seen through")
        equal(ticks.starts(), ["moving-w0"], "workers started")


@test("a user without a tag is told which, and workers are counted without the API")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker:
        credentials = login(box, broker, tags="")
        fill(broker, "untagged", 2)
        pool = pool_of(box, broker, "untagged", broker.management_url,
                       {"backlogPerWorker": {"messages": 5, "every": "1s"}}, credentials)
        scaler = box.start_sluice("scale", "-f", pool, "--output", "json")
        ticks = Ticks(scaler)
        wait_until(lambda: "rabbitmqctl set_user_tags scaler management" in (ticks.seen("untagged").get("error") or ""),
                   what="the tag to be named")
        wait_until(lambda: ticks.starts() == ["untagged-w0"], what="a worker")
        status = box.sluice("status", "-f", pool, "--output", "json", exit=3).json[0]
        equal(status["in_flight"], None, "in flight")
        contains(" ".join(status["errors"]), "set_user_tags", "errors of status")
        broker.add_user("scaler", PASSWORD, "management")
        wait_until(lambda: in_flight(ticks, "untagged") == 1, timeout=60, what="the tag to be of use")


@test("what is in flight is read from the metrics of rabbitmq_prometheus, and from RabbitMQ 4.0")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), version="4.0", env=box.env) as broker:
        fill(broker, "metrics", 3)
        fill(broker, "api", 3)
        policy = {"backlogPerWorker": {"messages": 5, "every": "1s"}}
        pools = [word for name, url in (("metrics", broker.metrics_url + "/detailed"), ("api", broker.management_url))
                 for word in ("-f", pool_of(box, broker, name, url, policy, {}))]
        scaler = box.start_sluice("scale", *pools, "--output", "json")
        ticks = Ticks(scaler)
        wait_until(lambda: in_flight(ticks, "metrics") == 1 and in_flight(ticks, "api") == 1, timeout=60,
                   what="one message in flight in both")
        for name, least in (("metrics", 5000), ("api", 10000)):
            equal(ticks.seen(name)["in_flight"]["age_ms"] >= least, True, f"{name}: as old as it may be")
            equal(ticks.seen(name)["error"], None, name)
        with contextlib.suppress(rabbitmq.ManagementError):
            broker.delete_queue("stream")
        broker.declare_queue("stream", type="stream")
        stream = pool_of(box, broker, "stream", broker.management_url, policy, {})
        status = box.sluice("status", "-f", stream, "--output", "json").json[0]
        contains(" ".join(status["errors"]), "a stream; reading it takes nothing from it", "a stream")


@test("a queue with a single active consumer gets one worker, whatever waits")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker:
        broker.declare_queue("single", arguments={"x-single-active-consumer": True})
        for number in range(30):
            broker.publish("single", str(number))
        pool = pool_of(box, broker, "single", broker.management_url,
                       {"backlogPerWorker": {"messages": 5, "every": "1s"}}, {})
        scaler = box.start_sluice("scale", "-f", pool, "--output", "json")
        ticks = Ticks(scaler)
        wait_until(lambda: ticks.last("single") and "a single active consumer" in
                   ticks.last("single")["decision"]["reason"], timeout=30, what="the reason")
        wait_until(lambda: len([t for t in ticks.of("single") if t["seen"]["workers"]["busy"] == 1]) >= 3, timeout=30,
                   what="one worker to work for a while")
        equal(ticks.starts(), ["single-w0"], "workers started")


@test("a broker that hangs leaves the workers alone, says for how long, and is seen again within two polls")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker:
        fill(broker, "hangs", 4)
        pool = pool_of(box, broker, "hangs", broker.management_url,
                       {"backlogPerWorker": {"messages": 5, "every": "1s"}}, {})
        scaler = box.start_sluice("scale", "-f", pool, "--output", "json")
        ticks = Ticks(scaler)
        wait_until(lambda: in_flight(ticks, "hangs") == 1, timeout=60, what="a worker with a message")
        begun = ticks.starts()
        frozen_at = time.monotonic()
        broker.freeze()
        try:
            blind = re.compile(r"^blind: backlog unknown: .*\(for ")
            wait_until(lambda: blind.search(ticks.last("hangs")["decision"]["reason"]), timeout=30,
                       what="the scaler to be blind and to say for how long")
            wait_until(lambda: time.monotonic() - frozen_at > scaled(12, 60), timeout=90)
        finally:
            broker.thaw()
        before = len(ticks.of("hangs"))
        wait_until(lambda: not ticks.last("hangs")["decision"]["reason"].startswith("blind"), timeout=30,
                   what="the scaler to see again")
        after = [tick["decision"]["reason"] for tick in ticks.of("hangs")[before:]]
        seen = next(number for number, reason in enumerate(after, 1) if not reason.startswith("blind"))
        equal(seen <= 2, True, f"polls until the scaler saw again: {after}")
        equal(ticks.starts(), begun, "workers started")
        equal({tick["decision"]["workers"] for tick in ticks.of("hangs")[-5:]}, {1}, "workers wanted")


main()
