# SPDX-License-Identifier: Apache-2.0
"""The resource definition on a real API server: it refuses what the reader of pool files refuses, and says where. What
gets through without it hurts one pool, and no other."""

import json
import pathlib
import subprocess
import tempfile

from e2e import ROOT, contains, equal, main, test
from api import ApiError
from bad_pools import BASE, CORPUS, known, sweep, walk
from beside import Beside
from charts import kind, render
from pools import BIN, CRD, FULL, NAME, generated, install, judges, manifest, put, without_schema

HEALTHY = 50
SECRET = "S3CR3T"  # wherever it stands in a pool of the corpus, no answer may repeat it


def refusal(k8s, pool):
    """What the API server says against a pool; empty if nothing. `pool`: an object, or the bytes of one."""
    try:
        k8s.api.post(k8s.path("workerpools"), pool, dryRun="All", fieldValidation="Strict")
    except ApiError as problem:
        assert problem.code in (400, 413, 422), problem
        return str(problem)
    return ""


def dotted(path):
    """As the API server writes it: spec.retry.delays[0]"""
    return "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def spec_schema():
    root = generated()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root["properties"]["spec"]


def starred(schema, path):
    """`path` as known() writes it."""
    out = []
    for step in path:
        named = step in schema.get("properties", {})
        out.append(step if named else "*")
        schema = schema["properties"][step] if named else schema.get("items") or schema["additionalProperties"]
    return tuple(out)


@test("the definition is structural, has no /scale, and is the one in the chart")
def _(k8s):
    install(k8s.api)
    equal(k8s.api.condition(f"{CRD}/{NAME}", "NonStructuralSchema") in (None, "False"), True, "a structural schema")
    resources = {one["name"]: one["shortNames"] if "shortNames" in one else None
                 for one in k8s.api.get("/apis/sluice.dev/v1alpha1")["resources"]}
    equal(resources, {"workerpools": ["wp"], "workerpools/status": None}, "the resources")
    written = subprocess.run([BIN, "crd"], check=True, capture_output=True, text=True).stdout
    equal((ROOT / "deploy/charts/sluice/crds/workerpools.yaml").read_text() == written, True,
          "the chart's definition is what `sluice crd` prints")
    k8s.cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "-f",
                        ROOT / "deploy/charts/sluice/crds")


@test("of every field each wrong value is refused and the outermost good ones are taken, as by the file's reader")
def _(k8s):
    install(k8s.api)
    schema = spec_schema()
    tried = {starred(schema, path) for base in FULL.values() for path, _, _ in walk(schema, base)}
    equal(set(known(schema)) - tried, set(), "fields that no pool of this test has")
    with tempfile.TemporaryDirectory() as folder:
        cases = list(sweep(schema))
        files = [pathlib.Path(folder) / f"{number}.json" for number in range(len(cases))]
        for file, (spec, path, value, good) in zip(files, cases, strict=True):
            file.write_text(json.dumps(manifest(spec)))
            said = refusal(k8s, manifest(spec))
            what = f"{dotted(path)}: {str(value)[:80]!r}: {said[:500]}"
            assert good == (not said), f"{'good' if good else 'wrong'}, but judged otherwise: {what}"
            assert good or dotted(path) in said, f"the field is not named: {what}"
        flags = [word for file in files for word in ("-f", file)]
        done = subprocess.run([BIN, "status", *flags], capture_output=True, text=True, timeout=300)
    refused = {int(line[len(folder) + 1:].split(".json")[0]) for line in done.stderr.splitlines()
               if line.startswith(folder)}
    wrong = {number for number, case in enumerate(cases) if not case[3]}
    equal(sorted(str(cases[number][1:]) for number in refused ^ wrong), [], "what the file's reader judges otherwise")
    assert len(wrong) > 1000 and len(cases) - len(wrong) > 60, (len(wrong), len(cases))


@test("every pool of the corpus is refused with its fields named and no password repeated, or it is a good one")
def _(k8s):
    install(k8s.api)
    for case in CORPUS:
        said = refusal(k8s, case.pool)
        equal(bool(said), bool(case.api), f"{case.name}: refused: {said[:500]}")
        for field in case.api:
            contains(said, field, case.name)
        assert SECRET not in said, f"{case.name}: {said}"


@test("unknown and duplicate fields are refused where they stand, and defaults are filled in")
def _(k8s):
    install(k8s.api)
    contains(refusal(k8s, manifest(put(BASE, ["policy", "threshold", "mesages"], 1))),
             'unknown field "spec.policy.threshold.mesages"')
    text = json.dumps(manifest(BASE)).replace('"max": 20', '"max": 20, "max": 30')
    contains(refusal(k8s, text.encode()), 'duplicate field "spec.workers.max"')
    made = k8s.create("workerpools", manifest(BASE))["spec"]
    equal((made["paused"], made["policy"]["threshold"]["every"], made["workers"]["min"]), (False, "10s", 0), "defaults")
    equal(made["workers"]["claim"], "auto", "the claim")


