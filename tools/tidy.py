#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules that a program can check, one message a violation: FILE:LINE: what was found; what to do instead.

Layers (tools/layers.txt), include cycles, calls that have a better replacement (tools/tidy_rules.py), licence lines,
sizes, notes left over, strings that say where something was built. A rule is broken openly, with a reason, on the line
or the one above: `// tidy: allow(RULE) why`. tools/tidy_test.py plants a violation of each and sees it found.
"""

import argparse
import pathlib
import re
import subprocess
import sys

from tidy_rules import CALLS, INCLUDES, STRINGS

CODE = {".cc", ".h"}
SCRIPTS = {".py", ".sh", ".cmake"}
GO = {".go"}  # of the test cluster; its tabs are gofmt's
SCRIPT_NAMES = {"CMakeLists.txt", "Makefile", "tools/setup", ".ci/run", "bin/demo-down", "bin/demo-publish",
                "bin/demo-up", "bin/demo-watch", "deploy/Dockerfile"}
LINES_MAX = 450
COLUMNS_MAX = 120

# Comments, raw strings, strings, characters; a quote after a letter or digit is a digit separator.
COMMENT_OR_LITERAL = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
                                r"|(?<!\w)'(?:\\.|[^'\\\n])+'", re.DOTALL)


def bare(text):
    """The code with comments and the inside of literals blanked, newlines kept."""
    return COMMENT_OR_LITERAL.sub(lambda m: ('""' if m[0][0] in '"R' else "") + "\n" * m[0].count("\n"), text)


def raw_lines(text):
    """Numbers of the lines inside raw strings: the text is what it is."""
    numbers = set()
    for found in COMMENT_OR_LITERAL.finditer(text):
        if found[0].startswith("R"):
            numbers.update(range(line_of(text, found.start()), line_of(text, found.end()) + 1))
    return numbers


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def excused(rule, lines, number):
    near = lines[max(number - 2, 0): number]
    return any(re.search(r"tidy: allow\([\w, ]*\b" + rule + r"\b[\w, ]*\) \S", line) for line in near)


def allowed(path, places):
    text = path.as_posix()
    for place in places:
        if place == "test" and text.endswith("_test.cc"):
            return True
        if text in (place, f"src/{place}") or text.startswith((f"{place}/", f"src/{place}/")):
            return True
    return False


class Tidy:
    def __init__(self, root):
        self.root = root
        self.problems = []
        self.layers = {}

    def run(self):
        self.read_layers()
        self.compare_with_cmake()
        includes = {}
        for path in self.files():
            raw = (self.root / path).read_bytes()
            if b"\0" in raw[:8000] or "corpus" in path.parts:
                continue
            text = raw.decode(errors="replace")
            lines = text.split("\n")
            self.check_strings(path, lines)
            if path.suffix in CODE | GO | SCRIPTS or str(path) in SCRIPT_NAMES:
                self.check_licence(path, lines)
                self.check_sizes(path, lines)
            if path.suffix in CODE:
                self.check_code(path, text, lines)
                includes[path] = self.check_includes(path, lines)
        self.check_cycles(includes)
        return [message for _, _, message in sorted(self.problems)]

    def say(self, path, line, rule, found, instead):
        self.problems.append((str(path), line, f"{path}:{line}: {rule}: {found}; {instead}"))

    def say_unless_excused(self, rule, path, lines, number, found):
        if not excused(rule.name, lines, number):
            self.say(path, number, rule.name, found, rule.instead)

    def files(self):
        """Relative paths of what belongs to the repository: what git would commit, or all of a tree without git."""
        done = subprocess.run(["git", "-c", f"safe.directory={self.root}", "-C", self.root,
                               "ls-files", "-z", "-co", "--exclude-standard"], capture_output=True)
        if done.returncode == 0:
            names = sorted(set(done.stdout.decode().split("\0")) - {""})
            return [pathlib.Path(n) for n in names if (self.root / n).is_file()]
        found = (p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file())
        return sorted(p for p in found if p.parts[0] != "build")

    # Layers

    def read_layers(self):
        name = "tools/layers.txt"
        source = self.root / name
        if not source.exists():
            self.say(name, 1, "layers", "is missing", "state which folder of src/ may include which")
            return
        for number, line in enumerate(source.read_text().splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            folder, colon, below = line.partition(":")
            folder = folder.strip()
            if not colon or folder in self.layers:
                self.say(name, number, "layers", f"'{line}'", "FOLDER: FOLDERS, each folder once")
            for other in below.split():
                if other not in self.layers:
                    self.say(name, number, "layers", f"{folder} includes {other}, which is not above it",
                             "name only folders of lines above")
            self.layers[folder] = set(below.split())

    def compare_with_cmake(self):
        source = self.root / "CMakeLists.txt"
        if not source.exists():
            return
        text = source.read_text()
        modules = {}
        for found in re.finditer(r"^sluice_module\((\w+)([^)]*)\)", text, re.MULTILINE):
            key, options = None, {}
            for word in found[2].split():
                if word in ("DIR", "DEPS", "LIBS"):
                    key = word
                else:
                    options.setdefault(key, []).append(word)
            folder = options.get("DIR", [found[1]])[0]
            modules[found[1]] = (folder, options.get("DEPS", []), line_of(text, found.start()))
        for folder, deps, line in modules.values():
            below = {modules[d][0] if d in modules else d for d in deps}
            if folder not in self.layers:
                self.say("CMakeLists.txt", line, "layers", f"{folder} is not in tools/layers.txt", "add its line")
            elif below != self.layers[folder]:
                differ = " ".join(sorted(below ^ self.layers[folder]))
                self.say("CMakeLists.txt", line, "layers", f"{folder} differs from tools/layers.txt in: {differ}",
                         "state the same in both")
        for folder in sorted(self.layers.keys() - {module[0] for module in modules.values()}):
            self.say("tools/layers.txt", 1, "layers", f"{folder} is no module of CMakeLists.txt", "remove its line")

    def folder_of(self, path):
        """The layer of src/a/b/c.cc: a/b if layers.txt knows it, else a."""
        parts = path.parts[1:-1]
        for length in range(len(parts), 0, -1):
            if "/".join(parts[:length]) in self.layers:
                return "/".join(parts[:length])
        return "/".join(parts[:1])

    def check_includes(self, path, lines):
        """Checks each #include; returns the project's files among them, as (path, line)."""
        ours = []
        for number, line in enumerate(lines, 1):
            found = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not found:
                continue
            name = found[2]
            for rule in INCLUDES:
                if re.search(rule.pattern, name) and not allowed(path, rule.places):
                    self.say_unless_excused(rule, path, lines, number, f"#include {name}")
            places = (pathlib.Path("src") / name, pathlib.Path("include") / name, path.parent / name)
            target = next((t for t in places if (self.root / t).is_file()), None)
            if target is None:
                continue
            ours.append((target, number))
            if found[1] == "<" and target.parts[0] == "src":
                self.say(path, number, "include", f"<{name}>", f'#include "{name}"')
            if path.parts[0] == "src" and target.parts[0] == "src" and not excused("layers", lines, number):
                self.check_layer(path, number, target)
        return ours

    def check_layer(self, path, number, target):
        here, there = self.folder_of(path), self.folder_of(target)
        if here not in self.layers:
            self.say(path, number, "layers", f"src/{here} is not in tools/layers.txt", "add its line")
        elif there != here and there not in self.layers[here]:
            may = " ".join(sorted(self.layers[here])) or "nothing"
            self.say(path, number, "layers", f"{here} includes {there} ({target.name})", f"{here} may include {may}")

    def check_cycles(self, includes):
        done, path = set(), []

        def visit(node):
            path.append(node)
            for target, line in includes.get(node, []):
                if target in path:
                    ring = " -> ".join(p.name for p in [*path[path.index(target):], target])
                    self.say(node, line, "cycle", ring, "declare what is needed, or move it to a third file")
                elif target not in done:
                    visit(target)
            done.add(path.pop())

        for node in sorted(includes):
            if node not in done:
                visit(node)

    # Text

    def check_code(self, path, text, lines):
        code = re.sub(r"^\s*#\s*include[^\n]*", "", bare(text), flags=re.MULTILINE)
        for rule in CALLS:
            if not allowed(path, rule.places):
                for found in re.finditer(rule.pattern, code):
                    self.say_unless_excused(rule, path, lines, line_of(code, found.start()), f"'{found[0].strip()}'")
        for found in re.finditer(r"[^;{}]*\bco_await\b[^;{}]*", code):
            line = line_of(code, found.start() + found[0].index("co_await"))
            if len(re.findall(r"\bco_await\b", found[0])) > 1 and not excused("await", lines, line):
                self.say(path, line, "await", "two co_await in one statement", "name the first, then await the second")
        if path.suffix == ".h" and "#pragma once" not in text:
            self.say(path, 1, "once", "no #pragma once", "add it")

    def check_licence(self, path, lines):
        mark = ("// " if path.suffix in CODE | GO else "# ") + "SPDX-License-Identifier: Apache-2.0"
        first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
        if first != mark:
            self.say(path, 1, "licence", "no licence line", f"begin with `{mark}`")

    def check_sizes(self, path, lines):
        count = len(lines) - (lines[-1] == "")
        if count > LINES_MAX and not excused("lines", lines[:5], 5):
            self.say(path, count, "lines", f"{count} lines, more than {LINES_MAX}", "split it by what changes together")
        raw = raw_lines("\n".join(lines)) if path.suffix in CODE else set()
        for number, line in enumerate(lines, 1):
            if number in raw:
                continue
            if len(line) > COLUMNS_MAX and not excused("columns", lines, number):
                self.say(path, number, "columns", f"{len(line)} columns, more than {COLUMNS_MAX}", "break the line")
            if "\t" in line and path.suffix in CODE:
                self.say(path, number, "tab", "a tab", "two spaces")
            if line != line.rstrip():
                self.say(path, number, "blank", "blanks at the end of the line", "remove them")

    def check_strings(self, path, lines):
        for rule in STRINGS:
            if str(path) in rule.places:
                continue
            compiled = re.compile(rule.pattern)
            for number, line in enumerate(lines, 1):
                if found := compiled.search(line):
                    self.say_unless_excused(rule, path, lines, number, f"'{found[0].strip()}'")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1])
    problems = Tidy(parser.parse_args().root.resolve()).run()
    print("\n".join(problems) if problems else "tidy")
    if problems:
        print(f"{len(problems)} violations of the house rules (tools/tidy.py)")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
