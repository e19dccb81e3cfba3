# SPDX-License-Identifier: Apache-2.0
"""tools/image.py: what it writes is an image, the same bytes each time, and nothing is in it that should not be.

The binary is a small one made here; tests/e2e/image_test.py runs the real one out of its image."""

import gzip
import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
import tarfile

from lib import ROOT, contains, equal, main, test

TOOL = ROOT / "tools/image.py"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PT_LOAD, PT_INTERP, X86_64, ARM64, RISCV = 1, 3, 62, 183, 243


def elf(machine=X86_64, segments=(PT_LOAD,)):
    """A 64-bit little-endian program with these segments; it need not run."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56,
                                                             len(segments), 0, 0, 0)
    return header + b"".join(struct.pack("<I", kind) + bytes(52) for kind in segments) + b"the program"


def assemble(box, out="image", binary=None, exit=0, env=None, *more):
    given = box.path("binary")
    given.write_bytes(elf() if binary is None else binary)
    return box.run([sys.executable, TOOL, "--binary", given, "--out", box.path(out), "--certificates",
                    box.write("roots.pem", CERTIFICATE), *more], exit=exit, env=env)


def archive(box, out="image"):
    name, = os.listdir(box.path(out))
    return box.path(out) / name


def files(data):
    """{path: (TarInfo, bytes)} of a tar; no path twice."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        found = {member.name: (member, tar.extractfile(member).read() if member.isfile() else b"")
                 for member in members}
    equal(len(found), len(members), "paths of a tar")
    return found


class Image:
    """Read as a registry or an engine reads it: from index.json, by digests, each of which is checked."""

    def __init__(self, path):
        self.files = files(path.read_bytes())
        self.index = self.json("index.json")
        self.descriptor, = self.index["manifests"]
        self.manifest = json.loads(self.blob(self.descriptor))
        self.config = json.loads(self.blob(self.manifest["config"]))
        layer, = self.manifest["layers"]
        packed = self.blob(layer)
        self.layer = gzip.decompress(packed) if layer["mediaType"].endswith("+gzip") else packed
        self.content = files(self.layer)

    def json(self, name):
        return json.loads(self.files[name][1])

    def blob(self, descriptor):
        kind, _, digest = descriptor["digest"].partition(":")
        data = self.files[f"blobs/{kind}/{digest}"][1]
        equal((hashlib.sha256(data).hexdigest(), len(data)), (digest, descriptor["size"]), "blob and its descriptor")
        return data


@test("the archive is an OCI layout and a docker archive, and each digest is that of what it names")
def _(box):
    done = assemble(box)
    image = Image(archive(box))
    equal(image.json("oci-layout"), {"imageLayoutVersion": "1.0.0"})
    equal(image.config["rootfs"]["diff_ids"], ["sha256:" + hashlib.sha256(image.layer).hexdigest()])
    docker, = image.json("manifest.json")
    layer, = image.manifest["layers"]
    equal(docker["Config"], "blobs/" + image.manifest["config"]["digest"].replace(":", "/"))
    equal(docker["Layers"], ["blobs/" + layer["digest"].replace(":", "/")])
    blobs = {name for name in image.files if image.files[name][0].isfile() and name.startswith("blobs/")}
    equal(len(blobs), 3, "blobs: manifest, configuration, layer")
    contains(done.out, f"digest    {image.descriptor['digest']}\nimage id  {image.manifest['config']['digest']}\n")
    size = sum(len(image.files[name][1]) for name in blobs)
    contains(done.out, f"linux/amd64, {size / 1e6:.1f} MB to pull")


@test("in it are the program, the roots, a user and licences; all root's, and nothing that one could write but /tmp")
def _(box):
    assemble(box)
    image = Image(archive(box))
    folders = {name: oct(info.mode) for name, (info, _) in image.content.items() if info.isdir()}
    equal(folders, {**dict.fromkeys(["etc", "etc/ssl", "etc/ssl/certs", "usr", "usr/share", "usr/share/doc",
                                     "usr/share/doc/sluice"], "0o755"), "tmp": "0o1777"})
    regular = {name: oct(info.mode) for name, (info, _) in image.content.items() if info.isfile()}
    equal(regular, {"sluice": "0o755", **dict.fromkeys(
        ["etc/group", "etc/passwd", "etc/ssl/certs/ca-certificates.crt", "usr/share/doc/sluice/LICENSE",
         "usr/share/doc/sluice/NOTICE"], "0o644")})
    equal(len(folders) + len(regular), len(image.content), "neither links nor devices")
    equal({(info.uid, info.gid, info.mtime, info.uname) for info, _ in image.content.values()}, {(0, 0, 0, "")})
    equal(image.content["sluice"][1], elf())
    equal(image.content["etc/ssl/certs/ca-certificates.crt"][1].decode(), CERTIFICATE)
    contains(image.content["etc/passwd"][1].decode(), "\nsluice:x:65532:65532:")


