// SPDX-License-Identifier: Apache-2.0
// sluice explain: why a pool is as it is, from its journal.
#include <fmt/core.h>

#include <algorithm>

#include "app/context.h"
#include "app/journal_tail.h"
#include "app/places.h"
#include "app/remote.h"
#include "app/verbs.h"
#include "pool/pool.h"
#include "serve/asking.h"

namespace sluice::app {
namespace {

std::optional<control::Ask> ask_of(Context& context, const Args& args) {
  const Result<control::Ask> ask =
      serve::ask_of(args.text("at").value_or(""), args.text("tick").value_or(""), args.count("last").value_or(1),
                    context.clock.wall(), {.at = "--at", .tick = "--tick", .last = "-n"});
  if (!ask) {
    context.err.line("sluice explain: " + ask.error().what);
    return std::nullopt;
  }
  return *ask;
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
      return nothing(place, serve::no_tick(place.id, ask_, !story->empty()));
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
    const serve::Form form{.json = context_.json,
                           .columns = static_cast<std::size_t>(context_.out.columns()),
                           .now = context_.clock.wall()};
    for (std::size_t i = 0; i < told.size(); ++i) {
      context_.out.write(serve::tell(told, i, form));
    }
    if (!context_.json && context_.err.terminal()) {
      context_.err.line(fmt::format("  next: {0} explain{1} -n 20   {0} status{1}", context_.program, place.again));
    }
  }

  Context& context_;
  control::Ask ask_;
};

std::string target_of(const Context& context, const Args& args, const std::string& pool) {
  std::string out = "/api/v1/explain";
  kube::add_parameter(out, "pool", pool);
  for (const char* const name : {"at", "tick"}) {
    if (const std::optional<std::string> text = args.text(name)) {
      kube::add_parameter(out, name, *text);
    }
  }
  kube::add_parameter(out, "last", fmt::format("{}", args.count("last").value_or(1)));
  if (!context.json) {
    kube::add_parameter(out, "format", "text");
    kube::add_parameter(out, "columns", fmt::format("{}", std::clamp(context.out.columns(), 40, 400)));
  }
  return out;
}

// Each line as a terminal may show it, whatever the other side sends.
void show(Context& context, std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    context.out.line(context.json ? std::string(line) : control::printable(line));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
}

aio::Task<int> remote_explain(Context& context, Args args) {
  const std::unique_ptr<Remote> remote = Remote::open(context, args, "explain");
  if (!remote) {
    co_return exit_usage;
  }
  std::vector<std::string> pools = args.positionals;
  if (pools.empty()) {
    const aio::Deadline deadline = context.clock.in(remote_timeout);
    const Result<std::vector<serve::PoolStatus>> all = co_await remote->pools({}, deadline);
    if (!all) {
      context.err.line("sluice explain: " + all.error().what);
      co_return exit_failed;
    }
    std::ranges::transform(*all, std::back_inserter(pools), &serve::PoolStatus::pool);
  }
  int code = exit_done;
  const char* between = "";
  for (const std::string& pool : pools) {
    std::string target = target_of(context, args, pool);
    const aio::Deadline deadline = context.clock.in(remote_timeout);
    const Result<std::string> told = co_await remote->get(std::move(target), deadline);
    if (!told) {
      context.err.line("sluice explain: " + told.error().what);
      code = exit_failed;
      continue;
    }
    context.out.write(context.json ? "" : between);
    show(context, *told);
    between = "\n";
  }
  co_return code;
}

aio::Task<int> run_explain(Context& context, Args args) {
  const std::optional<control::Ask> ask = ask_of(context, args);
  if (!ask) {
    co_return exit_usage;
  }
  if (asks_remote(args)) {
    const int code = co_await remote_explain(context, std::move(args));
    co_return code;
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
  std::vector<Flag> flags = place_and_remote_flags();
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
  return {
      .name = "explain",
      .summary = "why a pool is as it is: what was seen, the rule, every clamp",
      .about =
          "Tells the last decision of each pool in the order in which it was made: what was seen and how old\n"
          "it was, the arithmetic of the policy, the clamps that changed the number, what was done, and what\n"
          "would have changed it. Everything comes from the journal, so a decision of last night can be\n"
          "explained as well; what would change it was tried by deciding again with just that change.\n"
          "With --server, --context or --namespace it asks who scales the pools, which has its latest decisions in\n"
          "memory; older ones are in its journal. Through a cluster it takes the right to get services/proxy.",
      .examples = {{"sluice explain", "the pools of this folder"},
                   {"sluice explain -f orders.yaml --at 14:02:40", "why it held then"},
                   {"sluice explain orders -n 20", "how it came to that"}},
      .flags = std::move(flags),
      .positionals = place_words(),
      .rest = "",
      .run = run_explain};
}

}  // namespace sluice::app
