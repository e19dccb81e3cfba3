# SPDX-License-Identifier: Apache-2.0
"""Judges what a scaler did to a cluster by the API server's audit log, and by nothing that the scaler says itself.

    check = AuditCheck(cluster.audit(), "my-namespace", rules=rules_of(role), actor=lambda event: ..)
    assert not check.sins(), check.sins()
    print(check.summary())

The log says who wrote what, with the objects' bodies and their revisions (components.py, AUDIT). From these the life of
each Job, pod and pool of the namespace is replayed in the order of revisions, which the log itself is not in. A sin is

- a create that made more Jobs of a pool live at once than its spec.workers.max allowed; a Job lives from its creation
  until it is Complete or Failed, or deleted,
- a Job of the scaler's that is not named POOL-wSLOT with a slot below max, has a generateName or an owner,
- a delete of a Job that was not over at the revision the delete was for; a delete of a pod that had a node and whose
  worker had not ended; any other write to a Job or pod (patch, update, status, eviction),
- a request that the Role's rules do not allow, whatever it was answered,
- a list or watch of Secrets.

`one_by_one` also demands that nothing is created while a worker of the pool has no node, `led` that who writes was
granted the Lease in the 15 s before. `actor` says who is judged: sluice, or with it whoever must not touch a worker on
its behalf, as the garbage collector would for a pool that owned its Jobs.
"""

import datetime
import re

LABEL, CONTAINER = "sluice.dev/pool", "sluice.dev/container"
COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"
READS = ("get", "list", "watch")
# Chosen: a create that was on its way when somebody lowered max arrives within this time.
LOWERED_S = 5.0
LEASE_S = 15.0
# What every client may ask for, whatever its Role.
OPEN_URLS = re.compile(r"^/(api|apis|version|healthz|livez|readyz|openapi)(/|\?|$)")


def is_sluice(event):
    return event.get("userAgent", "").startswith("sluice")


def rules_of(*roles):
    """[(namespace or None for all, rule), ..] of Roles and ClusterRoles."""
    return [(role["metadata"].get("namespace"), rule) for role in roles for rule in role["rules"]]


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def revision(thing):
    return int((thing or {}).get("metadata", {}).get("resourceVersion") or 0)


def is_over(job):
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True"
               for one in job.get("status", {}).get("conditions", []))


def worker_ended(pod):
    """Whether the container that is the worker has ended, or the pod as a whole."""
    status = pod.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    name = pod["metadata"].get("annotations", {}).get(CONTAINER, pod["spec"]["containers"][0]["name"])
    return any(one["name"] == name and "terminated" in one.get("state", {})
               for one in status.get("containerStatuses", []))


class Job:
    """What is known of one, by its uid."""

    def __init__(self, name, pool, made):
        self.name, self.pool, self.made = name, pool, made
        self.over_at = None  # the revision that said so
        self.gone_at = None  # the one that took its last finalizer
        self.gone_after = None  # or when the delete that took it away was sent

    def lives_at(self, version, moment):
        if self.made > version or (self.over_at and self.over_at < version):
            return False
        if self.gone_at and self.gone_at < version:
            return False
        return self.gone_after is None or self.gone_after > moment

    def over_by(self, version):
        return bool(self.over_at) and self.over_at <= version


