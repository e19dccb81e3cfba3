# SPDX-License-Identifier: Apache-2.0
"""What every tool and integration script waits with, and the ports it takes."""

import random
import socket
import time

_taken = set()


def wait_until(condition, timeout=10.0, what="the condition", every=0.01):
    """Returns the first true value of condition(); fails naming `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s for {what}, in vain")
        time.sleep(every)


def free_port():
    """A loopback TCP port that nobody listens on now, never the same one twice.

    Not port 0: the kernel would give one of those it also gives to outgoing connections, and a server that is down for
    a moment, as many here are on purpose, would find its own port in use.
    """
    while True:
        port = random.randrange(20000, _first_ephemeral())
        if port not in _taken and _can_listen(port):
            _taken.add(port)
            return port


def _can_listen(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def _first_ephemeral():
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
            return max(20100, int(f.read().split()[0]))
    except (OSError, ValueError):
        return 32768  # Linux' own default
