// SPDX-License-Identifier: Apache-2.0
// sluice simulate: scenarios through policies; what each would have cost, and how late it would have been.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "aio/crew.h"
#include "app/context.h"
#include "app/progress.h"
#include "app/simulate_table.h"
#include "app/verbs.h"
#include "app/wiring.h"
#include "lab/outcome.h"
#include "lab/report.h"
#include "lab/scenario_read.h"

namespace sluice::app {
namespace {

constexpr std::size_t scenario_bytes_max = std::size_t{1} << 20U;  // the reader's own limit
constexpr std::size_t trace_bytes_max = std::size_t{64} << 20U;    // chosen: a year of minutes is 10 MiB
constexpr std::int64_t seeds_max = 10'000;                         // chosen: beyond it memory is what is measured

struct Loaded {
  lab::Scenario scenario;
  lab::Files files;
  std::vector<std::int64_t> seeds;
};

// One run of the sweep.
struct Piece {
  std::size_t loaded = 0;
  std::size_t policy = 0;
  std::int64_t seed = 0;
};

// A file that a scenario names: beside it, else in the folder of traces.
Result<std::string> open_named(const std::string& name, const std::filesystem::path& beside,
                               const std::optional<std::string>& traces) {
  std::error_code ec;
  for (const std::filesystem::path& folder : {beside, std::filesystem::path(traces.value_or(""))}) {
    if (!folder.empty() && std::filesystem::is_regular_file(folder / name, ec)) {
      return read_file((folder / name).string(), trace_bytes_max);
    }
  }
  return Error{Code::invalid, name + " is not there"};
}

// The part of a scenario that was asked for; false: there is no such policy in it.
bool choose(Context& context, const std::string& path, const Args& args, lab::Scenario& scenario) {
  if (const std::optional<Duration> first = args.duration("first")) {
    scenario.lasts = std::min(scenario.lasts, *first);
  }
  const std::vector<std::string> wanted = args.texts("policy");
  if (wanted.empty()) {
    return true;
  }
  std::string names;
  for (const lab::Contender& one : scenario.policies) {
    names += (names.empty() ? "" : ", ") + lab::name_of(one);
  }
  std::erase_if(scenario.policies, [&wanted](const lab::Contender& one) {
    const std::string name = lab::name_of(one);
    return std::ranges::none_of(wanted, [&name](const std::string& word) { return name.starts_with(word); });
  });
  if (scenario.policies.empty()) {
    context.err.line(fmt::format("sluice simulate: {}: no policy begins so; accepted: {}", path, names));
  }
  return !scenario.policies.empty();
}

std::optional<Loaded> load(Context& context, const std::string& path, const Args& args) {
  const Result<std::string> text = read_file(path, scenario_bytes_max + 1);
  if (!text) {
    context.err.line("sluice simulate: " + text.error().what);
    return std::nullopt;
  }
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::filesystem::path beside = parent.empty() ? std::filesystem::path(".") : parent;
  const std::optional<std::string> given = args.text("traces");
  const std::optional<std::string> traces = given ? given : context.env("SLUICE_TRACES");
  lab::Read read = lab::read_scenario(
      *text, [&beside, &traces](const std::string& name) { return open_named(name, beside, traces); });
  for (const pool::Problem& problem : read.problems) {
    context.err.line(pool::render(problem, path));
  }
  if (!read.scenario) {
    return std::nullopt;
  }
  Loaded out{.scenario = std::move(*read.scenario), .files = std::move(read.files), .seeds = {}};
  if (!choose(context, path, args, out.scenario)) {
    return std::nullopt;
  }
  out.seeds = out.scenario.seeds;
  if (const std::optional<std::int64_t> n = args.count("seeds")) {
    out.seeds.clear();
    for (std::int64_t seed = 1; seed <= *n; ++seed) {
      out.seeds.push_back(seed);
    }
  }
  return out;
}

// A policy's name in a file's.
std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
    out += plain ? c : '-';
  }
  return out;
}

// DIR/SCENARIO.POLICY.SEED[.POOL].jsonl, one for each pool of a run.
class Journals {
 public:
  Journals(std::string folder, const Loaded& loaded, const Piece& piece)
      : folder_(std::move(folder)),
        name_(fmt::format("{}.{}.{}", loaded.scenario.name, slug(lab::name_of(loaded.scenario.policies[piece.policy])),
                          piece.seed)),
        several_(loaded.scenario.pools.size() > 1) {}
  void write(const std::string& pool, std::string_view line) {
    auto file = files_.find(pool);
    if (file == files_.end()) {
      const std::string path = fmt::format("{}/{}{}.jsonl", folder_, name_, several_ ? "." + pool : "");
      file = files_.try_emplace(pool, path, std::ios::binary | std::ios::trunc).first;
    }
    file->second << line << '\n';
  }
  // Whether all of it is on disk.
  [[nodiscard]] bool close() {
    bool good = true;
    for (auto& [pool, file] : files_) {
      file.close();
      good = good && !file.fail();
    }
    return good;
  }

 private:
  std::string folder_;
  std::string name_;
  bool several_;
  std::map<std::string, std::ofstream> files_;
};

