#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The judge of a run: what was confirmed, what was done, and whether everything that was done twice says why.

    check = Check()
    check.read(lines)        # or check.confirmed(id), check.unknown(id), check.done(id, cause=..), check.dead(id)
    report = check.report()
    assert not report.wrong, report

A log is JSON lines, in any order and from any number of files, written by whoever saw it and not by the queue:

    {"event":"confirmed","id":"a"}       the publisher was told that the queue has it
    {"event":"unknown","id":"b"}         it was sent and nobody knows; it may be sent again under the same id
    {"event":"done","id":"a","worker":"w0","attempt":1,"cause":"none"}
    {"event":"dead","id":"c","cause":"failed"}

`cause` is why a message came again; absent, null, "" and "none" mean that it came for the first time, and blanks are as
good as underscores. Of several runs of one message the first is no duplicate. Every further one must have a cause, or
be explained by the publisher: who sends again what is unknown may be delivered twice ("resent").

lost: confirmed, neither done nor dead. unexpected: done or dead, but neither confirmed nor unknown - a ghost.

As a program: `qcheck.py [--json] FILE...` (- is stdin); exit 1 when something is lost, unexpected or unlabelled, 2 when
there was nothing to judge.
"""

import argparse
import collections
import json
import sys

CAUSES = frozenset({"crash", "lost_lease", "ack_unknown", "requeued", "retried", "failed", "resent"})
SHOWN = 20  # sentences a program prints; the counts are always whole


class Report:
    """The counts, and what is wrong as sentences. Prints as a table."""

    def __init__(self):
        self.confirmed = self.unknown = self.done = self.dead = self.recovered = 0
        self.lost, self.unexpected, self.unlabelled = 0, 0, 0
        self.duplicates = {}  # cause: runs
        self.wrong = []
        self.torn = 0

    def as_json(self):
        return {key: value for key, value in vars(self).items() if key != "wrong"}

    def __str__(self):
        causes = ", ".join(f"{cause} {count}" for cause, count in sorted(self.duplicates.items()))
        rows = [("confirmed", self.confirmed), ("unknown", f"{self.unknown}, of which done or dead {self.recovered}"),
                ("done", self.done), ("dead", self.dead), ("lost", self.lost),
                ("duplicates", f"{sum(self.duplicates.values())}{f' ({causes})' if causes else ''}"),
                ("unlabelled", self.unlabelled), ("unexpected", self.unexpected)]
        if self.torn:
            rows.append(("torn lines", f"{self.torn}, each the last of its log"))
        more = [f"... and {len(self.wrong) - SHOWN} more"] if len(self.wrong) > SHOWN else []
        return "\n".join([*(f"{name:<11} {value}" for name, value in rows), *self.wrong[:SHOWN], *more])


class Check:
    """Takes events in any order. `causes` are the ones this run may have; `did` is the word for "done" in sentences."""

    def __init__(self, causes=CAUSES, did="done"):
        self._causes, self._did = frozenset(_plain(cause) for cause in causes), did
        self._confirmed, self._unknown = set(), collections.Counter()
        self._done, self._dead = collections.defaultdict(list), set()
        self._torn = 0

    # Events

    def confirmed(self, message):
        self._confirmed.add(message)

    def unknown(self, message):
        """Once for each time it was sent and the outcome stayed unknown."""
        self._unknown[message] += 1

    def done(self, message, attempt=None, cause=None, worker=None):
        self._done[message].append(_plain(cause))

    def dead(self, message, cause=None):
        self._dead.add(message)

    def read(self, lines, name="the log"):
        """Of a text or an open file. A last line without its end is a torn one, of a writer that was killed."""
        if isinstance(lines, str):
            lines = lines.splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            if not line.endswith("\n") and not _is_json(line):
                self._torn += 1
            elif line.strip():
                try:
                    self._take(json.loads(line))
                except (ValueError, KeyError, TypeError) as problem:
                    raise ValueError(f"{name}, line {number}: no event ({problem!r}): {line.strip()[:200]}") from None

    def _take(self, event):
        kind, message = event["event"], event["id"]
        if not isinstance(message, str):
            raise ValueError("an id that is no text")
        if kind == "confirmed":
            self.confirmed(message)
        elif kind == "unknown":
            self.unknown(message)
        elif kind == "done":
            self.done(message, event.get("attempt"), event.get("cause"), event.get("worker"))
        elif kind == "dead":
            self.dead(message, event.get("cause"))
        else:
            raise ValueError(f"unknown event {kind!r}")

    # Judgement

    def report(self):
        report = Report()
        sent, ended = self._confirmed | self._unknown.keys(), self._done.keys() | self._dead
        report.confirmed, report.unknown = len(self._confirmed), len(self._unknown.keys() - self._confirmed)
        report.done, report.dead, report.torn = len(self._done), len(self._dead), self._torn
        report.recovered = len((self._unknown.keys() - self._confirmed) & ended)
        lost, unexpected = sorted(self._confirmed - ended), sorted(ended - sent)
        report.lost, report.unexpected = len(lost), len(unexpected)
        report.wrong += [f"{message}: lost, confirmed and never {self._did}" for message in lost]
        report.wrong += [f"{message}: {self._did if message in self._done else 'dead'}, but never published"
                         for message in unexpected]
        duplicates = collections.Counter()
        for message, causes in sorted(self._done.items()):
            self._judge_runs(message, causes, duplicates, report)
        report.duplicates = dict(duplicates)
        return report

    def _judge_runs(self, message, causes, duplicates, report):
        first = causes.count(None)
        # Every copy that was sent may come for a first time once.
        copies = max(1, self._unknown[message] + (message in self._confirmed))
        if first > copies:
            report.unlabelled += first - copies
            report.wrong.append(f"{message}: {self._did} {len(causes)} times, {first} of them without a cause, "
                                f"sent {copies} times")
        foreign = [cause for cause in causes if cause is not None and cause not in self._causes]
        report.unlabelled += len(foreign)
        for cause in foreign:
            report.wrong.append(f"{message}: came again with the cause {cause!r}, which is none of "
                                f"{sorted(self._causes)}")
        again = sorted(cause for cause in causes if cause in self._causes)
        again += ["resent"] * (min(first, copies) - 1)
        if not first and again:
            again.pop(0)  # the run that should have been the first left no line: it died before it could
        duplicates.update(again)


def _plain(cause):
    if cause is not None and not isinstance(cause, str):
        raise ValueError("a cause that is no text")
    word = (cause or "none").replace(" ", "_")
    return None if word == "none" else word


def _is_json(line):
    try:
        json.loads(line)
        return True
    except ValueError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of the table")
    arguments = parser.parse_args()
    check = Check()
    try:
        for name in arguments.files:
            if name == "-":
                check.read(sys.stdin, "stdin")
            else:
                with open(name, encoding="utf-8") as log:
                    check.read(log, name)
    except (OSError, ValueError) as problem:
        print(f"qcheck: {problem}", file=sys.stderr)
        sys.exit(2)
    report = check.report()
    print(json.dumps(report.as_json()) if arguments.json else report)
    if not report.confirmed and not report.unknown:
        print("qcheck: nothing was published: nothing was judged", file=sys.stderr)
        sys.exit(1 if report.wrong else 2)
    sys.exit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
