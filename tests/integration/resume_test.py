# SPDX-License-Identifier: Apache-2.0
"""A scaler with the policy lag that is killed: the next one goes on with what it had learned, out of its journal."""

from lib import contains, equal, json_lines, main, test, wait_until
from view import journal

LAG = {"lag": {"max": "6s", "every": "500ms"}}  # it learns in steps of 1 s
STEPS_MS = 3000


def lines(box):
    """Those of the journal that are whole."""
    path = journal(box)
    text = path.read_text() if path.exists() else ""
    return json_lines(text[:text.rfind("\n") + 1])


def learned(box, done):
    """So many messages are done, and some steps have passed since then."""
    at = [line["at_ms"] for line in lines(box)
          if line["event"] == "tick" and (line["seen"]["queue"]["acked_n"] or {"n": 0})["n"] >= done]
    return len(at) > 1 and at[-1] - at[0] >= STEPS_MS


def scaled_and_killed(box):
    """A journal of a scaler that has learned how long a message takes and was killed; returns the pool file."""
    pool = box.pool(policy=LAG, workers={"max": 2, "idleExit": "1s"})
    box.sluice("publish", "-f", pool, "--count", 20, exit=0)
    scaler = box.start_sluice("scale", "-f", pool)
    # More of them as long as it looks: ticks in which nothing happens are folded.
    def again():
        box.sluice("publish", "-f", pool, "--count", 1, exit=0)
        return learned(box, 20)
    wait_until(again, timeout=90, what="the scaler to have learned")
    scaler.kill()
    return pool


def states_after_restart(box, begins):
    """What the second scaler wrote as the state it begins with."""
    pools = [i for i, line in enumerate(lines(box)) if line["event"] == "pool"]
    return [line["state"] for line in lines(box)[pools[begins - 1]:] if line["event"] == "state"] \
        if len(pools) >= begins else []


def written_behind(text, scaler, box):
    """The whole lines of the journal behind `text`, of a scaler that lives."""
    assert scaler.alive(), scaler.err()
    new = journal(box).read_bytes()[len(text.encode()):].decode()
    return json_lines(new[:new.rfind("\n") + 1].lstrip("\n"))  # what ends a torn line comes first


@test("a scaler that was killed goes on with what it had learned; both runs are decided the same again")
def _(box):
    pool = scaled_and_killed(box)
    first = next(line["state"] for line in lines(box) if line["event"] == "state")
    equal("lag" in first, False, "the first one began with nothing")
    second = box.start_sluice("scale", "-f", pool)
    wait_until(lambda: states_after_restart(box, 2), timeout=60, what="the next scaler's first lines")
    contains(second.err(), "orders: policy lag goes on with what is in its journal")
    memory = states_after_restart(box, 2)[0]["lag"]
    assert memory["done_milli"] >= 10_000, f"how long a message takes was measured: {memory}"
    box.sluice("publish", "-f", pool, "--count", 3, exit=0)
    wait_until(lambda: learned(box, 23), timeout=60, what="it to go on")
    equal(second.stop().exit, 0, "exit")
    done = box.sluice("decide", "--journal", journal(box), exit=0)
    equal({line["same"] for line in done.json}, {True}, "every decision again")


@test("a journal that cannot be used never keeps a scaler from starting: it begins anew and says why")
def _(box):
    pool = scaled_and_killed(box)
    good = journal(box).read_text()
    good = good[:good.rfind("\n") + 1]
    last = good.rstrip("\n").rfind("\n") + 1
    cases = [(good + "\x00\x7fELF not a line\n", ": cannot be read", False),
             (good.replace("default/orders", "default/others"), "of the pool default/others", False),
             (good[:last] + '{"event":"tick","tick":"x-1"}\n', "$.at_ms", False),
             ("", "it has no state yet", False),
             (good + '{"event":"tick","tick":"x-2","at":"20', None, True)]  # torn by a kill: left out
    for text, says, goes_on in cases:
        journal(box).write_text(text)
        scaler = box.start_sluice("scale", "-f", pool)
        wait_until(lambda: any(line["event"] == "tick" for line in written_behind(text, scaler, box)), timeout=60,
                   what=f"a tick after {says}")
        contains(scaler.err(), "goes on with" if goes_on else "orders: policy lag begins anew")
        if says:
            contains(scaler.err(), says)
        equal(scaler.stop().exit, 0, "exit")


main()
