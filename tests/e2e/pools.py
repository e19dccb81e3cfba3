# SPDX-License-Identifier: Apache-2.0
"""The resource definition of WorkerPool on the test cluster, and pools for tests.

    install(k8s.api)                      # what `sluice crd` prints
    install(k8s.api, without_schema())    # the same without a schema: every pool gets through to the controller
    pool = put(FULL["threshold"], ("workers", "max"), 5)
"""

import copy
import functools
import json
import os
import pathlib
import subprocess

from e2e import ROOT, wait_until
from api import ApiError

BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/sluice"))
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "workerpools.sluice.dev"
TEMPLATE = {"spec": {"template": {"spec": {"containers": [{"name": "it", "image": "none:1"}]}}}}
RABBIT = {"url": "amqp://rabbitmq.example:5672", "queue": "orders"}

# Good pools that have, all together, every field there is.
FULL = {
    "threshold": {
        "paused": False,
        "queue": {"rabbitmq": {
            **RABBIT, "url": "amqps://rabbitmq.example", "vhost": "/", "hosts": ["[::1]:5672"],
            "credentials": {"secret": "rabbitmq-user"}, "management": "https://rabbitmq.example:15671/api",
            "tls": {"ca": "ca.pem", "cert": "tls.pem", "key": "key.pem", "serverName": "rabbitmq"},
            "declare": {"type": "classic"}, "maxBody": "16MiB"}},
        "policy": {"threshold": {"messages": 20, "age": "60s", "step": 1, "every": "10s"}},
        "workers": {
            "min": 0, "max": 10000, "surge": 1, "startDeadline": "15m", "fullAfter": "5m", "maxRuntime": "1h",
            "idleExit": "10s", "claim": "auto", "concurrency": 1,
            "run": {"image": "registry.example/worker:1", "command": ["work", ""], "env": {"A": ""}},
            "job": {"template": TEMPLATE, "container": "it"},
            "process": {"nodes": {"min": 0, "max": 10000, "slots": 1, "boot": "0s"}}},
        "unknown": {"floor": 0, "after": "1m"}, "deadLetter": {"queue": "orders.dead", "after": 5},
        "retry": {"delays": ["1s", "10s"]}},
    "backlogPerWorker": {
        "queue": {"pubsub": {"project": "my-project", "subscription": "orders-sub", "topic": "orders",
                             "credentials": {"secret": "account"}, "endpoint": "http://127.0.0.1:8085"}},
        "policy": {"backlogPerWorker": {"messages": 1, "every": "adaptive"}},
        "workers": {"max": 3, "run": {"image": "a"}, "claim": {"after": "30s"}}},
    "lag": {
        "queue": {"local": {"path": "orders.db"}},
        "policy": {"lag": {"max": "60s", "percentile": 99.9, "reserve": 0, "every": "1s"}},
        "workers": {"max": 10000, "run": {"command": ["a"]}, "process": {}}},
    "hpa": {
        "queue": {"rabbitmq": RABBIT},
        "policy": {"hpa": {
            "target": {"type": "AverageValue", "value": "100"}, "tolerance": 0.1, "every": "15s",
            "behavior": {way: {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "tolerance": 0.2,
                               "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}
                         for way in ("scaleUp", "scaleDown")}}},
        "workers": {"max": 3, "deployment": {"name": "workers"}}},
}


def manifest(spec, name="orders", **metadata):
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": name, **metadata},
            "spec": spec}


def put(spec, path, value):
    """A copy with `value` at the path; None: without what is there."""
    out = copy.deepcopy(spec)
    inner = out
    for step in path[:-1]:
        inner = inner[step] if isinstance(step, int) else inner.setdefault(step, {})
    if value is None:
        inner.pop(path[-1])
    else:
        inner[path[-1]] = value
    return out


@functools.cache
def _generated():
    return subprocess.run([BIN, "crd", "--output", "json"], check=True, capture_output=True, text=True).stdout


def generated():
    return json.loads(_generated())


def without_schema():
    definition = generated()
    definition["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return definition


def install(api, definition=None):
    """In place of the one that is there, and in force: the API server judges by it from then on."""
    definition = definition or generated()
    api.patch(f"{CRD}/{NAME}", definition, "apply", fieldManager="test", force="true")
    wait_until(lambda: api.condition(f"{CRD}/{NAME}", "Established") == "True", 20, "the resource definition")
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    wait_until(lambda: judges(api) == ("properties" in schema), 30, "its schema to be in force")


def judges(api):
    """Whether a schema is in force: an empty spec is refused. None while the API server has not heard of the kind."""
    try:
        api.post("/apis/sluice.dev/v1alpha1/namespaces/default/workerpools", manifest({}), dryRun="All")
    except ApiError as problem:
        if problem.code not in (404, 422, 503):
            raise
        return True if problem.code == 422 else None
    return False
