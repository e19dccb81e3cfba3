# SPDX-License-Identifier: Apache-2.0
"""The judge of audit logs finds every sin that is planted in a log, and none in a log without. No cluster is needed."""

import copy
import datetime

from audit_check import AuditCheck, rules_of
from e2e import contains, equal
from lib import main, test

BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
ROLE = {"metadata": {"namespace": "there"}, "rules": [
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["get"]}]}
OVER = {"conditions": [{"type": "Complete", "status": "True"}]}


class Log:
    """An audit log in the making: each entry a second after the last, and with the next revision."""

    def __init__(self):
        self.events, self.version = [], 0

    def add(self, verb, resource, name="", said=None, sent=None, by="sluice", code=200, group="", sub="", took=0.01):
        at = BEGIN + datetime.timedelta(seconds=len(self.events))
        ref = {"resource": resource, "namespace": "there", "name": name, "apiGroup": group, "subresource": sub}
        self.events.append({
            "stage": "ResponseComplete", "verb": verb, "requestURI": f"/{resource}/{name}", "userAgent": by,
            "user": {"username": by}, "responseStatus": {"code": code},
            "objectRef": {key: value for key, value in ref.items() if value},
            "requestReceivedTimestamp": at.isoformat(), "requestObject": sent or {}, "responseObject": said or {},
            "stageTimestamp": (at + datetime.timedelta(seconds=took)).isoformat()})
        return self

    def next(self):
        self.version += 1
        return str(self.version)

    def pool(self, most, name="orders"):
        meta = {"name": name, "resourceVersion": self.next()}
        return self.add("update", "workerpools", name, {"metadata": meta, "spec": {"workers": {"max": most}}},
                        by="kubectl", group="sluice.dev")

    def job(self, slot, uid=None, name=None, by="sluice", sent=None, pool="orders"):
        name = name or f"{pool}-w{slot}"
        meta = {"name": name, "uid": uid or f"uid-{name}", "labels": {"sluice.dev/pool": pool},
                "resourceVersion": self.next()}
        return self.add("create", "jobs", name, {"kind": "Job", "metadata": meta},
                        sent or {"metadata": {"name": name}}, by, 201, "batch")

    def over(self, slot, uid=None):
        name = f"orders-w{slot}"
        meta = {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": self.next()}
        return self.add("update", "jobs", name, {"kind": "Job", "metadata": meta, "status": OVER},
                        by="controller-manager", group="batch", sub="status")

    def delete_job(self, slot, version=None, uid=None, by="sluice"):
        name = f"orders-w{slot}"
        uid = uid or f"uid-{name}"
        wanted = {"uid": uid, **({"resourceVersion": str(version)} if version else {})}
        return self.add("delete", "jobs", name, {"kind": "Status", "details": {"uid": uid}},
                        {"preconditions": wanted}, by, group="batch")

    def pod(self, slot, bound=True):
        name = f"orders-w{slot}-abcde"
        owner = {"uid": f"uid-orders-w{slot}"}
        self.add("create", "pods", "", {"metadata": {"name": name, "ownerReferences": [owner]}},
                 by="controller-manager", code=201)
        return self.add("create", "pods", name, by="scheduler", code=201, sub="binding") if bound else self

    def delete_pod(self, slot, node="", state="running"):
        name = f"orders-w{slot}-abcde"
        spec = {"containers": [{"name": "it"}, {"name": "side"}], **({"nodeName": node} if node else {})}
        states = [{"name": "it", "state": {state: {}}}, {"name": "side", "state": {"running": {}}}]
        return self.add("delete", "pods", name, {"kind": "Pod", "metadata": {"name": name}, "spec": spec,
                                                 "status": {"phase": "Running", "containerStatuses": states}},
                        {"preconditions": {"uid": "u"}})

    def lease(self, by):
        return self.add("update", "leases", "sluice", {"spec": {"holderIdentity": by}}, by=by,
                        group="coordination.k8s.io")

    def check(self, **options):
        return AuditCheck(copy.deepcopy(self.events), "there", **options)

    def sins(self, **options):
        return self.check(**options).sins()


def one_sin(log, text, **options):
    found = log.sins(**options)
    equal(len(found), 1, f"{found}, sins")
    contains(found[0], text, "the sin")


@test("a log of what is right has no sins, in whatever order the lines come")
def _(_):
    log = Log().pool(2).job(0).pod(0).job(1).pod(1).over(0)
    log.delete_job(0, log.version).job(0, "again").add("list", "pods").add("get", "secrets", "mine")
    log.delete_pod(1, node="n", state="terminated").lease("somebody")
    equal(log.sins(rules=rules_of(ROLE), one_by_one=True), [], "sins")
    log.events.reverse()
    check = log.check(rules=rules_of(ROLE))
    equal((check.sins(), check.most_live("orders"), check.creates()), ([], 2, ["orders-w0", "orders-w1", "orders-w0"]),
          "the same backwards")
    contains(check.summary(), "3 x create jobs 201", "the summary")


@test("a Job above the maximum is found, also where a delete in the log came too late for it, or the pool is another")
def _(_):
    log = Log().pool(1).job(0).job(1)
    found = log.sins()
    equal(len(found), 2, f"{found}, sins")
    contains(found[0], "2 live Jobs of pool orders, max is 1: orders-w0 orders-w1", "the first")
    contains(found[1], "orders-w1 of pool orders is in no slot below 1", "the second")
    one_sin(Log().pool(1).job(0).job(0, "twin", name="orders-w1", by="stranger").delete_job(0, by="kubectl"),
            "2 live Jobs of pool orders")
    equal(Log().pool(1).job(0).delete_job(0, by="kubectl").job(0, "next").sins(), [], "one after the other")
    equal(Log().pool(1).pool(1, "other").job(0).job(0, pool="other").sins(), [], "two pools")


@test("a create that is only tried makes no Job")
def _(_):
    log = Log().pool(1).job(0).job(1)
    log.events[-1]["requestURI"] += "?dryRun=All"
    equal((log.sins(), log.check().creates()), ([], ["orders-w0"]), "(sins, Jobs)")


@test("a Job whose create has no answer in the log counts from when it is first seen")
def _(_):
    log = Log().pool(1).job(0)
    log.events[-1].update(responseStatus={"code": 504}, responseObject={})
    log.over(0).delete_job(0, 3)
    equal(log.sins(), [], "one that was over when it was seen")
    log = Log().pool(1).job(0)
    lost = log.events[-1]
    seen = copy.deepcopy(lost)
    lost.update(responseStatus={"code": 504}, responseObject={})
    seen.update(verb="update", user={"username": "controller-manager"}, userAgent="controller-manager")
    seen["objectRef"]["subresource"] = "status"
    log.events.append(seen)
    one_sin(log.job(0, "twin", name="orders-w1", by="stranger"), "2 live Jobs of pool orders, max is 1")


@test("a maximum that was lowered stops what is made after it, and what was on its way may arrive")
def _(_):
    log = Log().pool(3).job(0).job(1).pool(1)
    equal(copy.deepcopy(log).job(2).sins(), [], "at once")
    for _ in range(8):
        log.add("list", "jobs", group="batch")
    contains(log.job(2).sins()[0], "3 live Jobs of pool orders, max is 1", "later")


@test("a planted generateName is found, by its field, its name, and the Job above the maximum that it makes")
def _(_):
    log = Log().pool(1).job(0).job(0, "x", name="orders-w7xk2", sent={"metadata": {"generateName": "orders-w"}})
    found = " / ".join(log.sins())
    for text in ("create jobs orders-w7xk2: with generateName", "orders-w7xk2 of pool orders is in no slot",
                 "2 live Jobs of pool orders, max is 1"):
        contains(found, text, "the sins")
    one_sin(Log().pool(9).job(0, sent={"metadata": {"generateName": "orders-w"}}), "with generateName")
    owned = {"metadata": {"name": "orders-w0", "ownerReferences": [{"kind": "WorkerPool"}]}}
    one_sin(Log().pool(9).job(0, sent=owned), "with ownerReferences")


@test("a delete of a Job is a sin unless the Job was over at the very version that was deleted")
def _(_):
    one_sin(Log().pool(2).job(0).delete_job(0, 2), "orders-w0: it was not over at version 2")
    one_sin(Log().pool(2).job(0).over(0).delete_job(0, 2), "orders-w0: it was not over at version 2")
    one_sin(Log().pool(2).job(0).over(0).delete_job(0), "without the uid and version it was read with")
    equal(Log().pool(2).job(0).over(0).delete_job(0, 3).sins(), [], "when it was over")
    equal(Log().pool(2).job(0).delete_job(0, by="kubectl").sins(), [], "somebody else's")


@test("a delete of a pod is a sin when it had a node and its worker ran, whatever runs beside it")
def _(_):
    one_sin(Log().delete_pod(0, node="n1"), "delete pods orders-w0-abcde: its worker ran on n1")
    equal(Log().delete_pod(0).sins(), [], "without a node")
    equal(Log().delete_pod(0, node="n1", state="terminated").sins(), [], "with only a sidecar left")
    log = Log().delete_pod(0)
    log.events[-1]["requestObject"] = {}
    one_sin(log, "without the uid it was read with")


@test("patches, updates, suspensions and evictions are sins, refused or not")
def _(_):
    for verb, resource, sub, code in (("patch", "jobs", "", 200), ("update", "jobs", "", 409),
                                      ("patch", "jobs", "status", 200), ("update", "pods", "", 200),
                                      ("create", "pods", "eviction", 201), ("deletecollection", "jobs", "", 200),
                                      ("create", "pods", "", 201)):
        one_sin(Log().add(verb, resource, "x", sub=sub, code=code), "never written to")
    equal(Log().add("patch", "jobs", "x", by="controller-manager").sins(), [], "somebody else's")


@test("a request outside the Role is found, refused or not, and so is a list of Secrets inside it")
def _(_):
    rules = rules_of(ROLE)
    one_sin(Log().add("get", "nodes", "n", code=403), "get nodes n: not within the Role", rules=rules)
    one_sin(Log().add("get", "secrets", "yours", code=403), "get secrets yours: not within the Role", rules=rules)
    log = Log().add("list", "pods")
    log.events[0]["objectRef"]["namespace"] = "elsewhere"
    one_sin(log, "list pods: not within the Role", rules=rules)
    log = Log().add("get", "x")
    log.events[0].update(objectRef={}, requestURI="/metrics")
    one_sin(log, "get /metrics: not within the Role", rules=rules)
    log.events[0].update(requestURI="/version")
    equal(log.sins(rules=rules), [], "what everybody may ask")
    every = [(None, {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})]
    for verb in ("list", "watch"):
        one_sin(Log().add(verb, "secrets"), "Secrets are only ever read by name", rules=every)


@test("a Job that is made while another has no place is found, and a write by one without the Lease")
def _(_):
    equal(Log().pool(9).job(0).pod(0).job(1).sins(one_by_one=True), [], "one after the other")
    one_sin(Log().pool(9).job(0).pod(0, bound=False).job(1), "orders-w1 was made while orders-w0 had no place",
            one_by_one=True)
    both = {"led": True, "actor": lambda event: event["userAgent"] in ("a", "b")}
    equal(Log().pool(9).lease("a").job(0, by="a").sins(**both), [], "the leader's")
    one_sin(Log().pool(9).lease("a").job(0, by="b"), "by one that did not hold the Lease", **both)
    log = Log().pool(9).lease("a")
    for _ in range(20):
        log.add("list", "jobs", by="a", group="batch")
    one_sin(log.job(0, by="a"), "by one that did not hold the Lease", **both)


main()
