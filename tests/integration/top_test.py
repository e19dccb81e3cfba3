# SPDX-License-Identifier: Apache-2.0
"""sluice top on a terminal: live, ended by q or Ctrl-C, the terminal as it was."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from lib import BIN, contains, equal, main, test
from view import published_and_scaled


class Screen:
    def __init__(self, box, *args):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.popen = subprocess.Popen([str(BIN), *map(str, args)], stdin=theirs, stdout=theirs, stderr=theirs,
                                      cwd=box.dir, env={**box.env, "TERM": "xterm"}, start_new_session=True)
        self.theirs = theirs
        self.text = ""

    def read_until(self, condition, timeout=30):
        end = time.monotonic() + timeout
        while not condition(self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.ours], [], [], left)[0]:
                raise AssertionError(f"not on the screen in time:\n{self.text!r}")
            self.text += os.read(self.ours, 65536).decode(errors="replace")

    def end(self):
        try:
            code = self.popen.wait(20)
        finally:
            self.popen.kill()
        while select.select([self.ours], [], [], 0)[0]:
            self.text += os.read(self.ours, 65536).decode(errors="replace")
        after = termios.tcgetattr(self.theirs)
        os.close(self.ours)
        os.close(self.theirs)
        return code, after


@test("q ends it, the terminal is as before and the last frame stays")
def _(box):
    pool = published_and_scaled(box)
    screen = Screen(box, "top", "-f", pool)
    screen.read_until(lambda text: "q quits" in text and "orders" in text)
    os.write(screen.ours, b"q")
    code, after = screen.end()
    equal(code, 0)
    equal(after, screen.before, "terminal settings")
    contains(screen.text.rpartition("\x1b[?1049l")[2], "backlog")


@test("Ctrl-C ends it the same, and a resize does not")
def _(box):
    pool = published_and_scaled(box)
    screen = Screen(box, "top", "-f", pool)
    screen.read_until(lambda text: "q quits" in text)
    fcntl.ioctl(screen.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
    screen.popen.send_signal(signal.SIGWINCH)
    seen = len(screen.text)
    screen.read_until(lambda text: "sluice top" in text[seen:])
    screen.popen.send_signal(signal.SIGINT)
    code, after = screen.end()
    equal(code, 0)
    equal(after, screen.before, "terminal settings")


main()
