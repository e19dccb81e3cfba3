# SPDX-License-Identifier: Apache-2.0
"""deploy/charts as Helm renders them: the rights are exactly those that are needed, pods obey the strictest rules, what
is wrong is refused with its reason. Without a cluster."""

import base64
import json
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from lib import contains, equal, main, test  # noqa: E402

from charts import CHARTS, ChartError, flags, helm, kind, parse, pod_specs, render  # noqa: E402

# What the controller does with each kind of object; nothing else, in no case.
RULES = {"batch/jobs": "get list watch create delete", "/pods": "get list watch delete", "/events": "list create",
         "sluice.dev/workerpools": "get list watch", "sluice.dev/workerpools/status": "get update patch"}
DEPLOYMENT_RULES = {"/pods": "get list watch delete patch", "apps/deployments": "get list watch",
                    "apps/deployments/scale": "update", "autoscaling/horizontalpodautoscalers": "list"}
# Sets of values that differ as much as they can.
SLUICE = {
    "default": [],
    "one replica": ["replicas=1"],
    "cluster": ["scope=cluster", "replicas=3", "credentials.read={a,b}", "deploymentFleet.enabled=true"],
    "namespaces": ["namespaces={a,b}", "credentials.mount={rabbit,other}"],
    "everything": ["networkPolicy.enabled=true", "podLabels.team=x", "podAnnotations.a=b", "nodeSelector.pool=small",
                   "priorityClassName=high", "imagePullSecrets[0].name=registry", "extraArgs={--journal=/dev/null}",
                   "serviceAccount.annotations.role=x", "image.digest=sha256:" + "0" * 64,
                   'tolerations:=[{"key":"a","operator":"Exists"}]', 'affinity:={"nodeAffinity":{}}',
                   'networkPolicy.from:=[{"podSelector":{}}]', 'networkPolicy.egress:=[{"ports":[{"port":9}]}]',
                   'topologySpreadConstraints:=[{"maxSkew":2}]', "service.annotations.a=b"],
    "adapter": ["adapter.enabled=true"],
    "adapter, everything": ["adapter.enabled=true", "adapter.monitoring.enabled=true", "networkPolicy.enabled=true",
                            "adapter.monitoring.project=my-project", "adapter.monitoring.credentials=google",
                            "adapter.monitoring.endpoint=https://monitoring.test", "adapter.priorityClassName=high",
                            "adapter.forwardTo=https://other.test", "adapter.certificate=mine", "adapter.caBundle=QUFB",
                            "adapter.forwardCa=other-ca", "adapter.secrets={rabbit}",
                            'adapter.queues:=[{"name":"mails","queue":{"local":{"path":"/tmp/q.db"}}}]',
                            "adapter.serviceAccount.annotations.role=x", "adapter.extraArgs={--verbose}"],
    "others' account and rights": ["serviceAccount.create=false", "serviceAccount.name=other", "rbac.create=false"],
}
DEMO = {
    "default": [],
    "test": ["rabbitmq.image=sluice.test/rabbitmq:1", "rabbitmq.persistence.enabled=false", "worker.output=json",
             "worker.work=1s"],
    "given": ["auth.existingSecret=mine", "publisher.enabled=false", "worker.priorityClassName=low",
              "rabbitmq.nodeSelector.a=b", "worker.nodeSelector.a=b", "imagePullSecrets[0].name=registry",
              'worker.tolerations:=[{"operator":"Exists"}]', 'rabbitmq.tolerations:=[{"operator":"Exists"}]',
              "rabbitmq.persistence.storageClass=fast", "queue.type=classic", "pool.threshold.age=60s"],
}


def every():
    for chart, sets in (("sluice", SLUICE), ("demo", DEMO)):
        for name, values in sets.items():
            yield f"{chart}, {name}", render(chart, *values)


def granted(role):
    """{group/resource: verbs} of a Role without resourceNames, and {(group/resource, names): verbs} of those with."""
    found = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                key = f"{group}/{resource}"
                names = rule.get("resourceNames")
                found[(key, *names) if names is not None else key] = " ".join(rule["verbs"])
    return found


