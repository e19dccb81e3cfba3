# SPDX-License-Identifier: Apache-2.0
"""Hostile and mistaken WorkerPools, for the API server and for a controller before which no schema stands.

- `CORPUS`: by hand; each case with the fields that an answer must name.
- `wrong_values(..)`, `good_values(..)`: of every field that the resource definition has, from its own bounds.
"""

import dataclasses
import itertools
import re

from pools import FULL, RABBIT, TEMPLATE, manifest, put

BASE = {"queue": {"rabbitmq": RABBIT}, "policy": {"threshold": {"messages": 20}},
        "workers": {"max": 20, "run": {"image": "a"}}}
SPEC_NAMES = {53: "a" * 53, 63: "a" * 63, 64: "a" * 64, 253: ".".join(["a" * 62, "b" * 63, "c" * 63, "d" * 62])}


@dataclasses.dataclass
class Case:
    name: str
    pool: dict
    # Fields, as paths below the object, that the API server names; none: it accepts the pool.
    api: tuple = ()
    # The same of the controller. None: as `api`. Some are only known there: what is in a job template.
    controller: tuple | None = None
    # False: Kubernetes itself refuses it, with or without a schema of ours.
    reaches: bool = True

    def of_controller(self):
        return self.api if self.controller is None else self.controller


def _spec(name, path, value, *named, base=None):
    """A pool in which this value is wrong; `named`: the fields of the answer, if not this one."""
    return Case(name, manifest(put(base or BASE, path.split("."), value)), named or (f"spec.{path}",))


def _numbers():
    for value in (0, -1, 10001, 2**31, 2**63, 1.5, "5", True, [5]):
        yield _spec(f"max {value!r}", "workers.max", value)
    for path in ("workers.concurrency", "workers.surge", "policy.threshold.step", "deadLetter.after"):
        yield _spec(f"{path} 0", path, 0)
    yield _spec("min above max", "workers.min", 21)
    for value in ("0s", "1ns", "10y", "1ms", "5", "-5s", "1.5s", "1e9h", "99999999999999999999s", "2h", "", 0, 5):
        yield _spec(f"every {value!r}", "policy.threshold.every", value)
    for value in ("5", "5ms", "721h", "1s1h", 60):
        yield _spec(f"age {value!r}", "policy.threshold.age", value)


def _names():
    for length, name in SPEC_NAMES.items():
        yield Case(f"a name of {length}", manifest(BASE, name), ("metadata.name",))
    yield Case("a name of 254", manifest(BASE, SPEC_NAMES[253] + "d"), ("metadata.name",), reaches=False)
    yield Case("a name in capitals", manifest(BASE, "Orders"), ("metadata.name",), reaches=False)
    for path in ("queue.rabbitmq.queue", "queue.rabbitmq.vhost", "deadLetter.queue", "workers.run.image"):
        yield _spec(f"a look-alike in {path}", path, "ord\u0435rs")
    yield _spec("a line end in the virtual host", "queue.rabbitmq.vhost", "a\r\nb")
    yield _spec("a Secret elsewhere", "queue.rabbitmq.credentials", {"secret": "../../etc"},
                "spec.queue.rabbitmq.credentials.secret")
    yield _spec("a password in a variable", "workers.run.env.DB", "postgres://user:S3CR3T@host/db")
    yield _spec("a variable of sluice's", "workers.run.env", {"SLUICE_SLOT": "1"}, "spec.workers.run.env")
    yield _spec("200 hosts", "queue.rabbitmq.hosts", [f"host-{i}" for i in range(200)])


def _urls():
    for url in ("amqp://a:S3CR3T@h@evil/", "amqp://guest@rabbitmq", "amqp://0x7f.1", "amqp://2130706433",
                "amqp://2130706433.", "amqp://1.2.3", "http://h#@evil", "amqp://h#@evil", "amqp://host%00",
                "amqp://host/%2f%2e%2e", "amqp://", "amqp://:5672",
                "amqp://host:0", "amqp://host:65536", "amqp://host:port", "amqp://host:", "amqp://host?heartbeat=10",
                "amqp://r\u0430bbitmq", "amqp://ho st", "amqp://[::1", "amqp://[::zz]", "amqp://-host", "amqp://a..b",
                "https://host", "rabbitmq:5672", "${URL}", "amqp://a\r\nb", "amqp://" + "a" * 65536):
        yield _spec(f"the URL {url[:40]!r}", "queue.rabbitmq.url", url)
    for url in ("http://h/%2e%2e/x", "http://h/../x", "ftp://h", "http://user:S3CR3T@h", "http://h?x",
                "http://256.1.1.1"):
        yield _spec(f"the management URL {url!r}", "queue.rabbitmq.management", url)


