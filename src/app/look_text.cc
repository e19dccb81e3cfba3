// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "app/look.h"
#include "control/explain.h"
#include "model/json.h"

namespace sluice::app {
namespace {

using control::printable;
using control::width;
using serve::PoolStatus;

std::string padded(const std::string& text, std::size_t columns, bool right) {
  const std::string blanks(columns - std::min(columns, width(text)), ' ');
  return right ? blanks + text : text + blanks;
}

constexpr std::size_t columns_of_table = 11;
constexpr std::array<const char*, columns_of_table> heading{
    "NAMESPACE", "POOL", "STATE", "READY", "IN-FLIGHT", "OLDEST", "IN/s", "OUT/s", "WORKERS", "MAX", "WHY"};
// Numbers stand right, so that their digits line up.
constexpr std::array<bool, columns_of_table> right_of{false, false, false, true, true, true,
                                                      true,  true,  true,  true, false};

// "371", "~371", "?".
std::string number_text(const std::optional<PoolStatus::Count>& count) {
  return count ? fmt::format("{}{}", count->approximate ? "~" : "", count->n) : "?";
}

// "48 s", "≤ 6 min", "?".
std::string oldest_text(const PoolStatus& status) {
  if (!status.oldest_age_ms) {
    return "?";
  }
  if (status.ready && status.ready->n == 0) {
    return "-";
  }
  const char* sign = status.oldest_kind == model::word(model::AgeKind::bound)      ? "≤ "
                     : status.oldest_kind == model::word(model::AgeKind::estimate) ? "≈ "
                                                                                   : "";
  return sign + humane_duration(std::chrono::milliseconds{*status.oldest_age_ms});
}

std::string namespace_of(const PoolStatus& status) {
  const std::size_t slash = status.pool.find('/');
  return slash == std::string::npos ? "?" : status.pool.substr(0, slash);
}

std::array<std::string, columns_of_table> row_of(const PoolStatus& status) {
  return {printable(namespace_of(status)),
          printable(status.name()),
          printable(status.state),
          number_text(status.ready),
          number_text(status.in_flight),
          oldest_text(status),
          rate_text(status.in_per_s),
          rate_text(status.out_per_s),
          workers_text(status),
          status.max ? std::to_string(*status.max) : "?",
          printable(status.why)};
}

std::optional<PoolStatus::Count> count_of(const std::optional<model::Reading>& reading) {
  return reading ? std::optional(PoolStatus::Count{.n = reading->n, .approximate = reading->approximate})
                 : std::nullopt;
}

std::optional<std::int64_t> n_of(const std::optional<model::Reading>& reading) {
  return reading ? std::optional(reading->n) : std::nullopt;
}

}  // namespace

PoolStatus status_of(const PoolLook& look) {
  const model::Sample sample = look.sample.value_or(model::Sample{});
  PoolStatus out{.pool = look.place.id,
                 .at = look.at,
                 .state = look.state(),
                 .ready = count_of(sample.ready),
                 .in_flight = count_of(sample.in_flight),
                 .total = count_of(sample.total),
                 .delayed = count_of(sample.delayed),
                 .dead = count_of(sample.dead),
                 .published_n = n_of(sample.published_n),
                 .acked_n = n_of(sample.acked_n),
                 .in_per_s = look.in_per_s,
                 .out_per_s = look.out_per_s,
                 .desired = look.desired(),
                 .why = look.why(),
                 .tick = look.last ? look.last->tick : "",
                 .decided_ms_ago = look.last_ms_ago,
                 .needs_you = look.needs_you(),
                 .errors = look.errors};
  if (sample.oldest_age) {
    out.oldest_age_ms = to_ms(sample.oldest_age->age);
    out.oldest_kind = model::word(sample.oldest_age->kind);
  }
  if (look.fleet) {
    out.workers.emplace();
    for (const model::Worker& worker : look.fleet->workers) {
      ++(*out.workers)[static_cast<std::size_t>(worker.state)];
    }
  }
  if (look.place.spec) {
    out.max = look.place.spec->workers.max;
  }
  if (look.scaler) {
    out.scaler = PoolStatus::Scaler{.pid = look.scaler->pid, .since = look.scaler->since};
  }
  return out;
}

std::string rate_text(const std::optional<double>& rate) {
  return rate ? fmt::format("{:.1f}", *rate) : "?";
}

std::string workers_text(const PoolStatus& status) {
  const std::optional<std::int64_t> live = status.live();
  const std::string now = live ? std::to_string(*live) : "?";
  return status.desired && live && *status.desired != *live ? fmt::format("{}→{}", now, *status.desired) : now;
}

std::vector<std::string> table(const std::vector<PoolStatus>& pools, std::size_t columns) {
  std::vector<std::array<std::string, columns_of_table>> rows(1);
  std::ranges::copy(heading, rows.front().begin());
  std::ranges::transform(pools, std::back_inserter(rows), row_of);
  std::array<std::size_t, columns_of_table> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width(row[i]));
    }
  }
  std::vector<std::string> out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i + 1 < row.size(); ++i) {
      line += padded(row[i], widths[i], right_of[i]) + (right_of[i] && i + 2 < row.size() ? " " : "  ");
    }
    const std::size_t used = width(line);
    // A name that fills the line leaves WHY a word at least: the numbers are never cut.
    line += control::cut(row.back(), std::max<std::size_t>(columns > used ? columns - used : 0, 10));
    out.push_back(std::move(line));
  }
  return out;
}

}  // namespace sluice::app
