// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_tune.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "app/simulate_sweep.h"
#include "app/simulate_tune_text.h"
#include "app/wiring.h"

namespace sluice::app {
namespace {

// The search on one scenario.
class Tuning {
 public:
  // Requires: a policy that can decide there.
  Tuning(Context& context, Loaded loaded, lab::Tuned tuned, const TuneRequest& request)
      : context_(context), loaded_{std::move(loaded)}, request_(request), search_(lab::grids_of(*request.what)) {
    found_.tuned = std::move(tuned);
    found_.target = request.target;
  }

  aio::Task<void> run();
  [[nodiscard]] bool all_written() const { return all_written_; }
  [[nodiscard]] std::uint64_t runs() const { return search_.tried().size() * loaded_.front().seeds.size(); }
  // Once, after run().
  [[nodiscard]] TuneOutcome take();

 private:
  Context& context_;
  std::vector<Loaded> loaded_;  // the one, its policies those that are tried next
  const TuneRequest& request_;
  lab::Search search_;
  std::vector<std::vector<lab::Run>> runs_;  // of each setting, as tried
  TuneOutcome found_;
  bool all_written_ = true;
};

aio::Task<void> Tuning::run() {
  while (!search_.next().empty()) {
    Loaded& loaded = loaded_.front();
    loaded.scenario.policies.clear();
    for (const lab::Setting& setting : search_.next()) {
      loaded.scenario.policies.push_back(lab::contender_of(found_.tuned, setting));
    }
    Sweep sweep(context_, loaded_, request_.journals);
    co_await sweep.run(request_.threads);
    all_written_ = all_written_ && sweep.all_written();
    lab::Outcome outcome = std::move(sweep.outcomes().front());
    std::vector<lab::Score> scores;
    for (std::size_t i = 0; i < outcome.means.size(); ++i) {
      scores.push_back(lab::score_of(request_.target, outcome.means[i]));
      const auto first = outcome.runs.begin() + static_cast<std::ptrdiff_t>(i * loaded.seeds.size());
      const auto last = first + static_cast<std::ptrdiff_t>(loaded.seeds.size());
      runs_.emplace_back(std::make_move_iterator(first), std::make_move_iterator(last));
    }
    search_.tell(scores);
  }
}

TuneOutcome Tuning::take() {
  const std::vector<lab::Trial>& tried = search_.tried();
  std::vector<std::size_t> order(tried.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&tried](std::size_t i) -> const lab::Setting& { return tried[i].setting; });
  Loaded& loaded = loaded_.front();
  loaded.scenario.policies.clear();
  std::vector<lab::Run> runs;
  for (const std::size_t i : order) {
    found_.settings.push_back(tried[i].setting);
    found_.scores.push_back(tried[i].score);
    loaded.scenario.policies.push_back(lab::contender_of(found_.tuned, tried[i].setting));
    std::ranges::move(runs_[i], std::back_inserter(runs));
  }
  found_.outcome = lab::outcome_of(loaded.scenario, loaded.seeds, std::move(runs));
  found_.outcome.best = static_cast<std::size_t>(std::ranges::find(order, search_.best()) - order.begin());
  return std::move(found_);
}

const lab::Tunable* tunable(std::string_view word) {
  const auto at = std::ranges::find(lab::tunables(), word, &lab::Tunable::policy);
  return at == lab::tunables().end() ? nullptr : &*at;
}

// The policy in each scenario; empty, having said so: in one of them it cannot decide.
std::optional<std::vector<lab::Tuned>> tuned_in(Context& context, const std::vector<Loaded>& loaded,
                                                const TuneRequest& request) {
  std::vector<lab::Tuned> out;
  for (const Loaded& one : loaded) {
    Result<lab::Tuned> tuned = lab::tuned_policy(one.scenario, *request.what);
    if (!tuned) {
      context.err.line(fmt::format("sluice simulate: {}: {}", one.scenario.name, tuned.error().what));
      return std::nullopt;
    }
    out.push_back(std::move(*tuned));
  }
  return out;
}

bool written(Context& context, const TuneRequest& request, const std::vector<TuneOutcome>& found) {
  std::string text = lab::csv_header();
  for (const TuneOutcome& one : found) {
    text += lab::to_csv(one.outcome);
  }
  const Result<void> done = request.csv ? write_file(*request.csv, text) : Result<void>{};
  if (!done) {
    context.err.line("sluice simulate: " + done.error().what);
  }
  return done.has_value();
}

}  // namespace

std::vector<std::string> tune_words() {
  std::vector<std::string> out;
  for (const lab::Tunable& one : lab::tunables()) {
    out.emplace_back(one.policy);
  }
  return out;
}

Result<std::optional<TuneRequest>> tune_request(const Args& args) {
  const std::optional<std::string> word = args.text("tune");
  if (!word && !args.has("for")) {
    return std::optional<TuneRequest>{};
  }
  if (!word) {
    return Error{Code::invalid, "--for says what --tune has to reach; accepted: --tune POLICY --for p99=60s"};
  }
  for (const std::string_view other : {"policy", "html"}) {
    if (args.has(other)) {
      return Error{Code::invalid, fmt::format("--{} does not go with --tune, which compares settings of one policy; "
                                              "accepted: put the setting that it finds into the scenario",
                                              other)};
    }
  }
  Result<lab::Target> target = lab::parse_target(args.texts("for"));
  if (!target) {
    return Error{Code::invalid, "--for " + target.error().what};
  }
  return std::optional(TuneRequest{.what = tunable(*word),
                                   .target = *target,
                                   .threads = static_cast<std::size_t>(args.count("jobs").value_or(1)),
                                   .journals = args.text("journal"),
                                   .csv = args.text("csv")});
}

aio::Task<TuneOutcome> tuned(Context& context, Loaded loaded, lab::Tuned policy, TuneRequest request) {
  Tuning tuning(context, std::move(loaded), std::move(policy), request);
  co_await tuning.run();
  co_return tuning.take();
}

aio::Task<int> tune(Context& context, std::vector<Loaded> loaded, TuneRequest request) {
  std::optional<std::vector<lab::Tuned>> policies = tuned_in(context, loaded, request);
  if (!policies) {
    co_return exit_usage;
  }
  const Time started = context.clock.now();
  std::vector<TuneOutcome> found;
  std::uint64_t runs = 0;
  bool good = true;
  for (std::size_t i = 0; i < loaded.size(); ++i) {
    Tuning tuning(context, std::move(loaded[i]), std::move((*policies)[i]), request);
    co_await tuning.run();
    runs += tuning.runs();
    good = good && tuning.all_written();
    const TuneOutcome& one = found.emplace_back(tuning.take());
    context.out.write(context.json ? lab::to_json_lines(one.outcome) + tune_json(one) : tune_text(one, context.colour));
  }
  if (!good) {
    context.err.line("sluice simulate: not all journals could be written to " + request.journals.value_or(""));
  }
  good = written(context, request, found) && good;
  context.err.line(fmt::format("{} runs in {:.1f} s", runs, to_s(context.clock.now() - started)));
  good = good && std::ranges::all_of(found, &TuneOutcome::met);
  co_return good ? exit_done : exit_failed;
}

}  // namespace sluice::app
