#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The counts of CI: a failure, a crash and a step that never ran must each show in the last line."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent
GTEST = """<testsuites><testsuite name="S"><testcase name="a" status="run" result="completed"/>
<testcase name="b" status="run" result="completed">{0}</testcase>
<testcase name="c" status="notrun" result="suppressed"/></testsuite></testsuites>"""
JUNIT = '<testsuite><testcase name="{0}" status="{1}"/></testsuite>'


class Counts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sluice-counts-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)

    def summary(self, *options):
        command = [sys.executable, TOOLS / "summary.py", *options, self.dir]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout.splitlines()[-1], done.returncode

    def counted(self, script):
        command = [sys.executable, TOOLS / "counted.py", "name", self.dir, "--", "sh", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True)
        counts = json.loads((self.dir / "name.json").read_text())
        return (counts["passed"], counts["failed"], counts["skipped"]), done.returncode

    def test_a_closing_line_is_counted_and_its_exit_code_kept(self):
        self.assertEqual(self.counted("echo x; echo 3 passed, 0 failed"), ((3, 0, 0), 0))
        self.assertEqual(self.counted("echo 3 passed, 2 failed, 1 skipped; exit 1"), ((3, 2, 1), 1))

    def test_a_command_without_a_closing_line_counts_as_one(self):
        self.assertEqual(self.counted("true"), ((1, 0, 0), 0))
        self.assertEqual(self.counted("exit 9"), ((0, 1, 0), 1))

    def test_a_command_that_says_clean_and_exits_otherwise_has_failed(self):
        self.assertEqual(self.counted("echo 3 passed, 0 failed; exit 1"), ((3, 1, 0), 1))
        self.assertEqual(self.counted("echo 3 passed, 0 failed; kill -9 $$"), ((3, 1, 0), 1))

    def test_a_command_that_is_not_there_has_failed(self):
        command = [sys.executable, TOOLS / "counted.py", "name", self.dir, "--", self.dir / "nothing"]
        self.assertEqual(subprocess.run(command, capture_output=True).returncode, 1)
        self.assertEqual(json.loads((self.dir / "name.json").read_text())["failed"], 1)

    def test_gtest_cases_are_counted_one_by_one(self):
        (self.dir / "base_test.xml").write_text(GTEST.format(""))
        (self.dir / "ctest.junit").write_text(JUNIT.format("base", "run"))
        self.assertEqual(self.summary(), ("2 passed, 0 failed, 1 skipped", 0))
        (self.dir / "base_test.xml").write_text(GTEST.format('<failure message="no"/>'))
        (self.dir / "ctest.junit").write_text(JUNIT.format("base", "fail"))
        self.assertEqual(self.summary(), ("1 passed, 1 failed, 1 skipped", 1))

    def test_a_crash_after_clean_cases_is_a_failure(self):
        (self.dir / "base_test.xml").write_text(GTEST.format(""))
        (self.dir / "ctest.junit").write_text(JUNIT.format("base", "fail"))
        self.assertEqual(self.summary(), ("2 passed, 1 failed, 1 skipped", 1))
        (self.dir / "base_test.xml").write_text(GTEST.format("")[:100])
        self.assertEqual(self.summary(), ("0 passed, 1 failed", 1))

    def test_scripts_are_counted_by_their_own_word_and_others_as_one(self):
        (self.dir / "kill_test.json").write_text('{"suite": "kill_test", "passed": 4, "failed": 0}')
        (self.dir / "ctest.junit").write_text(JUNIT.format("integration.kill_test", "run"))
        self.assertEqual(self.summary(), ("4 passed, 0 failed", 0))
        (self.dir / "ctest.junit").write_text(JUNIT.format("integration.kill_test", "fail"))
        self.assertEqual(self.summary(), ("4 passed, 1 failed", 1))
        (self.dir / "ctest.junit").write_text(JUNIT.format("tidy", "run"))
        self.assertEqual(self.summary(), ("5 passed, 0 failed", 0))

    def test_a_failed_step_is_a_failure_even_if_nothing_counted_it(self):
        (self.dir / "a.json").write_text('{"suite": "a", "passed": 4, "failed": 0}')
        self.assertEqual(self.summary("--failed-steps", "1"), ("4 passed, 1 failed", 1))
        (self.dir / "a.json").write_text('{"suite": "a", "passed": 4, "failed": 2}')
        self.assertEqual(self.summary("--failed-steps", "1"), ("4 passed, 2 failed", 1))

    def test_nothing_that_ran_is_no_success(self):
        self.assertEqual(self.summary(), ("0 passed, 0 failed", 1))


if __name__ == "__main__":
    sys.exit(0 if unittest.main(exit=False, verbosity=0).result.wasSuccessful() else 1)
