// SPDX-License-Identifier: Apache-2.0
#include "lab/outcome.h"

#include <fmt/core.h>

#include <algorithm>

#include "model/json.h"
#include "pool/field.h"

namespace sluice::lab {
namespace {

double seconds(Us us) {
  return static_cast<double>(us) / 1e6;
}
double seconds_of_ms(std::int64_t ms) {
  return static_cast<double>(ms) / 1e3;
}
double share(std::int64_t part, std::int64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

Means means_of(const Scenario& scenario, const std::vector<Run>& runs, std::size_t begin, std::size_t n) {
  Means out{.policy = runs[begin].policy};
  for (std::size_t i = begin; i < begin + n; ++i) {
    const Run& run = runs[i];
    const Measures& all = run.all;
    out.published += static_cast<double>(all.published);
    out.unfinished += static_cast<double>(all.unfinished);
    out.lost += static_cast<double>(all.expired + all.purged);
    out.redelivered += static_cast<double>(all.redelivered);
    out.twice += static_cast<double>(all.twice);
    out.late_share += share(all.late, all.published);
    out.p50_s += seconds_of_ms(run.waits.p50);
    out.p95_s += seconds_of_ms(run.waits.p95);
    out.p99_s += seconds_of_ms(run.waits.p99);
    out.most_s = std::max(out.most_s, seconds_of_ms(run.waits.most));
    out.worker_s += seconds(all.worker_us);
    out.busy_s += seconds(all.busy_us);
    out.node_s += seconds(run.node_us);
    out.starts += static_cast<double>(all.starts);
    out.flaps += static_cast<double>(all.flaps);
    out.workers_peak = std::max(out.workers_peak, all.peak);
    out.nodes_peak = std::max(out.nodes_peak, run.nodes_peak);
  }
  for (double* const sum :
       {&out.published, &out.unfinished, &out.lost, &out.redelivered, &out.twice, &out.late_share, &out.p50_s,
        &out.p95_s, &out.p99_s, &out.worker_s, &out.busy_s, &out.node_s, &out.starts, &out.flaps}) {
    *sum /= static_cast<double>(n);
  }
  out.cost = cost_of(scenario, out.node_s, out.worker_s);
  double bound = 0;
  bool all = true;
  for (std::size_t i = begin; i < begin + n; ++i) {
    bound += runs[i].clairvoyant_node_s.value_or(0) / static_cast<double>(n);
    all = all && runs[i].clairvoyant_node_s.has_value();
  }
  out.clairvoyant_node_s = all ? std::optional(bound) : std::nullopt;
  return out;
}

std::size_t best_of(const std::vector<Means>& means) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < means.size(); ++i) {
    const Means& one = means[i];
    const Means& other = means[best];
    const bool good = one.late_share <= late_share_max;
    const bool other_good = other.late_share <= late_share_max;
    const bool better = good != other_good ? good : good ? one.cost < other.cost : one.late_share < other.late_share;
    best = better ? i : best;
  }
  return best;
}

std::string quoted(std::string_view text) {
  std::string out;
  model::append_json_string(out, text);
  return out;
}

std::string waits_json(const Waits& waits) {
  return fmt::format(R"({{"p50":{:.3f},"p95":{:.3f},"p99":{:.3f},"max":{:.3f}}})", seconds_of_ms(waits.p50),
                     seconds_of_ms(waits.p95), seconds_of_ms(waits.p99), seconds_of_ms(waits.most));
}

// Without braces.
std::string measures_json(const Measures& one, const Waits& waits) {
  return fmt::format(
      R"("published":{},"done":{},"unfinished":{},"expired":{},"purged":{},"redelivered":{},"twice":{},"late":{},)"
      R"("late_share":{:.6f},"wait_s":{},"worker_s":{:.3f},"busy_s":{:.3f},"starts":{},"refused":{},"crashes":{},)"
      R"("flaps":{},"workers_peak":{})",
      one.published, one.done, one.unfinished, one.expired, one.purged, one.redelivered, one.twice, one.late,
      share(one.late, one.published), waits_json(waits), seconds(one.worker_us), seconds(one.busy_us), one.starts,
      one.refused, one.crashes, one.flaps, one.peak);
}

std::string money_json(const Scenario& scenario, double cost) {
  return has_price(scenario) ? fmt::format("{:.4f}", cost) : "null";
}

std::string bound_json(const std::optional<double>& bound) {
  return bound ? fmt::format("{:.1f}", *bound) : "null";
}

std::string run_json(const Scenario& scenario, const Run& run) {
  std::string out =
      fmt::format(R"({{"event":"run","scenario":{},"policy":{},"seed":{},{},"node_s":{:.3f},"clairvoyant_node_s":{},)",
                  quoted(scenario.name), quoted(run.policy), run.seed, measures_json(run.all, run.waits),
                  seconds(run.node_us), bound_json(run.clairvoyant_node_s));
  out += fmt::format(R"("nodes_peak":{},"nodes_ordered":{},"cost":{},"ticks":{},"events":{},"pools":[)", run.nodes_peak,
                     run.nodes_ordered,
                     money_json(scenario, cost_of(scenario, seconds(run.node_us), seconds(run.all.worker_us))),
                     run.ticks, run.events);
  for (const PoolRun& pool : run.pools) {
    out +=
        fmt::format(R"({}{{"pool":{},{},"journal":{{"lines":{},"hash":"{:016x}"}}}})", out.back() == '[' ? "" : ",",
                    quoted(pool.pool), measures_json(pool.measures, pool.waits), pool.journal_lines, pool.journal_hash);
  }
  return out + "]}\n";
}

std::string means_json(const Scenario& scenario, const Means& one) {
  return fmt::format(
      R"({{"event":"policy","scenario":{},"policy":{},"late_share":{:.6f},"wait_s":{{"p50":{:.3f},"p95":{:.3f},)"
      R"("p99":{:.3f},"max":{:.3f}}},"published":{:.1f},"unfinished":{:.1f},"lost":{:.1f},"redelivered":{:.1f},)"
      R"("twice":{:.1f},"worker_s":{:.3f},"busy_s":{:.3f},"node_s":{:.3f},"clairvoyant_node_s":{},)"
      R"("starts":{:.1f},"flaps":{:.1f},)"
      R"("workers_peak":{},"nodes_peak":{},"cost":{}}})"
      "\n",
      quoted(scenario.name), quoted(one.policy), one.late_share, one.p50_s, one.p95_s, one.p99_s, one.most_s,
      one.published, one.unfinished, one.lost, one.redelivered, one.twice, one.worker_s, one.busy_s, one.node_s,
      bound_json(one.clairvoyant_node_s), one.starts, one.flaps, one.workers_peak, one.nodes_peak,
      money_json(scenario, one.cost));
}

// A field of a CSV: quoted where it must be.
std::string field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    return std::string(text);
  }
  std::string out = "\"";
  for (const char c : text) {
    out += c;
    out += c == '"' ? "\"" : "";
  }
  return out + '"';
}

}  // namespace