def _fields():
    yield _spec("200 triggers", "triggers", [{"type": "rabbitmq"}] * 200)
    yield _spec("a misspelled field", "policy.threshold.mesages", 1)
    yield _spec("no policy", "policy", {})
    yield _spec("two policies", "policy.lag", {"max": "60s"}, "spec.policy")
    yield _spec("two queues", "queue.local", {"path": "a.db"}, "spec.queue")
    yield _spec("no maximum", "workers", {"run": {"image": "a"}}, "spec.workers.max")
    yield _spec("a threshold of nothing", "policy.threshold", {"every": "1s"})
    yield _spec("tls without amqps", "queue.rabbitmq.tls", {"serverName": "a"})
    yield _spec("a certificate without a key", "queue.rabbitmq.tls.key", None, "spec.queue.rabbitmq.tls.cert",
                base=FULL["threshold"])
    yield _spec("job and deployment", "workers.deployment", {"name": "a"}, base=FULL["threshold"])
    yield _spec("processes without a program", "workers.process", {})
    yield _spec("a job without a container", "workers", {"max": 1, "job": {}}, "spec.workers.job")
    yield _spec("an empty program", "workers.run.command", [""])
    yield _spec("a claim that is none", "workers.claim", {"before": "5s"})
    yield _spec("a floor above max", "unknown", {"floor": 21, "after": "1m"}, "spec.unknown.floor")
    yield _spec("a reserve above max", "policy", {"lag": {"max": "60s", "reserve": 21}}, "spec.policy.lag.reserve")
    yield _spec("the HPA without a Deployment", "policy", {"hpa": {"target": {"type": "Value", "value": 5}}},
                "spec.policy.hpa")
    yield _spec("an HPA for nothing", "policy.hpa.target.value", "0", base=FULL["hpa"])
    several = put(put(put(BASE, ["workers", "max"], 0), ["policy", "threshold", "age"], "5"), ["unknown"],
                  {"floor": -1, "after": "1"})
    yield Case("four mistakes", manifest(several), ("spec.workers.max", "spec.policy.threshold.age",
                                                    "spec.unknown.floor", "spec.unknown.after"))


def _templates():
    """What only the controller judges: a Job is Kubernetes' own, and too much for a schema."""
    for name, path, value in (("without containers", "spec.template.spec.containers", []),
                              ("that starts again and again", "spec.template.spec.restartPolicy", "Always"),
                              ("of 50 at a time", "spec.parallelism", 50),
                              ("with another try", "spec.backoffLimit", 6),
                              ("with two completions", "spec.completions", 2)):
        workers = {"max": 3, "job": {"template": put(TEMPLATE, path.split("."), value)}}
        yield Case(f"a template {name}", manifest({**BASE, "workers": workers}),
                   controller=(f"spec.workers.job.template.{path}",))
    for depth in (40, 500):
        deep = "x"
        for _ in range(depth):
            deep = [deep]
        yield Case(f"a template {depth} deep", manifest({**BASE, "workers": {
            "max": 3, "job": {"template": put(TEMPLATE, ["spec", "deep"], deep)}}}),
            controller=("spec.workers.job.template.spec.deep",))
    wide = put(TEMPLATE, ["metadata"], {"annotations": {"a": "x" * 1_400_000}})
    yield Case("1.4 MB", manifest({**BASE, "workers": {"max": 3, "job": {"template": wide}}}), controller=("$",))


def _objects():
    """Good pools with something odd around them, and what Kubernetes itself refuses."""
    ttl = put(TEMPLATE, ["spec", "ttlSecondsAfterFinished"], 5)
    yield Case("a template with its own ttl", manifest({**BASE, "workers": {"max": 3, "job": {"template": ttl}}}))
    yield Case("annotations that are numbers", {**manifest(BASE), "metadata": {"name": "a", "annotations": {"a": 1}}},
               ("annotations",), reaches=False)
    yield Case("another version", {**manifest(BASE), "apiVersion": "sluice.dev/v9"}, ("v9",), reaches=False)


CORPUS = [*_numbers(), *_names(), *_urls(), *_fields(), *_templates(), *_objects()]


# Every field, from its own schema

