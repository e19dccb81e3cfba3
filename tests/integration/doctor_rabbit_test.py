# SPDX-License-Identifier: Apache-2.0
"""sluice doctor on a real RabbitMQ: each thing that is wrong is named, and its fix works when typed."""

import shlex

from lib import contains, equal, main, test, wait_until

# After lib, which says where it is.
import rabbitmq

PASSWORD = "S3CR3T-canary"


def write_login(box, password):
    folder = box.dir / "secrets/rabbit"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "username").write_text("worker")
    (folder / "password").write_text(password)


def pool_of(box, broker, queue="orders", declare=True, **workers):
    rabbit = {"url": broker.amqp_url, "queue": queue, "management": broker.management_url,
              "credentials": {"secret": "rabbit"}, **({"declare": {"type": "quorum"}} if declare else {})}
    return box.pool(queue, queue={"rabbitmq": rabbit},
                    workers={"max": 1, "run": {"command": ["sluice", "work", "--simulate", "10ms"]}, **workers})


def look(box, pool):
    """{code: finding} of all that is not well, and every text."""
    done = box.sluice("doctor", "-f", pool, "-o", "json")
    equal(PASSWORD in done.out + done.err, False, "the password in what doctor says")
    checks = [line for line in done.json if line["event"] == "check"]
    return {line["code"]: line for line in checks if line["code"]}, "\n".join(line["text"] for line in checks)


def type_in(broker, fix):
    """What the fix says, as an operator would type it."""
    words = shlex.split(fix)
    equal(words[0], "rabbitmqctl", f"the first word of {fix!r}")
    broker.ctl(*words[1:])


def sound(box, broker):
    """A pool whose queues are there, of a user who may do just what it takes."""
    broker.add_user("worker", PASSWORD, "monitoring")
    broker.set_permissions("worker")
    write_login(box, PASSWORD)
    pool = pool_of(box, broker)
    box.sluice("publish", "-f", pool, "--declare", "--count", 0, exit=0)
    return pool


@test("on a sound broker nothing is wrong, and what was tried is said")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker:
        pool = sound(box, broker)
        found, texts = look(box, pool)
        equal({code for code in found if code.startswith("D04")}, set(), "what is wrong with the broker")
        for part in ("lets user worker in", "configure: may declare orders", "write: may publish",
                     "read: may take messages from orders", "RabbitMQ 3.10", "no alarm",
                     "orders.dead and 4 queues for retries are there", "loses nothing by itself"):
            contains(texts, part)
        equal(broker.exact_counts("orders"), (0, 0), "messages after the examination")


@test("a wrong password, a missing queue, a missing tag and each missing permission have their codes and fixes")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker:
        broker.add_user("worker", PASSWORD, "monitoring")
        broker.set_permissions("worker")
        write_login(box, "wrong")
        pool = pool_of(box, broker)
        found, _ = look(box, pool)
        contains(found["D040"]["text"], "ACCESS_REFUSED")
        contains(found["D040"]["fix"], "rabbitmqctl authenticate_user worker")
        pool = sound(box, broker)
        other, _ = look(box, pool_of(box, broker, "nowhere"))
        contains(other["D041"]["fix"], "sluice publish --declare")
        broker.add_user("worker", PASSWORD, "")
        found, _ = look(box, pool)
        type_in(broker, found["D043"]["fix"])
        equal("D043" in look(box, pool)[0], False, "D043 after its fix")
        for lacking, what in (("write", "write to the default exchange"), ("read", "take messages from orders"),
                              ("configure", "declare orders")):
            broker.set_permissions("worker", **{lacking: "^$"})
            found, _ = look(box, pool)
            contains(found["D042"]["text"], what)
            type_in(broker, found["D042"]["fix"])
            equal("D042" in look(box, pool)[0], False, f"{lacking} after its fix")
        # What the fix gives is enough for a whole life.
        for name in ("orders", "orders.dead"):
            broker.delete_queue(name)
        box.sluice("publish", "-f", pool, "--declare", "--count", 3, exit=0)
        box.sluice("work", "-f", pool, "--simulate", "1ms", "--idle-exit", "1s", exit=0)


@test("what the broker does to messages behind one's back is named")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker:
        pool = sound(box, broker)
        broker.set_policy("short", "^orders$", {"message-ttl": 60000, "max-length": 5})
        # The API shows a policy as late as everything else.
        late = "orders gives up messages that wait longer than 60 s (policy, message-ttl)"
        wait_until(lambda: late in look(box, pool)[1], timeout=30, what=late)
        broker.delete_policy("short")
        broker.declare_queue("lossy", arguments={"x-max-length": 10})
        found, texts = look(box, pool_of(box, broker, "lossy", declare=False))
        contains(found["D045"]["text"], "lossy silently drops the oldest messages beyond 10 (argument x-max-length)")
        contains(texts, "lossy.dead")
        broker.declare_queue("poison", type="quorum", arguments={"x-delivery-limit": 10})
        broker.declare_queue("poison.dead")
        bare = pool_of(box, broker, "poison", declare=False, maxRuntime="2h")
        found, texts = look(box, bare)
        contains(texts, "has a delivery limit (argument x-delivery-limit) and no dead letter exchange")
        contains(found["D047"]["fix"], "consumer_timeout = 14400000")
        fix = next(line["fix"] for line in box.sluice("doctor", "-f", bare, "-o", "json").json
                   if "no dead letter exchange" in line.get("text", ""))
        type_in(broker, fix)
        wait_until(lambda: "no dead letter exchange" not in look(box, bare)[1], timeout=30, what="the fix to be seen")


@test("a stream, a single active consumer and an alarm are named")
def _(box):
    with rabbitmq.Broker(box.path("rabbit"), env=box.env) as broker:
        pool = sound(box, broker)
        broker.declare_queue("stream", type="stream")
        contains(look(box, pool_of(box, broker, "stream", declare=False))[0]["D044"]["text"], "is a stream")
        broker.declare_queue("single", arguments={"x-single-active-consumer": True})
        contains(look(box, pool_of(box, broker, "single", declare=False))[0]["D044"]["text"], "one consumer at a time")
        broker.ctl("set_vm_memory_high_watermark", "0.0000001")
        wait_until(lambda: "D048" in look(box, pool)[0], timeout=90, what="the alarm to be raised")
        contains(look(box, pool)[0]["D048"]["text"], "the broker has an alarm")


main()
