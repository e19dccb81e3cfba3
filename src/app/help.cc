// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "app/cli.h"
#include "app/version.h"

namespace sluice::app {
namespace {

std::string flag_column(const Flag& flag) {
  const std::string value = flag.value.empty() ? "" : " " + flag.value;
  return flag.letter == 0 ? fmt::format("    --{}{}", flag.name, value)
                          : fmt::format("-{}, --{}{}", flag.letter, flag.name, value);
}

// Two columns; a left side that is too long gets a line of its own.
void row(std::string& out, const std::string& left, const std::string& right, std::size_t width) {
  if (left.size() > width) {
    out += fmt::format("  {}\n  {:{}}  {}\n", left, "", width, right);
  } else {
    out += fmt::format("  {:{}}  {}\n", left, width, right);
  }
}

void flag_rows(std::string& out, const std::vector<Flag>& flags) {
  for (const Flag& flag : flags) {
    row(out, flag_column(flag), flag.help, 24);
  }
}

}  // namespace

const std::vector<Flag>& common_flags() {
  static const std::vector<Flag> flags{
      {.name = "output",
       .letter = 'o',
       .kind = Kind::choice,
       .value = "text|json",
       .help = "json: one JSON object a line on stdout, everything else on stderr",
       .choices = {"text", "json"}},
      {.name = "no-color", .help = "no colour, as NO_COLOR in the environment does"},
      {.name = "help", .letter = 'h', .help = "this text"},
  };
  return flags;
}

Flag file_flag(std::string help, bool many) {
  return {.name = "file", .letter = 'f', .kind = Kind::file, .value = "FILE", .help = std::move(help), .many = many};
}

Flag state_flag() {
  return {.name = "state",
          .kind = Kind::folder,
          .value = "DIR",
          .help = "the folder of pools' states (default: .sluice beside the pool file)"};
}

Flag secrets_flag() {
  return {.name = "secrets",
          .kind = Kind::folder,
          .value = "DIR",
          .help = "the folder of credentials (default: secrets beside the pool file)"};
}

std::string usage(const Verb& verb) {
  std::string out = "sluice " + verb.name;
  for (const Flag& flag : verb.flags) {
    const std::string name = flag.letter == 0 ? "--" + flag.name : fmt::format("-{}", flag.letter);
    out += fmt::format(" [{}{}]{}", name, flag.value.empty() ? "" : " " + flag.value, flag.many ? ".." : "");
  }
  for (const Positional& word : verb.positionals) {
    const std::string dots = word.many ? ".." : "";
    out += word.required ? fmt::format(" {}{}", word.name, dots) : fmt::format(" [{}{}]", word.name, dots);
  }
  if (!verb.rest.empty()) {
    out += fmt::format(" [-- {}..]", verb.rest);
  }
  return out;
}

std::string help(std::span<const Verb> verbs) {
  std::string out = fmt::format("sluice {}: scales queue workers and explains every decision\n\n", version);
  out += "usage: sluice VERB [FLAGS]\n\n";
  std::size_t width = 0;
  for (const Verb& verb : verbs) {
    width = std::max(width, verb.hidden ? 0 : verb.name.size());
  }
  for (const Verb& verb : verbs) {
    if (!verb.hidden) {
      row(out, verb.name, verb.summary, width);
    }
  }
  out += "\nsluice VERB --help says more about each; sluice demo shows all of it in 70 seconds.\n";
  out += "Exit codes: 0 done, 1 failed, 2 usage or configuration (nothing was started), 3 partly done.\n";
  return out;
}

std::string help(const Verb& verb) {
  std::string out = fmt::format("sluice {}: {}\n\nusage: {}\n", verb.name, verb.summary, usage(verb));
  if (!verb.about.empty()) {
    out += "\n" + verb.about + "\n";
  }
  out += "\n";
  for (const Positional& word : verb.positionals) {
    row(out, word.name, word.help, 24);
  }
  flag_rows(out, verb.flags);
  flag_rows(out, common_flags());
  if (!verb.examples.empty()) {
    out += "\nexamples:\n";
    std::size_t width = 0;
    for (const Example& example : verb.examples) {
      width = std::max(width, std::min<std::size_t>(example.command.size(), 56));
    }
    for (const Example& example : verb.examples) {
      row(out, example.command, example.what, width);
    }
  }
  return out;
}

}  // namespace sluice::app