@test("it runs as a user that is not root, by number, and says what it is")
def _(box):
    assemble(box, "image", None, 0, None, "--revision", "0123abc", "--name", "registry.test:5000/a/sluice:v1")
    image = Image(archive(box))
    config = image.config["config"]
    equal((config["User"], config["Env"], config["Entrypoint"]), ("65532:65532", ["PATH=/"], ["/sluice"]))
    version = re.search(r"project\(sluice VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    equal((labels["version"], labels["revision"], labels["licenses"]), (version, "0123abc", "Apache-2.0"))
    equal((image.config["architecture"], image.config["os"]), ("amd64", "linux"))
    equal(image.json("manifest.json")[0]["RepoTags"], ["registry.test:5000/a/sluice:v1"])
    equal(image.descriptor["annotations"], {"io.containerd.image.name": "registry.test:5000/a/sluice:v1",
                                            "org.opencontainers.image.ref.name": "v1"})


@test("a name without a host is the one that the kubelet looks for")
def _(box):
    sys.path.insert(0, str(ROOT / "tools"))
    from image import DEFAULT_HOST, full_name
    host = DEFAULT_HOST.partition("/")[0]
    equal([full_name(name) for name in ("sluice:1", "me/sluice:1", "localhost/sluice:1", "a.test/sluice:1", "a:5/b:1")],
          [f"{host}/library/sluice:1", f"{host}/me/sluice:1", "localhost/sluice:1", "a.test/sluice:1", "a:5/b:1"])


@test("the same inputs give the same bytes, wherever, whenever and as whomever they are put together")
def _(box):
    assemble(box, "one")
    one = archive(box, "one").read_bytes()
    os.utime(box.write("roots.pem", CERTIFICATE), (1, 1))
    previous = os.umask(0o077)
    try:
        assemble(box, "deep/er/two", None, 0, {"TZ": "America/New_York", "LANG": "C", "HOME": "/nonexistent"})
    finally:
        os.umask(previous)
    equal(hashlib.sha256(archive(box, "deep/er/two").read_bytes()).hexdigest(), hashlib.sha256(one).hexdigest())
    assemble(box, "three", None, 0, {"SOURCE_DATE_EPOCH": "1767225600"})
    three = Image(archive(box, "three"))
    equal(three.config["created"], "2026-01-01T00:00:00Z")
    equal({info.mtime for info, _ in three.content.values()}, {1767225600})
    assemble(box, "four", elf() + b"!")
    assert archive(box, "four").read_bytes() != one, "another program, the same bytes"


@test("an ARM program makes an ARM image")
def _(box):
    assemble(box, "image", elf(ARM64))
    image = Image(archive(box))
    equal((image.config["architecture"], image.descriptor["platform"]["architecture"]), ("arm64", "arm64"))


@test("what could not start in an empty image is refused, with the reason, and nothing is written")
def _(box):
    for binary, says in [(elf(segments=(PT_LOAD, PT_INTERP)), "dynamically linked"),
                         (b"#!/bin/sh\n" + bytes(100), "not a program for 64-bit Linux"), (b"", "not a program"),
                         (elf(RISCV), "machine 243")]:
        done = assemble(box, "image", binary, 1)
        contains(done.err, says)
        equal((done.err.count("\n"), os.path.exists(box.path("image"))), (1, False), says)
    done = box.run([sys.executable, TOOL, "--binary", box.path("missing"), "--out", box.path("image")], exit=1)
    contains(done.err, "No such file or directory; make build makes it")
    contains(assemble(box, "image", None, 1, {"SOURCE_DATE_EPOCH": "today"}).err, "seconds since 1970")
    contains(assemble(box, "image", None, 1, None, "--name", "Sluice").err, "accepted: NAME:TAG")
    box.write("roots.pem", "none")
    program = [sys.executable, TOOL, "--binary", box.path("binary"), "--certificates", box.path("roots.pem")]
    contains(box.run(program, exit=1).err, "no certificate in it")


@test("the trusted roots are those of Debian's package, not those that this machine's administrator added")
def _(box):
    listed = subprocess.check_output(["dpkg-query", "--listfiles", "ca-certificates"], text=True)
    packaged = [line for line in listed.splitlines() if line.endswith(".crt") and "/doc/" not in line]
    given = box.path("binary")
    given.write_bytes(elf())
    box.run([sys.executable, TOOL, "--binary", given, "--out", box.path("image")], exit=0)
    image = Image(archive(box))
    bundle = image.content["etc/ssl/certs/ca-certificates.crt"][1].decode()
    equal(bundle.count("-----BEGIN CERTIFICATE-----"), len(packaged), "certificates")
    for path in packaged:
        with open(path, encoding="ascii") as f:
            contains(bundle, f.read().strip(), path)
    contains(image.content["usr/share/doc/ca-certificates/copyright"][1].decode(), "MPL")


@test("deploy/Dockerfile describes the same image")
def _(box):
    assemble(box)
    image = Image(archive(box))
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ")
    final = text.split("FROM scratch\n")[1]
    config = image.config["config"]
    said = {key: value for key, _, value in (line.partition(" ") for line in final.splitlines()) if key}
    equal((said["ENV"], said["WORKDIR"], said["USER"]), (config["Env"][0], config["WorkingDir"], config["User"]))
    equal([json.loads(said[key]) for key in ("ENTRYPOINT", "CMD")], [config["Entrypoint"], config["Cmd"]])
    equal(sorted(said["EXPOSE"].split()), sorted(config["ExposedPorts"]))
    equal(dict(re.findall(r'(\S+)="([^"]*)"', said["LABEL"])), config["Labels"])
    for account in ("passwd", "group"):
        line = re.search(rf"printf '([^']*)' >etc/{account}", text)[1]
        equal(line.replace("\\n", "\n"), image.content[f"etc/{account}"][1].decode(), account)
    for path in image.content:
        if image.content[path][0].isfile() and path not in ("etc/passwd", "etc/group"):
            folder, _, name = path.rpartition("/")
            into = rf"install .*{re.escape(path)}|install .*-t {re.escape(folder)} .*/{re.escape(name)}\b"
            assert re.search(into, text), path


main()
