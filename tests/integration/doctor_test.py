# SPDX-License-Identifier: Apache-2.0
"""sluice doctor, and the pages that are generated: man, completion, reference."""

import os
import re
import subprocess

from lib import ROOT, contains, equal, main, test
from view import published_and_scaled


def codes(done):
    return {line["code"] for line in done.json if line["event"] == "check" and line["code"]}


@test("a sound set-up is exit 0 without a failure")
def _(box):
    pool = published_and_scaled(box)
    done = box.sluice("doctor", "-f", pool, "-o", "json", exit=0)
    equal(done.json[-1]["failed"], 0)
    contains(box.sluice("doctor", "-f", pool, exit=0).out, "√ " + str(pool) + " is valid")


@test("each thing that is wrong has its code, and what repairs it works when typed")
def _(box):
    pool = box.pool(workers={"max": 3, "run": {"command": ["sluice", "work", "--exec", "./handle"]},
                             "process": {"nodes": {"max": 1, "slots": 1}}})
    done = box.sluice("doctor", "-f", pool, "-o", "json", exit=1)
    equal({"D010", "D021", "D022"} <= codes(done), True, f"codes {codes(done)}")
    box.write("handle", "#!/bin/sh\n", mode=0o644)
    found = box.sluice("doctor", "-f", pool, "-o", "json", exit=1).json
    finding = next(line for line in found if line.get("code") == "D021")
    subprocess.run(finding["fix"].split(), check=True)
    equal("D021" in codes(box.sluice("doctor", "-f", pool, "-o", "json", exit=0)), False, "D021 after its fix")


@test("a file with mistakes, a damaged queue and messages nobody takes are found")
def _(box):
    bad = box.write("bad.yaml", "apiVersion: sluice.dev/v1alpha1\nkind: WorkerPol\n")
    equal(codes(box.sluice("doctor", "-f", bad, "-o", "json", exit=1)), {"D001"})
    pool = box.pool()
    box.sluice("publish", "-f", pool, "--count", 1, exit=0)
    equal("D015" in codes(box.sluice("doctor", "-f", pool, "-o", "json", exit=0)), True, "D015")
    content = bytearray(box.path("orders.db").read_bytes())
    content[len(content) // 2] ^= 0xFF
    box.path("orders.db").write_bytes(content)
    equal("D011" in codes(box.sluice("doctor", "-f", pool, "-o", "json", exit=1)), True, "D011")


@test("the reference pages are what the binary generates, and every code of the source is listed")
def _(box):
    for page in ("cli", "metrics", "doctor"):
        path = ROOT / f"docs/reference/{page}.md"
        text = box.sluice("man", "--markdown", page, exit=0).out
        if os.environ.get("SNAP_UPDATE") == "1":
            path.write_text(text)
        equal(path.read_text() == text, True, f"{path.name} is current (SNAP_UPDATE=1 writes it)")
    listed = set(re.findall(r"^\| (D\d+) \|", text, re.M))
    used = set(re.findall(r'"(D\d{3})"', (ROOT / "src/app/doctor_checks.cc").read_text()))
    equal(used - listed, set(), "codes without a line")


@test("the manual page has every verb, and the completion of bash parses and knows them")
def _(box):
    verbs = re.findall(r"^  (\w+)  +\S", box.sluice("--help", exit=0).out, re.M)
    page = box.sluice("man", exit=0).out
    for verb in verbs:
        contains(page, f".SS sluice {verb}\n")
    script = box.write("sluice.bash", box.sluice("completion", "bash", exit=0).out)
    probe = (f"source {script}; COMP_WORDS=(sluice sta); COMP_CWORD=1; _sluice; echo ${{COMPREPLY[@]}};"
             "COMP_WORDS=(sluice decide --jou); COMP_CWORD=2; _sluice; echo ${COMPREPLY[@]}")
    equal(box.run(["bash", "-c", probe], exit=0).out.split(), ["status", "--journal"])
    contains(box.sluice("completion", "bsh", exit=2).err, "did you mean bash?")


main()