@test("kubectl shows the columns, explains each field, and a status only takes what is one")
def _(k8s):
    install(k8s.api)
    k8s.create("workerpools", manifest(BASE))
    path = k8s.path("workerpools", "orders/status")
    status = {"state": "hold", "why": "it waits", "backlog": 37, "oldest": "12 s", "workers": 4, "policy": "threshold",
              "queue": "orders", "sampledAt": "2026-11-22T10:00:00.500Z"}
    k8s.api.patch(path, {"status": status})
    for wrong in ({"backlog": "many"}, {"controller": 7}, {"conditions": [{"type": "Ready"}]}, {"sampledAt": "noon"}):
        try:
            k8s.api.patch(path, {"status": wrong})
        except ApiError as problem:
            contains(str(problem), f"status.{next(iter(wrong))}")
        else:
            raise AssertionError(f"taken as a status: {wrong}")

    def kubectl(*words):
        return k8s.cluster.kubectl("--namespace", k8s.name, *words)

    head, row = kubectl("get", "wp").splitlines()
    equal(head.split(), ["NAME", "STATE", "BACKLOG", "OLDEST", "WORKERS", "MAX", "AGE"], "the columns")
    equal(row.split()[:7], ["orders", "hold", "37", "12", "s", "4", "20"], "a row")
    head, row = kubectl("get", "wp", "-o", "wide").splitlines()
    equal(head.split()[-4:], ["POLICY", "QUEUE", "SAMPLED", "WHY"], "the columns that are wide")
    contains(row, "it waits")
    contains(kubectl("explain", "workerpool.spec.policy.lag.max"), "The longest wait.")
    contains(kubectl("explain", "wp.spec.workers.claim"), "readiness")

    def explained(schema, at):
        missing = [] if schema.get("description") or at.endswith(".metadata") else [at]
        for name, inner in schema.get("properties", {}).items():
            missing += explained(inner, f"{at}.{name}")
        return missing + (explained({"description": "-", **schema["items"]}, at + "[]") if "items" in schema else [])

    root = generated()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    equal(explained(root, ""), [], "fields without a text for `kubectl explain`")


@test("Helm installs the definition with the chart, and leaves it and the pools when the chart goes")
def _(k8s):
    k8s.api.delete(f"{CRD}/{NAME}")
    k8s.wait("it to be gone", lambda: k8s.api.condition(f"{CRD}/{NAME}", "Established") is None)
    helm = ["--namespace", k8s.name, "--kubeconfig", k8s.cluster.kubeconfig]
    k8s.cluster.helm("install", "sluice", ROOT / "deploy/charts/sluice", *helm)
    k8s.wait("it to be there", lambda: k8s.api.condition(f"{CRD}/{NAME}", "Established") == "True")
    k8s.wait("pools to be judged", lambda: judges(k8s.api))
    demo, = kind(render("demo", namespace=k8s.name), "WorkerPool")
    equal(refusal(k8s, demo), "", "what is said against the demo's pool")
    k8s.create("workerpools", manifest(BASE))
    k8s.cluster.helm("uninstall", "sluice", *helm)
    equal(k8s.get("workerpools", "orders")["spec"]["workers"]["max"], 20, "the pool, afterwards")
    k8s.api.delete(f"{CRD}/{NAME}")
    k8s.wait("it to be gone", lambda: k8s.api.condition(f"{CRD}/{NAME}", "Established") is None)


class Controller(Beside):
    """A controller of the namespace with a broker whose queue `orders` 50 good pools watch."""

    def __init__(self, k8s):
        super().__init__(k8s)
        self.messages = 0
        self.publish_more(1)
        self.good = {**BASE, "queue": self.queue, "policy": {"threshold": {"messages": 1000, "every": "1s"}}}
        for number in range(HEALTHY):
            k8s.create("workerpools", manifest(self.good, f"good-{number:02}"))
        self.process = self.controller()

    def publish_more(self, count):
        self.publish(["line"] * count)
        self.messages += count

    def lagging(self):
        """Good pools whose status does not have the present backlog."""
        return [name for name, pool in self.pools().items()
                if name.startswith("good-") and pool.get("status", {}).get("backlog") != self.messages]

    def pools(self):
        return {one["metadata"]["name"]: one for one in self.k8s.list("workerpools")}

    def all_sampled(self, what):
        self.k8s.wait(f"all good pools to be sampled {what}", lambda: not self.lagging(), 180)
        equal(self.process.poll(), None, "the controller's exit")


