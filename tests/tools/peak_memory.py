# SPDX-License-Identifier: Apache-2.0
"""The most memory that a process has had, and what a program needs before it does anything."""

import functools
import os
import re


def peak(pid):
    """In kB; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])
    except (OSError, TypeError):
        return 0


def nothing_done(program, environment):
    """Of a process that only says its version, in kB. `environment`: beside ours."""
    return _nothing_done(str(program), tuple(environment.items()))


@functools.cache
def _nothing_done(program, environment):
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(program, [program, "--version"], {**os.environ, **dict(environment)}, file_actions=quiet)
    return os.wait4(pid, 0)[2].ru_maxrss
