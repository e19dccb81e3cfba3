// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "app/text.h"

namespace sluice::app {
namespace {

using Row = TableRow;

}  // namespace

std::string wait_text(double s) {
  return s < 100 ? fmt::format("{:.1f} s", s) : humane_duration(std::chrono::seconds{std::llround(s)});
}

std::string percent_text(double share) {
  return share > 0 && share < 0.0005 ? "<0.1 %" : fmt::format("{:.1f} %", 100 * share);
}

namespace {

std::string count_text(double n) {
  return n == static_cast<double>(static_cast<std::int64_t>(n)) ? fmt::format("{:.0f}", n) : fmt::format("{:.1f}", n);
}

std::string regret_text(const lab::Means& one) {
  const std::optional<double> regret = lab::regret_of(one);
  return regret ? fmt::format("{:.0f} %", 100 * *regret) : "-";
}

Row row_of(const lab::Outcome& outcome, const lab::Means& one) {
  Row out{one.policy,
          percent_text(one.late_share),
          wait_text(one.p50_s),
          wait_text(one.p95_s),
          wait_text(one.p99_s),
          wait_text(one.most_s),
          fmt::format("{:.1f}", one.worker_s / 3600),
          fmt::format("{:.1f}", one.node_s / 3600),
          regret_text(one),
          count_text(one.starts),
          count_text(one.flaps),
          fmt::format("{}", one.workers_peak)};
  if (lab::has_price(outcome.scenario)) {
    out.push_back(fmt::format("{:.2f}", one.cost));
  }
  return out;
}

// What went wrong with messages, where anything did: "3 lost, 12 came back, 1 done twice, 7 still there".
std::string troubles(const lab::Means& one) {
  std::string out;
  const auto say = [&out](double n, std::string_view what) {
    if (n > 0) {
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count_text(n), what);
    }
  };
  say(one.lost, "expired or purged");
  say(one.redelivered, "came back from a dead worker");
  say(one.twice, "done twice");
  say(one.unfinished, "not done at the end");
  return out;
}

}  // namespace

std::string aligned(const std::vector<Row>& rows, std::size_t best, bool colour) {
  std::vector<int> widths(rows.front().size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width(row[i]));
    }
  }
  std::string out;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line = r == best + 1 ? "* " : "  ";
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const std::string pad(static_cast<std::size_t>(widths[i] - width(rows[r][i])), ' ');
      line += i == 0 ? rows[r][i] + pad : "  " + pad + rows[r][i];
    }
    out += coloured(line, r == 0 ? Colour::dim : r == best + 1 ? Colour::bold : Colour::none, colour) + "\n";
  }
  return out;
}

std::string outcome_table(const lab::Outcome& outcome, bool colour) {
  const lab::Scenario& scenario = outcome.scenario;
  std::string out = coloured(scenario.name, Colour::bold, colour);
  out += scenario.about.empty() ? "\n" : fmt::format(": {}\n", scenario.about);
  out += fmt::format("{} simulated, {} seed{}, {} messages; late is more than {}\n", humane_duration(scenario.lasts),
                     outcome.seeds.size(), outcome.seeds.size() == 1 ? "" : "s",
                     count_text(outcome.means.front().published), humane_duration(scenario.late));
  for (const std::string& note : lab::trace_notes(scenario)) {
    out += "trace " + note + "\n";
  }
  Row head{"POLICY", "LATE", "P50", "P95", "P99", "MAX", "WORKER-H", "NODE-H", "REGRET", "STARTS", "FLAPS", "PEAK"};
  if (lab::has_price(scenario)) {
    head.emplace_back("COST");
  }
  std::vector<Row> rows{head};
  for (const lab::Means& one : outcome.means) {
    rows.push_back(row_of(outcome, one));
  }
  out += aligned(rows, outcome.best, colour);
  for (const lab::Means& one : outcome.means) {
    if (const std::string what = troubles(one); !what.empty()) {
      out += fmt::format("  {}: {}\n", one.policy, what);
    }
  }
  return out;
}

}  // namespace sluice::app
