#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rabbit_image.py [OUT.tar] [NAME:TAG]: an image of RabbitMQ from this machine's Debian packages, in seconds.

For the test cluster, which pulls nothing. To a chart it is what the official image is: user 999, its data in
/var/lib/rabbitmq, management and prometheus enabled, configuration from /etc/rabbitmq/conf.d, the first login from
RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS, ports 5672, 15672 and 15692. Needs the packages of tools/setup test.
"""

import os
import pathlib
import platform
import re
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from image import Entry, ImageError, folder, with_parents, write  # noqa: E402

NAME = "sluice.test/rabbitmq:1"
USER = 999  # as in the official image
HOME = "var/lib/rabbitmq"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The server, and what its start script calls.
PACKAGES = ["rabbitmq-server", "dash", "coreutils", "sed", "grep", "hostname", "libc-bin"]
# Dependencies for their maintainer scripts, for cron, for tools that nobody calls in a container.
LEFT_OUT = {"adduser", "logrotate", "lsb-base", "openssl", "socat", "python3", "procps", "debconf", "debianutils",
            "dpkg", "sysvinit-utils", "tar"}
# Of a package only what runs, and its licence.
PASSED_OVER = re.compile(r"/usr/share/(?!doc/[^/]+/copyright$)|/etc/(?:init|cron|logrotate|default)"
                         r"|/lib/(?:systemd|udev)|/usr/lib/(?:ocf|systemd)|/usr/lib/[^/]+/(?:gconv|perl)/|.*\.a$")
FILES = [
    Entry("etc/passwd", f"root:x:0:0:root:/:/bin/sh\nrabbitmq:x:{USER}:{USER}::/{HOME}:/bin/sh\n".encode()),
    Entry("etc/group", f"root:x:0:\nrabbitmq:x:{USER}:\n".encode()),
    Entry("etc/nsswitch.conf", b"hosts: files dns\n"),
    Entry("etc/rabbitmq/enabled_plugins", b"[rabbitmq_management,rabbitmq_prometheus].\n"),
    Entry("etc/rabbitmq/conf.d/10-defaults.conf", b"loopback_users.guest = false\nlog.console = true\n"),
    folder(HOME, 0o1777, USER), folder("var/log/rabbitmq", 0o1777, USER), folder("tmp", 0o1777),
    folder("proc"), folder("sys"), folder("dev"),
]
CONFIG = {
    "User": f"{USER}:{USER}", "WorkingDir": "/",
    # As systemd's: the script becomes the Erlang machine, which ends in order on SIGTERM.
    "Env": ["PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin", f"HOME=/{HOME}", "LANG=C.UTF-8",
            "RUNNING_UNDER_SYSTEMD=true", "RABBITMQ_LOGS=-"],
    "Entrypoint": ["rabbitmq-server"], "ExposedPorts": {f"{port}/tcp": {} for port in (5672, 15672, 15692)}}


def installed():
    """{package: names of what it depends on, the alternatives of one together}, and {virtual package: real one}."""
    shown = subprocess.run(["dpkg-query", "--show", "--showformat",
                            "${db:Status-Status}|${Package}|${Depends}, ${Pre-Depends}|${Provides}\\n"],
                           capture_output=True, text=True, check=True).stdout
    needs, provides = {}, {}
    for line in shown.splitlines():
        status, package, depends, provided = line.split("|", 2)[:2] + line.split("|", 2)[2].rsplit("|", 1)
        if status == "installed":
            needs[package] = [_names(one, "|") for one in depends.split(",") if one.strip()]
            provides.update({name: package for name in _names(provided, ",")})
    return needs, provides


def _names(text, separator):
    return [one.split("(")[0].split(":")[0].strip() for one in text.split(separator) if one.strip()]


def closure():
    """Names of all packages whose files go in."""
    needs, provides = installed()
    found, left = set(), list(PACKAGES)
    for package in PACKAGES:
        if package not in needs:
            raise ImageError(f"Debian's package {package} is not installed: tools/setup test installs it")
    while left:
        package = left.pop()
        if package in found:
            continue
        found.add(package)
        for alternatives in needs[package]:
            if not LEFT_OUT.intersection(alternatives):
                left += [provides.get(name, name) for name in alternatives if provides.get(name, name) in needs][:1]
    return sorted(found)


def entries(packages):
    listed = subprocess.run(["dpkg-query", "--listfiles", *packages], capture_output=True, text=True, check=True).stdout
    found = list(FILES)
    # Debian's merged /usr: its packages still say /bin/sh.
    links = [link for link in ("bin", "lib", "lib64", "sbin") if os.path.islink(f"/{link}")]
    found += [Entry(link, kind=tarfile.SYMTYPE, link=os.readlink(f"/{link}")) for link in links]
    for path in sorted(set(listed.splitlines())):
        if path.startswith("/") and not PASSED_OVER.match(path):
            found += _entry(pathlib.Path(path))
    return with_parents(found)


def _entry(path):
    # The folder's own path: what a package calls /lib/x is in /usr/lib. The last part may be a link that has to stay.
    inside = str(path.parent.resolve() / path.name).lstrip("/")
    if path.is_symlink():
        return [Entry(inside, kind=tarfile.SYMTYPE, link=os.readlink(path))]
    if path.is_file():
        return [Entry(inside, path.read_bytes(), path.stat().st_mode & 0o755)]
    return []  # folders come with what is in them


def make(out, name=NAME):
    """Writes the archive. Returns the number of packages and the Image."""
    packages = closure()
    pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
    made = write(out, name, entries(packages), CONFIG, ARCHITECTURES[platform.machine()], compress=False)
    return len(packages), made


def main():
    if len(sys.argv) > 3 or any(word.startswith("-") for word in sys.argv[1:]):
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/e2e/rabbitmq.tar")
    name = sys.argv[2] if len(sys.argv) > 2 else NAME
    try:
        count, made = make(out, name)
    except (ImageError, OSError) as problem:
        sys.exit(f"rabbit_image: {problem}")
    print(f"{out}: {name} of {count} packages, {made.unpacked / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
