#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants a violation of every house rule in a small tree and demands that tools/tidy.py finds it and no other."""

import pathlib
import re
import sys
import tempfile
import unittest

import tidy
from tidy_rules import CALLS, INCLUDES, STRINGS

CC = "// SPDX-License-Identifier: Apache-2.0\n"
HEADER = CC + "#pragma once\n"
LAYERS = """\
base:
model: base
aio: base
queue: base model aio
queue/local: base model aio queue
app: base model aio queue
"""


class Tree(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-tidy-")
        self.addCleanup(self._folder.cleanup)
        self.root = pathlib.Path(self._folder.name)
        self.write("tools/layers.txt", LAYERS)
        self.write("src/base/a.h", HEADER)
        self.write("src/model/m.h", HEADER + '#include "base/a.h"\n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def found(self):
        return tidy.Tidy(self.root).run()

    def demand(self, where, rule):
        """Exactly one violation, at WHERE (file:line), of that rule, with a way out."""
        problems = self.found()
        self.assertEqual(len(problems), 1, problems)
        self.assertRegex(problems[0], rf"^{re.escape(where)}: {rule}: .+; .+")


class Patterns(Tree):
    def test_a_tree_without_violations_is_clean(self):
        self.assertEqual(self.found(), [])

    def test_every_call_is_found_and_none_in_comments_and_strings(self):
        for rule in CALLS:
            for example in rule.examples:
                with self.subTest(rule=rule.name, example=example):
                    self.write("src/model/x.cc", CC + f"void f() {{\n  {example}\n}}\n")
                    self.demand("src/model/x.cc:3", rule.name)
                    quoted = example.replace("\\", "\\\\").replace('"', '\\"')
                    self.write("src/model/x.cc", CC + f'// {example}\n/* {example} */\nconst char* s = "{quoted}";\n')
                    self.assertEqual(self.found(), [])

    def test_a_call_is_allowed_in_its_places_only(self):
        for rule in CALLS:
            for place in rule.places:
                with self.subTest(rule=rule.name, place=place):
                    folder = place if place in ("tests", "bench", "include") else f"src/{place}"
                    name = {"test": "src/model/x_test.cc"}.get(place, folder if "." in place else f"{folder}/x.cc")
                    self.write(name, CC + f"void f() {{\n  {rule.examples[0]}\n}}\n")
                    self.assertEqual(self.found(), [])
                    (self.root / name).unlink()

    def test_a_reason_excuses_a_call_and_nothing_less_does(self):
        for rule in CALLS:
            with self.subTest(rule=rule.name):
                example = rule.examples[0]
                self.write("src/model/x.cc", CC + f"// tidy: allow({rule.name}) the reason\nvoid f() {{ {example} }}\n")
                self.assertEqual(self.found(), [])
                self.write("src/model/x.cc", CC + f"// tidy: allow({rule.name})\nvoid f() {{ {example} }}\n")
                self.demand("src/model/x.cc:3", rule.name)
                self.write("src/model/x.cc", CC + f"// tidy: allow(other) why\nvoid f() {{ {example} }}\n")
                self.demand("src/model/x.cc:3", rule.name)

    def test_every_include_is_found(self):
        for rule in INCLUDES:
            for example in rule.examples:
                with self.subTest(rule=rule.name, example=example):
                    self.write("src/model/x.cc", CC + f"#include <{example}>\n")
                    self.demand("src/model/x.cc:2", rule.name)

    def test_every_string_is_found_in_any_text_file(self):
        for rule in STRINGS:
            for example in rule.examples:
                for name in ("docs/page.md", "deploy/x.yaml"):
                    with self.subTest(rule=rule.name, example=example, name=name):
                        self.write(name, f"text\n{example}\n")
                        self.demand(f"{name}:2", rule.name)
                        (self.root / name).unlink()


class Layers(Tree):
    def test_an_include_against_the_layers_is_found(self):
        self.write("src/base/b.cc", CC + '#include "model/m.h"\n')
        self.demand("src/base/b.cc:2", "layers")

    def test_a_subfolder_is_a_layer_of_its_own(self):
        self.write("src/queue/local/l.h", HEADER)
        self.write("src/queue/local/l.cc", CC + '#include "queue/local/l.h"\n#include "base/a.h"\n')
        self.assertEqual(self.found(), [])
        self.write("src/queue/q.cc", CC + '#include "queue/local/l.h"\n')
        self.demand("src/queue/q.cc:2", "layers")

    def test_nobody_includes_app(self):
        self.write("src/app/v.h", HEADER)
        self.write("src/queue/q.cc", CC + '#include "app/v.h"\n')
        self.demand("src/queue/q.cc:2", "layers")

    def test_a_folder_without_a_layer_is_found(self):
        self.write("src/other/o.cc", CC + '#include "base/a.h"\n')
        self.demand("src/other/o.cc:2", "layers")

    def test_a_layer_that_names_one_below_it_is_found(self):
        self.write("tools/layers.txt", "base: model\nmodel: base\n")
        self.demand("tools/layers.txt:1", "layers")

    def test_a_graph_that_differs_from_cmake_is_found(self):
        modules = ("sluice_module(base)\nsluice_module(model DEPS base LIBS x)\nsluice_module(aio DEPS base)\n"
                   "sluice_module(queue DEPS base model aio)\nsluice_module(app DEPS base model aio queue)\n")
        local = "sluice_module(queue_local DIR queue/local DEPS base model aio queue)\n"
        head = "# SPDX-License-Identifier: Apache-2.0\n"
        self.write("CMakeLists.txt", head + modules + local)
        self.assertEqual(self.found(), [])
        self.write("CMakeLists.txt", head + modules.replace("aio DEPS base", "aio") + local)
        self.demand("CMakeLists.txt:4", "layers")
        self.write("CMakeLists.txt", head + modules)
        self.demand("tools/layers.txt:1", "layers")
        self.write("CMakeLists.txt", head + modules + local + "sluice_module(z)\n")
        self.demand("CMakeLists.txt:8", "layers")

    def test_a_cycle_of_includes_is_found(self):
        self.write("src/base/a.h", HEADER + '#include "base/b.h"\n')
        self.write("src/base/b.h", HEADER + '#include "base/c.h"\n')
        self.write("src/base/c.h", HEADER + '#include "base/a.h"\n')
        self.demand("src/base/c.h:3", "cycle")

    def test_ours_are_included_in_quotes(self):
        self.write("src/model/x.cc", CC + "#include <base/a.h>\n")
        self.demand("src/model/x.cc:2", "include")


class Text(Tree):
    def test_a_missing_licence_line_is_found_in_each_kind_of_source(self):
        for name, text in (("src/base/x.cc", "int x;\n"), ("src/base/x.h", "#pragma once\n"), ("tools/x.py", "x = 1\n"),
                           ("cmake/x.cmake", "set(x)\n"), ("tests/x.go", "package x\n"), ("Makefile", "all:\n"),
                           ("tools/setup", "#!/bin/sh\necho\n")):
            with self.subTest(name=name):
                self.write(name, text)
                self.demand(f"{name}:1", "licence")
                (self.root / name).unlink()

    def test_sizes(self):
        self.write("src/base/x.cc", CC + "int x;\n" * 449)
        self.assertEqual(self.found(), [])
        self.write("src/base/x.cc", CC + "int x;\n" * 450)
        self.demand("src/base/x.cc:451", "lines")
        self.write("src/base/x.cc", CC + "int " + "x" * 115 + ";\n")
        self.assertEqual(self.found(), [])
        self.write("src/base/x.cc", CC + "int " + "x" * 116 + ";\n")
        self.demand("src/base/x.cc:2", "columns")

    def test_the_text_of_a_raw_string_may_be_wide_and_what_follows_may_not(self):
        wide = "x" * 130
        self.write("src/base/x.cc", CC + f'const char* s = R"(\n{wide} \n)";\nint {wide};\n')
        self.demand("src/base/x.cc:5", "columns")

    def test_blanks_tabs_and_an_unguarded_header(self):
        self.write("src/base/x.cc", CC + "int x; \n")
        self.demand("src/base/x.cc:2", "blank")
        self.write("src/base/x.cc", CC + "\tint x;\n")
        self.demand("src/base/x.cc:2", "tab")
        self.write("src/base/x.cc", CC)
        self.write("src/base/x.h", CC)
        self.demand("src/base/x.h:1", "once")

    def test_two_awaits_in_one_statement_are_found_also_over_lines(self):
        self.write("src/base/x.cc", CC + "Task<void> f() {\n  g(co_await a(),\n    co_await b());\n}\n")
        self.demand("src/base/x.cc:3", "await")
        self.write("src/base/x.cc", CC + "Task<void> f() {\n  co_await a();\n  co_await b();\n}\n")
        self.assertEqual(self.found(), [])

    def test_a_digit_separator_does_not_hide_what_follows(self):
        self.write("src/base/x.cc", CC + "int n = 1'000;\nint m = rand() + 2'000;\n")
        self.demand("src/base/x.cc:3", "random")


if __name__ == "__main__":
    sys.exit(0 if unittest.main(exit=False, verbosity=0).result.wasSuccessful() else 1)
