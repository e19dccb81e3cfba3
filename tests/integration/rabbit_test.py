# SPDX-License-Identifier: Apache-2.0
"""The suite that every queue passes, on a real RabbitMQ: classic and quorum queues, and over TLS."""

import os
import pathlib
import subprocess

from lib import ROOT, equal, main, scaled, test

# After lib, which says where it is.
import rabbitmq


SUITE = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build/dev")) / "rabbit_conformance"


def conformance(box, queue_type, tls=False):
    with rabbitmq.Broker(box.path("rabbit"), tls=tls, env=box.env) as broker:
        where = {"SLUICE_TEST_AMQP": broker.amqp_url}
        if tls:
            where = {"SLUICE_TEST_AMQP": broker.tls_url, "SLUICE_TEST_CA": str(broker.certificates.ca)}
        ran = subprocess.run([SUITE, "--gtest_brief=1"], capture_output=True, text=True, timeout=scaled(300, 900),
                             env={**box.env, **where, "SLUICE_TEST_QUEUE_TYPE": queue_type,
                                  "SLUICE_SOAK": scaled("0", "1")})
        equal(ran.returncode, 0, f"{queue_type} queues\n{ran.stdout}\n{ran.stderr}")
        print("".join(line + "\n" for line in ran.stderr.splitlines() if "steps of an exchange" in line), end="")


@test("a classic queue does what every queue does")
def _(box):
    conformance(box, "classic")


@test("a quorum queue does what every queue does")
def _(box):
    conformance(box, "quorum")


@test("over TLS a queue does the same")
def _(box):
    conformance(box, "classic", tls=True)


main()
