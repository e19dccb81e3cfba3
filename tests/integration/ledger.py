# SPDX-License-Identifier: Apache-2.0
"""The handlers' own record of what they did, and the judge of it. Knows nothing of the queue and believes no worker.

A line is `ID ATTEMPT HEADERS`, written when a handler begins; HEADERS is SLUICE_MESSAGE_HEADERS, whose "sluice-cause"
says why a message came again.
"""

import json

import lib  # noqa: F401 first, because it says where the tools are
from qcheck import Check

HANDLER = """#!/bin/sh
echo "$SLUICE_MESSAGE_ID $SLUICE_MESSAGE_ATTEMPT $SLUICE_MESSAGE_HEADERS" >> ledger.txt
sleep {seconds}
"""

# Every way in which a message may rightly be begun twice.
CAUSES = {"crash", "lost lease", "ack unknown", "requeued", "resent"}


def parse(text):
    """(id, attempt, cause) of every whole line; cause is None for a first delivery."""
    runs = []
    for line in text.splitlines():
        message, attempt, headers = line.split(" ", 2)
        runs.append((message, int(attempt), json.loads(headers).get("sluice-cause")))
    return runs


def judge(published, runs):
    """What is wrong, as sentences; empty when nothing is."""
    check = Check(causes=CAUSES, did="begun")
    for message in published:
        check.confirmed(message)
    for message, attempt, cause in runs:
        check.done(message, attempt, cause)
    return check.report().wrong
