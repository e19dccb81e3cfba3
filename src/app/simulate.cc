// SPDX-License-Identifier: Apache-2.0
// sluice simulate: scenarios through policies; what each would have cost, and how late its messages would have been.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "app/context.h"
#include "app/simulate_files.h"
#include "app/simulate_load.h"
#include "app/simulate_replay.h"
#include "app/simulate_sweep.h"
#include "app/simulate_table.h"
#include "app/simulate_tune.h"
#include "app/verbs.h"
#include "app/wiring.h"
#include "lab/outcome.h"
#include "lab/report.h"

namespace sluice::app {
namespace {

constexpr std::int64_t seeds_max = 10'000;  // chosen: beyond it memory is what is measured

std::string csv_of(const std::vector<lab::Outcome>& outcomes) {
  std::string text = lab::csv_header();
  for (const lab::Outcome& outcome : outcomes) {
    text += lab::to_csv(outcome);
  }
  return text;
}

// True also when nobody asked for the file.
bool written(Context& context, const std::optional<std::string>& path, const std::vector<lab::Outcome>& outcomes,
             std::string (*text_of)(const std::vector<lab::Outcome>&)) {
  const Result<void> done = path ? write_file(*path, text_of(outcomes)) : Result<void>{};
  if (!done) {
    context.err.line("sluice simulate: " + done.error().what);
  }
  return done.has_value();
}

// What the command line asks for beyond what its parser checks; empty: it is fine.
std::string wrong_flags(const Args& args) {
  if (const auto seeds = args.count("seeds"); seeds && (*seeds < 1 || *seeds > seeds_max)) {
    return fmt::format("--seeds {}; accepted: 1 to {}", *seeds, seeds_max);
  }
  if (const auto jobs = args.count("jobs"); jobs && (*jobs < 1 || *jobs > 256)) {
    return fmt::format("--jobs {}; accepted: 1 to 256", *jobs);
  }
  if (const auto first = args.duration("first"); first && *first < std::chrono::seconds{1}) {
    return "--first " + format_duration(*first) + "; accepted: 1s and more";
  }
  const bool tabled = args.has("from-csv") || args.has("from-prometheus");
  const bool recorded = tabled || args.has("from-journal");
  if (!recorded && args.positionals.empty()) {
    return "SCENARIO is missing: a scenario file; accepted too: --from-journal FILE, --from-csv FILE, "
           "--from-prometheus "
           "FILE";
  }
  for (const Flag& flag : replay_flags()) {
    if (!recorded && args.has(flag.name)) {
      return fmt::format("--{} is for what is recorded; accepted: --from-journal FILE beside it", flag.name);
    }
  }
  if (const std::string wrong = wrong_record_flags(args); !wrong.empty()) {
    return wrong;
  }
  if (!recorded && args.has("file")) {
    return "-f is the pool of what is recorded; accepted: --from-journal, --from-csv or --from-prometheus beside it";
  }
  const Result<std::optional<TuneRequest>> tuning = tune_request(args);
  return tuning ? "" : tuning.error().what;
}

aio::Task<int> run_simulate(Context& context, Args args) {
  if (const std::string wrong = wrong_flags(args); !wrong.empty()) {
    context.err.line("sluice simulate: " + wrong);
    co_return exit_usage;
  }
  const std::vector<std::string> recorded = args.texts("from-journal");
  std::optional<std::vector<Loaded>> loaded = load_scenarios(context, args);
  std::optional<ReplayedJournals> replayed = replay_journals(context, args, recorded, "simulate");
  std::optional<std::vector<ReplayedPool>> records = replay_records(context, args, "simulate");
  if (!loaded || !replayed || !records) {
    co_return exit_usage;
  }
  std::ranges::move(*records, std::back_inserter(replayed->pools));
  for (ReplayedPool& one : replayed->pools) {
    context.out.write(context.json ? replay_json(one) : replay_text(one, context.colour));
    loaded->push_back(std::move(one.loaded));
  }
  const std::optional<std::string> journals = args.text("journal");
  std::error_code ec;
  if (journals && !std::filesystem::is_directory(*journals, ec) &&
      !std::filesystem::create_directories(*journals, ec)) {
    context.err.line(fmt::format("sluice simulate: {}: {}", *journals, ec.message()));
    co_return exit_usage;
  }
  if (std::optional<TuneRequest> request = tune_request(args).value()) {
    const int tuned = co_await tune(context, std::move(*loaded), std::move(*request));
    co_return tuned == exit_done ? replayed->exit() : tuned;
  }
  Sweep sweep(context, *loaded, journals);
  const auto threads = static_cast<std::size_t>(args.count("jobs").value_or(1));
  co_await sweep.run(threads);
  const std::string pace = sweep.pace();
  const std::vector<lab::Outcome> outcomes = sweep.outcomes();
  for (const lab::Outcome& outcome : outcomes) {
    context.out.write(context.json ? lab::to_json_lines(outcome) : outcome_table(outcome, context.colour));
  }
  bool good = sweep.all_written();
  if (!good) {
    context.err.line("sluice simulate: not all journals could be written to " + *journals);
  }
  good = written(context, args.text("csv"), outcomes, csv_of) && good;
  good = written(context, args.text("html"), outcomes, lab::report_html) && good;
  context.err.line(pace);
  co_return good ? replayed->exit() : exit_failed;
}

std::vector<Flag> simulate_flags() {
  std::vector<Flag> out = {
      {.name = "seeds", .kind = Kind::count, .value = "N", .help = "seeds 1..N instead of the scenario's own"},
      {.name = "jobs", .letter = 'j', .kind = Kind::count, .value = "N", .help = "runs at a time, default 1"},
      {.name = "policy",
       .kind = Kind::text,
       .value = "NAME",
       .help = "only the policies whose name begins so",
       .many = true},
      {.name = "tune",
       .kind = Kind::choice,
       .value = "POLICY",
       .help = "find the cheapest setting of this policy that meets --for",
       .choices = tune_words()},
      {.name = "for",
       .kind = Kind::text,
       .value = "TARGET",
       .help = "what is to be met: p50, p95, p99 or max=TIME, late=PERCENT",
       .many = true},
      {.name = "first", .kind = Kind::duration, .value = "TIME", .help = "only so much of each scenario"},
      {.name = "csv", .kind = Kind::file, .value = "FILE", .help = "a line for each run"},
      {.name = "html", .kind = Kind::file, .value = "FILE", .help = "a page with plots, complete in itself"},
      {.name = "journal",
       .kind = Kind::folder,
       .value = "DIR",
       .help = "each run's journal, as SCENARIO.POLICY.SEED.jsonl"},
      {.name = "traces",
       .kind = Kind::folder,
       .value = "DIR",
       .help = "where traces are that are not beside the scenario, default $SLUICE_TRACES"}};
  out.push_back({.name = "from-journal",
                 .kind = Kind::file,
                 .value = "FILE",
                 .help = "what this journal recorded, through its pool's policy and others; rotated ones oldest first",
                 .many = true});
  std::ranges::copy(record_flags(), std::back_inserter(out));
  std::ranges::copy(replay_flags(), std::back_inserter(out));
  return out;
}

}  // namespace

Verb simulate_verb() {
  return {.name = "simulate",
          .summary = "what policies would cost on a workload, and how late its messages would be",
          .about =
              "Runs scenarios through policies in simulated time. The scaler is the one that ships, with its\n"
              "accounting and its journal; queue, workers, nodes and readings are models of what the scenario says.\n"
              "The same scenario and seed give the same bytes. The winner is the cheapest policy that has at most\n"
              "1 % of the messages wait longer than `late`; where there is none, the one with the fewest.\n"
              "Scenario files: docs/how-to/simulate.md; many of them are in tests/scenarios.",
          .examples = {{"sluice simulate step.yaml", "a table of its policies"},
                       {"sluice simulate step.yaml --html report.html", "and the plots"},
                       {"sluice simulate *.yaml --seeds 20 --jobs 2 --csv all.csv", "a sweep"},
                       {"sluice simulate step.yaml --tune hpa --for p99=60s", "its averageValue for this load"},
                       {"sluice simulate step.yaml --journal out/", "then: sluice explain, sluice decide --journal"},
                       {"sluice simulate --from-journal .sluice/orders/journal.jsonl", "what would lag have done?"},
                       {"sluice simulate --from-csv orders.csv --service 2s", "on a table of time,backlog,arrivals"}},
          .flags = simulate_flags(),
          .positionals = {{.name = "SCENARIO", .help = "a scenario file", .many = true, .kind = Kind::file}},
          .rest = "",
          .run = run_simulate};
}

}  // namespace sluice::app
