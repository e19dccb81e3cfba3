#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the container image together from the static release binary, without a container engine (make image).

The result is one archive that is both an OCI image layout and what `docker save` writes, so that every tool takes it:

    docker load -i FILE · podman load -i FILE · kind load image-archive FILE · minikube image load FILE
    ctr -n k8s.io images import FILE · skopeo copy oci-archive:FILE docker://REGISTRY/NAME:TAG

In the image: /sluice, the trusted roots, a user, licences, an empty /tmp. No shell, no libc, no package manager; names
are resolved by c-ares, which needs no nsswitch.conf, and times are UTC, which needs no time zones.

Same inputs, same bytes: entries are sorted, times are SOURCE_DATE_EPOCH (default 0), nothing says who built it where.
The compressor is Python's zlib; the image id is of what is in it, uncompressed, and so does not depend on that either.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
USER = 65532  # what distroless images call nonroot; beyond the ids that systems give away
MACHINES = {62: "amd64", 183: "arm64"}  # e_machine of ELF
PT_INTERP = 3
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
# What a name without a host means to containerd and with it to the kubelet, which look for it by its whole name.
DEFAULT_HOST = "docker.io/library"  # tidy: allow(host) a name, nothing is fetched from there


class ImageError(Exception):
    """One sentence: what is wrong, and what would be right."""


class Entry(NamedTuple):
    path: str  # in the image, without a slash before it
    data: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    owner: int = 0  # user and group


def folder(path, mode=0o755, owner=0):
    return Entry(path, mode=mode, kind=tarfile.DIRTYPE, owner=owner)


class Image(NamedTuple):
    id: str  # digest of the configuration: docker's image id
    digest: str  # of the manifest: what a registry calls it
    size: int  # of all blobs, in bytes: what is pulled
    unpacked: int


# The format


def with_parents(entries):
    """Sorted by path, each folder named before what is in it, the last of two entries of one path kept."""
    found = {}
    for entry in entries:
        found[entry.path] = entry
    for path in list(found):
        for parent in pathlib.PurePosixPath(path).parents:
            if str(parent) != ".":
                found.setdefault(str(parent), folder(str(parent)))
    return [found[path] for path in sorted(found)]