std::optional<double> regret_of(const Means& means) {
  const double bound = means.clairvoyant_node_s.value_or(0);
  return bound > 0 ? std::optional(means.node_s / bound - 1) : std::nullopt;
}

bool has_price(const Scenario& scenario) {
  return scenario.price.node.millionths > 0 || scenario.price.worker.millionths > 0;
}

double cost_of(const Scenario& scenario, double node_s, double worker_s) {
  if (!has_price(scenario)) {
    return node_s;
  }
  return (node_s * scenario.price.node.value() + worker_s * scenario.price.worker.value()) / 3600;
}

Outcome outcome_of(const Scenario& scenario, std::vector<std::int64_t> seeds, std::vector<Run> runs) {
  Outcome out{.scenario = scenario, .seeds = std::move(seeds), .runs = std::move(runs), .means = {}};
  for (std::size_t begin = 0; begin < out.runs.size(); begin += out.seeds.size()) {
    out.means.push_back(means_of(scenario, out.runs, begin, out.seeds.size()));
  }
  out.best = best_of(out.means);
  return out;
}

std::string to_json_lines(const Outcome& outcome) {
  std::string out;
  for (const Run& run : outcome.runs) {
    out += run_json(outcome.scenario, run);
  }
  for (const Means& one : outcome.means) {
    out += means_json(outcome.scenario, one);
  }
  out += fmt::format(R"({{"event":"summary","scenario":{},"duration_s":{},"late_s":{:.3f},"seeds":[)",
                     quoted(outcome.scenario.name), to_ms(outcome.scenario.lasts) / 1000, to_s(outcome.scenario.late));
  for (const std::int64_t seed : outcome.seeds) {
    out += fmt::format("{}{}", out.back() == '[' ? "" : ",", seed);
  }
  out += "],\"traces\":[";
  for (const std::string& note : trace_notes(outcome.scenario)) {
    out += (out.back() == '[' ? "" : ",") + quoted(note);
  }
  return out + fmt::format(R"(],"best":{}}})", quoted(outcome.means[outcome.best].policy)) + "\n";
}

std::string csv_header() {
  return "scenario,policy,seed,published,done,unfinished,expired,purged,redelivered,twice,late,late_share,wait_p50_s,"
         "wait_p95_s,wait_p99_s,wait_max_s,worker_s,busy_s,node_s,starts,refused,crashes,flaps,workers_peak,nodes_peak,"
         "cost,clairvoyant_node_s\n";
}

std::string to_csv(const Outcome& outcome) {
  std::string out;
  for (const Run& run : outcome.runs) {
    const Measures& all = run.all;
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{:.6f},", field(outcome.scenario.name), field(run.policy),
                       run.seed, all.published, all.done, all.unfinished, all.expired, all.purged, all.redelivered,
                       all.twice, all.late, share(all.late, all.published));
    out += fmt::format("{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},{},{},{},{},{},{},",
                       seconds_of_ms(run.waits.p50), seconds_of_ms(run.waits.p95), seconds_of_ms(run.waits.p99),
                       seconds_of_ms(run.waits.most), seconds(all.worker_us), seconds(all.busy_us),
                       seconds(run.node_us), all.starts, all.refused, all.crashes, all.flaps, all.peak, run.nodes_peak);
    const double cost = cost_of(outcome.scenario, seconds(run.node_us), seconds(all.worker_us));
    out += has_price(outcome.scenario) ? fmt::format("{:.4f},", cost) : ",";
    out += run.clairvoyant_node_s ? fmt::format("{:.1f}\n", *run.clairvoyant_node_s) : "\n";
  }
  return out;
}

std::vector<std::string> trace_notes(const Scenario& scenario) {
  std::vector<std::string> out;
  for (const Load& load : scenario.pools) {
    for (const Arrivals& one : load.arrivals) {
      if (const auto* trace = std::get_if<Trace>(&one)) {
        out.push_back(fmt::format("{}: {} times as fast, {} messages for one", trace->file, trace->compress,
                                  pool::format_decimal(trace->scale.millionths)));
      }
    }
  }
  return out;
}

}  // namespace sluice::lab
