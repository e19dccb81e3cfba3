// SPDX-License-Identifier: Apache-2.0
// sluice explain: why a pool is as it is, from its journal.
#include <fmt/core.h>

#include "app/context.h"
#include "app/journal_tail.h"
#include "app/places.h"
#include "app/verbs.h"
#include "pool/pool.h"

namespace sluice::app {
namespace {

constexpr std::int64_t last_max = 1000;  // chosen: more than a person reads, little to keep

// A whole time, or a time of day in UTC, which is the latest such time that is not in the future.
std::optional<WallTime> time_of(const std::string& text, WallTime now) {
  if (const std::optional<WallTime> whole = parse_wall(text)) {
    return whole;
  }
  std::string clock = text.ends_with('Z') ? text.substr(0, text.size() - 1) : text;
  clock += clock.size() == 5 ? ":00" : "";
  if (clock.size() < 8) {
    return std::nullopt;
  }
  std::optional<WallTime> at = parse_wall(format_wall(now).substr(0, 11) + clock + "Z");
  if (at && *at > now) {
    *at -= std::chrono::days{1};
  }
  // Times of day are typed without milliseconds: "14:02:40" means all of that second.
  if (at && clock.find('.') == std::string::npos) {
    *at += std::chrono::milliseconds{999};
  }
  return at;
}

std::optional<control::Ask> ask_of(Context& context, const Args& args) {
  control::Ask ask;
  ask.tick = args.text("tick");
  if (const std::optional<std::string> at = args.text("at")) {
    ask.at = time_of(*at, context.clock.wall());
    if (!ask.at) {
      context.err.line(
          fmt::format("sluice explain: --at {}: not a time; accepted: 14:02:40 or 2026-01-31T14:02:40Z (UTC)",
                      control::printable(*at)));
      return std::nullopt;
    }
  }
  if (ask.tick && ask.at) {
    context.err.line("sluice explain: --tick and --at both name a tick; one is enough");
    return std::nullopt;
  }
  const std::int64_t last = args.count("last").value_or(1);
  if (last < 1 || last > last_max) {
    context.err.line(fmt::format("sluice explain: -n {}: accepted: 1 to {}", last, last_max));
    return std::nullopt;
  }
  ask.last = static_cast<std::size_t>(last);
  return ask;
}

std::string no_tick(const Place& place, const control::Ask& ask, bool any_line) {
  if (ask.tick) {
    return fmt::format("{}: no tick {} in the journal", place.id, control::printable(*ask.tick));
  }
  if (ask.at && any_line) {
    return fmt::format("{}: the journal begins after {}", place.id, format_wall(*ask.at));
  }
  return fmt::format("{}: no tick yet: the journal is empty", place.id);
}

class Explaining {
 public:
  Explaining(Context& context, control::Ask ask) : context_(context), ask_(std::move(ask)) {}

  // Returns the exit code.
  int explain(const Place& place) {
    const Result<control::Story> story = search_journal(place.journal(), ask_);
    if (!story && story.error().code == Code::gone) {
      return nothing(place,
                     fmt::format("{}: no tick yet: no scaler has run ({} is not there)", place.id, place.journal()));
    }
    if (!story) {
      context_.err.line("sluice explain: " + story.error().what);
      return exit_failed;
    }
    if (!story->found()) {
      return nothing(place, no_tick(place, ask_, !story->empty()));
    }
    std::vector<std::string> problems;
    const Result<std::vector<control::Told>> told = story->tell(pool::spec_from_json, &problems);
    for (const std::string& problem : problems) {
      context_.err.line(fmt::format("a line of {} was left out: {}", place.journal(), problem));
    }
    if (!told || told->empty()) {
      context_.err.line(
          fmt::format("sluice explain: {}: {}", place.id, told ? "no tick that can be read" : told.error().what));
      return exit_failed;
    }
    tell(place, *told);
    return exit_done;
  }

 private:
  int nothing(const Place& place, const std::string& why) {
    context_.err.line(why);
    if (!ask_.tick && !ask_.at && !place.file.empty()) {
      context_.err.line(fmt::format("  next: {} scale{}", context_.program, place.again));
    }
    return exit_failed;
  }
  void tell(const Place& place, const std::vector<control::Told>& told) {
    const WallTime now = context_.clock.wall();
    const auto columns = static_cast<std::size_t>(context_.out.columns());
    for (std::size_t i = 0; i < told.size(); ++i) {
      const control::Explanation explanation = control::explain(told[i]);
      if (context_.json) {
        std::string line;
        control::append_json(line, explanation, now);
        context_.out.line(line);
      } else if (i + 1 < told.size()) {
        context_.out.line(control::to_history_line(explanation, columns));
      } else {
        context_.out.write((told.size() > 1 ? "\n" : "") + control::to_text(explanation, now, columns));
      }
    }
    if (!context_.json && context_.err.terminal()) {
      context_.err.line(fmt::format("  next: {0} explain{1} -n 20   {0} status{1}", context_.program, place.again));
    }
  }

  Context& context_;
  control::Ask ask_;
};

aio::Task<int> run_explain(Context& context, Args args) {
  const std::optional<control::Ask> ask = ask_of(context, args);
  if (!ask) {
    co_return exit_usage;
  }
  const std::optional<std::vector<Place>> places = find_places(context, args, "explain");
  if (!places) {
    co_return exit_usage;
  }
  Explaining explaining(context, *ask);
  int code = exit_done;
  for (std::size_t i = 0; i < places->size(); ++i) {
    if (i > 0 && !context.json) {
      context.out.line("");
    }
    code = std::max(code, explaining.explain((*places)[i]));
  }
  co_return code;
}

}  // namespace

Verb explain_verb() {
  std::vector<Flag> flags = place_flags();
  flags.push_back({.name = "at",
                   .kind = Kind::text,
                   .value = "TIME",
                   .help = "the decision in force then: 14:02:40 or 2026-01-31T14:02:40Z, in UTC"});
  flags.push_back({.name = "tick", .kind = Kind::text, .value = "ID", .help = "the tick with this id"});
  flags.push_back({.name = "last",
                   .letter = 'n',
                   .kind = Kind::count,
                   .value = "N",
                   .help = "the last N decisions before it too, one line each"});
  return {.name = "explain",
          .summary = "why a pool is as it is: what was seen, the rule, every clamp",
          .about =
              "Tells the last decision of each pool in the order in which it was made: what was seen and how old\n"
              "it was, the arithmetic of the policy, the clamps that changed the number, what was done, and what\n"
              "would have changed it. Everything comes from the journal, so a decision of last night can be\n"
              "explained as well; what would change it was tried by deciding again with just that change.",
          .examples = {{"sluice explain", "the pools of this folder"},
                       {"sluice explain -f orders.yaml --at 14:02:40", "why it held then"},
                       {"sluice explain orders -n 20", "how it came to that"}},
          .flags = std::move(flags),
          .positionals = place_words(),
          .rest = "",
          .run = run_explain};
}

}  // namespace sluice::app