def pack(entries, when=0):
    """A tar of these, the same bytes for the same entries whatever machine it is made on."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode, info.type, info.linkname, info.size = entry.mode, entry.kind, entry.link, len(entry.data)
            info.uid = info.gid = entry.owner
            info.mtime = when
            tar.addfile(info, io.BytesIO(entry.data))
    return packed.getvalue()


def full_name(name):
    """NAME:TAG with the host that a name without one stands for."""
    first, slash, _ = name.partition("/")
    has_host = slash and ("." in first or ":" in first or first == "localhost")
    return name if has_host else f"{DEFAULT_HOST.partition('/')[0] if slash else DEFAULT_HOST}/{name}"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def write(out, name, entries, config, architecture, when=0, compress=True):
    """Writes the archive OUT of an image NAME:TAG with one layer. `config` is the OCI configuration's `config`.

    compress=False is quicker to make and to import, for an image that is never pulled."""
    layer = pack(with_parents(entries), when)
    blob = gzip.compress(layer, compresslevel=9, mtime=0) if compress else layer
    stamp = datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    configuration = _json({
        "architecture": architecture, "os": "linux", "created": stamp, "config": config,
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
        "history": [{"created": stamp, "created_by": "tools/image.py"}]})
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
    manifest = _json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", configuration),
        "layers": [_descriptor(kind, blob)]})
    tag = name.rpartition(":")[2]
    index = _json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{**_descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
                       "platform": {"architecture": architecture, "os": "linux"},
                       "annotations": {"io.containerd.image.name": full_name(name),
                                       "org.opencontainers.image.ref.name": tag}}]})
    docker = _json([{"Config": _blob(configuration), "RepoTags": [name], "Layers": [_blob(blob)]}])
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": index, "manifest.json": docker,
             **{_blob(data): data for data in (configuration, manifest, blob)}}
    # All at once, so that nobody meets half an archive.
    half = pathlib.Path(f"{out}.half")
    half.write_bytes(pack(with_parents([Entry(path, data) for path, data in files.items()]), when))
    half.replace(out)
    return Image(sha256(configuration), sha256(manifest), len(configuration) + len(manifest) + len(blob), len(layer))


def _descriptor(kind, data):
    return {"mediaType": kind, "digest": sha256(data), "size": len(data)}


def _blob(data):
    return "blobs/" + sha256(data).replace(":", "/")


# What goes into sluice's


def static_binary(path):
    """(its bytes, the architecture it is for). Refuses what would need a file of the system to start."""
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as problem:
        raise ImageError(f"{path}: {problem.strerror}; make build makes it") from None
    if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01":
        raise ImageError(f"{path}: not a program for 64-bit Linux; accepted: what make build leaves")
    machine, = struct.unpack_from("<H", data, 18)
    if machine not in MACHINES:
        raise ImageError(f"{path}: for machine {machine} of ELF; accepted: x86-64 (62) and AArch64 (183)")
    start, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, = struct.unpack_from("<I", data, start + number * size)
        if kind == PT_INTERP:
            raise ImageError(f"{path}: dynamically linked, and the image has no libraries; accepted: the static binary "
                             "that make build leaves at build/release/sluice")
    return data, MACHINES[machine]


def debian_roots():
    """(PEM bundle, its licence) of Debian's ca-certificates as it was packaged.

    Not the machine's own /etc/ssl/certs: that has what its administrator added, such as the authority of a proxy that
    reads all traffic, and nobody who runs the image has agreed to trust it."""
    listed = subprocess.run(["dpkg-query", "--listfiles", "ca-certificates"], capture_output=True, text=True)
    paths = sorted(line for line in listed.stdout.splitlines()
                   if line.startswith("/usr/share/ca-certificates/") and line.endswith(".crt"))
    if listed.returncode != 0 or not paths:
        raise ImageError("Debian's package ca-certificates is not installed (tools/setup build installs it); elsewhere "
                         "give a bundle with --certificates FILE")
    bundle = b"".join(pathlib.Path(path).read_bytes().rstrip() + b"\n" for path in paths)
    if bundle.count(b"-----BEGIN CERTIFICATE-----") != len(paths):
        raise ImageError("ca-certificates: not one certificate in each of its files; install the package again")
    return bundle, pathlib.Path("/usr/share/doc/ca-certificates/copyright").read_bytes()


def given_roots(path):
    try:
        bundle = pathlib.Path(path).read_bytes()
    except OSError as problem:
        raise ImageError(f"{path}: {problem.strerror}") from None
    if b"-----BEGIN CERTIFICATE-----" not in bundle:
        raise ImageError(f"{path}: no certificate in it; accepted: PEM, -----BEGIN CERTIFICATE-----")
    return bundle


def sluice_entries(binary, roots, roots_licence=None):
    entries = [
        Entry("sluice", binary, 0o755),
        Entry(BUNDLE, roots),
        # Programs that ask who they are find a name; nobody can log in.
        Entry("etc/passwd", f"root:x:0:0:root:/:/nologin\nsluice:x:{USER}:{USER}:sluice:/:/nologin\n".encode()),
        Entry("etc/group", f"root:x:0:\nsluice:x:{USER}:\n".encode()),
        folder("tmp", 0o1777),
        *(Entry(f"usr/share/doc/sluice/{name}", (ROOT / name).read_bytes()) for name in ("LICENSE", "NOTICE")),
    ]
    if roots_licence:
        entries.append(Entry("usr/share/doc/ca-certificates/copyright", roots_licence))
    return entries


def sluice_config(version, revision=None):
    labels = {"title": "sluice", "description": "Scales queue workers: as many as the backlog needs, none killed",
              "version": version, "licenses": "Apache-2.0"}
    if revision:
        labels["revision"] = revision
    return {
        "User": f"{USER}:{USER}",  # as numbers: only then can a cluster see that it is not root
        "Env": ["PATH=/"],
        "Entrypoint": ["/sluice"], "Cmd": ["--help"], "WorkingDir": "/",
        "ExposedPorts": {"7171/tcp": {}, "7172/tcp": {}},  # of the controller and of a worker
        "Labels": {f"org.opencontainers.image.{key}": value for key, value in labels.items()}}


def project_version():
    return re.search(r"^project\(sluice VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)[1]


def source_date():
    text = os.environ.get("SOURCE_DATE_EPOCH", "") or "0"
    if not text.isdigit():
        raise ImageError(f"SOURCE_DATE_EPOCH: {text!r}; accepted: seconds since 1970, digits only")
    return int(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/sluice",
                        help="the static binary (default: build/release/sluice)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/image",
                        help="the folder of the archive sluice-VERSION.tar (default: build/image)")
    parser.add_argument("--name", help="NAME:TAG inside the archive (default: sluice:VERSION)")
    parser.add_argument("--revision", help="the commit, for the label org.opencontainers.image.revision")
    parser.add_argument("--certificates", type=pathlib.Path,
                        help="a PEM bundle of trusted roots (default: those of Debian's package ca-certificates)")
    arguments = parser.parse_args()
    version = project_version()
    name = arguments.name or f"sluice:{version}"
    try:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._/:-]*:[\w][\w.-]{0,127}", name):
            raise ImageError(f"--name: {name!r}; accepted: NAME:TAG such as registry.test/sluice:1, in small letters")
        binary, architecture = static_binary(arguments.binary)
        given = arguments.certificates
        roots, licence = (given_roots(given), None) if given else debian_roots()
        arguments.out.mkdir(parents=True, exist_ok=True)
        out = arguments.out / f"sluice-{version}.tar"
        made = write(out, name, sluice_entries(binary, roots, licence), sluice_config(version, arguments.revision),
                     architecture, source_date())
    except (ImageError, OSError) as problem:
        sys.exit(f"image: {problem}")
    shown = os.path.relpath(out)
    print(f"{shown}: {name}, linux/{architecture}, "
          f"{made.size / 1e6:.1f} MB to pull, {made.unpacked / 1e6:.1f} unpacked\n"
          f"digest    {made.digest}\nimage id  {made.id}\n"
          f"load it   docker load -i {shown} · kind load image-archive {shown} · ctr -n k8s.io images import {shown}")


if __name__ == "__main__":
    main()
