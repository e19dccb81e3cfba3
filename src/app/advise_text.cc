// SPDX-License-Identifier: Apache-2.0
#include "app/advise_text.h"

#include <fmt/core.h>

#include <algorithm>

#include "app/simulate_table.h"
#include "app/text.h"
#include "base/check.h"
#include "control/explain.h"
#include "lab/tunable.h"
#include "model/json.h"
#include "model/strict_json.h"
#include "pool/yaml_text.h"

namespace sluice::app {
namespace {

std::string table(const lab::Advice& advice, bool colour) {
  std::vector<TableRow> rows{{"POLICY", "LATE", "P50", "P99", "WORKER-H", "NODE-H", "STARTS", "COST", "WHY"}};
  const double had = advice.candidates.front().means.cost;
  for (std::size_t i = 0; i < advice.candidates.size(); ++i) {
    const lab::Candidate& one = advice.candidates[i];
    const std::string cost = advice.present && had > 0 ? fmt::format("{:+.0f} %", 100 * (one.means.cost / had - 1))
                                                       : fmt::format("{:.1f}", one.means.cost / 3600);
    rows.push_back({lab::name_of(one.contender), percent_text(one.means.late_share), wait_text(one.means.p50_s),
                    wait_text(one.means.p99_s), fmt::format("{:.1f}", one.means.worker_s / 3600),
                    fmt::format("{:.1f}", one.means.node_s / 3600), fmt::format("{:.0f}", one.means.starts),
                    advice.present && i == 0 ? "-" : cost, one.note});
  }
  return aligned(rows, advice.best, colour);
}

std::string commented(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    out += "# " + text.substr(at, end - at) + "\n";
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return out;
}

std::string yaml_of(const std::string& json) {
  const Result<boost::json::value> parsed = model::parse_strict_json(json);
  check(parsed.has_value(), "a pool that was written by ourselves");
  return pool::yaml_text(*parsed);
}

pool::Pool with(const pool::Pool& pool, const lab::Contender& contender) {
  pool::Pool out = pool;
  out.spec.policy = contender.policy;
  return out;
}

constexpr std::string_view first_line = "# sluice advise\n";

// A file without what an earlier advice said above it.
std::string without_advice(const std::string& text) {
  const std::size_t end = text.find("\n\n");
  return text.starts_with(first_line) && end != std::string::npos ? text.substr(end + 2) : text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::size_t indent_of(const std::string& line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

}  // namespace

std::string advice_sentence(const lab::Advice& advice) {
  const lab::Candidate& best = advice.candidates[advice.best];
  const std::string name = lab::name_of(best.contender);
  const std::string late = percent_text(best.means.late_share);
  if (!advice.met) {
    return fmt::format("none of {} keeps the late messages to {}; the nearest is {} with {}", advice.candidates.size(),
                       percent_text(advice.late_limit), name, late);
  }
  if (!advice.present) {
    return fmt::format("{} is the cheapest of {} that have at most {} late messages: {}", name,
                       advice.candidates.size(), percent_text(advice.late_limit), late);
  }
  if (!advice.change()) {
    return fmt::format("{} is the best of {}: none that is not later costs {:.0f} % less", name,
                       advice.candidates.size(), 100 * lab::saves_least);
  }
  const lab::Candidate& present = advice.candidates.front();
  const std::string was = percent_text(present.means.late_share);
  return fmt::format("{} would have cost {:.0f} % less than {}, with {} late{}", name, 100 * advice.saves(),
                     lab::name_of(present.contender), late, was == late ? " as before" : " instead of " + was);
}

std::string advice_text(const ReplayedPool& replayed, const lab::Advice& advice, bool colour) {
  const lab::Scenario& scenario = replayed.loaded.scenario;
  std::string out = fmt::format("{}: {}.\n", coloured(control::printable(replayed.past.pool), Colour::bold, colour),
                                advice_sentence(advice));
  out += fmt::format("On {} of its load, {:.0f} messages, late being more than {}:\n", humane_duration(scenario.lasts),
                     advice.candidates.front().means.published, humane_duration(scenario.late));
  out += table(advice, colour);
  for (const std::string& line : replayed.assumed) {
    out += "assumed " + control::printable(line) + "\n";
  }
  return out;
}

std::optional<std::string> with_policy(const std::string& text, const lab::Contender& contender) {
  std::vector<std::string> lines = lines_of(text);
  const auto begin = std::ranges::find_if(lines, [](const std::string& line) {
    return line.substr(indent_of(line)).starts_with("policy:") && indent_of(line) > 0;
  });
  const pool::Parsed before = pool::parse_pool(text);
  if (begin == lines.end() || !before.pool) {
    return std::nullopt;
  }
  const std::size_t indent = indent_of(*begin);
  auto end = begin + 1;
  for (auto at = end; at != lines.end() && (at->empty() || indent_of(*at) > indent); ++at) {
    end = at->empty() ? end : at + 1;  // empty lines and comments behind the block stay
  }
  std::string out;
  for (auto at = lines.begin(); at != lines.end(); ++at) {
    if (at == begin) {
      for (const std::string& line : lines_of(lab::spec_yaml(contender))) {
        out += std::string(indent, ' ') + line + "\n";
      }
    }
    out += at >= begin && at < end ? "" : *at + "\n";
  }
  const pool::Parsed after = pool::parse_pool(out);  // a file can be written in many ways: this tells if it was right
  return after.pool && *after.pool == with(*before.pool, contender) ? std::optional(std::move(out)) : std::nullopt;
}

std::string advice_yaml(const ReplayedPool& replayed, const lab::Advice& advice, const AdvisedPool& pool) {
  const lab::Contender& best = advice.candidates[advice.best].contender;
  std::string out = std::string(first_line) + commented(advice_text(replayed, advice, false)) + "\n";
  if (!pool.pool) {
    return out + lab::spec_yaml({.name = {}, .policy = best.policy, .workers = {}});
  }
  const lab::Contender policy{
      .name = {}, .policy = advice.change() ? best.policy : pool.pool->spec.policy, .workers = {}};
  const std::string text = without_advice(pool.text);
  const std::optional<std::string> kept =
      text.empty() || !advice.change() ? std::optional(text) : with_policy(text, policy);
  return out + (kept && !kept->empty() ? *kept : yaml_of(pool::to_json(with(*pool.pool, policy))));
}

std::string advice_json(const ReplayedPool& replayed, const lab::Advice& advice, const AdvisedPool& pool) {
  const auto quoted = [](const std::string& text) {
    std::string out;
    model::append_json_string(out, text);
    return out;
  };
  const lab::Contender& best = advice.candidates[advice.best].contender;
  const lab::Contender policy{
      .name = {}, .policy = advice.change() || !pool.pool ? best.policy : pool.pool->spec.policy, .workers = {}};
  std::string out = fmt::format(
      R"({{"event":"advice","pool":{},"change":{},"met":{},"policy":{},"present":{},"saves":{:.4f},"late_limit":{:.6f},)"
      R"("why":{},"candidates":[)",
      quoted(replayed.past.pool), advice.change(), advice.met, quoted(lab::name_of(best)),
      advice.present ? quoted(lab::name_of(advice.candidates.front().contender)) : "null", advice.saves(),
      advice.late_limit, quoted(advice_sentence(advice)));
  for (const lab::Candidate& one : advice.candidates) {
    out += fmt::format(
        R"({}{{"policy":{},"late_share":{:.6f},"p50_s":{:.3f},"p99_s":{:.3f},"worker_s":{:.3f},"node_s":{:.3f},)"
        R"("starts":{:.1f},"cost":{:.4f},"why":{}}})",
        out.back() == '[' ? "" : ",", quoted(lab::name_of(one.contender)), one.means.late_share, one.means.p50_s,
        one.means.p99_s, one.means.worker_s, one.means.node_s, one.means.starts, one.means.cost, quoted(one.note));
  }
  out += "],\"assumed\":[";
  for (const std::string& line : replayed.assumed) {
    out += (out.back() == '[' ? "" : ",") + quoted(line);
  }
  return out + "],\"spec\":" + (pool.pool ? pool::to_json(with(*pool.pool, policy).spec) : lab::spec_json(policy)) +
         "}\n";
}

}  // namespace sluice::app
