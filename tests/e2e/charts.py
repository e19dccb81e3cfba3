# SPDX-License-Identifier: Apache-2.0
"""Rendered charts as objects, for tests: by the real Helm, read by the real kubectl, without a cluster.

    objects = render("sluice", "scope=cluster", "replicas=3")
    role, = kind(objects, "Role")
"""

import json
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHARTS = ROOT / "deploy/charts"
# Built for the test cluster by tests/e2e/cluster/kube/build.sh; else those of this machine.
BIN = pathlib.Path(os.environ.get("SLUICE_E2E_BIN", ROOT / "build/e2e/bin"))


class ChartError(Exception):
    """What Helm said."""


def _program(name):
    built = BIN / name
    found = str(built) if built.exists() else shutil.which(name)
    if found is None:
        raise ChartError(f"there is no {name}: tests/e2e/cluster/kube/build.sh builds it")
    return found


def _run(argv, text=None):
    environment = {**os.environ, "KUBECONFIG": os.devnull, "HELM_NO_PLUGINS": "1"}
    done = subprocess.run(argv, input=text, capture_output=True, text=True, env=environment, timeout=120,
                          **({} if text is not None else {"stdin": subprocess.DEVNULL}))
    if done.returncode != 0:
        raise ChartError(done.stderr.strip())
    return done.stdout


def helm(*words):
    return _run([_program("helm"), *map(str, words)])


def flags(values):
    """--set for KEY=VALUE, --set-json for KEY:=JSON."""
    for value in values:
        key, json_mark, text = value.partition(":=")
        yield from ("--set-json", f"{key}={text}") if json_mark else ("--set", value)


def render(chart, *values, name=None, namespace="there", more=()):
    """The manifests of a chart (a name in deploy/charts, or a folder) as a list of objects."""
    text = helm("template", name or {"sluice": "sluice", "demo": "demo"}.get(chart, "x"), CHARTS / chart, "--namespace",
                namespace, *flags(values), *more)
    return parse(text)


def parse(text):
    """Objects of a YAML text. kubectl reads them, since Python has no YAML of its own; it adds a mark, removed here."""
    if not text.strip():
        return []
    words = ["annotate", "--local", "--filename", "-", "--output", "json", "x.test/mark=1"]
    out = _run([_program("kubectl"), *words], text)
    found, decoder, position = [], json.JSONDecoder(), 0
    while (position := len(out) - len(out[position:].lstrip())) < len(out):
        one, position = decoder.raw_decode(out, position)
        annotations = one["metadata"]["annotations"]
        del annotations["x.test/mark"]
        if not annotations:
            del one["metadata"]["annotations"]
        found.append(one)
    return found


def kind(objects, name):
    return [one for one in objects if one["kind"] == name]


def pod_specs(objects):
    """(what it is of, spec) of every pod that these objects make, those of a WorkerPool's Jobs included."""
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "Pod":
            yield f"Pod {one['metadata']['name']}", spec
        elif one["kind"] == "CronJob":
            yield f"CronJob {one['metadata']['name']}", spec["jobTemplate"]["spec"]["template"]["spec"]
        elif one["kind"] == "WorkerPool":
            job = spec["workers"]["job"]["template"]
            yield f"WorkerPool {one['metadata']['name']}", job["spec"]["template"]["spec"]
        elif "template" in spec:
            yield f"{one['kind']} {one['metadata']['name']}", spec["template"]["spec"]
