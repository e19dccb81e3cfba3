#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules that a program can check, one message a violation: FILE:LINE: what was found; what to do instead.

Layers (tools/layers.txt), include cycles, calls that have a better replacement, licence lines, sizes, left-over
notes, strings that say where something was built. A rule is broken openly: `// tidy: allow(RULE) why` on the line or
the one above, with a reason. tools/tidy_test.py plants a violation of each and demands that it is found.
"""

import argparse
import pathlib
import re
import subprocess
import sys

CODE = {".cc", ".h"}
SCRIPTS = {".py", ".sh", ".cmake"}
SCRIPT_NAMES = {"CMakeLists.txt", "Makefile", "tools/setup", ".ci/run"}
LINES_MAX = 450
COLUMNS_MAX = 120

# Rule | pattern, in code without comments and strings | where it is allowed | what to do instead. Places: a folder of
# src/ with its subfolders, `test` (*_test.cc), `bench`, `fuzz` or `tests` (those folders), or one file.
BANNED = [
    ("clock", r"\b(?:system_clock|steady_clock|high_resolution_clock)\s*::\s*now\b|\b(?:clock_gettime|gettimeofday)\s*\("
              r"|(?<![\w.>:])time\s*\(\s*(?:nullptr|NULL|0|&)",
     ["aio", "app", "bench"], "take the time from the aio::Clock you were given"),
    ("random", r"\brandom_device\b|\bstd\s*::\s*rand\b|(?<![\w.>:])s?rand\s*\(|\bgetrandom\s*\(|\bgetentropy\s*\(",
     ["aio", "app"], "draw from the base Random you were given"),
    ("sleep", r"\bthis_thread\s*::\s*sleep_(?:for|until)\b|(?<![\w.>])(?:usleep|nanosleep|clock_nanosleep)\s*\(|(?<![\w.>:])sleep\s*\(",
     [], "co_await the Clock's sleep, or wait for the condition itself"),
    ("resolver", r"\b(?:getaddrinfo|gethostbyname2?|gethostbyaddr|getnameinfo)\s*\(",
     [], "resolve by aio's resolver (c-ares): a static glibc loads the host's modules here"),
    ("detached", r"\bdetached\b", [], "spawn it in a TaskGroup, so that it has an owner and its failure is seen"),
    ("thread", r"\bstd\s*::\s*(?:jthread|thread)\b|\bpthread_create\s*\(|\bstd\s*::\s*async\b",
     ["aio", "queue/local", "test", "tests", "bench"], "stay on the one thread, or own it in one class behind aio's blocking channel"),
    ("asio", r"\b(?:boost\s*::\s*)?(?:asio|beast)\s*::", ["aio"], "use aio's names: only src/aio spells asio and beast"),
    ("stdout", r"(?<![\w.>])(?:printf|puts|putchar|vprintf)\s*\(|\bstd\s*::\s*cout\b|\bfmt\s*::\s*print\s*\(\s*(?!stderr|std\s*::\s*cerr)"
               r"|\bfwrite\s*\([^;]*\bstdout\b|\bfprintf\s*\(\s*stdout\b",
     ["app", "sim/seeds_main.cc", "tests", "bench", "include"], "return it, or log it: stdout belongs to the verbs in src/app"),
    ("shell", r"(?<![\w.>])(?:system|popen)\s*\(|\bstd\s*::\s*system\b", [], "start a program by argv (aio's process), never a shell"),
    ("skip", r"\bGTEST_SKIP\b|\bTEST(?:_F|_P)?\s*\(\s*\w+\s*,\s*DISABLED_", [], "make the test run everywhere: a skipped test checks nothing"),
    ("tmpnam", r"(?<![\w.>])(?:tmpnam|tempnam|mktemp)\s*\(", [], "mkstemp or mkdtemp"),
    ("unbounded", r"(?<![\w.>])(?:strcpy|strcat|sprintf|vsprintf|gets)\s*\(", [], "std::string or fmt::format"),
]
INCLUDES = [  # the same, for the name in an #include
    ("asio", r"^boost/(?:asio|beast)\b", ["aio"], "use aio's headers: only src/aio spells asio and beast"),
    ("fmt", r"^fmt/(?!core\.h$)", ["base/fmt.cc"], "fmt/core.h alone: fmt is compiled once, in base/fmt.cc"),
    ("iostream", r"^iostream$", ["app", "tests", "bench", "include"], "fmt, or the log"),
    ("thread", r"^thread$", ["aio", "queue/local", "test", "tests", "bench"], "stay on the one thread"),
]
# Rule | pattern, anywhere in any text file | files where it is allowed | what to do instead.
STRINGS = [
    ("path", r"(?<![\w.\-])/(?:work|root|home/\w+)/|\.\./shar" r"ed\b", [".ci/run"], "a path of one machine: take it as an argument or from the environment"),
    ("host", r"\b(?:docker|gcr|ghcr|quay|k8s\.gcr)\.io\b|\bregistry\.(?:k8s\.io|npmjs\.org|hub)\b|\b(?:deb|security|snapshot)\.debian\.org\b"
             r"|\b(?:pypi|pythonhosted)\.org\b|\bproxy\.golang\.org\b|\bcrates\.io\b", [], "the name of a registry: leave it to who installs"),
    ("note", r"\bFIX" r"ME\b|\bXX" r"X\b|\bTO" r"DO\b(?!\(later\): \S)", [], "do it now, or write TO" "DO(later): why"),
    ("conflict", r"^(?:<{7} |>{7} |={7}$)", [], "resolve the merge"),
]


class Tidy:
    def __init__(self, root):
        self.root = root
        self.problems = []
        self.layers = {}

    def say(self, path, line, rule, found, instead):
        self.problems.append((str(path), line, f"{path}:{line}: {rule}: {found}; {instead}"))

    # -- the tree
    # ------------------------------------------------------------------------------------------------------------

    def files(self):
        """Relative paths of what belongs to the repository: what git would commit, or all of a tree that git does not know."""
        done = subprocess.run(["git", "-c", f"safe.directory={self.root}", "-C", self.root, "ls-files", "-z", "-co", "--exclude-standard"],
                              capture_output=True)
        if done.returncode == 0:
            names = sorted(set(done.stdout.decode().split("\0")) - {""})
            return [pathlib.Path(n) for n in names if (self.root / n).is_file()]
        return sorted(p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file() and "build" not in p.parts)

    def run(self):
        self.read_layers()
        includes = {}
        for path in self.files():
            raw = (self.root / path).read_bytes()
            if b"\0" in raw[:8000] or "corpus" in path.parts:
                continue
            text = raw.decode(errors="replace")
            lines = text.split("\n")
            self.strings(path, lines)
            if path.suffix in CODE or path.suffix in SCRIPTS or str(path) in SCRIPT_NAMES:
                self.licence(path, lines)
                self.sizes(path, lines)
            if path.suffix in CODE:
                self.code(path, text, lines)
                includes[path] = self.includes(path, lines)
        self.cycles(includes)
        return [message for _, _, message in sorted(self.problems)]

    # -- layers
    # --------------------------------------------------------------------------------------------------------------

    def read_layers(self):
        name = pathlib.Path("tools/layers.txt")
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
                    self.say(name, number, "layers", f"{folder} includes {other}, which is not above it", "name only folders above the line")
            self.layers[folder] = set(below.split())
        self.compare_with_cmake()

    def compare_with_cmake(self):
        source = self.root / "CMakeLists.txt"
        if not source.exists():
            return
        modules = {}
        for found in re.finditer(r"^sluice_module\((\w+)([^)]*)\)", source.read_text(), re.MULTILINE):
            words, key, options = found[2].split(), None, {}
            for word in words:
                if word in ("DIR", "DEPS", "LIBS"):
                    key = word
                else:
                    options.setdefault(key, []).append(word)
            line = source.read_text()[: found.start()].count("\n") + 1
            modules[found[1]] = (options.get("DIR", [found[1]])[0], options.get("DEPS", []), line)
        folders = {}
        for folder, deps, line in modules.values():
            below = {modules[d][0] if d in modules else d for d in deps}
            folders[folder] = below
            if folder not in self.layers:
                self.say("CMakeLists.txt", line, "layers", f"{folder} is not in tools/layers.txt", "add its line")
            elif below != self.layers[folder]:
                differ = " ".join(sorted(below ^ self.layers[folder]))
                self.say("CMakeLists.txt", line, "layers", f"{folder} differs from tools/layers.txt in: {differ}", "state the same in both")
        for folder in self.layers.keys() - folders.keys():
            self.say("tools/layers.txt", 1, "layers", f"{folder} is no module of CMakeLists.txt", "remove its line, or add the module")

    def folder_of(self, path):
        """The layer of src/a/b/c.cc: the longest of a/b, a that layers.txt knows."""
        parts = path.parts[1:-1]
        for length in range(len(parts), 0, -1):
            if "/".join(parts[:length]) in self.layers:
                return "/".join(parts[:length])
        return "/".join(parts[:1])

    def includes(self, path, lines):
        """Checks each #include; returns the project's files among them, as (path, line)."""
        ours = []
        for number, line in enumerate(lines, 1):
            found = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not found:
                continue
            quoted, name = found[1] == '"', found[2]
            for rule, pattern, allowed, instead in INCLUDES:
                if re.search(pattern, name) and not self.allowed(path, allowed) and not self.excused(rule, lines, number):
                    self.say(path, number, rule, f"#include {name}", instead)
            target = next((t for t in (pathlib.Path("src") / name, pathlib.Path("include") / name, path.parent / name)
                           if (self.root / t).is_file()), None)
            if target is None:
                continue
            ours.append((target, number))
            if not quoted and target.parts[0] == "src":
                self.say(path, number, "include", f"<{name}>", f'#include "{name}"')
            if path.parts[0] != "src" or target.parts[0] != "src" or self.excused("layers", lines, number):
                continue
            here, there = self.folder_of(path), self.folder_of(target)
            if here not in self.layers:
                self.say(path, number, "layers", f"src/{here} is not in tools/layers.txt", "add its line")
            elif there != here and there not in self.layers[here]:
                may = " ".join(sorted(self.layers[here])) or "nothing"
                self.say(path, number, "layers", f"{here} includes {there} ({name})", f"{here} may include {may}")
        return ours

    def cycles(self, includes):
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

    # -- lines
    # ---------------------------------------------------------------------------------------------------------------

    @staticmethod
    def excused(rule, lines, number):
        near = lines[max(number - 2, 0): number]
        return any(re.search(r"tidy: allow\((?:[\w, ]*\b)?" + rule + r"\b[\w, ]*\) \S", line) for line in near)

    @staticmethod
    def allowed(path, places):
        text = path.as_posix()
        for place in places:
            if place == "test" and text.endswith("_test.cc"):
                return True
            if text == place or text == f"src/{place}" or text.startswith((f"{place}/", f"src/{place}/")):
                return True
        return False

    @staticmethod
    def bare(text):
        """The code with comments and the inside of literals blanked, newlines kept."""
        pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![\w])\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
        return pattern.sub(lambda m: ('""' if m[0][0] in '"R' else "") + "\n" * m[0].count("\n"), text)

    def code(self, path, text, lines):
        bare = self.bare(text)
        without_includes = re.sub(r"^\s*#\s*include[^\n]*", "", bare, flags=re.MULTILINE)
        for rule, pattern, places, instead in BANNED:
            if self.allowed(path, places):
                continue
            for found in re.finditer(pattern, without_includes):
                line = without_includes[: found.start()].count("\n") + 1
                if not self.excused(rule, lines, line):
                    self.say(path, line, rule, f"'{found[0].strip()}'", instead)
        for found in re.finditer(r"[^;{}]*\bco_await\b[^;{}]*", without_includes):
            if len(re.findall(r"\bco_await\b", found[0])) > 1:
                line = without_includes[: found.start() + found[0].index("co_await")].count("\n") + 1
                if not self.excused("await", lines, line):
                    self.say(path, line, "await", "two co_await in one statement", "name the first, then await the second")
        if path.suffix == ".h" and "#pragma once" not in text:
            self.say(path, 1, "once", "no #pragma once", "add it")

    def licence(self, path, lines):
        mark = {True: "// ", False: "# "}[path.suffix in CODE] + "SPDX-License-Identifier: Apache-2.0"
        first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
        if first != mark:
            self.say(path, 1, "licence", "no licence line", f"begin with `{mark}`")

    def sizes(self, path, lines):
        count = len(lines) - (lines[-1] == "")
        if count > LINES_MAX and not any("tidy: allow(lines) " in line for line in lines[:10]):
            self.say(path, count, "lines", f"{count} lines, more than {LINES_MAX}", "split it by what changes together")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS_MAX and not self.excused("columns", lines, number):
                self.say(path, number, "columns", f"{len(line)} columns, more than {COLUMNS_MAX}", "break the line")
            if "\t" in line and path.suffix in CODE:
                self.say(path, number, "tab", "a tab", "two spaces")
            if line != line.rstrip():
                self.say(path, number, "blank", "blanks at the end of the line", "remove them")

    def strings(self, path, lines):
        for rule, pattern, allowed, instead in STRINGS:
            if str(path) in allowed:
                continue
            compiled = re.compile(pattern)
            for number, line in enumerate(lines, 1):
                if (found := compiled.search(line)) and not self.excused(rule, lines, number):
                    self.say(path, number, rule, f"'{found[0].strip()}'", instead)


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
