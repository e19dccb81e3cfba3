// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"

#include <fmt/core.h>

#include <array>
#include <charconv>

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct Unit {
  std::string_view name;
  Duration length;
};
constexpr std::array<Unit, 4> units = {Unit{"h", 1h}, Unit{"m", 1min}, Unit{"s", 1s}, Unit{"ms", 1ms}};
// Far above any useful setting, far below overflow of nanoseconds in 64 bits (292 years).
constexpr Duration duration_max = 24h * 3653;
constexpr std::string_view accepted = "a duration such as 250ms, 90s or 1h30m";

Error bad_duration(std::string_view text) {
  return Error{Code::invalid, fmt::format("\"{}\" is not a duration; accepted: {}", text.substr(0, 40), accepted)};
}

bool digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  std::string_view rest = text;
  Duration sum{0};
  std::size_t next_unit = 0;  // units must come largest first, each once
  if (rest.empty()) {
    return bad_duration(text);
  }
  while (!rest.empty()) {
    std::int64_t n = 0;
    const auto [end, ec] = std::from_chars(rest.data(), rest.data() + rest.size(), n);
    if (ec != std::errc() || end == rest.data() || rest.front() == '-') {
      return bad_duration(text);
    }
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const std::string_view word = rest.substr(0, std::min(rest.find_first_of("0123456789"), rest.size()));
    while (next_unit < units.size() && units[next_unit].name != word) {
      ++next_unit;
    }
    if (next_unit == units.size()) {
      return bad_duration(text);
    }
    const Duration unit = units[next_unit++].length;
    if (n > (duration_max - sum) / unit) {
      return Error{Code::invalid,
                   fmt::format("\"{}\" is more than 10 years; accepted: {}", text.substr(0, 40), accepted)};
    }
    sum += n * unit;
    rest.remove_prefix(word.size());
  }
  return sum;
}

std::string format_duration(Duration d) {
  Duration rest = std::chrono::duration_cast<std::chrono::milliseconds>(d);
  std::string out;
  for (const Unit& unit : units) {
    if (const std::int64_t n = rest / unit.length; n > 0) {
      out += fmt::format("{}{}", n, unit.name);
      rest -= n * unit.length;
    }
  }
  return out.empty() ? "0s" : out;
}

std::string humane_duration(Duration d) {
  const std::int64_t ms = to_ms(d);
  if (ms < 1000) {
    return fmt::format("{} ms", ms);
  }
  if (ms < 20'000) {
    const std::int64_t tenth = ms % 1000 / 100;
    return tenth == 0 ? fmt::format("{} s", ms / 1000) : fmt::format("{}.{} s", ms / 1000, tenth);
  }
  const std::int64_t s = ms / 1000;
  if (s < 120) {
    return fmt::format("{} s", s);
  }
  if (s < 7200) {
    return s % 60 == 0 ? fmt::format("{} min", s / 60) : fmt::format("{} min {} s", s / 60, s % 60);
  }
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

std::string format_wall(WallTime t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss time{t - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count(), time.subseconds().count());
}

std::optional<WallTime> parse_wall(std::string_view text) {
  // Fixed places: 2026-01-31T14:02:30[.fraction]Z
  if (text.size() < 20 || text.back() != 'Z' || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
      text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const auto number = [&](std::size_t at, std::size_t length) -> int {
    const std::string_view part = text.substr(at, length);
    int n = -1;
    if (digits(part)) {
      std::from_chars(part.data(), part.data() + part.size(), n);
    }
    return n;
  };
  const int y = number(0, 4), mo = number(5, 2), d = number(8, 2), h = number(11, 2), mi = number(14, 2),
            s = number(17, 2);
  const std::chrono::year_month_day date{std::chrono::year{y}, std::chrono::month{static_cast<unsigned>(mo)},
                                         std::chrono::day{static_cast<unsigned>(d)}};
  if (y < 0 || mo < 0 || d < 0 || !date.ok() || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 60) {
    return std::nullopt;
  }
  int ms = 0;
  if (text.size() > 20) {
    const std::string_view fraction = text.substr(20, text.size() - 21);
    if (text[19] != '.' || !digits(fraction)) {
      return std::nullopt;
    }
    for (std::size_t i = 0; i < 3; ++i) {
      ms = ms * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
    }
  }
  return WallTime{std::chrono::sys_days{date} + std::chrono::hours{h} + std::chrono::minutes{mi} +
                  std::chrono::seconds{s} + std::chrono::milliseconds{ms}};
}

std::string format_clock(WallTime t) {
  return format_wall(t).substr(11, 8);
}

}  // namespace sluice
