// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/number.h"
#include "base/text.h"
#include "lab/past_file.h"
#include "pool/problem.h"

namespace sluice::lab {
namespace {

enum class Column { time, backlog, in_flight, arrivals, arrival_rate, done, workers, arrived, service };
struct ColumnName {
  std::string_view name;
  Column column;
};
constexpr std::array<ColumnName, 16> column_names = {{{"time", Column::time},
                                                      {"timestamp", Column::time},
                                                      {"time_s", Column::time},
                                                      {"backlog", Column::backlog},
                                                      {"ready", Column::backlog},
                                                      {"in_flight", Column::in_flight},
                                                      {"unacked", Column::in_flight},
                                                      {"arrivals", Column::arrivals},
                                                      {"published", Column::arrivals},
                                                      {"arrival_rate", Column::arrival_rate},
                                                      {"done", Column::done},
                                                      {"completions", Column::done},
                                                      {"workers", Column::workers},
                                                      {"replicas", Column::workers},
                                                      {"arrived", Column::arrived},
                                                      {"service", Column::service}}};
constexpr std::string_view header_accepted =
    "a line with `time` and `backlog`, `arrivals` or `arrival_rate` (in_flight, done, workers beside them), or with "
    "`arrived` (service beside it)";
constexpr std::string_view time_accepted =
    "seconds, milliseconds since 1970, or 2026-01-31T14:02:30Z, not before the line above";
constexpr std::string_view service_accepted = "seconds as 1.5, or a time as 1500ms, up to 24h";

constexpr std::size_t lines_max = 2'000'000;  // chosen: three weeks of seconds; each is 100 bytes in memory
constexpr double number_most = 1e9;
constexpr double milliseconds_from = 1e11;  // as seconds it is the year 5138, as milliseconds 1973
constexpr double time_most_ms = 4e12;       // the year 2096
constexpr double service_most_ms = 86'400'000;
constexpr std::size_t services_kept = 1000;  // chosen: quantiles to a thousandth

// The cells of a line: commas between them, quotes around those that hold commas.
std::vector<std::string> cells_of(std::string_view line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && line.substr(i + 1).starts_with('"')) {
      out.back() += c;
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  for (std::string& cell : out) {
    cell = std::string(trimmed(cell));
  }
  return out;
}

std::optional<double> number_of(std::string_view text) {
  const std::optional<double> n = parse_number<double>(text);
  return n && std::isfinite(*n) && *n >= 0 ? n : std::nullopt;
}

// RFC 3339 with any offset, and as people and dashboards write it: a blank for the T, no zone.
std::optional<std::int64_t> written_ms(std::string_view text) {
  std::string at(text);
  if (at.size() < 19) {
    return std::nullopt;
  }
  at[10] = at[10] == ' ' ? 'T' : at[10];
  std::int64_t offset_min = 0;
  const std::size_t sign = at.find_first_of("+-", 19);
  if (sign != std::string::npos) {
    const std::string_view zone = std::string_view(at).substr(sign + 1);
    const auto hours = parse_number<unsigned>(zone.substr(0, 2));
    const auto minutes = zone.size() == 5 && zone[2] == ':' ? parse_number<unsigned>(zone.substr(3)) : std::nullopt;
    if (!hours || !minutes || *hours > 23 || *minutes > 59) {
      return std::nullopt;
    }
    offset_min = (at[sign] == '-' ? -1 : 1) * static_cast<std::int64_t>(*hours * 60 + *minutes);
    at.resize(sign);
  }
  at += at.ends_with('Z') ? "" : "Z";
  const std::optional<WallTime> wall = parse_wall(at);
  return wall ? std::optional(wall->time_since_epoch().count() - offset_min * 60'000) : std::nullopt;
}

std::optional<std::int64_t> time_ms(std::string_view text) {
  const std::optional<double> n = number_of(text);
  if (!n) {
    return written_ms(text);
  }
  const double ms = *n >= milliseconds_from ? *n : *n * 1000;
  return ms <= time_most_ms ? std::optional<std::int64_t>(std::llround(ms)) : std::nullopt;
}

std::optional<std::int64_t> service_ms(std::string_view text) {
  double ms = -1;
  if (const std::optional<double> n = number_of(text)) {
    ms = *n * 1000;
  } else if (const Result<Duration> d = parse_duration(text)) {
    ms = to_s(*d) * 1000;
  }
  return ms >= 0 && ms <= service_most_ms ? std::optional<std::int64_t>(std::llround(ms)) : std::nullopt;
}

class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& name, const FileWishes& wishes)
      : rest_(text), name_(name), wishes_(wishes) {}