class Sweep {
 public:
  Sweep(Context& context, const std::vector<Loaded>& loaded, std::optional<std::string> journals)
      : context_(context), loaded_(loaded), journals_(std::move(journals)), progress_(context) {
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      for (std::size_t policy = 0; policy < loaded[i].scenario.policies.size(); ++policy) {
        for (const std::int64_t seed : loaded[i].seeds) {
          pieces_.push_back({i, policy, seed});
        }
      }
    }
    runs_.resize(pieces_.size());
    written_.resize(pieces_.size(), 1);
  }

  aio::Task<void> run(std::size_t threads) {
    started_ = context_.clock.now();
    aio::CrewWork what{.pieces = pieces_.size(),
                       .threads = threads,
                       .work = [this](std::size_t piece) { work(piece); },
                       .done = [this](std::size_t) { tell(); }};
    co_await aio::work_together(context_.loop, context_.clock, std::move(what));
    progress_.clear();
  }
  [[nodiscard]] bool all_written() const {
    return std::ranges::all_of(written_, [](char one) { return one != 0; });
  }
  // "12 runs, 3.4 million events in 1.2 s"; on stderr, since it is of this machine.
  [[nodiscard]] std::string pace() const {
    std::uint64_t events = 0;
    for (const lab::Run& run : runs_) {
      events += run.events;
    }
    return fmt::format("{} run{}, {:.1f} million events in {:.1f} s", runs_.size(), runs_.size() == 1 ? "" : "s",
                       static_cast<double>(events) / 1e6, to_s(context_.clock.now() - started_));
  }
  [[nodiscard]] std::vector<lab::Outcome> outcomes() {
    std::vector<lab::Outcome> out;
    auto at = runs_.begin();
    for (const Loaded& one : loaded_) {
      const auto n = static_cast<std::ptrdiff_t>(one.scenario.policies.size() * one.seeds.size());
      std::vector<lab::Run> runs(std::make_move_iterator(at), std::make_move_iterator(at + n));
      out.push_back(lab::outcome_of(one.scenario, one.seeds, std::move(runs)));
      at += n;
    }
    return out;
  }

 private:
  void work(std::size_t index) {  // on a thread of the crew: touches nothing but its own place
    const Piece& piece = pieces_[index];
    const Loaded& loaded = loaded_[piece.loaded];
    const lab::Bench bench{
        .scenario = loaded.scenario, .files = loaded.files, .policy = piece.policy, .seed = piece.seed};
    if (!journals_) {
      runs_[index] = lab::run(bench);
      return;
    }
    Journals journals(*journals_, loaded, piece);
    runs_[index] =
        lab::run(bench, [&journals](const std::string& pool, std::string_view line) { journals.write(pool, line); });
    written_[index] = journals.close() ? 1 : 0;
  }
  void tell() {
    ++done_;
    const auto all = static_cast<std::int64_t>(pieces_.size());
    progress_.show(fmt::format("{} {}/{} runs", bar(done_, all, 24), done_, all));
  }

  Context& context_;
  const std::vector<Loaded>& loaded_;
  std::optional<std::string> journals_;
  ProgressLine progress_;
  std::vector<Piece> pieces_;
  std::vector<lab::Run> runs_;
  std::vector<char> written_;  // not bool: each has its own byte
  std::int64_t done_ = 0;
  Time started_;
};

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
  return "";
}

std::optional<std::vector<Loaded>> load_all(Context& context, const Args& args) {
  std::vector<Loaded> out;
  bool good = true;
  for (const std::string& path : args.positionals) {
    std::optional<Loaded> one = load(context, path, args);
    good = good && one;
    if (one) {
      out.push_back(std::move(*one));
    }
  }
  return good ? std::optional(std::move(out)) : std::nullopt;
}

aio::Task<int> run_simulate(Context& context, Args args) {
  if (const std::string wrong = wrong_flags(args); !wrong.empty()) {
    context.err.line("sluice simulate: " + wrong);
    co_return exit_usage;
  }
  const std::optional<std::vector<Loaded>> loaded = load_all(context, args);
  if (!loaded) {
    co_return exit_usage;
  }
  const std::optional<std::string> journals = args.text("journal");
  std::error_code ec;
  if (journals && !std::filesystem::is_directory(*journals, ec) &&
      !std::filesystem::create_directories(*journals, ec)) {
    context.err.line(fmt::format("sluice simulate: {}: {}", *journals, ec.message()));
    co_return exit_usage;
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
  co_return good ? exit_done : exit_failed;
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
                       {"sluice simulate step.yaml --journal out/", "then: sluice explain, sluice decide --journal"}},
          .flags =
              {{.name = "seeds", .kind = Kind::count, .value = "N", .help = "seeds 1..N instead of the scenario's own"},
               {.name = "jobs", .letter = 'j', .kind = Kind::count, .value = "N", .help = "runs at a time, default 1"},
               {.name = "policy",
                .kind = Kind::text,
                .value = "NAME",
                .help = "only the policies whose name begins so",
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
                .help = "where traces are that are not beside the scenario, default $SLUICE_TRACES"}},
          .positionals =
              {{.name = "SCENARIO", .help = "a scenario file", .required = true, .many = true, .kind = Kind::file}},
          .rest = "",
          .run = run_simulate};
}

}  // namespace sluice::app
