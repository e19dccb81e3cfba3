# SPDX-License-Identifier: Apache-2.0
"""`make demo-hpa` in a hurry: the HPA on backlog goes from 1 to 10 for 1000 messages and back, the one on CPU does
nothing. In between the API of external metrics is asked as kubectl asks it."""

import hpa_story
import pubsub
from e2e import contains, equal, main, needs, test
from hpa_picture import picture

needs(pubsub.missing())
MESSAGES = 1000


@test("1000 messages on a subscription: 1, 10 and 1 pods on backlog, 1 on CPU, by the adapter that the chart installs")
def _(k8s):
    cluster = k8s.cluster
    with hpa_story.scene(cluster, fast=True) as (rig, resource_metrics):
        hpa_story.begin(k8s, rig, "300ms", resource_metrics)
        service = k8s.api.get(hpa_story.API_SERVICE)["spec"]
        assert service.get("caBundle"), "a caBundle"
        equal(service.get("insecureSkipTLSVerify", False), False, "insecureSkipTLSVerify")
        lines = hpa_story.play(k8s, rig, MESSAGES, lambda text: print(f"       {text}", flush=True), 300)
        for line in lines:
            print(f"       {line.name}")
            for text in line.changes():
                print(f"         {text}", flush=True)
        hpa_story.judge(lines, MESSAGES)
        contains(cluster.kubectl("describe", "hpa", hpa_story.BACKLOG, "--namespace", k8s.name), "ValidMetricFound")
        contains(picture(lines, MESSAGES), "<svg")


main()