  [[nodiscard]] Result<Past> read() {
    rest_.remove_prefix(rest_.starts_with("\xef\xbb\xbf") ? 3 : 0);  // as spreadsheets begin a file
    const std::optional<std::string_view> head = next();
    if (!head) {
      return Error{Code::invalid, fmt::format("{}: no header line; accepted: {}", name_, header_accepted)};
    }
    if (const Result<void> good = header(cells_of(*head)); !good) {
      return good.error();
    }
    while (const std::optional<std::string_view> row = next()) {
      if (const Result<void> good = line(cells_of(*row)); !good) {
        return good.error();
      }
    }
    Past past;
    past.journal = past.pool_known = false;
    past.pool = pool_name();
    past.notes = {used_};
    const Result<void> done = has(Column::arrived) ? messages(past) : rows(past);
    return done ? Result<Past>(std::move(past)) : done.error();
  }

 private:
  // The next line that holds something, without its end.
  std::optional<std::string_view> next() {
    while (!rest_.empty()) {
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      const std::string_view line = trimmed(rest_.substr(0, end));
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++number_;
      if (!line.empty() && !line.starts_with('#')) {
        return line;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] Error wrong(std::string_view column, const std::string& found, std::string_view accepted) const {
    return Error{Code::invalid,
                 fmt::format("{}:{}: {}: {}; accepted: {}", name_, number_, pool::shown(column), found, accepted)};
  }

  Result<void> header(const std::vector<std::string>& cells) {
    std::string unused;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      std::string word = cells[i];
      std::ranges::transform(word, word.begin(), [](char c) {
        return c == ' ' || c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      const auto known = std::ranges::find(column_names, word, &ColumnName::name);
      if (known == column_names.end()) {
        unused += (unused.empty() ? "" : ", ") + pool::shown(cells[i]);
        continue;
      }
      std::optional<std::size_t>& place = places_[static_cast<std::size_t>(known->column)];
      if (place) {
        return wrong(cells[i], "a second column of this kind", "one of them");
      }
      place = i;
      names_[static_cast<std::size_t>(known->column)] = cells[i];
      used_ += (used_.empty() ? name_ + ": columns " : ", ") + cells[i];
    }
    const bool messages = has(Column::arrived);
    const bool load = has(Column::backlog) || has(Column::arrivals) || has(Column::arrival_rate);
    const bool both = has(Column::arrivals) && has(Column::arrival_rate);
    if (messages == has(Column::time) || (messages && load) || (!messages && !load) || both) {
      return wrong("header", pool::shown(used_.empty() ? "none of the known columns" : used_), header_accepted);
    }
    used_ += unused.empty() ? "" : "; not used: " + pool::shown(unused);
    return {};
  }

  [[nodiscard]] bool has(Column column) const { return places_[static_cast<std::size_t>(column)].has_value(); }
  // Empty too where the line ends before it.
  [[nodiscard]] std::string_view cell(const std::vector<std::string>& cells, Column column) const {
    const std::optional<std::size_t>& place = places_[static_cast<std::size_t>(column)];
    return place && *place < cells.size() ? std::string_view(cells[*place]) : std::string_view{};
  }
  [[nodiscard]] Error wrong_cell(const std::vector<std::string>& cells, Column column,
                                 std::string_view accepted) const {
    const std::string_view found = cell(cells, column);
    return wrong(names_[static_cast<std::size_t>(column)], found.empty() ? "empty" : pool::shown(found), accepted);
  }

  Result<void> line(const std::vector<std::string>& cells) {
    if (++lines_ > lines_max) {
      return Error{Code::invalid, fmt::format("{}: more than {} lines; accepted: a part of them", name_, lines_max)};
    }
    const bool messages = has(Column::arrived);
    const Column when = messages ? Column::arrived : Column::time;
    const std::optional<std::int64_t> at = time_ms(cell(cells, when));
    if (!at || (!messages && !at_.empty() && *at <= at_.back())) {
      return wrong_cell(cells, when, time_accepted);
    }
    at_.push_back(*at);
    if (!messages) {
      return numbers(cells);
    }
    if (has(Column::service)) {
      const std::optional<std::int64_t> service = service_ms(cell(cells, Column::service));
      if (!service) {
        return wrong_cell(cells, Column::service, service_accepted);
      }
      services_.push_back(*service);
    }
    return {};
  }

  Result<void> numbers(const std::vector<std::string>& cells) {
    Numbers row;
    const bool rate = has(Column::arrival_rate);
    const std::array<std::pair<Column, std::optional<double>*>, 5> all = {
        {{Column::backlog, &row.backlog},
         {Column::in_flight, &row.in_flight},
         {Column::workers, &row.workers},
         {rate ? Column::arrival_rate : Column::arrivals, &row.arrivals},
         {Column::done, &row.done}}};
    for (const auto& [column, into] : all) {
      if (!has(column)) {
        continue;
      }
      const std::string_view text = cell(cells, column);
      *into = number_of(text);
      const bool may_lack = column == Column::backlog || column == Column::in_flight || column == Column::workers;
      if ((!*into && !(may_lack && text.empty())) || into->value_or(0) > number_most) {
        return wrong_cell(cells, column,
                          may_lack ? "a number from 0 to 1000000000, or nothing where it is unknown"
                                   : "a number from 0 to 1000000000");
      }
    }
    numbers_.push_back(row);
    return {};
  }

  // Counts of an interval belong to the time from their line to the next.
  Result<void> rows(Past& past) {
    if (at_.size() < 2) {
      return Error{Code::invalid,
                   fmt::format("{}: fewer than 2 lines of numbers; accepted: a record of a time", name_)};
    }
    const bool arrivals = has(Column::arrivals) || has(Column::arrival_rate);
    const bool done = has(Column::done);
    const auto whole = [](const std::optional<double>& n) {
      return n ? std::optional<std::int64_t>(std::llround(*n)) : std::nullopt;
    };
    std::vector<FileRow> out;
    double arrived = 0, finished = 0;
    const auto add = [&](std::int64_t at, const Numbers& row) {
      out.push_back({.at_ms = at,
                     .ready = whole(row.backlog),
                     .in_flight = whole(row.in_flight),
                     .published = arrivals ? std::optional<std::int64_t>(std::llround(arrived)) : std::nullopt,
                     .done = done ? std::optional<std::int64_t>(std::llround(finished)) : std::nullopt,
                     .workers = whole(row.workers)});
    };
    for (std::size_t i = 0; i < at_.size(); ++i) {
      add(at_[i], numbers_[i]);
      const std::int64_t width = i + 1 < at_.size() ? at_[i + 1] - at_[i] : at_[i] - at_[i - 1];
      const double by = has(Column::arrival_rate) ? static_cast<double>(width) / 1e3 : 1;
      arrived = std::min(arrived + numbers_[i].arrivals.value_or(0) * by, 1e12);
      finished = std::min(finished + numbers_[i].done.value_or(0), 1e12);
      if (i + 1 == at_.size() && (arrivals || done)) {
        add(at_[i] + width, {.workers = numbers_[i].workers});
      }
    }
    if (arrivals || done) {
      past.notes.emplace_back("counts belong to the time from their line to the next");
    }
    add_looks(past, out, wishes_);
    return {};
  }

  // Each message at its own millisecond.
  Result<void> messages(Past& past) {
    std::ranges::sort(at_);
    if (at_.empty()) {
      return Error{Code::invalid, fmt::format("{}: no message in it; accepted: a line for each", name_)};
    }
    std::vector<FileRow> out;
    std::int64_t before = 0;
    for (std::size_t i = 0; i < at_.size();) {
      const std::int64_t at = at_[i];
      for (; i < at_.size() && at_[i] == at; ++i) {
        ++before;
      }
      if (out.empty()) {
        out.push_back({.at_ms = at - 2, .published = 0});  // a record begins with what is there already, for 2 ms
      }
      if (out.back().at_ms < at) {
        out.push_back({.at_ms = at, .published = out.back().published});
      }
      out.push_back({.at_ms = at + 1, .published = before});
    }
    add_looks(past, out, {});
    std::ranges::sort(services_);
    const std::size_t kept = std::min(services_.size(), services_kept);
    for (std::size_t i = 0; i < kept; ++i) {
      past.services_ms.push_back(services_[kept == 1 ? 0 : i * (services_.size() - 1) / (kept - 1)]);
    }
    return {};
  }

  // "orders" of "path/orders.csv", as far as it can be a pool's name.
  [[nodiscard]] std::string pool_name() const {
    std::string out = name_.substr(0, name_.find('.'));
    std::erase_if(out, [](char c) {
      return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_');
    });
    return out.empty() ? "record" : out;
  }

  struct Numbers {
    std::optional<double> backlog, in_flight, arrivals, done, workers;
  };

  std::string_view rest_;
  const std::string& name_;
  const FileWishes& wishes_;
  std::size_t number_ = 0;
  std::size_t lines_ = 0;
  std::array<std::optional<std::size_t>, 9> places_;
  std::array<std::string, 9> names_;  // as the header has them
  std::string used_;
  std::vector<std::int64_t> at_;
  std::vector<Numbers> numbers_;
  std::vector<std::int64_t> services_;
};

}  // namespace

Result<Past> parse_past_csv(std::string_view text, const std::string& name, const FileWishes& wishes) {
  return CsvReader(text, name, wishes).read();
}

}  // namespace sluice::lab
