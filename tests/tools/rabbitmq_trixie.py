# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ 4.0, unpacked from Debian 13 (trixie) into a folder of its own: SLUICE_CACHE, or ~/.cache/sluice.

Made once, with the mirror that apt is configured with. debootstrap fetches and verifies the packages and they are only
unpacked: no maintainer script runs, so no service can start, and nothing here is more than files. Needs root, for
chroot and a mount namespace.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

SUITE = "trixie"
DATA = "/srv"  # where a broker's own folder is seen inside

# $0 is the root, $1 the broker's folder, the rest the program. The mounts are gone with the process, however it ends.
ENTER = f"""set -e
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
mount --bind "$1" "$0{DATA}"
shift
exec chroot "$0" "$@"
"""


def root_folder():
    """The unpacked root. The first call makes it, which takes a minute or two and is said on stderr."""
    if os.geteuid() != 0:
        raise RuntimeError("RabbitMQ 4.0 runs in a chroot, for which one must be root")
    cache = pathlib.Path(os.environ.get("SLUICE_CACHE") or pathlib.Path.home() / ".cache/sluice")
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / f"rabbitmq-{SUITE}"
    with open(cache / f"rabbitmq-{SUITE}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test may be making it
        if not root.exists():
            half = cache / f"rabbitmq-{SUITE}.half"
            shutil.rmtree(half, ignore_errors=True)
            _make(half)
            half.rename(root)
    return root


def enter(root, folder, argv):
    """The command line that runs `argv` inside, `folder` being /srv there. Its pid is the program's own."""
    return ["unshare", "--mount", "--propagation", _propagation(), "sh", "-c", ENTER, str(root), str(folder), *argv]


def _propagation():
    """Private, where / is a mount; in a chroot it may be none, and then nothing of it is shared either."""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        return "private" if any(line.split()[4] == "/" for line in mounts) else "unchanged"


def _make(root):
    for tool, package in (("debootstrap", "debootstrap"), ("dpkg-deb", "dpkg"), ("unshare", "util-linux")):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is not installed: apt-get install {package}")
    root.mkdir()
    _say(f"fetching RabbitMQ 4.0 from Debian {SUITE}, once; about 350 MB below {root.parent}")
    with open(root.with_suffix(".log"), "w+", encoding="utf-8") as log:
        # --foreign: fetches all, unpacks the first packages, runs nothing.
        options = ["--foreign", "--variant=minbase", "--include=rabbitmq-server"]
        _run(["debootstrap", *options, SUITE, root, _mirror()], log)
        packages = sorted((root / "var/cache/apt/archives").glob("*.deb"))
        _say(f"unpacking {len(packages)} packages")
        for package in packages:
            _run(["dpkg-deb", "--extract", package, root], log)
    shutil.rmtree(root / "debootstrap")
    shutil.rmtree(root / "var/cache/apt/archives")
    # What maintainer scripts would have made of it, as far as a broker needs it.
    (root / DATA.lstrip("/")).mkdir(exist_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    if not (root / "usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        raise RuntimeError(f"{root} has no rabbitmq-server")
    _say("ready")


def _run(argv, log):
    environment = {**os.environ, **_proxies(), "LC_ALL": "C.UTF-8"}
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    if done.returncode != 0:
        log.seek(0)
        end = "".join(log.readlines()[-15:])
        raise RuntimeError(f"{argv[0]} failed (exit {done.returncode}); the end of {log.name}:\n{end}")


def _mirror():
    """The Debian mirror of apt's own configuration: where the running release's main packages come from."""
    with open("/etc/os-release", encoding="utf-8") as f:
        release = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line).get("VERSION_CODENAME", "")
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI) $(ORIGIN)",
                             "Created-By: Packages"], capture_output=True, text=True).stdout
    found = [words for words in (line.split() for line in listed.splitlines())
             if len(words) >= 3 and words[0] == release.strip('"') and words[1] == "main"]
    found.sort(key=lambda words: "Debian" not in words[3:])  # its own mirror first; the origin is known after an update
    if not found:
        raise RuntimeError("apt's configuration names no mirror of this Debian release (apt-get indextargets)")
    return found[0][2]


def _proxies():
    """apt's proxy, for debootstrap's wget."""
    found = {}
    for scheme in ("http", "https"):
        with contextlib.suppress(OSError):
            done = subprocess.run(["apt-config", "shell", "V", f"Acquire::{scheme}::Proxy"], capture_output=True,
                                  text=True)
            value = done.stdout.strip().removeprefix("V=").strip("'\"")
            if value and value != "DIRECT":
                found[f"{scheme}_proxy"] = value
    return found


def _say(text):
    print(f"rabbitmq: {text}", file=sys.stderr, flush=True)
