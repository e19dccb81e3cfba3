# SPDX-License-Identifier: Apache-2.0
"""The handlers' own record of what they did, and the judge of it. Knows nothing of the queue and believes no worker.

A line is `ID ATTEMPT HEADERS`, written when a handler begins; HEADERS is SLUICE_MESSAGE_HEADERS, whose "sluice-cause"
says why a message came again.
"""

import collections
import json

HANDLER = """#!/bin/sh
echo "$SLUICE_MESSAGE_ID $SLUICE_MESSAGE_ATTEMPT $SLUICE_MESSAGE_HEADERS" >> ledger.txt
sleep {seconds}
"""

# Every way in which a message may rightly be begun twice.
CAUSES = {"crash", "lost lease", "ack unknown", "requeued"}


def parse(text):
    """(id, attempt, cause) of every whole line; cause is None for a first delivery."""
    runs = []
    for line in text.splitlines():
        message, attempt, headers = line.split(" ", 2)
        runs.append((message, int(attempt), json.loads(headers).get("sluice-cause")))
    return runs


def judge(published, runs):
    """What is wrong, as sentences; empty when nothing is."""
    wrong = []
    by_id = collections.defaultdict(list)
    for message, _, cause in runs:
        by_id[message].append(cause)
    for message in sorted(set(published) - set(by_id)):
        wrong.append(f"{message}: lost, confirmed and never begun")
    for message in sorted(set(by_id) - set(published)):
        wrong.append(f"{message}: begun, but never published")
    for message, causes in sorted(by_id.items()):
        unlabelled = [cause for cause in causes if cause is None]
        if len(unlabelled) > 1:
            wrong.append(f"{message}: begun {len(causes)} times, {len(unlabelled)} of them without a cause")
        for cause in causes:
            if cause is not None and cause.replace("_", " ") not in CAUSES:
                wrong.append(f"{message}: came again with the cause {cause!r}, which is none of {sorted(CAUSES)}")
    return wrong
