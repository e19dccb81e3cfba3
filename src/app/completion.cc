// SPDX-License-Identifier: Apache-2.0
// sluice completion: what a shell loads so that Tab knows verbs, flags and values; out of the verbs' own declarations.
#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "app/cli_pages.h"
#include "app/context.h"
#include "app/verbs.h"
#include "base/nearest.h"

namespace sluice::app {
namespace {

const std::vector<std::string>& shells() {
  static const std::vector<std::string> all{"bash", "zsh", "fish"};
  return all;
}

std::vector<const Verb*> shown(std::span<const Verb> verbs) {
  std::vector<const Verb*> out;
  for (const Verb& verb : verbs) {
    if (!verb.hidden) {
      out.push_back(&verb);
    }
  }
  return out;
}

std::vector<Flag> all_flags(const Verb& verb) {
  std::vector<Flag> flags = verb.flags;
  flags.insert(flags.end(), common_flags().begin(), common_flags().end());
  return flags;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() ? "" : " ") + word;
  }
  return out;
}

// `text` inside single quotes, with a backslash before each of `special`.
std::string quoted(std::string_view text, std::string_view special) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
      continue;
    }
    if (special.find(c) != std::string_view::npos) {
      out += '\\';
    }
    out += c;
  }
  return out + "'";
}

std::string flag_words(const Verb& verb) {
  std::vector<std::string> words;
  for (const Flag& flag : all_flags(verb)) {
    words.push_back("--" + flag.name);
  }
  return joined(words);
}

// What bash offers after a flag; empty when the flag takes nothing.
std::string bash_values(const Flag& flag) {
  switch (flag.kind) {
    case Kind::on_off:
      return "";
    case Kind::file:
      return "-f";
    case Kind::folder:
      return "-d";
    case Kind::choice:
      return "-W \"" + joined(flag.choices) + "\"";
    case Kind::text:
    case Kind::count:
    case Kind::duration:
      return "-W \"\"";
  }
  return "";
}

std::string bash(std::span<const Verb> verbs) {
  std::string names;
  std::string cases;
  std::string values;
  for (const Verb* verb : shown(verbs)) {
    names += (names.empty() ? "" : " ") + verb->name;
    cases += fmt::format("    {}) words=\"{}\" ;;\n", verb->name, flag_words(*verb));
    for (const Flag& flag : all_flags(*verb)) {
      const std::string offers = bash_values(flag);
      if (offers.empty()) {
        continue;
      }
      const std::string letter = flag.letter == 0 ? "" : fmt::format("|\"{} -{}\"", verb->name, flag.letter);
      values += fmt::format("    \"{} --{}\"{}) mapfile -t COMPREPLY < <(compgen {} -- \"$cur\"); return ;;\n",
                            verb->name, flag.name, letter, offers);
    }
  }
  return fmt::format(
      "# bash completion of sluice; load it with: source <(sluice completion bash)\n"
      "_sluice() {{\n"
      "  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} verb=${{COMP_WORDS[1]}} words=\"\"\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$cur\"); return\n"
      "  fi\n"
      "  case \"$verb $prev\" in\n{}  esac\n"
      "  case \"$verb\" in\n{}  esac\n"
      "  if [[ $cur == -* ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
      "  else\n"
      "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F _sluice sluice\n",
      names, values, cases);
}

std::string zsh_action(const Flag& flag) {
  const std::string value = flag.value.empty() ? "value" : flag.value;
  switch (flag.kind) {
    case Kind::on_off:
      return "";
    case Kind::file:
      return ":" + value + ":_files";
    case Kind::folder:
      return ":" + value + ":_files -/";
    case Kind::choice:
      return ":" + value + ":(" + joined(flag.choices) + ")";
    case Kind::text:
    case Kind::count:
    case Kind::duration:
      return ":" + value + ":";
  }
  return "";
}

