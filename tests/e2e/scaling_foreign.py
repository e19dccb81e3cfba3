# SPDX-License-Identifier: Apache-2.0
"""Workers that are not sluice's, on the real node, as scaling_test.py runs it: part of that script."""

import shutil
import tempfile

from e2e import equal, pod_spec, test
import image
from components import IMAGE
from faultproxy import FaultProxy
from scaling import WAIT_S, Rig, broker, each, scaled
from world import HOST

CONSUMER = "sluice.test/consumer:1"  # busybox and amqp-consume, the program of RabbitMQ's C library


def load_consumer(k8s):
    program = shutil.which("amqp-consume")
    assert program, "there is no amqp-consume: tools/setup e2e installs it (Debian package amqp-tools)"
    with tempfile.TemporaryDirectory(dir=k8s.cluster.folder) as folder:
        image.write(f"{folder}/consumer.tar", CONSUMER, {"/bin/amqp-consume": program})
        k8s.cluster.load(f"{folder}/consumer.tar")


@test("a foreign worker that consumes long after its start, one message each: 20 messages and 10 more make 30 Jobs")
def _(k8s):
    late = scaled(10, 60)
    load_consumer(k8s)
    with k8s.cluster.network():
        way_in = FaultProxy(broker(k8s.cluster).port, host=HOST)  # RabbitMQ itself listens on loopback alone
    with way_in, Rig(k8s, "real") as rig:
        consume = (f"echo 'cat > /dev/null; sleep 1' > /tmp/handle; sleep {late}; "
                   f"exec amqp-consume --url=amqp://{HOST}:{way_in.port} -q {k8s.name} -c 1 -p 1 sh /tmp/handle")
        spec = pod_spec("sh", "-c", consume)
        spec["containers"][0]["image"] = CONSUMER
        rig.publish(20)
        rig.controller()
        rig.pool(max=40, policy=each(1, scaled("1s", "5s")), pod={"spec": spec}, claim="auto")
        k8s.wait("some of the 20 to be taken", lambda: rig.ready() < 15, WAIT_S + 2 * late)
        rig.publish(10)
        k8s.wait("all to be taken", lambda: rig.ready() == 0, 2 * WAIT_S + 2 * late)
        k8s.wait("all to end", lambda: not rig.live(), WAIT_S)
        rungs = {tick["seen"]["fleet"]["claim"] for tick in rig.ticks()}
        check = rig.check()
        equal(len(check.creates()), 30, f"Jobs, by the claims {sorted(rungs)},")
        equal({name: k8s.job_state(name) for name in rig.jobs()},
              {name: "Complete" for name in rig.jobs()}, "how they ended")
        equal("consumers" in rungs, True, f"{rungs}: the broker's count of consumers says who has begun")


@test("a sidecar that never ends does not keep its worker's Job, and is left alone while the worker runs")
def _(k8s):
    with Rig(k8s, "real") as rig:
        spec = pod_spec("sh", "-c", "sleep 15")
        spec["containers"].append({**spec["containers"][0], "name": "side", "image": IMAGE,
                                   "command": ["sleep", "100000"]})
        rig.publish(1)
        rig.controller()
        rig.pool(max=1, pod={"spec": spec})
        rig.wait_live(1)
        rig.purge()
        ended = {}

        def states():
            for pod in k8s.list("pods"):
                for one in pod["status"].get("containerStatuses", []):
                    for word in one["state"]:
                        ended.setdefault((one["name"], word), pod["metadata"].get("deletionTimestamp"))
            return k8s.job_state("orders-w0")

        k8s.wait("the Job to end", states, WAIT_S)
        equal(ended.get(("c", "running"), "never"), None, "the pod's deletion while the worker ran")
        check = rig.check()
        equal(check.count("delete", "pods", 200), 1, "pods that were ended")
        equal(rig.word(), "steady", "the word")