def refused(chart, *values):
    try:
        render(chart, *values)
    except ChartError as problem:
        return str(problem)
    raise AssertionError(f"{chart} {values}: it should have been refused")


@test("helm lint finds nothing, whatever the values")
def _(box):
    for chart, sets in (("sluice", SLUICE), ("demo", DEMO)):
        for values in (sets["default"], sets[list(sets)[-1]]):
            contains(helm("lint", "--strict", CHARTS / chart, *flags(values)), "1 chart(s) linted, 0 chart(s) failed")


@test("the resource definition comes with the chart, once and as it is")
def _(box):
    definition, = kind(render("sluice", more=["--include-crds"]), "CustomResourceDefinition")
    equal(definition, json.loads(box.sluice("crd", "--output", "json", exit=0).out), "what the chart installs")
    equal(kind(render("sluice"), "CustomResourceDefinition"), [], "in the templates, which an upgrade would apply")


@test("the rights are exactly what the controller does, in its own namespace")
def _(box):
    objects = render("sluice", namespace="there")
    roles = {role["metadata"]["name"]: role for role in kind(objects, "Role")}
    equal(granted(roles["sluice"]), RULES)
    equal(granted(roles["sluice-lease"]), {("coordination.k8s.io/leases", "sluice"): "get update",
                                           "coordination.k8s.io/leases": "create"})
    equal(sorted(roles), ["sluice", "sluice-lease"])
    for binding in kind(objects, "RoleBinding"):
        equal(binding["roleRef"]["name"], binding["metadata"]["name"])
        equal(binding["subjects"], [{"kind": "ServiceAccount", "name": "sluice", "namespace": "there"}])
    equal({one["metadata"].get("namespace") for one in objects}, {"there"}, "namespaces: nothing is cluster-wide")


@test("each value adds the rights it is for and no other")
def _(box):
    for values, more in ((["deploymentFleet.enabled=true"], DEPLOYMENT_RULES),
                         (["credentials.read={a,b}"], {("/secrets", "a", "b"): "get"}),
                         (["credentials.mount={a}"], {})):
        role, _ = kind(render("sluice", *values), "Role")
        equal(granted(role), {**RULES, **more}, str(values))
    objects = render("sluice", "namespaces={a,b}", namespace="there")
    equal([(role["metadata"]["namespace"], role["metadata"]["name"]) for role in kind(objects, "Role")],
          [("a", "sluice"), ("b", "sluice"), ("there", "sluice-lease")])
    for namespace in ("a", "b"):
        role, = [role for role in kind(objects, "Role") if role["metadata"]["namespace"] == namespace]
        equal(granted(role), RULES)
    objects = render("sluice", "scope=cluster")
    role, = kind(objects, "ClusterRole")
    equal(granted(role), RULES)
    equal([role["metadata"]["name"] for role in kind(objects, "Role")], ["sluice-lease"])
    binding, = kind(objects, "ClusterRoleBinding")
    equal((binding["roleRef"]["kind"], binding["roleRef"]["name"]), ("ClusterRole", "sluice"))
    equal(kind(render("sluice", "rbac.create=false"), "Role"), [])


@test("no set of values grants a wildcard but for names of metrics, a list of Secrets, or a write to others' Secrets")
def _(box):
    for name, objects in every():
        for role in kind(objects, "Role") + kind(objects, "ClusterRole"):
            for rule in role["rules"]:
                metrics = rule["apiGroups"] == ["external.metrics.k8s.io"]  # its resources are the metrics
                assert "*" not in rule["apiGroups"] + rule["verbs"] + ([] if metrics else rule["resources"]), name
                if "secrets" in rule["resources"]:
                    own = rule.get("resourceNames") == ["sluice-adapter-ca"]
                    equal((rule["verbs"], bool(rule.get("resourceNames"))),
                          (["get", "update"] if own else ["get"], True), name)


