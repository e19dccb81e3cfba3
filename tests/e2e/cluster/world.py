# SPDX-License-Identifier: Apache-2.0
"""A small world of its own on this machine: network, mounts, process ids and a cgroup that nothing outside shares.

    world = World.create(folder, bin)
    world.start("etcd", [program, ...], log)   # left running in there
    with world.network():                      # this thread opens sockets in there
        connect(("10.88.0.1", 6443))
    world.destroy()                            # all of it: processes, mounts, links, firewall rules, cgroups

It hangs on one process, the first of its process namespace. When that is killed the kernel kills every other in there,
pods included, and with the last one go mounts, links and routes: nothing has to be undone one by one, and nothing is
left when somebody forgot. Only the cgroups are the machine's; who waits outside for the first process removes them.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import uuid

BRIDGE, HOST, PODS = "sl0", "10.88.0.1", "10.88.0.0/24"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000  # linux/sched.h
END_SECONDS = 20.0  # how long the kernel may take to end all of it; it takes 0.1 s, and longer when memory is short

# What the kubelet wants to find, and would else write, for the whole machine. In here it finds it.
SYSCTLS = {"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
           "kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000"}

# Folders that the programs in there write to whatever they are told. In there each is an empty one, in memory.
OWN_FOLDERS = ["/run", "/var/lib", "/var/log"]

AS_NAMED = 'exec -a "$0" "$@"'
# Outlives whoever made the world: when the world has ended, its cgroups and, if it was tied, its folder go.
KEEPER = """
name=$1 folder=$2
shift 2
"$@"
find /sys/fs/cgroup/"$name" /sys/fs/cgroup/*/"$name" -depth -type d -delete 2>/dev/null
[ -z "$folder" ] || rm -rf "$folder"
"""

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def began(pid):
    """When a process began, in ticks since boot: with its id it names one process for ever. None: there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _children(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []  # gone since


class World:
    def __init__(self, folder, name, first, first_began):
        self.folder, self.name = pathlib.Path(folder), name
        self._first, self._began = first, first_began
        self._keeper = None  # where it is a child of ours

    @classmethod
    def create(cls, folder, tools, tied=False):
        """`tools` is the program cluster-tools. tied: the world ends with this process, however that ends, and takes
        its folder along."""
        folder = pathlib.Path(folder).resolve()
        if any(folder.is_relative_to(path) for path in OWN_FOLDERS):
            raise ValueError(f"{folder} would not be seen in there; accepted: one outside {', '.join(OWN_FOLDERS)}")
        name = f"sluice-e2e-{uuid.uuid4().hex[:8]}"
        argv = ["sh", "-c", KEEPER, "sh", name, str(folder) if tied else "",
                "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
                str(tools), "init", *(["--until-eof"] if tied else [])]
        with open(folder / "world.log", "ab") as log:
            keeper = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True,
                                      stdin=subprocess.PIPE if tied else subprocess.DEVNULL)
        first = cls._first_of(keeper, folder / "world.log")
        world = cls(folder, name, first, began(first))
        world._keeper = keeper
        (folder / "world.json").write_text(json.dumps({"name": name, "first": first, "began": world._began}))
        try:
            world._furnish()
        except BaseException:
            world.destroy()
            raise
        return world

    @classmethod
    def find(cls, folder):
        """The world of this folder, dead or alive; None if there never was one."""
        try:
            known = json.loads((pathlib.Path(folder) / "world.json").read_text())
        except (OSError, ValueError):
            return None
        return cls(folder, known["name"], known["first"], known["began"])

    @staticmethod
    def _first_of(keeper, log):
        """The child of the keeper's child, once it is the program it is to be."""
        end = time.monotonic() + END_SECONDS
        while time.monotonic() < end:
            if keeper.poll() is not None:
                raise RuntimeError(f"no namespaces could be made: {log.read_text(errors='replace').strip()}")
            for pid in (first for unshare in _children(keeper.pid) for first in _children(unshare)):
                with contextlib.suppress(OSError):
                    if b"cluster-tools" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                        return pid
            time.sleep(0.005)
        keeper.kill()
        raise RuntimeError(f"no namespaces within {END_SECONDS:g} s")

    def _furnish(self):
        for argv in (["link", "set", "lo", "up"], ["link", "add", BRIDGE, "type", "bridge"],
                     ["addr", "add", f"{HOST}/24", "dev", BRIDGE], ["link", "set", BRIDGE, "up"]):
            self.run(["ip", *argv])
        for path in OWN_FOLDERS:
            self.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path])
        values = self.folder / "sysctl"
        values.mkdir(exist_ok=True)
        for key, value in SYSCTLS.items():
            file = values / key.replace("/", ".")
            file.write_text(value + "\n")
            if os.path.exists(f"/proc/sys/{key}"):
                self.run(["mount", "--bind", file, f"/proc/sys/{key}"])
        self.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])  # of this network alone
        self._make_cgroups()

    # Cgroups

    def _make_cgroups(self):
        if (CGROUPS / "cgroup.controllers").exists():  # version 2
            available = (CGROUPS / "cgroup.controllers").read_text().split()
            (CGROUPS / self.name).mkdir()
            for folder in (CGROUPS, CGROUPS / self.name):
                (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in available))
            return
        for hierarchy in self._hierarchies():
            made = hierarchy / self.name
            made.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # a child's begin empty, and then take no process
                if (hierarchy / name).exists():
                    (made / name).write_text((hierarchy / name).read_text())

    @staticmethod
    def _hierarchies():
        return [path for path in CGROUPS.iterdir() if path.is_dir() and path.name != "unified" and not path.is_symlink()
                and (path / "cgroup.procs").exists()]

    def cgroups(self):
        """Every folder of its cgroups that is there, the deepest first."""
        tops = [CGROUPS / self.name, *(path / self.name for path in CGROUPS.iterdir() if path.is_dir())]
        return [pathlib.Path(folder) for top in tops for folder, _, _ in os.walk(top, topdown=False)]

    # Processes

    @property
    def alive(self):
        return self._began is not None and began(self._first) == self._began

    def command(self, argv, names=True):
        """What runs a program in its network alone, as the process that is started: by its id it can be killed. names:
        it resolves names as pods do, by /etc/resolv.conf."""
        enter = ["nsenter", f"--net=/proc/{self._first}/ns/net"]
        if names:
            enter += ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"',
                      str(self.folder / "resolv.conf")]
        return [*enter, *map(str, argv)]

    def run(self, argv, check=True, **options):
        """Runs a program in there to its end; its output is the result's `stdout`. A failure names the program."""
        options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 120, **options}
        if "input" in options:
            del options["stdin"]
        done = subprocess.run(self._inside(argv), **options)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {(done.stderr or '').strip()}")
        return done

    def start(self, name, argv, log, env=None):
        """Leaves a program running in there, known by `name` as its argv[0]; not if it runs already."""
        if self.pid_of(name):
            return
        known = ["setsid", "--fork", "bash", "-c", AS_NAMED, name, *argv]
        with open(log, "ab") as out:
            subprocess.run(self._inside(known), stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True,
                           env={**os.environ, **(env or {})}, timeout=120)

    def _inside(self, argv):
        """Every namespace of it. The program is a child of nsenter, since a process never changes its own id."""
        return ["nsenter", f"--target={self._first}", "--net", "--mount", "--pid", "--", *map(str, argv)]

    def processes(self):
        """{pid, as seen from outside: argv} of every process in there, those of pods too, the first excepted, zombies
        not counted."""
        if not self.alive:
            return {}
        inside = self._inhabitants()
        found = {}
        for pid in inside - {self._first}:
            with contextlib.suppress(OSError):  # gone since
                argv = pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
                if argv and began(pid) is not None:
                    found[pid] = argv
        return found

    def _inhabitants(self):
        """Ids of all whose process or network namespace is its own, and of their children: a pod has others."""
        inodes = {kind: os.stat(f"/proc/{self._first}/ns/{kind}").st_ino for kind in ("pid", "net")}
        inside, parents = set(), {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            with contextlib.suppress(OSError):  # gone since
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace")
                parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
                if any(os.stat(f"/proc/{entry}/ns/{kind}").st_ino == inode for kind, inode in inodes.items()):
                    inside.add(int(entry))
        while more := {pid for pid, parent in parents.items() if parent in inside} - inside:
            inside |= more
        return inside

    def pid_of(self, name):
        """The process that start() left under this name; None if it is gone."""
        return next((pid for pid, argv in self.processes().items()
                     if argv[0] == name or (AS_NAMED in argv and name in argv)), None)  # the shell that becomes it

    @contextlib.contextmanager
    def network(self):
        """What this thread opens or starts inside the `with` is in its network, and stays there: sockets, threads,
        processes."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            inside = os.open(f"/proc/{self._first}/ns/net", os.O_RDONLY)
            try:
                _setns(inside)
            finally:
                os.close(inside)
            try:
                yield
            finally:
                _setns(outside)
        finally:
            os.close(outside)

    # The end

    def destroy(self):
        """Ends all of it, what runs in its network from outside too, and waits until the kernel has. Nothing to do is
        no error."""
        left = {pid: began(pid) for pid in (self._inhabitants() if self.alive else ())}
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._keeper is not None:
            self._keeper.wait(END_SECONDS)
        end = time.monotonic() + END_SECONDS
        while left or not self._remove_cgroups():
            left = {pid: since for pid, since in left.items() if since and began(pid) == since}
            if time.monotonic() > end:
                raise RuntimeError(f"after {END_SECONDS:g} s there are still processes {sorted(left)}, "
                                   f"cgroups {[str(path) for path in self.cgroups()]}")
            time.sleep(0.01)
        shutil.rmtree(self.folder / "sysctl", ignore_errors=True)
        (self.folder / "world.json").unlink(missing_ok=True)

    def _remove_cgroups(self):
        """False while one is still in use."""
        for folder in self.cgroups():
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return False
        return True
