# SPDX-License-Identifier: Apache-2.0
"""Workers that say nothing to the scaler, as those that are not sluice's: the broker knows that they consume."""

from lib import BIN, contains, equal, main, run_on, scaled, test, wait_until

# One that hides from its scaler. Its consumer's tag is the name it was given in SLUICE_WORKER.
FOREIGN = f"#!/bin/sh\nunset SLUICE_STATE SLUICE_SLOT SLUICE_SLOT_FD\nexec {BIN} work --exec ./handle\n"
HANDLER = '#!/bin/sh\necho "$SLUICE_MESSAGE_ID" >> ledger.txt\nsleep 0.5\n'


def scaled_by(box, management):
    """The ticks of a scaler that had 100 messages for three such workers."""
    box.write("foreign", FOREIGN, mode=0o755)
    box.write("handle", HANDLER, mode=0o755)
    queue = box.queue_of("orders")
    if management:
        queue["rabbitmq"]["management"] = box.broker.management_url
    pool = box.pool(queue=queue, policy={"threshold": {"messages": 1, "every": "1s"}},
                    workers={"max": 3, "idleExit": "2s", "claim": "broker", "startDeadline": "20s",
                             "run": {"command": [str(box.path("foreign"))]}})
    box.sluice("publish", "-f", pool, "--declare", "--count", 100, exit=0)
    scaler = box.start_sluice("scale", "-f", pool, "-o", "json")

    def ticks():
        return [line for line in scaler.json() if line.get("event") == "tick"]

    wait_until(lambda: any(tick["seen"]["workers"]["busy"] == 3 for tick in ticks()), timeout=60,
               what="three workers that take messages")
    wait_until(lambda: len(box.read("ledger.txt").split()) == 100, timeout=60, what="all to be done")
    wait_until(lambda: not any(ticks()[-1]["seen"]["workers"].values()), timeout=60, what="the workers to leave")
    equal(scaler.stop().exit, 0, "exit")
    equal([tick["decision"]["reason"] for tick in ticks() if "broken" in tick["decision"]["reason"]], [], "broken")
    return ticks()


@test("the broker's list of consumers says who takes messages")
def _(box):
    ticks = scaled_by(box, management=True)
    three = next(tick for tick in ticks if tick["seen"]["workers"]["busy"] == 3)
    equal(three["seen"]["fleet"]["claim"], "broker", "how it is known")
    assert max(tick["seen"]["workers"]["starting"] for tick in ticks) <= 1, "one start at a time"


@test("without the list their number does, and what is missing is said")
def _(box):
    ticks = scaled_by(box, management=False)
    three = next(tick for tick in ticks if tick["seen"]["workers"]["busy"] == 3)
    equal(three["seen"]["fleet"]["claim"], "consumers", "how it is known")
    contains(three["seen"]["queue"]["error"], "without spec.queue.rabbitmq.management")


run_on(*scaled(["classic"], ["classic", "quorum"]))
main()