@test("every pod obeys the restricted rules, writes to no root file system of ours, and has bounds")
def _(box):
    seen = 0
    for name, objects in every():
        for whose, spec in pod_specs(objects):
            seen += 1
            where = f"{name}: {whose}"
            security = spec["securityContext"]
            assert security["runAsNonRoot"] is True and security["runAsUser"] > 0 and security["runAsGroup"] > 0, where
            equal(security["seccompProfile"], {"type": "RuntimeDefault"}, where)
            equal(spec["enableServiceLinks"], False, where)
            equal(spec["automountServiceAccountToken"], whose.startswith("Deployment"), where)
            assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"}.intersection(spec), where
            for volume in spec.get("volumes", []):
                assert set(volume) - {"name"} <= {"secret", "configMap", "emptyDir"}, where
            for container in spec.get("initContainers", []) + spec["containers"]:
                own = container["securityContext"]
                equal((own["allowPrivilegeEscalation"], own["capabilities"]), (False, {"drop": ["ALL"]}), where)
                assert own.get("readOnlyRootFilesystem") is True or container["name"] == "rabbitmq", where
                assert "memory" in container["resources"]["limits"], where
                assert {"cpu", "memory"} <= set(container["resources"]["requests"]), where
                assert not any("hostPort" in port for port in container.get("ports", [])), where
    adapters = sum("adapter.enabled=true" in values for values in SLUICE.values())
    equal(seen, 2 * len(SLUICE) + adapters + 2 * 4 + 2, "pods that were looked at")


@test("what is not a value is refused, and so is what cannot be")
def _(box):
    for value, says in (("replica=3", "replica"), ("replicas=4", "replicas"), ("replicas=0", "replicas"),
                        ("scope=global", "scope"), ("image.repo=x", "repo"), ("credentials.list={a}", "list"),
                        ("namespaces={Bad}", "namespaces"), ("service.type=NodePort", "type"),
                        ("networkPolicy.enabled=maybe", "networkPolicy"), ("image.digest=md5:1", "digest")):
        contains(refused("sluice", value), says, value)
    contains(refused("sluice", "adapter.enabled=true", "adapter.pools=false"), "it has no numbers to serve")
    contains(refused("sluice", "adapter.certificate=mine"), "with a certificate of your own")
    contains(refused("sluice", "adapter.enabled=true", "adapter.caBundle=AAAA"), "goes with adapter.certificate")
    contains(refused("sluice", "scope=cluster", "namespaces={a}"), "with scope cluster every namespace is meant")
    contains(refused("sluice", "credentials.read={a}", "credentials.mount={a}"), "read or mount, not both")
    for value, says in (("messages=3", "messages"), ("publisher.messages=0", "messages"), ("pool.max=0", "max"),
                        ("worker.work=10", "work"), ("queue.type=stream", "type"), ("pool.policy.lag=1s", "policy")):
        contains(refused("demo", value), says, value)


@test("the controller is told where its pools are, where its lease is and where mounted credentials are")
def _(box):
    def told(*values, namespace="there"):
        deployment, = kind(render("sluice", *values, namespace=namespace), "Deployment")
        container, = deployment["spec"]["template"]["spec"]["containers"]
        return container["args"]

    lease = ["--lease=sluice", "--lease-namespace=there", "--listen=0.0.0.0:7171"]
    equal(told(), ["controller", "--namespace=there", *lease])
    equal(told("scope=cluster"), ["controller", "--all-namespaces", *lease])
    equal(told("namespaces={a,b}", "extraArgs={--journal=/x}"),
          ["controller", "--namespace=a", "--namespace=b", *lease, "--journal=/x"])
    equal(told("credentials.mount={x}", "lease.name=mine"),
          ["controller", "--namespace=there", "--lease=mine", *lease[1:], "--secrets=/var/run/secrets/sluice.dev"])
    deployment, = kind(render("sluice", "credentials.mount={x}"), "Deployment")
    container, = deployment["spec"]["template"]["spec"]["containers"]
    equal([mount["mountPath"] for mount in container["volumeMounts"]], ["/var/run/secrets/sluice.dev/there/x"])


