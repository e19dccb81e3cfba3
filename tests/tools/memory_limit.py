# SPDX-License-Identifier: Apache-2.0
"""A memory cgroup for a process of a test: what is over the limit is killed by the kernel, as in a container."""

import contextlib
import os
import pathlib
import time
import uuid

V1 = pathlib.Path("/sys/fs/cgroup/memory")
V2 = pathlib.Path("/sys/fs/cgroup")


class MemoryLimit:
    """cgroup v1 or v2, whichever the machine has; needs root. `kills()` is how often the kernel killed in it."""

    def __init__(self, box, size):
        self._box = box
        self._first = (V1 / "memory.limit_in_bytes").exists() or (V1 / "cgroup.procs").exists()
        self._folder = (V1 if self._first else V2) / f"sluice-{uuid.uuid4().hex[:8]}"
        self._folder.mkdir()
        if self._first:
            (self._folder / "memory.limit_in_bytes").write_text(str(size))
            with contextlib.suppress(OSError):  # only where swap is counted
                (self._folder / "memory.memsw.limit_in_bytes").write_text(str(size))
        else:
            (self._folder / "memory.max").write_text(str(size))
            (self._folder / "memory.swap.max").write_text("0")
        self.text = f"a cgroup {'v1' if self._first else 'v2'} of {size >> 20} MB"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self._folder.joinpath("cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), 9)
        for _ in range(200):
            with contextlib.suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.01)

    def add(self, pid):
        (self._folder / "cgroup.procs").write_text(str(pid))

    def kills(self):
        name = "memory.oom_control" if self._first else "memory.events"
        for line in (self._folder / name).read_text().splitlines():
            word, _, count = line.partition(" ")
            if word == "oom_kill":
                return int(count)
        return 0
