// SPDX-License-Identifier: Apache-2.0
#include "app/cli.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "app/version.h"
#include "base/check.h"
#include "base/nearest.h"
#include "base/number.h"
#include "base/result.h"

namespace sluice::app {
namespace {

std::string dashed(const Flag& flag) {
  return flag.letter == 0 ? "--" + flag.name : fmt::format("-{},--{}", flag.letter, flag.name);
}

std::optional<std::int64_t> whole_number(const std::string& text) {
  const std::optional<std::int64_t> n = parse_number<std::int64_t>(text);
  return n && *n >= 0 ? n : std::nullopt;
}

// What is wrong with one value; empty when nothing is.
std::string wrong(const Flag& flag, const std::string& value) {
  switch (flag.kind) {
    case Kind::count:
      return whole_number(value) ? "" : "a whole number, 0 or more";
    case Kind::duration: {
      const Result<Duration> parsed = parse_duration(value);
      return parsed ? "" : "a duration such as 250ms, 90s or 1h30m";
    }
    case Kind::choice: {
      std::string all;
      for (const std::string& choice : flag.choices) {
        if (choice == value) {
          return "";
        }
        all += (all.empty() ? "" : ", ") + choice;
      }
      return "one of " + all;
    }
    case Kind::file:
    case Kind::folder:
      return value.empty() ? "a path" : "";
    case Kind::on_off:
    case Kind::text:
      return "";
  }
  return "";
}

std::vector<Flag> all_flags(const Verb& verb) {
  std::vector<Flag> flags = verb.flags;
  flags.insert(flags.end(), common_flags().begin(), common_flags().end());
  return flags;
}

Invocation refused(const std::string& verb, const std::string& what) {
  Invocation out;
  out.exit = exit_usage;
  out.err = fmt::format("sluice{}: {}\n  sluice{} --help shows what there is\n", verb, what, verb);
  return out;
}

Invocation printed(std::string text) {
  Invocation out;
  out.out = std::move(text);
  return out;
}

// CLI11 knows how flags are spelled: --name=value, -nvalue, switches in one bundle. What they mean is ours, so it stays
// behind this function, and so does its long compile time.
std::optional<std::string> split(const std::vector<Flag>& flags, const std::vector<std::string>& argv, Args& args,
                                 std::vector<std::string>& extras) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::map<std::string, std::vector<std::string>> values;
  for (const Flag& flag : flags) {
    if (flag.kind == Kind::on_off) {
      app.add_flag_function(dashed(flag), [&values, name = flag.name](std::int64_t) { values[name]; });
    } else {
      CLI::Option* option = app.add_option(dashed(flag), values[flag.name]);
      option->type_size(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
  }
  try {
    app.parse(std::vector<std::string>(argv.rbegin(), argv.rend()));  // CLI11 wants them reversed
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  extras = app.remaining();
  for (const Flag& flag : flags) {
    const auto found = values.find(flag.name);
    const bool given = found != values.end() && (flag.kind == Kind::on_off || !found->second.empty());
    if (given) {
      args.flags[flag.name] = found->second;
    }
  }
  return std::nullopt;
}

std::string unknown_flag(const std::vector<Flag>& flags, const std::string& word) {
  std::vector<std::string> names;
  for (const Flag& flag : flags) {
    names.push_back("--" + flag.name);
  }
  const std::string bare = word.substr(0, word.find('='));
  const std::optional<std::string> near = nearest(bare, names);
  return fmt::format("no flag {}{}", bare, near ? fmt::format("; did you mean {}?", *near) : "");
}

// Checks values and positionals; what is wrong, or empty.
std::string check_args(const Verb& verb, const std::vector<Flag>& flags, const Args& args) {
  for (const Flag& flag : flags) {
    const auto found = args.flags.find(flag.name);
    if (found == args.flags.end()) {
      continue;
    }
    if (found->second.size() > 1 && !flag.many) {
      return fmt::format("--{} is given {} times; once is enough", flag.name, found->second.size());
    }
    for (const std::string& value : found->second) {
      const std::string accepted = wrong(flag, value);
      if (!accepted.empty()) {
        return fmt::format("--{} {}: accepted is {}", flag.name, value.empty() ? "\"\"" : value, accepted);
      }
    }
  }
  const std::vector<Positional>& want = verb.positionals;
  const bool open_end = !want.empty() && want.back().many;
  if (args.positionals.size() > want.size() && !open_end) {
    return fmt::format("\"{}\" is one word too many", args.positionals[want.size()]);
  }
  for (std::size_t i = args.positionals.size(); i < want.size(); ++i) {
    if (want[i].required) {
      return fmt::format("{} is missing: {}", want[i].name, want[i].help);
    }
  }
  return "";
}

Invocation parse_verb(const Verb& verb, std::vector<std::string> argv) {
  Invocation out;
  const auto dashes = std::find(argv.begin(), argv.end(), "--");
  std::vector<std::string> after;
  if (dashes != argv.end()) {
    after.assign(dashes + 1, argv.end());
    argv.erase(dashes, argv.end());
  }
  const std::vector<Flag> flags = all_flags(verb);
  std::vector<std::string> extras;
  const std::optional<std::string> failure = split(flags, argv, out.args, extras);
  if (out.args.has("help")) {
    return printed(help(verb));
  }
  if (failure) {
    return refused(" " + verb.name, *failure);
  }
  for (const std::string& word : extras) {
    if (word.size() > 1 && word[0] == '-') {
      return refused(" " + verb.name, unknown_flag(flags, word));
    }
  }
  out.args.positionals = std::move(extras);
  std::vector<std::string>& words = verb.rest.empty() ? out.args.positionals : out.args.rest;
  words.insert(words.end(), after.begin(), after.end());
  const std::string problem = check_args(verb, flags, out.args);
  if (!problem.empty()) {
    return refused(" " + verb.name, problem);
  }
  out.verb = &verb;
  return out;
}

}  // namespace

bool Args::has(std::string_view flag) const {
  return flags.find(flag) != flags.end();
}

std::vector<std::string> Args::texts(std::string_view flag) const {
  const auto found = flags.find(flag);
  return found == flags.end() ? std::vector<std::string>{} : found->second;
}

std::optional<std::string> Args::text(std::string_view flag) const {
  const auto found = flags.find(flag);
  if (found == flags.end()) {
    return std::nullopt;
  }
  check(found->second.size() == 1, "a flag that may be given many times, or has no value, was asked for its one value");
  return found->second.front();
}

std::optional<std::int64_t> Args::count(std::string_view flag) const {
  const std::optional<std::string> value = text(flag);
  return value ? whole_number(*value) : std::nullopt;
}

std::optional<Duration> Args::duration(std::string_view flag) const {
  const std::optional<std::string> value = text(flag);
  if (!value) {
    return std::nullopt;
  }
  const Result<Duration> parsed = parse_duration(*value);
  check(parsed.has_value(), "the parser has let a wrong duration pass");
  return *parsed;
}

Invocation parse(std::span<const Verb> verbs, const std::vector<std::string>& argv) {
  if (argv.empty()) {
    Invocation out = printed("");
    out.exit = exit_usage;
    out.err = help(verbs);
    return out;
  }
  std::string word = argv[0];
  if (word == "--version" || word == "-V" || word == "version") {
    return printed(fmt::format("sluice {}\n", version));
  }
  std::vector<std::string> rest(argv.begin() + 1, argv.end());
  if (word == "--help" || word == "-h" || word == "help") {
    if (word != "help" || rest.empty()) {
      return printed(help(verbs));
    }
    word = rest[0];
    rest = {"--help"};
  }
  std::vector<std::string> names;
  for (const Verb& verb : verbs) {
    if (verb.name == word) {
      return parse_verb(verb, std::move(rest));
    }
    if (!verb.hidden) {
      names.push_back(verb.name);
    }
  }
  if (word.starts_with('-')) {
    return refused("", fmt::format("{} stands before the verb; flags come after it", word));
  }
  const std::optional<std::string> near = nearest(word, names);
  return refused("", fmt::format("no verb \"{}\"{}", word, near ? fmt::format("; did you mean {}?", *near) : ""));
}

}  // namespace sluice::app
