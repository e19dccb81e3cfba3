// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_tune_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "app/simulate_table.h"
#include "app/text.h"
#include "model/json.h"

namespace sluice::app {
namespace {

constexpr std::size_t rows_max = 24;  // chosen: what a screen of text can show; all of them are in --csv

std::string times_text(const lab::Times& times) {
  if (times.least) {
    return fmt::format("{} to {}", humane_duration(*times.least), humane_duration(*times.most));
  }
  if (times.quantiles) {
    return "a time from " + *times.quantiles;
  }
  const bool varies = times.exponential || times.cv.millionths > 0;
  const Duration mean = times.exponential ? *times.exponential : times.mean.value_or(Duration{0});
  return humane_duration(mean) + (varies ? " on average" : "");
}

bool takes_time(const lab::Times& times) {
  return times.quantiles || times.most.value_or(Duration{0}) > Duration{0} ||
         times.exponential.value_or(Duration{0}) > Duration{0} || times.mean.value_or(Duration{0}) > Duration{0};
}

// The settings that are shown, in their order: those that did best.
std::vector<std::size_t> shown(const TuneOutcome& found) {
  std::vector<std::size_t> out(found.settings.size());
  std::iota(out.begin(), out.end(), std::size_t{0});
  std::ranges::sort(out, [&found](std::size_t a, std::size_t b) {
    const lab::Score& one = found.scores[a];
    const lab::Score& other = found.scores[b];
    return one == other ? a < b : lab::better(one, other);
  });
  out.resize(std::min(out.size(), rows_max));
  std::ranges::sort(out);
  return out;
}

std::string cost_text(const lab::Outcome& outcome, const lab::Means& one) {
  return lab::has_price(outcome.scenario) ? fmt::format("{:.2f}", one.cost)
                                          : fmt::format("{:.1f} node-hours", one.node_s / 3600);
}

TableRow row_of(const TuneOutcome& found, std::size_t i) {
  const lab::Means& one = found.outcome.means[i];
  const double excess = found.scores[i].excess;
  TableRow out{one.policy,
               percent_text(one.late_share),
               wait_text(one.p50_s),
               wait_text(one.p95_s),
               wait_text(one.p99_s),
               wait_text(one.most_s),
               fmt::format("{:.1f}", one.worker_s / 3600),
               fmt::format("{:.1f}", one.node_s / 3600)};
  if (lab::has_price(found.outcome.scenario)) {
    out.push_back(fmt::format("{:.2f}", one.cost));
  }
  out.push_back(excess == 0 ? "yes" : fmt::format("{:.2f} x", excess));
  return out;
}

std::string table(const TuneOutcome& found, bool colour) {
  const lab::Outcome& outcome = found.outcome;
  TableRow head{"SETTING", "LATE", "P50", "P95", "P99", "MAX", "WORKER-H", "NODE-H"};
  if (lab::has_price(outcome.scenario)) {
    head.emplace_back("COST");
  }
  head.emplace_back("MEETS");
  std::vector<TableRow> rows{head};
  const std::vector<std::size_t> some = shown(found);
  for (const std::size_t i : some) {
    rows.push_back(row_of(found, i));
  }
  const auto best = static_cast<std::size_t>(std::ranges::find(some, outcome.best) - some.begin());
  std::string out = aligned(rows, best, colour);
  if (some.size() < found.settings.size()) {
    out += fmt::format("  and {} more that did worse: --csv FILE has them all\n", found.settings.size() - some.size());
  }
  return out;
}

// How many of the seeds meet the target by themselves: how near to its edge the setting is.
std::size_t seeds_that_meet(const TuneOutcome& found) {
  const lab::Outcome& all = found.outcome;
  std::size_t out = 0;
  for (std::size_t i = 0; i < all.seeds.size(); ++i) {
    const lab::Run& run = all.runs[all.best * all.seeds.size() + i];
    const lab::Outcome alone = lab::outcome_of(all.scenario, {all.seeds[i]}, {run});
    out += lab::score_of(found.target, alone.means.front()).excess == 0 ? 1 : 0;
  }
  return out;
}

std::string found_text(const TuneOutcome& found, bool colour) {
  const lab::Outcome& outcome = found.outcome;
  const lab::Means& one = outcome.means[outcome.best];
  std::string out = coloured(one.policy, Colour::bold, colour);
  out += fmt::format(" is the cheapest of {} settings that has {}: {}.\n", found.settings.size(),
                     lab::to_text(found.target), cost_text(outcome, one));
  if (outcome.seeds.size() > 1) {
    out += fmt::format("On {} of {} seeds it does by itself; another load of the same kind may miss it.\n",
                       seeds_that_meet(found), outcome.seeds.size());
  }
  if (found.tuned.from) {
    out += fmt::format("What is not tuned is as in \"{}\" of the scenario.\n", *found.tuned.from);
  }
  out += "\n";
  if (const std::string remark = lab::remark_of(*found.tuned.what, found.settings[outcome.best]); !remark.empty()) {
    out += "# " + remark + "\n";
  }
  return out + lab::spec_yaml(outcome.scenario.policies[outcome.best]);
}

std::string missed_text(const TuneOutcome& found) {
  const lab::Outcome& outcome = found.outcome;
  const lab::Means& one = outcome.means[outcome.best];
  std::string out =
      fmt::format("None of {} settings of {} has {}. Nearest is {}: p50 {}, p95 {}, p99 {}, max {}, {} late, at {}.\n",
                  found.settings.size(), found.tuned.what->policy, lab::to_text(found.target), one.policy,
                  wait_text(one.p50_s), wait_text(one.p95_s), wait_text(one.p99_s), wait_text(one.most_s),
                  percent_text(one.late_share), cost_text(outcome, one));
  const std::vector<std::string> bounds = tune_bounds(found);
  out += bounds.empty() ? "" : "What bounds it:\n";
  for (const std::string& bound : bounds) {
    out += "  " + bound + "\n";
  }
  return out;
}

// What was there at the peak, and was all there may be.
void add_limits(const TuneOutcome& found, std::vector<std::string>& out) {
  const lab::Scenario& scenario = found.outcome.scenario;
  const lab::Means& one = found.outcome.means[found.outcome.best];
  std::int64_t workers_max = 0;
  for (const lab::Load& load : scenario.pools) {
    workers_max += lab::pool_of(scenario, load, scenario.policies[found.outcome.best]).spec.workers.max;
  }
  if (one.workers_peak >= workers_max) {
    out.push_back(fmt::format("all {} workers that workers.max allows were there at once", workers_max));
  }
  if (one.nodes_peak >= scenario.environment.nodes.max) {
    out.push_back(fmt::format("all {} nodes were there at once", scenario.environment.nodes.max));
  }
  if (scenario.environment.quota && one.workers_peak >= *scenario.environment.quota) {
    out.push_back(fmt::format("all {} workers of the quota were there at once", *scenario.environment.quota));
  }
}

}  // namespace

std::vector<std::string> tune_bounds(const TuneOutcome& found) {
  const lab::Scenario& scenario = found.outcome.scenario;
  const lab::Environment& environment = scenario.environment;
  const std::size_t best = found.outcome.best;
  std::vector<std::string> out;
  add_limits(found, out);
  if (takes_time(environment.nodes.boot) || takes_time(environment.pods.start)) {
    out.push_back(
        fmt::format("a new node boots in {} and a worker starts in {}: what comes at once waits so long, whatever the "
                    "setting, unless workers.min or nodes.min keep something warm",
                    times_text(environment.nodes.boot), times_text(environment.pods.start)));
  }
  if (const Duration old = environment.metrics.period + environment.metrics.delay; old > Duration{0}) {
    out.push_back(fmt::format("readings of the queue are up to {} old", humane_duration(old)));
  }
  const lab::Contender& nearest = scenario.policies[best];
  if (const auto period = pool::every(lab::pool_of(scenario, scenario.pools.front(), nearest).spec.policy).period) {
    out.push_back(fmt::format("the policy looks every {}", humane_duration(*period)));
  }
  const std::vector<lab::Grid> grids = lab::grids_of(*found.tuned.what);
  for (std::size_t i = 0; i < grids.size(); ++i) {
    if (found.settings[best][i] == grids[i].front().value) {
      out.push_back(fmt::format("{} is already the least there is", found.tuned.what->knobs[i].name));
    }
  }
  return out;
}

std::string tune_text(const TuneOutcome& found, bool colour) {
  const lab::Scenario& scenario = found.outcome.scenario;
  std::string out = coloured(scenario.name, Colour::bold, colour);
  out += scenario.about.empty() ? "\n" : fmt::format(": {}\n", scenario.about);
  out += fmt::format("{} simulated, {} seed{}; late is more than {}\n", humane_duration(scenario.lasts),
                     found.outcome.seeds.size(), found.outcome.seeds.size() == 1 ? "" : "s",
                     humane_duration(scenario.late));
  for (const std::string& note : lab::trace_notes(scenario)) {
    out += "trace " + note + "\n";
  }
  return out + table(found, colour) + "\n" + (found.met() ? found_text(found, colour) : missed_text(found));
}

std::string tune_json(const TuneOutcome& found) {
  const lab::Outcome& outcome = found.outcome;
  const auto text = [](std::string& out, std::string_view key, std::string_view value) {
    out += fmt::format(",\"{}\":", key);
    model::append_json_string(out, value);
  };
  std::string out = "{\"event\":\"tune\"";
  text(out, "scenario", outcome.scenario.name);
  text(out, "tuned", found.tuned.what->policy);
  text(out, "for", lab::to_text(found.target));
  out += fmt::format(",\"tried\":{},\"met\":{}", found.settings.size(), found.met());
  text(out, "policy", outcome.means[outcome.best].policy);
  out += fmt::format(",\"setting\":{},\"spec\":{},\"bounds\":[",
                     lab::setting_json(*found.tuned.what, found.settings[outcome.best]),
                     lab::spec_json(outcome.scenario.policies[outcome.best]));
  for (const std::string& bound : found.met() ? std::vector<std::string>{} : tune_bounds(found)) {
    out += out.back() == '[' ? "" : ",";
    model::append_json_string(out, bound);
  }
  return out + "]}\n";
}

}  // namespace sluice::app
