// SPDX-License-Identifier: Apache-2.0
#include "serve/asking.h"

#include <fmt/core.h>

#include "control/explain.h"

namespace sluice::serve {

std::optional<WallTime> time_of(const std::string& text, WallTime now) {
  if (const std::optional<WallTime> whole = parse_wall(text)) {
    return whole;
  }
  std::string clock = text.ends_with('Z') ? text.substr(0, text.size() - 1) : text;
  clock += clock.size() == 5 ? ":00" : "";
  if (clock.size() < 8) {
    return std::nullopt;
  }
  std::optional<WallTime> at = parse_wall(format_wall(now).substr(0, 11) + clock + "Z");
  if (at && *at > now) {
    *at -= std::chrono::days{1};
  }
  // Times of day are typed without milliseconds: "14:02:40" means all of that second.
  if (at && clock.find('.') == std::string::npos) {
    *at += std::chrono::milliseconds{999};
  }
  return at;
}

Result<control::Ask> ask_of(const std::string& at, const std::string& tick, std::int64_t last, WallTime now,
                            const AskNames& names) {
  control::Ask ask;
  if (!tick.empty()) {
    ask.tick = tick;
  }
  if (!at.empty()) {
    ask.at = time_of(at, now);
    if (!ask.at) {
      return Error{Code::invalid, fmt::format("{} {}: not a time; accepted: 14:02:40 or 2026-01-31T14:02:40Z (UTC)",
                                              names.at, control::printable(control::cut(at, 60)))};
    }
  }
  if (ask.tick && ask.at) {
    return Error{Code::invalid, fmt::format("{} and {} both name a tick; one is enough", names.tick, names.at)};
  }
  if (last < 1 || last > last_max) {
    return Error{Code::invalid, fmt::format("{} {}: accepted: 1 to {}", names.last, last, last_max)};
  }
  ask.last = static_cast<std::size_t>(last);
  return ask;
}

std::string no_tick(const std::string& pool, const control::Ask& ask, bool any_line) {
  if (ask.tick) {
    return fmt::format("{}: no tick {} in the journal", pool, control::printable(control::cut(*ask.tick, 60)));
  }
  if (ask.at && any_line) {
    return fmt::format("{}: the journal begins after {}", pool, format_wall(*ask.at));
  }
  return fmt::format("{}: no tick yet: the journal is empty", pool);
}

std::string tell(const std::vector<control::Told>& told, std::size_t i, const Form& form) {
  const control::Explanation explanation = control::explain(told[i]);
  if (form.json) {
    std::string line;
    control::append_json(line, explanation, form.now);
    return line + "\n";
  }
  if (i + 1 < told.size()) {
    return control::to_history_line(explanation, form.columns) + "\n";
  }
  return (told.size() > 1 ? "\n" : "") + control::to_text(explanation, form.now, form.columns);
}

}  // namespace sluice::serve
