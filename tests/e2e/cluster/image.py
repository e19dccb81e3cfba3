#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""image.py OUT.tar NAME:TAG [FILE=PATH_IN_IMAGE ...]: an image of busybox and these files, without a container engine.

It is the archive that `docker save` writes, which containerd imports. A FILE that is dynamically linked brings the
libraries along that ldd names. Without a command it sleeps, so that it serves as the sandbox of a pod too.
"""

import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile

BUSYBOX = "/bin/busybox"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
FOLDERS = ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "var")
FILES = {"etc/passwd": b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
         "etc/group": b"root:x:0:\nnogroup:x:65534:\n"}


def _read(path):
    with open(path, "rb") as f:
        return f.read()


def _libraries(path):
    """Paths of what a dynamically linked program loads; none for a static one, which ldd refuses."""
    told = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    return {word for line in told.splitlines() for word in line.split() if word.startswith("/")}


def _layer(files):
    """A tar with busybox, a link for each of its commands, and these {path in the image: bytes}."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        def put(path, data=b"", mode=0o755, kind=tarfile.REGTYPE, link=""):
            entry = tarfile.TarInfo(path)
            entry.mode, entry.type, entry.linkname, entry.size = mode, kind, link, len(data)
            tar.addfile(entry, io.BytesIO(data))

        for folder in FOLDERS:
            put(folder, mode=0o1777 if folder == "tmp" else 0o755, kind=tarfile.DIRTYPE)
        put("bin/busybox", _read(BUSYBOX))
        for command in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
            if command != "busybox" and f"bin/{command}" not in files:
                put(f"bin/{command}", kind=tarfile.SYMTYPE, link="busybox")
        for path, data in FILES.items():
            put(path, data, mode=0o644)
        for path, data in sorted(files.items()):
            put(path, data)
    return packed.getvalue()


def write(out, name, files=None):
    """`files` is {path in the image: path here}."""
    inside = {path.lstrip("/"): str(source) for path, source in (files or {}).items()}
    for library in sorted(set().union(*map(_libraries, inside.values()))):
        inside.setdefault(library.lstrip("/"), library)
    layer = _layer({path: _read(source) for path, source in inside.items()})
    config = json.dumps({
        "architecture": ARCHITECTURES[platform.machine()], "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Entrypoint": ["/bin/sleep"], "Cmd": ["1000000"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(out, "w") as tar:
        for path, data in (("layer.tar", layer), (config_name, config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def main():
    if len(sys.argv) < 3 or not all("=" in word for word in sys.argv[3:]):
        sys.exit(__doc__)
    write(sys.argv[1], sys.argv[2], {path: source for source, _, path in (w.partition("=") for w in sys.argv[3:])})


if __name__ == "__main__":
    main()
