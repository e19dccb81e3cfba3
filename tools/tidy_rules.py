# SPDX-License-Identifier: Apache-2.0
"""The rules of tools/tidy.py that are patterns, each with an example that tools/tidy_test.py plants to see it found."""

from typing import NamedTuple


class Rule(NamedTuple):
    name: str
    pattern: str
    # Where it is allowed: a folder of src/ with those below it, a folder of the repository, a file; `test`: *_test.cc.
    places: list
    instead: str
    examples: list


# In code, with comments and the inside of string literals blanked.
CALLS = [
    Rule("clock",
         r"\b(?:system_clock|steady_clock|high_resolution_clock)\s*::\s*now\b"
         r"|\b(?:clock_gettime|gettimeofday)\s*\(|(?<![\w.>:])time\s*\(\s*(?:nullptr|NULL|0|&)",
         ["aio", "app", "bench", "sim/seeds_main.cc"], "take the time from the aio::Clock you were given",
         ["auto t = std::chrono::system_clock::now();", "auto t = steady_clock::now();", "long t = time(nullptr);"]),
    Rule("random",
         r"\brandom_device\b|\bstd\s*::\s*rand\b|(?<![\w.>:])s?rand\s*\(|\bgetrandom\s*\(|\bgetentropy\s*\(",
         ["aio", "app"], "draw from the base Random you were given",
         ["std::random_device d;", "int n = std::rand();", "int n = rand();"]),
    Rule("sleep",
         r"\bthis_thread\s*::\s*sleep_(?:for|until)\b|(?<![\w.>])(?:usleep|nanosleep|clock_nanosleep)\s*\("
         r"|(?<![\w.>])(?<!\w::)sleep\s*\(",
         [], "co_await the Clock's sleep, or wait for the condition itself",
         ["std::this_thread::sleep_for(1s);", "usleep(10);", "::sleep(1);", "sleep(1);"]),
    Rule("resolver",
         r"\b(?:getaddrinfo|gethostbyname2?|gethostbyaddr|getnameinfo)\s*\(",
         [], "resolve by aio's resolver (c-ares): getaddrinfo of a static glibc loads the host's modules",
         ["getaddrinfo(host, port, &hints, &out);", "gethostbyname(host);"]),
    Rule("detached", r"\b(?:asio\s*::\s*detached|detached\s*\))", [],
         "spawn it in a TaskGroup, so that it has an owner and its failure is seen",
         ["co_spawn(ex, run(), detached);"]),
    Rule("thread",
         r"\bstd\s*::\s*(?:jthread|thread)\b(?!\s*::)|\bpthread_create\s*\(|\bstd\s*::\s*async\b",
         ["aio", "queue/local", "kube/lease_keeper.cc", "worker/function_handler.cc", "test", "tests", "bench"],
         "stay on the one thread, or own it in one class behind a bounded channel",
         ["std::thread t(run);", "std::jthread t(run);", "auto f = std::async(run);"]),
    Rule("asio", r"\b(?:boost\s*::\s*)?(?:asio|beast)\s*::", ["aio"], "use aio's names: only src/aio spells them",
         ["boost::asio::steady_timer t;", "beast::flat_buffer b;"]),
    Rule("stdout",
         r"(?<![\w.>])(?:printf|puts|putchar|vprintf)\s*\(|\bstd\s*::\s*cout\b"
         r"|\bfmt\s*::\s*print\s*\(\s*(?!stderr|std\s*::\s*cerr)|\bf(?:write|puts|printf|putc)\s*\([^;]*\bstdout\b",
         ["app", "sim/seeds_main.cc", "tests", "bench", "include"],
         "return it, or log it: stdout belongs to the verbs in src/app",
         ['printf("x");', "std::cout << 1;", 'fmt::print("x");', "fwrite(p, 1, n, stdout);"]),
    Rule("shell", r"(?<![\w.>])(?:system|popen)\s*\(", [], "start a program by argv, never through a shell",
         ["system(command);", 'FILE* f = popen(command, "r");', "std::system(command);"]),
    Rule("skip", r"\bGTEST_SKIP\b|\bTEST(?:_F|_P)?\s*\(\s*\w+\s*,\s*DISABLED_", [],
         "make the test run everywhere: a skipped test checks nothing",
         ["GTEST_SKIP();", "TEST(Queue, DISABLED_Delivers) {}"]),
    Rule("unbounded", r"(?<![\w.>])(?:strcpy|strcat|sprintf|vsprintf|gets|tmpnam|tempnam|mktemp)\s*\(", [],
         "std::string, fmt::format, mkdtemp",
         ["strcpy(a, b);", "mktemp(name);"]),
]

# In the name of an #include.
INCLUDES = [
    Rule("asio", r"^boost/(?:asio|beast)\b", ["aio"], "use aio's headers: only src/aio includes them",
         ["boost/asio/awaitable.hpp", "boost/beast.hpp"]),
    Rule("fmt", r"^fmt/(?!core\.h$)", ["base/fmt.cc"], "fmt/core.h alone: fmt is compiled once, in base/fmt.cc",
         ["fmt/format.h", "fmt/chrono.h"]),
    Rule("iostream", r"^iostream$", ["app", "tests", "bench", "include"], "fmt, or the log", ["iostream"]),
]

# In any line of any text file, comments included. An example must not be found in this file, hence the split literals.
STRINGS = [
    Rule("path", r"(?<![\w.\-])/(?:work|root|home/\w+)/|\.\./[s]hared\b", [".ci/run"],
         "the path of one machine: take it as an argument or from the environment",
         ["// see /wo" "rk/x", "f(\"/ro" "ot/x\");", "# ../sha" "red/traces"]),
    Rule("host",
         r"\b(?:docker|gcr|ghcr|quay|k8s\.gcr)\.io\b|\bregistry\.(?:k8s\.io|npmjs\.org|hub)\b"
         r"|\b(?:deb|security|snapshot)\.debian\.org\b|\b(?:pypi|pythonhosted|golang)\.org\b(?!/x/)|\bcrates\.io\b",
         ["tests/e2e/cluster/kube/go.mod", "tests/e2e/cluster/kube/go.sum"],  # modules that are called so
         "the host of a registry: leave it to whoever installs",
         ["// from gh" "cr.io", "// deb.deb" "ian.org", "// py" "pi.org"]),
    Rule("note", r"\bFIX[M]E\b|\bXX[X]\b|\bTOD[O]\b(?!\(later\): \S)", [], "do it now, or write TOD" "O(later): why",
         ["// FIX" "ME", "// TO" "DO: soon", "// TO" "DO(now): x", "// TO" "DO(later)"]),
    Rule("conflict", r"^(?:<{7} |>{7} |={7}$)", [], "resolve the merge", ["<<<<" "<<< main"]),
]
