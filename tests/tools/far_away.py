# SPDX-License-Identifier: Apache-2.0
"""A network namespace behind a cable of its own, which a test pulls: no packet and no end of a connection passes.

    with FarAway() as far:
        with FaultProxy(broker.amqp_port, host=far.here) as link:   # what runs there reaches this address alone
            box.start(far.command([program, ...]))
            far.pull()
            far.plug_in()

Needs root and iproute2.
"""

import os
import random
import subprocess


class FarAway:
    def __init__(self):
        number = random.randrange(1 << 14)
        self.name = f"sluice{os.getpid()}-{number}"
        self._cable = f"sl{number}"
        net = f"198.18.{number >> 6}.{(number & 63) * 4}"  # of RFC 2544: for tests, and never routed
        first, _, last = net.rpartition(".")
        self.here, there = f"{first}.{int(last) + 1}", f"{first}.{int(last) + 2}"
        self._net = f"{net}/30"
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        self._ip("addr", "add", f"{self.here}/30", "dev", self._cable)
        # When the cable is out, nothing for the far side may take another way.
        self._ip("route", "add", "blackhole", self._net, "metric", "1000")
        self._ip("link", "set", self._cable, "up")
        for argv in (["addr", "add", f"{there}/30", "dev", "eth0"], ["link", "set", "eth0", "up"],
                     ["link", "set", "lo", "up"]):
            self._ip("-n", self.name, *argv)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for argv in (["link", "del", self._cable], ["route", "del", "blackhole", self._net],
                     ["netns", "del", self.name]):
            subprocess.run(["ip", *argv], check=False, capture_output=True)

    def command(self, argv):
        """Runs it there, in the process that is started."""
        return ["ip", "netns", "exec", self.name, *argv]

    def pull(self):
        self._ip("link", "set", self._cable, "down")

    def plug_in(self):
        self._ip("link", "set", self._cable, "up")

    @staticmethod
    def _ip(*argv):
        subprocess.run(["ip", *argv], check=True, capture_output=True, text=True)