std::string zsh(std::span<const Verb> verbs) {
  std::string out =
      "#compdef sluice\n# zsh completion of sluice; load it with: source <(sluice completion zsh)\n_sluice() {\n"
      "  local -a verbs=(\n";
  for (const Verb* verb : shown(verbs)) {
    out += "    " + quoted(verb->name + ":" + verb->summary, "") + "\n";
  }
  out += "  )\n  if (( CURRENT == 2 )); then\n    _describe verb verbs\n    return\n  fi\n";
  out += "  shift words\n  (( CURRENT-- ))\n  case $words[1] in\n";
  for (const Verb* verb : shown(verbs)) {
    out += fmt::format("    {}) _arguments", verb->name);
    for (const Flag& flag : all_flags(*verb)) {
      const std::string many = flag.many ? "*" : "";
      const std::string escaped = quoted(flag.help, "[]:");
      const std::string action = quoted(zsh_action(flag), "").substr(1);
      const std::string text = escaped.substr(1, escaped.size() - 2);
      out += fmt::format(" \\\n      '{}--{}[{}]{}", many, flag.name, text, action);
      if (flag.letter != 0) {
        out += fmt::format(" \\\n      '{}-{}[{}]{}", many, flag.letter, text, action);
      }
    }
    out += " \\\n      '*:file:_files' ;;\n";
  }
  return out + "  esac\n}\nif [ \"$funcstack[1]\" = _sluice ]; then _sluice \"$@\"; else compdef _sluice sluice; fi\n";
}

std::string fish_values(const Flag& flag) {
  switch (flag.kind) {
    case Kind::on_off:
      return "";
    case Kind::file:
      return " -r -F";
    case Kind::folder:
      return " -x -a '(__fish_complete_directories)'";
    case Kind::choice:
      return " -x -a '" + joined(flag.choices) + "'";
    case Kind::text:
    case Kind::count:
    case Kind::duration:
      return " -x";
  }
  return "";
}

std::string fish(std::span<const Verb> verbs) {
  std::string out = "# fish completion of sluice; load it with: sluice completion fish | source\n";
  for (const Verb* verb : shown(verbs)) {
    out += fmt::format("complete -c sluice -f -n __fish_use_subcommand -a {} -d {}\n", verb->name,
                       quoted(verb->summary, "\\"));
    for (const Flag& flag : all_flags(*verb)) {
      const std::string letter = flag.letter == 0 ? "" : fmt::format(" -s {}", flag.letter);
      out += fmt::format("complete -c sluice -n '__fish_seen_subcommand_from {}' -l {}{}{} -d {}\n", verb->name,
                         flag.name, letter, fish_values(flag), quoted(flag.help, "\\"));
    }
  }
  return out;
}

aio::Task<int> run_completion(Context& context, Args args) {
  const std::string shell = args.positionals.front();
  if (std::ranges::find(shells(), shell) == shells().end()) {
    const std::optional<std::string> near = nearest(shell, shells());
    context.err.line(fmt::format("sluice completion: no shell \"{}\"; {}", shell,
                                 near ? fmt::format("did you mean {}?", *near) : "accepted: bash, zsh, fish"));
    co_return exit_usage;
  }
  context.out.write(completion(verbs(), shell));
  co_return exit_done;
}

}  // namespace

std::string completion(std::span<const Verb> verbs, const std::string& shell) {
  return shell == "bash" ? bash(verbs) : shell == "zsh" ? zsh(verbs) : fish(verbs);
}

Verb completion_verb() {
  return {.name = "completion",
          .summary = "print what a shell loads to complete verbs and flags",
          .about = "",
          .examples = {{"source <(sluice completion bash)", "in ~/.bashrc"},
                       {"source <(sluice completion zsh)", "in ~/.zshrc, after compinit"},
                       {"sluice completion fish | source", "in ~/.config/fish/config.fish"}},
          .flags = {},
          .positionals = {{.name = "SHELL", .help = "bash, zsh or fish", .required = true}},
          .rest = "",
          .run = run_completion};
}

}  // namespace sluice::app
