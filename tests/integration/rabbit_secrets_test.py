# SPDX-License-Identifier: Apache-2.0
"""Credentials of a RabbitMQ: read from files, followed when they change under load, shown nowhere."""

import os
import time
import urllib.parse

from lib import contains, equal, main, scaled, test, wait_until

PASSWORD = "S3cr3t-rotated-%s-/@:?#"
HANDLER = '#!/bin/sh\ntr "\\0" "\\n" < /proc/$PPID/environ > worker-environ.txt\nenv > handler-environ.txt\n' \
          'echo "$SLUICE_MESSAGE_ID" >> ledger.txt\nsleep 0.05\n'


def login(box, user, password):
    """Writes the secret as a Kubernetes mount changes: a new file in place of the old one."""
    for name, text in (("password", password), ("username", user)):
        path = box.write(f"secrets/rabbit/{name}.new", text + "\n", mode=0o600)
        os.replace(path, box.path(f"secrets/rabbit/{name}"))


def user(box, name, password):
    """A user of this box, whose name is returned, and the secret of the pool."""
    broker, name = box.broker, f"{name}-{box.mark[:6]}"
    broker.ctl("add_user", name, password)
    broker.ctl("set_permissions", "-p", "/", name, ".*", ".*", ".*")
    broker.ctl("set_user_tags", name, "monitoring")
    login(box, name, password)
    return name


def pool(box, **more):
    queue = box.queue_of("orders")
    queue["rabbitmq"].update({"credentials": {"secret": "rabbit"}, "management": box.broker.management_url})
    file = box.pool(queue=queue, policy={"backlogPerWorker": {"messages": 20, "every": "1s"}},
                    workers={"max": 2, "idleExit": "3s", "run": {"command": ["sluice", "work", "--exec", "./handle"]}},
                    **more)
    box.sluice("publish", "-f", file, "--declare", input="", exit=0)
    return file


@test("a login that changes under load: nothing lost, no restart, the old connections are closed")
def _(box):
    first, second = PASSWORD % "1", PASSWORD % "2"
    box.write("handle", HANDLER, mode=0o755)
    one = user(box, "one", first)
    file = pool(box)
    count = scaled(300, 3000)
    box.sluice("publish", "-f", file, "--count", count, "--run", "r", exit=0)
    scaler = box.start_sluice("scale", "-f", file)
    wait_until(lambda: box.path("ledger.txt").exists(), what="work to begin", timeout=60)

    def connections(name):
        return [c for c in box.broker.request("GET", "/connections") if c.get("user") == name]

    wait_until(lambda: len(connections(one)) >= 2, what="connections of the first user", timeout=30)
    workers = {pid for pid, line in box.living().items() if " work --exec " in line}
    two = user(box, "two", second)
    begin = time.monotonic()
    wait_until(lambda: connections(two) and not connections(one), what="all to move to the second user", timeout=40)
    print(f"all moved {time.monotonic() - begin:.1f} s after the files changed, by figures up to 5 s old")
    box.broker.ctl("delete_user", one)
    assert workers & set(box.living()) or len(box.read("ledger.txt").split()) == count, "workers were begun anew"
    wait_until(lambda: len(set(box.read("ledger.txt").split())) == count, what="all to be done", timeout=180)
    equal(len(box.read("ledger.txt").split()), count, "done, each once")
    wait_until(lambda: not any(" work " in line for line in box.living().values()), what="the workers to leave")
    names = (one, two)
    assert box.no_word_of(first, *names) and box.no_word_of(second, *names)
    equal(scaler.stop().exit, 0, "exit")
    searched = box.no_word_of(first, *names) + box.no_word_of(second, *names)
    contains(box.read("worker-environ.txt"), "SLUICE_SECRETS=", "the worker's environment, which was looked at")
    contains(box.read("handler-environ.txt"), "SLUICE_MESSAGE_ID=", "the handler's environment, which was looked at")
    assert searched > 10_000, searched


@test("a wrong password, a missing file and a refused virtual host are said without the password, by every verb")
def _(box):
    secret = PASSWORD % "3"
    one = user(box, "one", secret)
    file = pool(box)
    wrong = PASSWORD % "wrong"
    login(box, one, wrong)
    for argv in (("publish", "-f", file, "--count", "1"), ("work", "-f", file, "--simulate", "1ms")):
        done = box.sluice(*argv, timeout=90)
        assert done.exit != 0, done
        contains(done.out + done.err, f"login of user {one}", f"what {argv[0]} says")
    contains(box.sluice("status", "-f", file).out, one, "what status says")
    scaler = box.start_sluice("scale", "-f", file)
    wait_until(lambda: "blind" in scaler.out(), what="the scaler to be blind", timeout=30)
    contains(scaler.out(), f"login of user {one}")
    box.sluice("explain", "-f", file)
    login(box, one, secret)
    begin = time.monotonic()
    wait_until(lambda: "steady" in scaler.out(), what="the right password to be taken", timeout=40)
    print(f"the right password was taken {time.monotonic() - begin:.1f} s after it was written")
    equal(scaler.stop().exit, 0, "exit")
    os.remove(box.path("secrets/rabbit/password"))
    done = box.sluice("publish", "-f", file, "--count", "1")
    equal(done.exit, 1, "exit")
    contains(done.err, "secrets/rabbit/password")
    for word in (secret, wrong):
        box.no_word_of(word, one)


@test("two pools with a secret of the same name, each in its own folder: each has its own login")
def _(box):
    files, users = [], []
    for name in ("one", "two"):
        users.append(user(box, name, PASSWORD % name))
        os.makedirs(box.path(name), exist_ok=True)
        os.rename(box.path("secrets"), box.path(f"{name}/secrets"))
        queue = box.queue_of(name)
        queue["rabbitmq"]["credentials"] = {"secret": "rabbit"}
        files += ["-f", box.pool(name, f"{name}/{name}.yaml", queue=queue)]
        box.sluice("publish", "-f", files[-1], "--declare", input="", exit=0)
    scaler = box.start_sluice("scale", *files)
    wait_until(lambda: set(users) <= {c.get("user") for c in box.broker.request("GET", "/connections")},
               what="a connection of each user", timeout=30)
    equal(scaler.stop().exit, 0, "exit")
    for name, one in zip(("one", "two"), users):
        box.no_word_of(PASSWORD % name, one)


@test("the search finds a password that was planted")
def _(box):
    for planted in ("abc:%s" % (PASSWORD % "4"), urllib.parse.quote(PASSWORD % "4", safe="")):
        box.write("planted.log", planted)
        try:
            box.no_word_of(PASSWORD % "4")
        except AssertionError:
            continue
        raise AssertionError(f"not found: {planted}")


from lib import run_on  # noqa: E402

run_on("quorum")
main()
