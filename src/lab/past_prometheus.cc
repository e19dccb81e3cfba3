// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/number.h"
#include "lab/past_file.h"
#include "model/strict_json.h"
#include "pool/problem.h"

namespace sluice::lab {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 6> role_words = {"ready", "in_flight", "total", "published", "done", "workers"};

// By name without "rabbitmq_" or "rabbitmq_detailed_": of RabbitMQ's own exporter (4.0) and of the one of kbudde; then
// sluice's own. Of one role the first that is there is used: counts of a channel end with it, those of a queue do not.
// `kind` is the label that sluice tells them apart by.
struct KnownSeries {
  std::string_view name;
  std::string_view kind;
  SeriesRole role;
};
constexpr std::array<KnownSeries, 14> known_series = {{
    {"queue_messages_ready", "", SeriesRole::ready},
    {"queue_messages_unacked", "", SeriesRole::in_flight},
    {"queue_messages_unacknowledged", "", SeriesRole::in_flight},
    {"queue_messages", "", SeriesRole::total},
    {"queue_exchange_messages_published_total", "", SeriesRole::published},
    {"queue_messages_published_total", "", SeriesRole::published},
    {"queue_messages_acked_total", "", SeriesRole::done},
    {"queue_messages_ack_total", "", SeriesRole::done},
    {"channel_messages_acked_total", "", SeriesRole::done},
    {"sluice_queue_messages", "ready", SeriesRole::ready},
    {"sluice_queue_messages", "in_flight", SeriesRole::in_flight},
    {"sluice_queue_messages", "total", SeriesRole::total},
    {"sluice_queue_published_total", "", SeriesRole::published},
    {"sluice_queue_acknowledged_total", "", SeriesRole::done},
}};
constexpr std::string_view answer_accepted =
    "an answer of /api/v1/query_range: {\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[..]}}";
constexpr std::string_view sample_accepted = "[SECONDS,\"NUMBER\"]";
constexpr double number_most = 1e12;
constexpr double second_most = 4e9;             // the year 2096
constexpr std::size_t samples_max = 2'000'000;  // chosen: each is 100 bytes in memory

std::string label(const json::object& metric, std::string_view name) {
  const json::value* const value = metric.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::string queue_of(const json::object& metric) {
  struct Labels {
    std::string_view name, group;
  };
  for (const auto& [name, beside] :
       {Labels{"queue", "vhost"}, Labels{"queue", "queue_vhost"}, Labels{"pool", "namespace"}}) {
    const std::string queue = label(metric, name);
    const std::string group = label(metric, beside);
    if (!queue.empty() && metric.contains(beside)) {
      return group.empty() || group == "/" ? queue : fmt::format("{}/{}", group, queue);
    }
  }
  return label(metric, "queue");
}

// The place in known_series; its size where it is none of them.
std::size_t rank_of(const json::object& metric) {
  std::string name = label(metric, "__name__");
  for (const std::string_view prefix : {"rabbitmq_", "detailed_"}) {
    name.erase(0, name.starts_with(prefix) ? prefix.size() : 0);
  }
  const std::string kind = label(metric, "kind");
  const auto known = std::ranges::find_if(known_series, [&name, &kind](const KnownSeries& one) {
    return one.name == name && (one.kind.empty() || one.kind == kind);
  });
  return static_cast<std::size_t>(known - known_series.begin());
}

const json::value* member(const json::value& in, std::string_view name) {
  return in.is_object() ? in.get_object().if_contains(name) : nullptr;
}

const json::array* series_of(const json::value& answer) {
  const json::value* const data = member(answer, "data");
  const json::value* const result = data != nullptr ? member(*data, "result") : nullptr;
  const json::value* const type = data != nullptr ? member(*data, "resultType") : nullptr;
  const bool matrix = type != nullptr && type->is_string() && type->get_string() == "matrix";
  return matrix && result != nullptr ? result->if_array() : nullptr;
}

// A sample; a value that is no number (a gap, as NaN) is no mistake.
struct Sample {
  std::int64_t at_ms = 0;
  std::optional<double> value;
};
std::optional<Sample> sample_of(const json::value& pair) {
  const json::array* const two = pair.if_array();
  if (two == nullptr || two->size() != 2 || !two->front().is_number() || !two->back().is_string()) {
    return std::nullopt;
  }
  const auto at = two->front().to_number<double>();
  const json::string& text = two->back().get_string();
  const auto value = parse_number<double>(std::string_view(text).substr(text.starts_with('+') ? 1 : 0));
  if (!(at >= 0 && at <= second_most) || !value || *value < 0 || (std::isfinite(*value) && *value > number_most)) {
    return std::nullopt;
  }
  return Sample{.at_ms = std::llround(at * 1000), .value = std::isfinite(*value) ? value : std::nullopt};
}

bool is_counter(SeriesRole role) {
  return role == SeriesRole::published || role == SeriesRole::done;
}

// Several series of one kind, such as those of a queue's channels, as one: gauges by time, counters by how much each
// has risen so far. A counter that falls began anew and has counted from 0 since; what it has when it is first seen is
// from before.
class Sum {
 public:
  void add(const std::map<std::int64_t, double>& values, bool counter) {
    std::optional<double> last;
    for (const auto& [at, value] : values) {
      const double rise = !last ? 0 : value < *last ? value : value - *last;
      resets_ += last && value < *last ? 1 : 0;
      by_time_[at] += counter ? rise : value;
      last = value;
    }
    counter_ = counter;
  }
  [[nodiscard]] std::map<std::int64_t, std::int64_t> take() {
    std::map<std::int64_t, std::int64_t> out;
    double so_far = 0;
    for (const auto& [at, value] : by_time_) {
      so_far = counter_ ? so_far + value : value;
      out[at] = std::llround(std::min(so_far, number_most));
    }
    return out;
  }
  [[nodiscard]] std::int64_t resets() const { return counter_ ? resets_ : 0; }

 private:
  std::map<std::int64_t, double> by_time_;
  std::int64_t resets_ = 0;
  bool counter_ = false;
};

}  // namespace

std::optional<SeriesRole> series_role(std::string_view word) {
  const auto at = std::ranges::find(role_words, word);
  return at == role_words.end() ? std::nullopt : std::optional(static_cast<SeriesRole>(at - role_words.begin()));
}

const std::string& series_roles_text() {
  static const std::string text = "ready, in_flight, total, published, done or workers";
  return text;
}

Result<void> PrometheusReader::take(std::string_view text, const std::string& name,
                                    const std::optional<SeriesRole>& role) {
  const Result<json::value> answer = model::parse_strict_json(text);
  if (!answer) {
    return Error{Code::invalid, fmt::format("{}: {}; accepted: {}", name, answer.error().what, answer_accepted)};
  }
  const json::array* const all = series_of(*answer);
  if (all == nullptr) {
    const json::value* const error = member(*answer, "error");
    const bool said = error != nullptr && error->is_string();
    return Error{Code::invalid, fmt::format("{}: no matrix of series{}; accepted: {}", name,
                                            said ? ": " + pool::shown(error->get_string()) : "", answer_accepted)};
  }
  std::size_t samples = 0;
  for (std::size_t i = 0; i < all->size(); ++i) {
    const std::string place = fmt::format("{}: $.data.result[{}]", name, i);
    const json::value* const metric = member((*all)[i], "metric");
    const json::value* const values = member((*all)[i], "values");
    if (metric == nullptr || !metric->is_object() || values == nullptr || !values->is_array()) {
      return Error{Code::invalid, place + ": not a series; accepted: {\"metric\":{..},\"values\":[[..],..]}"};
    }
    const std::size_t rank = role ? 0 : rank_of(metric->get_object());
    const std::string called = label(metric->get_object(), "__name__");
    if (rank == known_series.size()) {
      ++unknown_[called];
      continue;
    }
    Series series{.role = role ? *role : known_series[rank].role,
                  .metric = called.empty() ? "a series without a name" : called,
                  .rank = rank,
                  .values = {}};
    for (std::size_t k = 0; k < values->get_array().size(); ++k) {
      const std::optional<Sample> sample = sample_of(values->get_array()[k]);
      if (!sample) {
        return Error{Code::invalid, fmt::format("{}.values[{}]: {}; accepted: {}, the number from 0 to 1e12", place, k,
                                                pool::shown(json::serialize(values->get_array()[k])), sample_accepted)};
      }
      if (sample->value) {
        series.values.insert_or_assign(sample->at_ms, *sample->value);
      }
      if (++samples > samples_max) {
        return Error{Code::invalid,
                     fmt::format("{}: more than {} samples; accepted: a longer step", name, samples_max)};
      }
    }
    queues_[queue_of(metric->get_object())].push_back(std::move(series));
  }
  return {};
}

Result<std::vector<Past>> PrometheusReader::finish(const FileWishes& wishes) const {
  std::string unknown;
  for (const auto& [name, count] : unknown_) {
    unknown += (unknown.empty() ? "" : ", ") + (name.empty() ? "a series without a name" : pool::shown(name));
  }
  if (queues_.empty()) {
    return Error{Code::invalid,
                 fmt::format("{}; accepted: series whose names are known, as rabbitmq_queue_messages_ready, or "
                             "--from-prometheus ROLE=FILE, ROLE being {}",
                             unknown.empty() ? "no series in the answer" : "what it is is not known of " + unknown,
                             series_roles_text())};
  }
  const Result<std::map<std::string, std::vector<Series>>> queues = by_queue();
  if (!queues) {
    return queues.error();
  }
  std::vector<Past> out;
  for (const auto& [queue, all] : *queues) {
    Past past = past_of(all, wishes);
    past.pool = queue.empty() ? "record" : pool::shown(queue);
    if (!unknown.empty()) {
      past.notes.push_back("left out, as what they are is not known (ROLE=FILE says it): " + unknown);
    }
    out.push_back(std::move(past));
  }
  return out;
}

Result<std::map<std::string, std::vector<PrometheusReader::Series>>> PrometheusReader::by_queue() const {
  std::map<std::string, std::vector<Series>> queues = queues_;
  const auto nameless = queues.find("");
  if (nameless == queues.end() || queues.size() == 1) {
    return queues;
  }
  if (queues.size() > 2) {
    return Error{Code::invalid, fmt::format("{} has no label `queue`, and there are {} queues; accepted: series of one "
                                            "queue, or all with the label",
                                            pool::shown(nameless->second.front().metric), queues.size() - 1)};
  }
  // What has no queue's name in its labels belongs to the only queue there is.
  std::vector<Series> moved = std::move(nameless->second);
  queues.erase(nameless);
  std::ranges::move(moved, std::back_inserter(queues.begin()->second));
  return queues;
}

std::map<std::int64_t, std::int64_t> PrometheusReader::values_of(const std::vector<Series>& all, SeriesRole role,
                                                                 Past& past) {
  std::size_t rank = known_series.size();
  for (const Series& one : all) {
    rank = one.role == role ? std::min(rank, one.rank) : rank;
  }
  Sum sum;
  std::set<std::string> names;
  std::size_t series = 0;
  for (const Series& one : all) {
    if (one.role == role && one.rank == rank) {
      sum.add(one.values, is_counter(role));
      names.insert(pool::shown(one.metric));
      ++series;
    }
  }
  if (series > 0) {
    std::string note(role_words[static_cast<std::size_t>(role)]);
    for (const std::string& name : names) {
      note += (name == *names.begin() ? ": " : " + ") + name;
    }
    note += series > 1 ? fmt::format(", {} series added up", series) : "";
    note += sum.resets() > 0 ? fmt::format(", began anew {} time{}", sum.resets(), sum.resets() == 1 ? "" : "s") : "";
    past.notes.push_back(note);
  }
  return sum.take();
}

Past PrometheusReader::past_of(const std::vector<Series>& all, const FileWishes& wishes) {
  Past past;
  past.journal = past.pool_known = false;
  std::map<std::int64_t, FileRow> rows;
  const auto fill = [&](SeriesRole role, std::optional<std::int64_t> FileRow::* member) {
    for (const auto& [at, n] : values_of(all, role, past)) {
      rows[at].at_ms = at;
      rows[at].*member = n;
    }
  };
  const bool ready = std::ranges::any_of(all, [](const Series& one) { return one.role == SeriesRole::ready; });
  fill(ready ? SeriesRole::ready : SeriesRole::total, &FileRow::ready);
  fill(SeriesRole::in_flight, &FileRow::in_flight);
  fill(SeriesRole::published, &FileRow::published);
  fill(SeriesRole::done, &FileRow::done);
  fill(SeriesRole::workers, &FileRow::workers);
  std::vector<FileRow> list;
  for (auto& [at, row] : rows) {
    if (!ready && row.ready) {
      row.ready = std::max<std::int64_t>(0, *row.ready - row.in_flight.value_or(0));
    }
    list.push_back(row);
  }
  add_looks(past, list, wishes);
  return past;
}

}  // namespace sluice::lab
