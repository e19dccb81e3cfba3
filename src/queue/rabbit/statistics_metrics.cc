// SPDX-License-Identifier: Apache-2.0
// The Prometheus text format, as far as /metrics/detailed uses it.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/number.h"
#include "queue/rabbit/statistics.h"

namespace sluice::queue::rabbit {
namespace {

struct Series {
  std::string_view name;
  std::optional<std::int64_t> QueueStatistics::* field;
};
constexpr std::array wanted{
    Series{"rabbitmq_detailed_queue_messages_ready", &QueueStatistics::ready},
    Series{"rabbitmq_detailed_queue_messages_unacked", &QueueStatistics::in_flight},
    Series{"rabbitmq_detailed_queue_consumers", &QueueStatistics::consumers},
};

Error bad_line(std::size_t number, std::string_view why) {
  return Error{Code::invalid, fmt::format("line {}: {}", number, why)};
}

struct Labels {
  std::string vhost;
  std::string queue;
};

// Takes `{a="b",..}` off the front of `text`. Empty when it is not closed or not written so.
std::optional<Labels> take_labels(std::string_view& text) {
  Labels out;
  text.remove_prefix(1);  // {
  while (!text.empty() && text.front() != '}') {
    const std::size_t equals = text.find("=\"");
    if (equals == std::string_view::npos) {
      return std::nullopt;
    }
    const std::string_view label = text.substr(0, equals);
    text.remove_prefix(equals + 2);
    std::string value;
    while (!text.empty() && text.front() != '"') {
      const bool escaped = text.front() == '\\';
      text.remove_prefix(escaped ? 1 : 0);
      if (text.empty()) {
        return std::nullopt;
      }
      value += escaped && text.front() == 'n' ? '\n' : text.front();
      text.remove_prefix(1);
    }
    if (text.empty()) {
      return std::nullopt;
    }
    text.remove_prefix(1);  // the closing quote
    if (text.starts_with(',')) {
      text.remove_prefix(1);
    }
    if (label == "vhost") {
      out.vhost = std::move(value);
    } else if (label == "queue") {
      out.queue = std::move(value);
    }
  }
  if (text.empty()) {
    return std::nullopt;
  }
  text.remove_prefix(1);  // }
  return out;
}

std::optional<std::int64_t> whole(std::string_view text) {
  const std::optional<std::int64_t> n = parse_number<std::int64_t>(text);
  return n && *n >= 0 && *n <= statistic_max ? n : std::nullopt;
}

class Reader {
 public:
  explicit Reader(std::string_view vhost) : vhost_(vhost) {}

  Result<void> line(std::string_view text, std::size_t number) {
    if (text.empty() || text.starts_with('#')) {
      return {};
    }
    const std::size_t brace = text.find_first_of("{ ");
    const std::string_view name = text.substr(0, brace);
    const auto* series = std::ranges::find(wanted, name, &Series::name);
    if (series == wanted.end()) {
      return {};
    }
    text.remove_prefix(name.size());
    const std::optional<Labels> labels = text.starts_with('{') ? take_labels(text) : std::nullopt;
    if (!labels || labels->queue.empty() || !text.starts_with(' ')) {
      return bad_line(number, "no series of a queue in the text format");
    }
    text.remove_prefix(1);
    if (labels->vhost != vhost_) {
      return {};
    }
    if (!seen_.insert({labels->queue, static_cast<std::size_t>(series - wanted.begin())}).second) {
      return bad_line(number, "a series that is there twice");
    }
    QueueStatistics& queue = out[labels->queue];
    const std::optional<std::int64_t> n = whole(text);
    queue.*(series->field) = n;
    if (!n && queue.missing.empty()) {
      queue.missing = fmt::format("{}: no whole number from 0 to 2^53", name);
    }
    return {};
  }

  StatisticsByQueue out;

 private:
  std::string_view vhost_;
  std::set<std::pair<std::string, std::size_t>> seen_;
};

}  // namespace

Result<StatisticsByQueue> parse_detailed_metrics(std::string_view body, std::string_view vhost) {
  // Every answer in the format begins with a comment, also where there are no queues. A page of HTML does not.
  if (!body.starts_with("# TYPE ") && !body.starts_with("# HELP ")) {
    return Error{Code::invalid, "not metrics in the text format"};
  }
  if (!body.ends_with('\n')) {
    return Error{Code::invalid, "the metrics end in the middle of a line"};
  }
  Reader reader(vhost);
  std::size_t number = 0;
  while (!body.empty()) {
    const std::size_t end = body.find('\n');
    std::string_view text = body.substr(0, end);
    if (text.ends_with('\r')) {
      text.remove_suffix(1);
    }
    if (const Result<void> read = reader.line(text, ++number); !read) {
      return read.error();
    }
    body.remove_prefix(end + 1);
  }
  for (auto& [name, queue] : reader.out) {
    for (const Series& series : wanted) {
      if (queue.missing.empty() && !(queue.*(series.field))) {
        queue.missing = fmt::format("{}: absent", series.name);
      }
    }
  }
  return std::move(reader.out);
}

}  // namespace sluice::queue::rabbit
