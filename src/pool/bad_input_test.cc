// SPDX-License-Identifier: Apache-2.0
// Hostile and mistaken configuration: what is in the file, and what its author is told. The table is the test's input
// and, with the answers, the page docs/reference/bad-input-configuration.md.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <ctime>
#include <functional>

#include "pool/pool.h"
#include "pool/scalar.h"
#include "pool/snapshot.h"

namespace sluice::pool {
namespace {

struct Row {
  std::string shows;  // the part that is wrong
  std::string text;   // the whole file
};
struct Chapter {
  std::string title;
  std::vector<Row> rows;
};

// A good pool file but for the parts that are named.
struct Parts {
  std::string queue = "local: {path: orders.db}";
  std::string policy = "threshold: {messages: 20}";
  std::string workers = "max: 20";
  std::string metadata = "name: orders";
  std::string more;
};
std::string file(const Parts& parts) {
  return fmt::format(
      "apiVersion: sluice.dev/v1alpha1\nkind: WorkerPool\nmetadata: {{{}}}\nspec:\n  queue: {{{}}}\n  policy: {{{}}}\n"
      "  workers: {{{}}}\n{}",
      parts.metadata, parts.queue, parts.policy, parts.workers, parts.more);
}

Row whole(const std::string& text) {
  return {text, text};
}
Row described(const std::string& what, const std::string& text) {
  return {what, text};
}
Row queue(const std::string& text) {
  return {"queue: {" + text + "}", file({.queue = text})};
}
Row policy(const std::string& text) {
  return {"policy: {" + text + "}", file({.policy = text})};
}
Row workers(const std::string& text) {
  return {"workers: {" + text + "}", file({.workers = text})};
}
Row metadata(const std::string& text) {
  return {"metadata: {" + text + "}", file({.metadata = text})};
}
Row spec(const std::string& text) {
  return {text, file({.more = "  " + text + "\n"})};
}
Row url(const std::string& text) {
  return {"url: \"" + text + "\"", file({.queue = "rabbitmq: {queue: a, url: \"" + text + "\"}"})};
}
Row max(const std::string& text) {
  return {"max: " + text, file({.workers = "max: " + text})};
}
Row age(const std::string& text) {
  return {"age: " + text, file({.policy = "threshold: {age: " + text + "}"})};
}
Row job(const std::string& text) {
  return {"job: {template: " + text + "}", file({.workers = "max: 1, run: {image: a}, job: {template: " + text + "}"})};
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) {
    out += text;
  }
  return out;
}

std::vector<Chapter> text_chapters() {
  const std::string good = file({});
  return {
      {"The text itself",
       {
           described("an empty file", ""),
           described("only comments", "# nothing here\n"),
           described("UTF-16", std::string("\xff\xfe"
                                           "a\0:\0",
                                           6)),
           described("UTF-16 without a mark", std::string("a\0:\0", 4)),
           described("a byte that is no UTF-8", "kind: \xff\n"),
           described("a zero byte", std::string("kind: a\0b\n", 10)),
           described("a vertical tab", "kind: a\vb\n"),
           described("old Mac line ends", "kind: a\rmetadata: b\r"),
           described("a tab in the indentation", "spec:\n\tqueue: {}\n"),
           described("a text of 10 MB", "kind: " + repeated("x", 10'000'000)),
           described("10001 values", "a: [" + repeated("1,", 10'001) + "]\n"),
       }},
      {"YAML",
       {
           whole("kind: [WorkerPool"),
           whole("kind: \"WorkerPool"),
           whole("kind: 'WorkerPool"),
           whole("a: 'b' # \"c\nd: \"e\nf: g\nh: i"),
           whole("kind: a: b"),
           whole("kind: @a"),
           whole("kind:WorkerPool"),
           whole("  kind: WorkerPool\nspec: {}"),
           whole("- kind: WorkerPool"),
           whole("WorkerPool"),
           spec("paused: true\n  paused: false"),
           spec("? [paused]\n  : true"),
           spec("paused: &yes true"),
           spec("paused: *yes"),
           spec("retry: &loop {delays: *loop}"),
           {"labels: {a: &a [x, x], b: &b [*a, *a], c: [*b, *b], ..}",
            file({.metadata = "name: orders, labels: {a: &a [x, x], b: &b [*a, *a], c: [*b, *b]}"})},
           spec("<<: {paused: true}"),
           metadata("name: !!binary b3JkZXJz"),
           metadata("name: !pool orders"),
           metadata("name: ! orders"),
           whole("%YAML 9.9\n---\nkind: WorkerPool"),
           whole("%TAG ! tag:example.com,2000:\n---\nkind: WorkerPool"),
           whole("%FOO\n---\nkind: WorkerPool"),
           described("two documents", good + "---\n" + good),
           described("16384 x [", repeated("[", 16'384)),
           described("20535 x {", repeated("{", 20'535)),
           described("16384 x `a: {`", repeated("a: {", 16'384)),
           described("16384 x `- `", repeated("- ", 16'384)),
           described("16384 x `? `", repeated("? ", 16'384)),
       }},
      {"JSON",
       {
           whole("{"),
           whole(R"({"kind":"WorkerPool",})"),
           whole("{'kind': 'WorkerPool'}"),
           whole("{kind: WorkerPool}"),
           whole(
               R"({"apiVersion":"sluice.dev/v1alpha1","apiVersion":"","kind":"WorkerPool","metadata":{"name":"a"},"spec":{}})"),
           whole(R"({"kind":01})"),
           whole(R"({"kind":"\ud800"})"),
           whole(R"({"kind":"a"} {})"),
           whole(R"({"kind":NaN})"),
           described("20535 x {\"a\":", repeated("{\"a\":", 20'535)),
       }},
  };
}

std::vector<Chapter> value_chapters() {
  return {
      {"Fields",
       {
           spec("quue: 1"),
           spec("replicas: 1"),
           policy(""),
           policy("threshold: {messages: 1}, lag: {max: 60s}"),
           policy("treshold: {messages: 1}"),
           policy("threshold: {}"),
           policy("threshold: {mesages: 20}"),
           policy("threshold:"),
           policy("backlogPerWorker: {}"),
           queue("local: {path: a.db}, rabbitmq: {}"),
           workers("min: 1"),
           metadata(""),
           spec("paused: ~"),
           spec("paused: yes"),
           spec("paused: \"true\""),
           spec("deadLetter: [5]"),
       }},
      {"Whole numbers", {max("0"),     max("-1"),    max("10001"),  max("2147483648"), max("9223372036854775808"),
                         max("1_000"), max("0x14"),  max("0o17"),   max("010"),        max("1e3"),
                         max("1.0"),   max("+5"),    max(".inf"),   max("~"),          max("no"),
                         max("off"),   max("\"5\""), max("${MAX}"), max("[5]"),        max("")}},
      {"Durations",
       {age("5"), age("-5s"), age("5ms"), age("1e9h"), age("1.5s"), age("5 s"), age("1s1h"),
        age("99999999999999999999s"), age("10y"), age("0s"), age("inf"), age("null"),
        policy("threshold: {messages: 1, every: 1ms}"), policy("threshold: {messages: 1, every: 0s}"),
        policy("threshold: {messages: 1, every: 2h}"), policy("threshold: {messages: 1, every: adaptiv}"),
        spec("retry: {delays: []}"), spec("retry: {delays: [1s, 0s]}"), spec("retry: {delays: 1s}")}},
      {"Texts and names",
       {
           metadata("name: " + std::string(53, 'a')),
           metadata("name: Orders"),
           metadata("name: orders-"),
           metadata("name: ../orders"),
           metadata("name: \"ord\u0435rs\""),
           metadata("name: 5"),
           metadata("name: no"),
           metadata("name: orders, namespace: \"\""),
           metadata("name: orders, namespace: a.b"),
           metadata("name: orders, labels: {a: 1}"),
           metadata("name: orders, uid: abc"),
           queue("rabbitmq: {url: \"amqp://h\", queue: \"ord\u0435rs\"}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: \"a\\r\\nb\"}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: \"\"}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, vhost: \"a\\0b\"}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, maxBody: 16MB}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, maxBody: 1GiB}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, declare: {type: quorom}}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, hosts: [\"b:0\"]}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, tls: {ca: a.pem}}"),
           queue("rabbitmq: {url: \"amqps://h\", queue: a, tls: {cert: a.pem}}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, credentials: {secret: ../../etc}}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, credentials: guest}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, credentials: {secret: a, namespace: kube-system}}"),
           queue("pubsub: {project: my-project, subscription: google-sub}"),
           queue("local: {path: $HOME/orders.db}"),
           queue("local: {path: ~/orders.db}"),
           queue("local: {path: queues/}"),
           queue("local: {path: \"file:///etc/passwd\"}"),
       }},
      {"URLs",
       {
           url("amqp://guest:secret@rabbitmq:5672"),
           url("amqp://guest@rabbitmq"),
           url("amqp://a:b@h@evil/"),
           url("amqp://us%65r:p%40ss@host"),
           url("amqp://a:b/c@host"),
           url("rabbitmq:5672"),
           url("amqp://"),
           url("amqp://:5672"),
           url("amqp://host:0"),
           url("amqp://host:65536"),
           url("amqp://host:port"),
           url("amqp://host/prod"),
           url("amqp://host/%2f"),
           url("amqp://host?heartbeat=10"),
           url("amqp://h#evil"),
           url("http://h#@evil"),
           url("amqp://0x7f.1"),
           url("amqp://2130706433"),
           url("amqp://2130706433."),
           url("amqp://host%00"),
           url("amqp://ho st"),
           url("amqp://a\\r\\nb"),
           url("amqp://r\u0430bbitmq"),
           url("amqp://[::1"),
           url("https://host"),
           url("${URL}"),
           url("amqp://" + repeated("a", 70'000)),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, management: \"http://h/%2e%2e/x\"}"),
           queue("rabbitmq: {url: \"amqp://h\", queue: a, management: \"ftp://h\"}"),
       }},
      {"Workers",
       {
           workers("min: 5, max: 3"),
           workers("max: 3, process: {}"),
           workers("max: 3, process: {nodes: {min: 3, max: 2}}, run: {command: [a]}"),
           workers("max: 3, process: {nodes: {slots: 0}}, run: {command: [a]}"),
           workers("max: 3, run: {command: []}"),
           workers("max: 3, run: {command: [\"\"]}"),
           workers("max: 3, run: {command: sleep 1}"),
           workers("max: 3, run: {command: [sleep, 1]}"),
           workers("max: 3, run: {command: [a, \"b\\0c\"]}"),
           workers("max: 3, run: {command: [a, \"redis://:pw@host\"]}"),
           workers("max: 3, run: {env: {SLUICE_SLOT: a}}"),
           workers("max: 3, run: {env: {1A: a}}"),
           workers("max: 3, run: {env: {PORT: 8080}}"),
           workers("max: 3, run: {env: {DB: \"postgres://user:pw@host/db\"}}"),
           workers("max: 3, claim: redy"),
           workers("max: 3, claim: {after: 5}"),
           workers("max: 3, claim: {before: 5s}"),
           workers("max: 3, concurrency: 0"),
           workers("max: 3, job: {}"),
           workers("max: 3, job: {}, run: {image: a}, deployment: {name: a}"),
           workers("max: 3, deployment: {}"),
           spec("unknown: {floor: 1}"),
           spec("unknown: {floor: 21, after: 1m}"),
           policy("lag: {max: 60s, percentile: 100}"),
           policy("lag: {max: 60s, reserve: 21}"),
           policy("hpa: {target: {type: AverageValue, value: 100}}"),
           policy("hpa: {target: {type: averagevalue, value: 0}}"),
       }},
      {"Job templates",
       {
           job("{spec: {parallelism: 50}}"),
           job("{spec: {completions: \"1\"}}"),
           job("{spec: {backoffLimit: 6}}"),
           job("{spec: {completionMode: Indexed}}"),
           job("{spec: {manualSelector: true}}"),
           job("{spec: {template: {spec: {restartPolicy: Always}}}}"),
           job("{spec: {template: {spec: {containers: []}}}}"),
           job("{spec: {template: {spec: {containers: [{image: a}]}}}}"),
           job("{spec: {containers: [{name: a}]}}"),
           job("{template: {}}"),
           job("{spec: [a]}"),
           job("{spec: {template: {spec: {volumes: [{defaultMode: 0644}]}}}}"),
           job("{spec: {template: {spec: {hostNetwork: yes}}}}"),
           {"job: {template: {containers a}, container: b}",
            file({.workers =
                      "max: 1, job: {template: {spec: {template: {spec: {containers: [{name: a}]}}}}, container: b}"})},
           {"job: {template: {}} without run.image", file({.workers = "max: 1, job: {template: {}}"})},
       }},
  };
}

std::vector<Chapter> chapters() {
  std::vector<Chapter> all = text_chapters();
  for (Chapter& chapter : value_chapters()) {
    all.push_back(std::move(chapter));
  }
  return all;
}

std::string cell(std::string_view text) {
  std::string out;
  constexpr std::size_t shown_max = 300;
  for (const char c : text.substr(0, shown_max)) {
    out += c == '|' ? "\\|" : c == '\n' ? " ⏎ " : std::string(1, c);
  }
  return out + (text.size() > shown_max ? ".." : "");
}

// As code in Markdown; text that holds a backtick needs two around it.
std::string code(std::string_view text) {
  return text.find('`') == std::string_view::npos ? fmt::format("`{}`", cell(text))
                                                  : fmt::format("`` {} ``", cell(text));
}

constexpr std::string_view introduction = R"(# Bad configuration: what is in the file, what you are told

<!-- Generated by src/pool/bad_input_test.cc. To change it: change that, then SNAP_UPDATE=1 build/dev/pool_test -->

Every file here is refused with exit code 2 before anything is started. A part stands in an otherwise good pool file; `⏎` is a line
end. Each problem is one line on stderr, `FILE:LINE:COL: $.path: what was found; accepted: what would be right`.
)";

TEST(BadConfiguration, IsRefusedWithItsPlaceAndTheAcceptedForm) {
  std::string page(introduction);
  for (const Chapter& chapter : chapters()) {
    page += fmt::format("\n## {}\n\n| in the file | the answer |\n| --- | --- |\n", chapter.title);
    for (const Row& row : chapter.rows) {
      const std::clock_t begin = std::clock();  // of the processor: other programs may be busy
      const Parsed parsed = parse_pool(row.text);
      const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
      EXPECT_FALSE(parsed.pool) << row.shows;
      EXPECT_FALSE(parsed.problems.empty()) << row.shows;
      EXPECT_LT(seconds, 2) << row.shows;  // milliseconds without sanitizers
      std::string answers;
      for (const Problem& problem : parsed.problems) {
        answers += (answers.empty() ? "" : "<br>") + code(render(problem, "pool.yaml"));
      }
      page += fmt::format("| {} | {} |\n", code(row.shows), answers);
    }
  }
  expect_file_holds("docs/reference/bad-input-configuration.md", page);
}

void* run(void* work) {
  (*static_cast<std::function<void()>*>(work))();
  return nullptr;
}

// As under `ulimit -s 512`; yaml-cpp recurses, and once fell over a few kilobytes of brackets.
TEST(BadConfiguration, NeedsLittleStackWhateverTheNesting) {
  std::function<void()> work = [] {
    for (const char* bracket :
         {"[", "{", "a: {", "[a: ", "- ", "? ", "{\"a\":", "[{", "{[", "[[{a: ", "!a [", "&a [", "- - ? - "}) {
      const Parsed parsed = parse_pool(repeated(bracket, 25'000));
      EXPECT_FALSE(parsed.pool) << bracket;
      EXPECT_FALSE(parsed.problems.empty()) << bracket;
    }
  };
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 512UL * 1024), 0);
  pthread_t thread{};
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &work), 0);
  EXPECT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
}

TEST(BadConfiguration, ListsABoundedNumberOfProblems) {
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += fmt::format("field{}: 1\n", i);
  }
  const Parsed parsed = parse_pool(text);
  ASSERT_EQ(parsed.problems.size(), 501u);
  EXPECT_EQ(parsed.problems.back().found, "1504 more problems are not listed");
}

TEST(PlainScalars, AreTextOnlyWhereEveryReaderAgrees) {
  for (const char* text : {"orders", "10.0.0.1", "1s", "v1", "a-1", "12ab", "rabbit:5672", "2024-01-01", "-", ".",
                           "--exec", "e5", "null-ish"}) {
    EXPECT_EQ(classify_plain(text), Plain::text) << text;
  }
  for (const char* text : {"yes",   "No",  "ON", "off", "y",  "True", "~",     "NULL", "0o17", "010",   "0x1F",
                           "1_000", "1e3", "+1", ".5",  "5.", ".inf", "-.INF", ".NaN", "0b1",  "1.5E-3"}) {
    EXPECT_EQ(classify_plain(text), Plain::odd) << text;
  }
  EXPECT_EQ(classify_plain("true"), Plain::boolean);
  EXPECT_EQ(classify_plain("-12"), Plain::whole);
  EXPECT_EQ(classify_plain("0.25"), Plain::decimal);
}

}  // namespace
}  // namespace sluice::pool
