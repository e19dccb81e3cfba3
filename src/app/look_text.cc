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

std::string namespace_of(const Place& place) {
  const std::size_t slash = place.id.find('/');
  return slash == std::string::npos ? "?" : place.id.substr(0, slash);
}

std::array<std::string, columns_of_table> row_of(const PoolLook& look) {
  const model::Sample sample = look.sample.value_or(model::Sample{});
  return {printable(namespace_of(look.place)),
          printable(look.place.name),
          printable(look.state()),
          number_text(sample.ready),
          number_text(sample.in_flight),
          oldest_text(look),
          rate_text(look.in_per_s),
          rate_text(look.out_per_s),
          workers_text(look),
          look.place.spec ? std::to_string(look.place.spec->workers.max) : "?",
          printable(look.why())};
}

std::string json_number(const std::optional<model::Reading>& reading) {
  return reading ? std::to_string(reading->n) : "null";
}

std::string json_number(const std::optional<std::int64_t>& n) {
  return n ? std::to_string(*n) : "null";
}

std::string json_rate(const std::optional<double>& rate) {
  return rate ? fmt::format("{:.3f}", *rate) : "null";
}

std::string json_seconds(std::int64_t ms) {
  return fmt::format("{}.{:03}", ms / 1000, ms % 1000);
}

void append_workers(std::string& out, const PoolLook& look) {
  if (!look.fleet) {
    out += "null";
    return;
  }
  std::array<int, model::worker_states> counts{};
  for (const model::Worker& worker : look.fleet->workers) {
    ++counts[static_cast<std::size_t>(worker.state)];
  }
  out += fmt::format("{{\"live\":{}", look.fleet->workers.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    out += fmt::format(",\"{}\":{}", model::word(static_cast<model::WorkerState>(i)), counts[i]);
  }
  out += '}';
}

void append_oldest(std::string& out, const PoolLook& look) {
  if (look.sample && look.sample->oldest_age) {
    out += fmt::format(R"(,"oldest_age_s":{},"oldest_age_kind":"{}")",
                       json_seconds(to_ms(look.sample->oldest_age->age)), model::word(look.sample->oldest_age->kind));
  } else {
    out += R"(,"oldest_age_s":null,"oldest_age_kind":null)";
  }
}

}  // namespace

std::string number_text(const std::optional<model::Reading>& reading) {
  return reading ? fmt::format("{}{}", reading->approximate ? "~" : "", reading->n) : "?";
}

std::string oldest_text(const PoolLook& look) {
  if (!look.sample || !look.sample->oldest_age) {
    return "?";
  }
  const model::OldestAge& oldest = *look.sample->oldest_age;
  if (look.sample->ready && look.sample->ready->n == 0) {
    return "-";
  }
  const char* sign = oldest.kind == model::AgeKind::bound ? "≤ " : oldest.kind == model::AgeKind::estimate ? "≈ " : "";
  return sign + humane_duration(oldest.age);
}

std::string rate_text(const std::optional<double>& rate) {
  return rate ? fmt::format("{:.1f}", *rate) : "?";
}

std::string workers_text(const PoolLook& look) {
  const std::optional<std::int64_t> live = look.live();
  const std::optional<std::int64_t> desired = look.desired();
  const std::string now = live ? std::to_string(*live) : "?";
  return desired && live && *desired != *live ? fmt::format("{}→{}", now, *desired) : now;
}

std::vector<std::string> table(const std::vector<PoolLook>& looks, std::size_t columns) {
  std::vector<std::array<std::string, columns_of_table>> rows(1);
  std::ranges::copy(heading, rows.front().begin());
  std::ranges::transform(looks, std::back_inserter(rows), row_of);
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

std::string to_json(const PoolLook& look) {
  const model::Sample sample = look.sample.value_or(model::Sample{});
  std::string out = R"({"event":"pool","pool":)";
  model::append_json_string(out, look.place.id);
  out += fmt::format(R"(,"at":"{}","state":)", format_wall(look.at));
  model::append_json_string(out, look.state());
  out += fmt::format(R"(,"ready":{},"in_flight":{},"delayed":{},"dead":{})", json_number(sample.ready),
                     json_number(sample.in_flight), json_number(sample.delayed), json_number(sample.dead));
  append_oldest(out, look);
  out += fmt::format(R"(,"published_n":{},"acked_n":{},"in_per_s":{},"out_per_s":{},"workers":)",
                     json_number(sample.published_n), json_number(sample.acked_n), json_rate(look.in_per_s),
                     json_rate(look.out_per_s));
  append_workers(out, look);
  out += fmt::format(R"(,"desired":{},"max":{},"why":)", json_number(look.desired()),
                     look.place.spec ? std::to_string(look.place.spec->workers.max) : "null");
  model::append_json_string(out, look.why());
  out += ",\"tick\":";
  if (look.last) {
    model::append_json_string(out, look.last->tick);
  } else {
    out += "null";
  }
  out += fmt::format(",\"decided_s_ago\":{},\"scaler\":", look.last_ms_ago ? json_seconds(*look.last_ms_ago) : "null");
  out += look.scaler ? fmt::format(R"({{"pid":{},"since":"{}"}})", look.scaler->pid, format_wall(look.scaler->since))
                     : "null";
  out += fmt::format(",\"needs_you\":{},\"errors\":[", look.needs_you());
  for (const std::string& error : look.errors) {
    out += out.back() == '[' ? "" : ",";
    model::append_json_string(out, error);
  }
  return out + "]}";
}

}  // namespace sluice::app