class AuditCheck:
    """`events`: of the audit log, of any namespace. `actor`: which of them are the scaler's."""

    def __init__(self, events, namespace, rules=None, actor=is_sluice, one_by_one=False, led=False):
        self._namespace, self._rules, self._actor = namespace, rules, actor
        self._one_by_one, self._led = one_by_one, led
        self._jobs, self._creates, self._pools = {}, [], {}
        self._owners, self._bound = {}, {}  # of a pod: the Job's uid; of that: when its pod was first bound
        self._held = {}  # who: when the Lease was granted to him
        self._found, self._counts, self._most = [], {}, {}
        mine = [one for one in events if self._of_interest(one)]
        mine.sort(key=lambda one: one["requestReceivedTimestamp"])
        for event in mine:
            self._learn(event)
        self._count_live()
        for event in mine:
            if actor(event):
                self._judge(event)

    def sins(self):
        """One line each; empty when there are none."""
        return list(self._found)

    def creates(self):
        """Names of the scaler's Jobs, in the order of their creation."""
        return [self._jobs[uid].name for _, _, uid, by_actor in sorted(self._creates) if by_actor]

    def most_live(self, pool):
        return self._most.get(pool, 0)

    def count(self, verb, resource, code=None):
        """How many requests of the scaler were of this kind."""
        return sum(n for (v, r, c), n in self._counts.items() if (v, r) == (verb, resource) and code in (None, c))

    def summary(self):
        done = ", ".join(f"{n} x {verb} {resource} {code}" for (verb, resource, code), n in sorted(
            self._counts.items()) if verb not in READS)
        most = ", ".join(f"{pool}: {n}" for pool, n in sorted(self._most.items()))
        return f"writes: {done or 'none'}; most live Jobs: {most or 'none'}; {len(self._found)} sins"

    def _of_interest(self, event):
        if event.get("stage") != "ResponseComplete":
            return False
        return event.get("objectRef", {}).get("namespace") == self._namespace or self._actor(event)

    # What happened

    def _learn(self, event):
        if not 200 <= event.get("responseStatus", {}).get("code", 0) < 300:
            return
        ref = event.get("objectRef", {})
        if ref.get("namespace") != self._namespace or event["verb"] in READS or "dryRun=" in event["requestURI"]:
            return
        learn = {"jobs": self._learn_job, "pods": self._learn_pod, "workerpools": self._learn_pool,
                 "leases": self._learn_lease}.get(ref.get("resource"))
        if learn:
            learn(event, ref, event.get("responseObject") or {})

    def _learn_job(self, event, ref, said):
        if event["verb"] == "deletecollection":
            for job in self._jobs.values():
                job.gone_after = job.gone_after or when(event["requestReceivedTimestamp"])
            return
        uid = said.get("metadata", {}).get("uid")
        if uid and uid not in self._jobs:
            # Made now, or by a create whose answer the log does not have: its client had gone, and it was done.
            meta = said["metadata"]
            self._jobs[uid] = Job(meta["name"], meta.get("labels", {}).get(LABEL), revision(said))
            by_actor = event["verb"] == "create" and self._actor(event)
            self._creates.append((revision(said), when(event["stageTimestamp"]), uid, by_actor))
        if event["verb"] == "create" and not ref.get("subresource"):
            return
        if event["verb"] == "delete" and said.get("kind") == "Status":
            job = self._jobs.get(said.get("details", {}).get("uid"))
            if job:
                job.gone_after = when(event["requestReceivedTimestamp"])
        elif uid in self._jobs:
            self._follow(self._jobs[uid], said)

    @staticmethod
    def _follow(job, said):
        version = revision(said)
        if is_over(said):
            job.over_at = min(job.over_at or version, version)
        if said["metadata"].get("deletionTimestamp") and not said["metadata"].get("finalizers"):
            job.gone_at = version

    def _learn_pod(self, event, ref, said):
        if event["verb"] != "create":
            return
        if ref.get("subresource") == "binding":
            self._bound.setdefault(self._owners.get(ref["name"]), when(event["requestReceivedTimestamp"]))
        elif not ref.get("subresource"):
            for owner in said.get("metadata", {}).get("ownerReferences", []):
                self._owners[said["metadata"]["name"]] = owner["uid"]

    def _learn_pool(self, event, ref, said):
        most = said.get("spec", {}).get("workers", {}).get("max")
        if isinstance(most, int) and not ref.get("subresource"):
            told = self._pools.setdefault(said["metadata"]["name"], [])
            told.append((revision(said), when(event["requestReceivedTimestamp"]), most))

    def _learn_lease(self, event, ref, said):
        holder = said.get("spec", {}).get("holderIdentity")
        if holder and self._actor(event):
            self._held.setdefault(self._who(event), []).append(when(event["requestReceivedTimestamp"]))

    @staticmethod
    def _who(event):
        user = event["user"]
        return (user.get("username"), *user.get("extra", {}).get("authentication.kubernetes.io/credential-id", []))

    # How many lived

    def _max(self, pool, version, moment):
        """None: nobody has said. One that was lowered holds a little later for what was on its way."""
        told = [entry for entry in self._pools.get(pool, []) if entry[0] < version]
        late = [most for _, at, most in told[:-1] if told[-1][1] + LOWERED_S > moment]
        return max([told[-1][2], *late[-1:]]) if told else None

    def _count_live(self):
        for version, moment, uid, by_actor in sorted(self._creates):
            made = self._jobs[uid]
            if made.pool is None:
                continue
            live = [job for job in self._jobs.values() if job.pool == made.pool and job.lives_at(version, moment)]
            self._most[made.pool] = max(self._most.get(made.pool, 0), len(live))
            most = self._max(made.pool, version, moment)
            if most is not None and len(live) > most:
                names = " ".join(sorted(job.name for job in live))
                self._sin(f"revision {version}: {len(live)} live Jobs of pool {made.pool}, max is {most}: {names}")
            twins = [job for job in live if job.name == made.name and job is not made]
            if twins:
                self._sin(f"revision {version}: two live Jobs are called {made.name}")
            if by_actor and most is not None and not self._in_slot(made, most):
                self._sin(f"revision {version}: Job {made.name} of pool {made.pool} is in no slot below {most}")
            if by_actor and self._one_by_one:
                self._judge_places(version, live, made, moment)

    @staticmethod
    def _in_slot(job, most):
        number = re.fullmatch(re.escape(job.pool) + r"-w(0|[1-9][0-9]*)", job.name)
        return number is not None and int(number[1]) < most

    def _judge_places(self, version, live, made, moment):
        for uid, job in self._jobs.items():
            if job in live and job is not made and self._bound.get(uid, moment + 1) > moment:
                self._sin(f"revision {version}: {made.name} was made while {job.name} had no place")

    # What the scaler did

    def _sin(self, text):
        if text not in self._found:
            self._found.append(text)

    def _judge(self, event):
        ref, code = event.get("objectRef", {}), event.get("responseStatus", {}).get("code", 0)
        resource = "/".join(filter(None, (ref.get("resource"), ref.get("subresource"))))
        self._counts[event["verb"], resource, code] = self._counts.get((event["verb"], resource, code), 0) + 1
        does = f"{event['verb']} {resource or event['requestURI']} {ref.get('name', '')}".strip()
        if self._rules is not None and not self._allowed(event, ref, resource):
            self._sin(f"{does}: not within the Role")
        if ref.get("resource") == "secrets" and event["verb"] not in ("get",):
            self._sin(f"{does}: Secrets are only ever read by name")
        if event["verb"] in READS or ref.get("resource") not in ("jobs", "pods"):
            return
        if self._led and not any(0 <= when(event["requestReceivedTimestamp"]) - at <= LEASE_S
                                 for at in self._held.get(self._who(event), [])):
            self._sin(f"{does}: by one that did not hold the Lease")
        self._judge_write(event, ref, does, code)

    def _judge_write(self, event, ref, does, code):
        sent = event.get("requestObject") or {}
        if event["verb"] == "create" and ref["resource"] == "jobs" and not ref.get("subresource"):
            meta = sent.get("metadata", {})
            for field in ("generateName", "ownerReferences"):
                if meta.get(field):
                    self._sin(f"{does}: with {field}")
            return
        if event["verb"] != "delete" or ref.get("subresource"):
            self._sin(f"{does}: Jobs and pods are made and deleted, and never written to")
        elif 200 <= code < 300:
            judge = self._judge_job_delete if ref["resource"] == "jobs" else self._judge_pod_delete
            judge(sent, event.get("responseObject") or {}, does)

    def _judge_job_delete(self, sent, said, does):
        uid = said.get("details", {}).get("uid") or said.get("metadata", {}).get("uid")
        job, wanted = self._jobs.get(uid), sent.get("preconditions", {})
        if job is None:
            self._sin(f"{does}: a Job whose making the log does not show")
        elif wanted.get("uid") != uid or not wanted.get("resourceVersion"):
            self._sin(f"{does}: without the uid and version it was read with")
        elif not job.over_by(int(wanted["resourceVersion"])):
            self._sin(f"{does}: it was not over at version {wanted['resourceVersion']}")

    def _judge_pod_delete(self, sent, said, does):
        if not sent.get("preconditions", {}).get("uid"):
            self._sin(f"{does}: without the uid it was read with")
        elif said.get("kind") != "Pod":
            self._sin(f"{does}: the log does not show what was deleted")
        elif said["spec"].get("nodeName") and not worker_ended(said):
            self._sin(f"{does}: its worker ran on {said['spec']['nodeName']}")

    def _allowed(self, event, ref, resource):
        if not ref:
            return OPEN_URLS.match(event["requestURI"]) is not None
        group = ref.get("apiGroup", "")
        for space, rule in self._rules:
            named = rule.get("resourceNames")
            if ((space in (None, ref.get("namespace"))) and _has(rule["apiGroups"], group)
                    and _has(rule["resources"], resource) and _has(rule["verbs"], event["verb"])
                    and (not named or ref.get("name") in named)):
                return True
        return False


def _has(words, word):
    return word in words or "*" in words