@test("the probes, the Service and the test all ask the port that the controller listens on")
def _(box):
    objects = render("sluice", "service.port=80", name="a")
    deployment, = kind(objects, "Deployment")
    container, = deployment["spec"]["template"]["spec"]["containers"]
    port, = container["ports"]
    equal(port["containerPort"], 7171)
    probes = [container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    equal(probes, [{"path": "/healthz", "port": port["name"]}, {"path": "/readyz", "port": port["name"]}])
    service, = kind(objects, "Service")
    equal(service["spec"]["type"], "ClusterIP")
    equal([(one["port"], one["targetPort"]) for one in service["spec"]["ports"]], [(80, port["name"])])
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items(), selector
    pod, = kind(objects, "Pod")
    equal(pod["metadata"]["annotations"]["helm.sh/hook"], "test")
    equal(pod["spec"]["containers"][0]["args"], ["status", "--server=http://a-sluice.there.svc:80"])
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items(), "the test is no controller"


@test("a budget for drains comes with a second replica, and a network policy when it is asked for")
def _(box):
    equal(kind(render("sluice", "replicas=1"), "PodDisruptionBudget"), [])
    budget, = kind(render("sluice"), "PodDisruptionBudget")
    equal(budget["spec"]["maxUnavailable"], 1)
    equal(kind(render("sluice"), "NetworkPolicy"), [])
    policy, = kind(render("sluice", "networkPolicy.enabled=true"), "NetworkPolicy")
    open_ports = {(port["protocol"], port["port"]) for rule in policy["spec"]["egress"] for port in rule["ports"]
                  if "to" not in rule}
    for needed in (("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 6443), ("TCP", 5672), ("TCP", 15672)):
        assert needed in open_ports, needed
    equal(policy["spec"]["ingress"], [{"ports": [{"port": 7171, "protocol": "TCP"}]}])


@test("the image is the chart's version unless it is named, and a digest goes before a tag")
def _(box):
    version = re.search(r"project\(sluice VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    for values, image in (([], f"sluice:{version}"),
                          (["image.repository=a.test:5/s", "image.tag=v2"], "a.test:5/s:v2"),
                          (["image.digest=sha256:" + "a" * 64, "image.tag=v2"], "sluice@sha256:" + "a" * 64)):
        for chart in ("sluice", "demo"):
            images = {container["image"] for _, spec in pod_specs(render(chart, *values))
                      for container in spec.get("initContainers", []) + spec["containers"]}
            equal(images - {"rabbitmq:4-management"}, {image}, chart)
    for chart in ("sluice", "demo"):
        shown, = [line for line in helm("show", "chart", CHARTS / chart).splitlines() if line.startswith("version: ")]
        equal(shown, f"version: {version}")


@test("the demo's pool is one that sluice accepts, and the publisher publishes to its queue")
def _(box):
    for values in DEMO.values():
        objects = render("demo", *values)
        pool, = kind(objects, "WorkerPool")
        # The server of names and brokers is a cluster's: the file is read whole, and then nobody answers.
        done = box.sluice("status", "-f", box.write("pool.json", json.dumps(pool)), "--output", "json")
        assert done.exit in (1, 3), done
        contains(done.out + done.err, "orders")
        for _, spec in pod_specs(kind(objects, "Job") + kind(objects, "CronJob")):
            for container in spec["initContainers"] + spec["containers"]:
                env = {one["name"]: one.get("value") for one in container["env"]}
                equal(json.loads(env["SLUICE_QUEUE"]), {"queue": pool["spec"]["queue"]})
                mount, = container["volumeMounts"]
                secret = pool["spec"]["queue"]["rabbitmq"]["credentials"]["secret"]
                equal(mount["mountPath"], f"{env['SLUICE_SECRETS']}/{secret}")
                equal([volume["secret"]["secretName"] for volume in spec["volumes"]], [secret])


@test("200 messages are published once, at the installation")
def _(box):
    objects = render("demo")
    job, = kind(objects, "Job")
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    equal(env[0], {"name": "MESSAGES", "value": "200"})
    cron, = kind(objects, "CronJob")
    equal((cron["spec"]["suspend"], cron["spec"]["jobTemplate"]["spec"]), (True, job["spec"]))
    equal(kind(render("demo", more=["--is-upgrade"]), "Job"), [])
    pool, = kind(objects, "WorkerPool")
    equal(pool["spec"]["policy"], {"threshold": {"messages": 20, "every": "10s"}})
    worker, = pool["spec"]["workers"]["job"]["template"]["spec"]["template"]["spec"]["containers"]
    equal(worker["command"], ["sluice", "work", "--simulate", "10s", "--output", "text"])


@test("the demo's password is made up, or the given one, and stands in its Secret alone")
def _(box):
    passwords = set()
    for values, want in (([], None), ([], None), (["auth.password=S3cret-a"], "S3cret-a")):
        objects = render("demo", *values)
        secret, = kind(objects, "Secret")
        password = base64.b64decode(secret["data"]["password"]).decode()
        assert password == want if want else len(password) >= 20, password
        passwords.add(password)
        rest = json.dumps([one for one in objects if one["kind"] != "Secret"])
        assert password not in rest and secret["data"]["password"] not in rest
    equal(len(passwords), 3, "different passwords")
    objects = render("demo", "auth.existingSecret=mine")
    equal(kind(objects, "Secret"), [])
    contains(json.dumps(kind(objects, "StatefulSet")), '"secretKeyRef": {"key": "password", "name": "mine"}')


@test("RabbitMQ has a volume that goes with the release, or a folder that goes with the pod")
def _(box):
    broker, = kind(render("demo"), "StatefulSet")
    claim, = broker["spec"]["volumeClaimTemplates"]
    equal(claim["spec"]["resources"], {"requests": {"storage": "1Gi"}})
    equal(broker["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"], "Delete")
    broker, = kind(render("demo", "rabbitmq.persistence.enabled=false"), "StatefulSet")
    assert "volumeClaimTemplates" not in broker["spec"]
    equal(broker["spec"]["template"]["spec"]["volumes"], [{"name": "data", "emptyDir": {}}])


def leaves(schema, path=""):
    """(path, schema) of every value that has a default."""
    for name, one in schema.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        if "default" in one:
            yield inner, one
        else:
            yield from leaves(one, inner)


@test("values, their schema and their table are one")
def _(box):
    for chart in ("sluice", "demo"):
        schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
        values, = parse("kind: Values\nmetadata: {name: x}\nspec:\n"
                        + re.sub(r"(?m)^", "  ", (CHARTS / chart / "values.yaml").read_text()))
        rows = []
        for path, one in leaves(schema):
            value = values["spec"]
            for name in path.split("."):
                value = value.get(name) if value is not None else None
            equal(value, one["default"], f"{chart}: {path} in values.yaml and in the schema")
            shown = "" if one["default"] is None else f"`{json.dumps(one['default'], ensure_ascii=False)}`"
            accepted = f" One of {', '.join(one['enum'])}." if "enum" in one else ""
            rows.append(f"| `{path}` | {shown} | {one['description']}{accepted} |\n")
        readme = CHARTS / chart / "README.md"
        text = readme.read_text()
        begin, end = "<!-- values: generated from values.schema.json -->\n", "<!-- end -->\n"
        table = f"{begin}| value | default | meaning |\n| --- | --- | --- |\n{''.join(rows)}{end}"
        new = text[:text.index(begin)] + table + text[text.index(end) + len(end):]
        if os.environ.get("SNAP_UPDATE") == "1":
            readme.write_text(new)
        equal(readme.read_text(), new, f"{readme.relative_to(ROOT)} (SNAP_UPDATE=1 renews it)")


main()
