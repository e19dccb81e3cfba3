# SPDX-License-Identifier: Apache-2.0
"""Publishing to Google Pub/Sub and working on it, with the real binary and Google's own emulator."""

import collections
import json
import pathlib
import shutil
import tempfile
import time

from lib import contains, equal, main, needs, scaled, test, wait_until

# After lib, which says where they are.
import pubsub
from faultproxy import FaultProxy

needs(pubsub.missing())
LEASE = 10  # seconds: the shortest ack deadline there is
LATE = 5  # how long after that a dead worker's message may be back

# Says that it begins; works for the seconds that its body names; says that it has ended.
HANDLER = """#!/bin/sh
body=$(cat)
echo "$SLUICE_MESSAGE_ID $SLUICE_MESSAGE_ATTEMPT" >> begun.txt
sleep "$body"
echo "$SLUICE_MESSAGE_ID" >> ended.txt
"""

_emulator = None


def emulator():
    """One for all tests: what each makes has names of its own."""
    global _emulator
    if _emulator is None:
        _emulator = pubsub.Emulator(tempfile.mkdtemp(prefix="sluice-pubsub-")).start()
    return _emulator


class Place:
    """A topic and a subscription of a box, and who works on it."""

    def __init__(self, box, name="orders", declare=True, **subscription):
        self.box, self.name = box, f"{name}-{box.mark[:8]}"
        self.env = {"PUBSUB_EMULATOR_HOST": emulator().address}
        self.queue = f"pubsub://{pubsub.PROJECT}/{self.name}?topic={self.name}"
        if declare:
            emulator().topic(self.name)
            emulator().topic(self.name + ".dead")
            emulator().subscription(self.name + ".dead", self.name + ".dead")
            policy = {"deadLetterTopic": f"projects/{pubsub.PROJECT}/topics/{self.name}.dead",
                      "maxDeliveryAttempts": 20}
            emulator().subscription(self.name, self.name, LEASE, **{"deadLetterPolicy": policy, **subscription})
        box.write("handle", HANDLER, mode=0o755)

    def publish(self, *args, port=None, **options):
        return self.box.sluice("publish", "--queue", self.queue, *args, env=self._through(port), **options)

    def work(self, *args, port=None):
        worker = self.box.start_sluice("work", "--queue", self.queue, "--output", "json", *args,
                                       env=self._through(port))
        wait_until(lambda: "consuming" in worker.err(), what="a worker to consume", timeout=30)
        return worker

    def _through(self, port):
        return {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"} if port else self.env

    def lines(self, name):
        path = self.box.path(name)
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def wait_lines(self, name, count, timeout):
        wait_until(lambda: len(self.lines(name)) >= count, what=f"{count} lines in {name}", timeout=timeout)
        return self.lines(name)

    def left(self):
        """What can be pulled now; whoever asks takes it away."""
        return emulator().pull(self.name)


@test("messages are published, worked on, tried again and given up, and every one is accounted for")
def _(box):
    place = Place(box, declare=False)
    made = place.publish("--declare", input="", exit=0)
    contains(made.err, f"declared: subscription projects/{pubsub.PROJECT}/subscriptions/{place.name}")
    contains(place.publish("--declare", input="", exit=0).err, "(was there)")
    box.write("handle", """#!/bin/sh
echo "$SLUICE_MESSAGE_ID $SLUICE_MESSAGE_ATTEMPT $SLUICE_MESSAGE_HEADERS" >> begun.txt
case $(cat) in
  bad) exit 1 ;;
  later) test "$SLUICE_MESSAGE_ATTEMPT" -gt 1 ;;
esac
""", mode=0o755)
    text = "good\nbad\nlater\n" + "good\n" * 50
    done = place.publish("--run", "r", "--header", "colour=blue", "--output", "json", input=text, exit=0)
    equal(done.json[-1]["confirmed"], 53, "confirmed")
    queue = json.dumps({"queue": {"pubsub": {"project": pubsub.PROJECT, "subscription": place.name,
                                             "topic": place.name}},
                        "retry": {"delays": ["1s"]}, "deadLetter": {"after": 2}})
    worked = box.sluice("work", "--queue", queue, "--exec", "./handle", "--concurrency", "8", "--idle-exit", "3s",
                        "--output", "json", env=place.env, exit=0)
    summary = worked.json[-1]
    equal((summary["done"], summary["failed"] + summary["retried"], summary["dead_lettered"], summary["reason"]),
          (52, 2, 1, "idle"), f"what became of them\n{worked}")
    attempts = sorted(line.split(" ", 2)[1] for line in place.lines("begun.txt") if line.startswith("r-3 "))
    equal(attempts, ["1", "2"], "attempts of the one that was tried again")
    assert all('"colour":"blue"' in line for line in place.lines("begun.txt")), "headers of every message"
    dead = emulator().pull(place.name + ".dead")
    equal(len(dead), 1, "dead letters")
    said = dead[0]["message"]["attributes"]
    equal((said["sluice-id"], said["sluice-cause"], said["sluice-attempts"], said["colour"]),
          ("r-2", "failed", "2", "blue"), "what a dead letter says")
    equal(said["sluice-origin"], f"projects/{pubsub.PROJECT}/subscriptions/{place.name}", "where it comes from")
    equal(place.left(), [], "what is left")


@test("a dead worker's message is back within its lease; a handler three times as long as the lease is run once")
def _(box):
    dies, long = Place(box, "dies"), Place(box, "long")
    box.path("dies").mkdir()
    handler = "../handle"
    work = ("--exec", handler)
    first = box.start_sluice("work", "--queue", dies.queue, "--output", "json", *work, env=dies.env,
                             cwd=box.path("dies"))
    dies.publish(input="60\n", exit=0)
    begun = dies.box.path("dies/begun.txt")
    wait_until(lambda: begun.exists() and begun.read_text().endswith("\n"), what="the first handler", timeout=30)
    second = box.start_sluice("work", "--queue", dies.queue, "--output", "json", *work, env=dies.env,
                              cwd=box.path("dies"))
    wait_until(lambda: "consuming" in second.err(), what="a second worker", timeout=30)
    seconds, count = scaled(25, 180), scaled(2, 4)
    long.publish(input=f"{seconds}\n" * count, exit=0)
    worker = long.work("--exec", "./handle", "--concurrency", str(count))
    long.wait_lines("begun.txt", count, 30)
    at = time.monotonic()
    first.kill()
    wait_until(lambda: begun.read_text().count("\n") == 2, what="it to begin again", timeout=LEASE + LATE + 30)
    took = time.monotonic() - at
    equal(begun.read_text().split("\n")[1].split()[1], "2", "its attempt")
    assert took <= LEASE + LATE, f"back after {took:.1f} s"
    second.signal(15)
    second.kill()
    long.wait_lines("ended.txt", count, seconds + 30)
    wait_until(lambda: sum(line.get("outcome") == "done" for line in worker.json()) == count,
               what="the acknowledgements", timeout=20)
    equal(len(long.lines("begun.txt")), count, "runs of the long handler")
    equal(worker.stop().exit, 0, "exit")
    equal(long.left(), [], "what is left")
    print(f"       back after {took:.1f} s; {count} handlers of {seconds} s with leases of {LEASE} s, run once")


@test("connections that break and hang lose nothing")
def _(box):
    place = Place(box)
    box.write("handle", "#!/bin/sh\necho $SLUICE_MESSAGE_ID >> ended.txt\n", mode=0o755)
    count = scaled(300, 3000)
    with FaultProxy(emulator().port) as proxy:
        proxy.cut_after(20_000, "up")
        publisher = box.start_sluice("publish", "--queue", place.queue, "--count", str(count), "--run", "r",
                                     "--output", "json", env={"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{proxy.port}"})
        wait_until(lambda: proxy.stats()["accepted"] >= 2, what="a second connection", timeout=20)
        proxy.heal()
        done = publisher.wait(60)
        equal((done.exit, done.json[-1]["confirmed"]), (0, count), f"confirmed\n{done}")
        worker = place.work("--exec", "./handle", "--concurrency", "16", port=proxy.port)
        place.wait_lines("ended.txt", count // 10, 60)
        proxy.hold("both")
        before = len(place.lines("ended.txt"))
        proxy.cut()
        proxy.heal()
        place.wait_lines("ended.txt", before + count // 10, 60)
        proxy.hold("down")  # acknowledgements arrive, and their answers do not
        wait_until(lambda: proxy.stats()["held_down"] > 0, what="an answer that does not arrive", timeout=60)
        proxy.cut()
        proxy.heal()
        wait_until(lambda: len(set(place.lines("ended.txt"))) == count, what="every message", timeout=90)
        equal(worker.stop(60).exit, 0, "exit")
    equal(set(place.lines("ended.txt")), {f"r-{n}" for n in range(1, count + 1)}, "ids")


@test("an exactly-once subscription is worked on once")
def _(box):
    place = Place(box, enableExactlyOnceDelivery=True)
    box.write("handle", "#!/bin/sh\necho $SLUICE_MESSAGE_ID >> ended.txt\n", mode=0o755)
    place.publish("--count", "100", "--run", "r", exit=0)
    worked = place.work("--exec", "./handle", "--concurrency", "16", "--idle-exit", "2s").wait(60)
    equal((worked.exit, worked.json[-1]["done"]), (0, 100), f"done\n{worked}")
    again = {id: n for id, n in collections.Counter(place.lines("ended.txt")).items() if n > 1}
    equal((len(place.lines("ended.txt")), again), (100, {}), "runs, and what ran again")
    equal(place.left(), [], "what is left")


@test("messages with an ordering key come in their order")
def _(box):
    place = Place(box, enableMessageOrdering=True)
    box.write("handle", "#!/bin/sh\necho $SLUICE_MESSAGE_ID >> ended.txt\n", mode=0o755)
    place.publish("--count", "40", "--run", "r", "--ordering-key", "customer-17", exit=0)
    place.work("--exec", "./handle", "--idle-exit", "2s").wait(60)
    equal(place.lines("ended.txt"), [f"r-{n}" for n in range(1, 41)], "order")


@test("doctor says what is missing, with the command that makes it")
def _(box):
    name = f"doctor-{box.mark[:8]}"
    pool = box.pool(queue={"pubsub": {"project": pubsub.PROJECT, "subscription": name, "topic": name,
                                      "endpoint": emulator().url}})
    done = box.sluice("doctor", "-f", pool, "--output", "json")
    found = {line["code"]: line for line in done.json if line.get("code")}
    contains(found["D041"]["fix"], f"gcloud pubsub subscriptions create {name} --topic={name}")
    contains(found["D046"]["fix"], f"gcloud pubsub topics create {name}.dead")
    emulator().topic(name)
    emulator().subscription(name, name)
    done = box.sluice("doctor", "-f", pool)
    contains(done.out, "has no dead-letter policy")
    contains(done.out, f"--dead-letter-topic={name}.dead --max-delivery-attempts=20")
    refused = box.sluice("publish", "--queue", f"pubsub://{pubsub.PROJECT}/nosuch?topic=nosuch", "--count", "1",
                         env={"PUBSUB_EMULATOR_HOST": emulator().address}, exit=1)
    contains(refused.err, f"gcloud pubsub topics create nosuch --project={pubsub.PROJECT}")
    worker = box.sluice("work", "--queue", f"pubsub://{pubsub.PROJECT}/nosuch", "--simulate", "1s",
                        env={"PUBSUB_EMULATOR_HOST": emulator().address}, exit=1)
    contains(worker.err, "gcloud pubsub subscriptions create nosuch")
    bad = box.sluice("work", "--queue", "pubsub://p", "--simulate", "1s", exit=2)
    contains(bad.err, "$.queue.pubsub")


try:
    main()
finally:
    if _emulator is not None:
        _emulator.close()
        shutil.rmtree(pathlib.Path(_emulator.folder), ignore_errors=True)