def walk(schema, value, path=()):
    """(path, schema, value) of everything in `value` that the schema knows."""
    yield path, schema, value
    if isinstance(value, dict) and not (schema.get("x-kubernetes-preserve-unknown-fields") and "type" in schema):
        for key, inner in value.items():
            field = schema.get("properties", {}).get(key) or schema["additionalProperties"]
            yield from walk(field, inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from walk(schema["items"], inner, (*path, at))


def known(schema, path=()):
    """Every path that the schema has; an element of a list or map is *."""
    yield path
    for key, inner in schema.get("properties", {}).items():
        yield from known(inner, (*path, key))
    for many in ("items", "additionalProperties"):
        if many in schema:
            yield from known(schema[many], (*path, "*"))


def rules(schema):
    return " ".join(rule["rule"] for rule in schema.get("x-kubernetes-validations", []))


def is_choice(schema):
    return ".filter(given, given)" in rules(schema)


UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def duration_bounds(schema):
    """Milliseconds; None: no duration."""
    found = re.findall(r"duration\(self\) [<>]= duration\('([0-9hms]+)'\)", rules(schema))
    return [sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|[smh])", text)) for text in found]


def _wrong_texts(schema):
    yield from (5, True, [], {}, "x" * (schema["maxLength"] + 1), "a\0b")
    bounds = duration_bounds(schema)
    if bounds:
        yield from ("5", "5 s", "-5s", "1.5s", "10y", "1s1h", "", "1S", "inf", f"{bounds[1] + 1}ms", "99999999h")
        yield from (f"{ms}ms" for ms in (bounds[0] - 1,) if ms >= 0)
    elif "quantity(" in rules(schema):
        yield from ("16MB", "16M", "16", "1B", "1TiB", "-1MiB", "1.5MiB", "129MiB", "", "99999999999999999999B")
    elif "pattern" not in schema:
        yield ""


def wrong_values(schema, value):
    """Each is wrong whatever the other fields say. No null: to the API server that is an absent field."""
    if "enum" in schema:
        wrong = [schema["enum"][0] + "x", schema["enum"][0].swapcase(), "", 5, True, [], {}]
    elif schema.get("x-kubernetes-int-or-string"):
        wrong = [0, -1, "0", "0.0", "-5", "1.", ".5", "5 m", "5mm", "1e3", "x", "", True, [], {}, "1" * 41]
    elif "anyOf" in schema:  # claim
        wrong = ["redy", "", 5, 0, 1.5, True, False, [], ["auto"], {}, {"before": "5s"}, {"after": "5s", "more": 1},
                 *({"after": after} for after in (5, "5", "-5s", "25h", "1441m", "86401s", "86400001ms", "", "s"))]
    else:
        wrong = {"boolean": lambda: ["true", 1, 0, "", [], {}],
                 "integer": lambda: [schema["minimum"] - 1, schema["maximum"] + 1, 2**63, 1.5, "5", True, [], {}],
                 "number": lambda: [schema["minimum"] - 0.01, schema["maximum"] + 0.01, 60.1234567 / 100 ** (
                     schema["maximum"] <= 1), "0.1", True, []],
                 "string": lambda: list(_wrong_texts(schema)),
                 "array": lambda: ["x", {}, [], list(itertools.islice(itertools.cycle(value), schema["maxItems"] + 1))],
                 "object": lambda: list(_wrong_objects(schema, value))}[schema["type"]]()
    return wrong


def _wrong_objects(schema, value):
    yield from ("x", [], [{}], 5)
    if "additionalProperties" in schema:
        yield from ({"1A": "b"}, {"SLUICE_X": "b"}, {"A-B": "b"}, {"": "b"}, {"A": 5}, {"A": "a\0b"})
        yield {f"A{i}": "" for i in range(schema["maxProperties"] + 1)}
    elif schema.get("x-kubernetes-preserve-unknown-fields") is None:
        yield {**value, "unheardOf": 1}
        for key in schema.get("required", []):
            yield {other: inner for other, inner in value.items() if other != key}
    if is_choice(schema):
        yield {}


def good_values(schema):
    """The outermost values that are good whatever the other fields say."""
    if "enum" in schema:
        return schema["enum"]
    if schema.get("x-kubernetes-int-or-string"):
        return [1, 2**31, "1", "100", "500m", "0.5", "1.5Gi", "0010"]
    if "anyOf" in schema:
        return [*schema["anyOf"][0]["enum"], *({"after": after} for after in ("0s", "24h", "1440m", "86400s", "1h30m"))]
    bounds = duration_bounds(schema)
    if bounds:
        return [f"{bounds[0]}ms", f"{bounds[1]}ms", *(["adaptive"] if "'adaptive'" in rules(schema) else [])]
    if "quantity(" in rules(schema):
        return ["1024B", "1KiB", "128MiB", "131072KiB", "134217728B"]
    if schema.get("type") in ("integer", "number"):
        return [schema["minimum"], schema["maximum"]]
    return []


def sweep(schema):
    """(pool's spec, path, value, whether it is good) over every field of every pool of FULL."""
    for base in FULL.values():
        for path, inner, value in walk(schema, base):
            if not path:
                continue
            for wrong in wrong_values(inner, value):
                yield put(base, path, wrong), path, wrong, False
            if is_choice(inner):
                for other in FULL.values():
                    both = {**value, **_at(other, path)}
                    if len(both) == 2:
                        yield put(base, path, both), path, both, False
            for good in good_values(inner):
                yield put(base, path, good), path, good, True


def _at(value, path):
    for step in path:
        value = value[step]
    return value