def accepted(pool):
    """(status, message) of the condition Accepted for the present spec; none yet: two Nones."""
    for one in pool.get("status", {}).get("conditions", []) if isinstance(pool.get("status"), dict) else []:
        if isinstance(one, dict) and one["type"] == "Accepted" and \
                one["observedGeneration"] == pool["metadata"]["generation"]:
            return one["status"], one["message"]
    return None, None


def judged(rig, cases):
    """Waits until each of the cases has its verdict, and looks at it."""
    def waiting():
        pools = rig.pools()
        return [name for name in cases if accepted(pools[name])[0] is None]

    rig.k8s.wait("every pool to be judged", lambda: not waiting(), 300)
    for name, pool in rig.pools().items():
        if name in cases:
            status, message = accepted(pool)
            fields = cases[name].of_controller()
            equal(status, "False" if fields else "True", f"{cases[name].name}: {message[:500]}")
            for field in fields:
                contains(message, field, cases[name].name)
            assert SECRET not in json.dumps(pool["status"]), f"{cases[name].name}: {message}"


@test("without a schema the controller refuses each by itself with all its problems; 50 good pools do not feel it")
def _(k8s):
    install(k8s.api, without_schema())
    try:
        with Controller(k8s) as rig:
            rig.all_sampled("at first")
            holder = k8s.get("leases", "sluice")["spec"]["holderIdentity"]
            cases = {}
            for number, case in enumerate(CORPUS):
                if case.reaches:
                    own = case.pool["metadata"]["name"]
                    name = f"bad-{number:03}" if own == "orders" else own
                    pool = {**case.pool, "metadata": {**case.pool["metadata"], "name": name}}
                    k8s.create("workerpools", pool)
                    cases[name] = case
                else:
                    assert refusal(k8s, case.pool), case.name
            assert len(cases) > 100, len(cases)
            rig.publish_more(2)
            rig.all_sampled("beside the bad ones")
            judged(rig, cases)
            for name in cases:
                k8s.delete("workerpools", name)
            rig.publish_more(3)
            rig.all_sampled("after them")
            equal(k8s.get("leases", "sluice")["spec"]["holderIdentity"], holder, "who leads, all the time")
            refused = (rig.folder / "controller-7171.log").read_text()
            assert SECRET not in refused, "a password in the log"
    finally:
        install(k8s.api)


@test("a status that a user filled, an owner of itself, an end that does not come and a spec that jumps hurt nobody")
def _(k8s):
    install(k8s.api, without_schema())
    try:
        with Controller(k8s) as rig:
            rig.all_sampled("at first")

            def owner(name):
                uid = k8s.get("workerpools", name)["metadata"]["uid"]
                return {"apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool", "name": name, "uid": uid}

            for one, other in (("good-00", "good-01"), ("good-01", "good-00")):
                k8s.api.patch(k8s.path("workerpools", one), {"metadata": {"ownerReferences": [owner(other)]}})
            for name, status in (("good-02", {"backlog": "many", "conditions": "all", "waiting": 7}),
                                 ("good-03", {"controller": 7}), ("good-04", {"conditions": [7]})):
                k8s.api.patch(k8s.path("workerpools", f"{name}/status"), {"status": status})
            k8s.create("workerpools", manifest(rig.good, "ends-never", finalizers=["example.com/never"]))
            k8s.wait("it to be scaled", lambda: accepted(k8s.get("workerpools", "ends-never"))[0] == "True")
            k8s.delete("workerpools", "ends-never")
            log = rig.folder / "controller-7171.log"
            k8s.wait("it to be let go", lambda: any("pool is gone" in line and "ends-never" in line
                                                    for line in log.read_text().splitlines()))
            for messages in range(100, 130):
                spec = {"policy": {"threshold": {"messages": messages}}}
                k8s.api.patch(k8s.path("workerpools", "good-05"), {"spec": spec})
            two = [manifest({**rig.good, "workers": {"max": 3, "deployment": {"name": "one"}}}, f"deployed-{n}")
                   for n in range(2)]
            for pool in two:
                k8s.create("workerpools", pool)
            rig.publish_more(4)
            rig.all_sampled("beside all this")
            k8s.wait("the last spec to be in force", lambda: accepted(k8s.get("workerpools", "good-05"))[0] == "True")
            for pool in two:
                k8s.wait("a verdict", lambda name=pool["metadata"]["name"]: accepted(k8s.get("workerpools", name))[0])
            k8s.api.patch(k8s.path("workerpools", "ends-never"), {"metadata": {"finalizers": []}})
    finally:
        install(k8s.api)


main()
