// SPDX-License-Identifier: Apache-2.0
#pragma once
// The command line as data: what verbs there are, their flags and examples. Parser, --help, shell completion and the
// man page all come from these values, so none of them can say something else than the others.
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aio/task.h"
#include "base/time.h"

namespace sluice::app {

struct Context;

// Machine contracts, "Exit codes".
inline constexpr int exit_done = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;   // usage or configuration; nothing was started
inline constexpr int exit_partly = 3;  // what was not done is listed

enum class Kind {
  on_off,  // no value
  text,
  count,     // a whole number, 0 or more
  duration,  // "90s", "1h30m"
  file,
  folder,
  choice,  // one of `choices`
};

struct Flag {
  std::string name;  // without dashes
  char letter = 0;   // 0: none
  Kind kind = Kind::on_off;
  std::string value;  // what the value is called in help: "FILE"
  std::string help;   // one sentence, no full stop
  std::vector<std::string> choices;
  bool many = false;  // may be given more than once
};

struct Positional {
  std::string name;  // as in help: "POOL"
  std::string help;
  bool required = false;
  bool many = false;  // only the last one
  Kind kind = Kind::text;
};

struct Example {
  std::string command;
  std::string what;  // may be empty
};

// What was given on the command line, checked against the verb's declaration.
class Args {
 public:
  [[nodiscard]] bool has(std::string_view flag) const;
  // The value of a flag that may be given once.
  [[nodiscard]] std::optional<std::string> text(std::string_view flag) const;
  [[nodiscard]] std::vector<std::string> texts(std::string_view flag) const;
  // Of a flag of Kind::count or Kind::duration; the parser has checked the form.
  [[nodiscard]] std::optional<std::int64_t> count(std::string_view flag) const;
  [[nodiscard]] std::optional<Duration> duration(std::string_view flag) const;

  std::vector<std::string> positionals;
  std::vector<std::string> rest;  // after "--"
  std::map<std::string, std::vector<std::string>, std::less<>> flags;
};

// Returns the exit code.
using Run = aio::Task<int> (*)(Context&, Args);

struct Verb {
  std::string name;
  std::string summary;  // one line, no full stop
  std::string about;    // paragraphs, lines of at most 100 columns
  std::vector<Example> examples;
  std::vector<Flag> flags;  // its own; common_flags() come on top
  std::vector<Positional> positionals;
  std::string rest;  // what comes after "--", as in help; empty: nothing may
  Run run = nullptr;
  bool hidden = false;  // not in help, completion and man page
};

// --output, --no-color, --help: every verb has them.
[[nodiscard]] const std::vector<Flag>& common_flags();
// Flags that several verbs share, so that they read the same everywhere.
[[nodiscard]] Flag file_flag(std::string help, bool many = false);
[[nodiscard]] Flag state_flag();
[[nodiscard]] Flag secrets_flag();

// What to do: run `verb`, or, where it is null, print `out` and `err` and end with `exit`.
struct Invocation {
  const Verb* verb = nullptr;
  Args args;
  int exit = exit_done;
  std::string out;
  std::string err;
};
// `argv` without the program's name.
[[nodiscard]] Invocation parse(std::span<const Verb> verbs, const std::vector<std::string>& argv);

// The text of `sluice --help` and of `sluice VERB --help`.
[[nodiscard]] std::string help(std::span<const Verb> verbs);
[[nodiscard]] std::string help(const Verb& verb);
// "sluice work [-f FILE] [--exec PROGRAM] [-- ARGUMENT..]"; one line.
[[nodiscard]] std::string usage(const Verb& verb);

}  // namespace sluice::app
