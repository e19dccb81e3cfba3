// SPDX-License-Identifier: Apache-2.0
#pragma once
// What RabbitMQ's management API and its /metrics/detailed say about queues, read from bytes. Pure.
//
// RabbitMQ leaves fields out for seconds after a declare, after a restart and while its statistics are off. What is not
// there, or is no whole number from 0 to 2^53, stays empty and is named in `missing`; it is never 0.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::queue::rabbit {

inline constexpr std::int64_t statistic_max = std::int64_t{1} << 53U;  // beyond it JSON numbers are not exact

struct QueueStatistics {
  std::optional<std::int64_t> ready;
  std::optional<std::int64_t> in_flight;
  std::optional<std::int64_t> consumers;
  // Cumulative since the broker's statistics began: what channels published here, and what consumers acknowledged. What
  // the broker itself moved here (dead letters, so also retries) is in neither.
  std::optional<std::int64_t> published_n;
  std::optional<std::int64_t> acked_n;
  // Seconds since 1970 by the publisher's clock: the timestamp property of the message in front. Classic queues alone,
  // and only where publishers set it.
  std::optional<std::int64_t> head_timestamp_s;
  std::string type;    // classic, quorum, stream; empty: not said
  std::string state;   // running, idle, flow, down, minority, ..; empty: not said
  std::string policy;  // the one that applies; empty: none, or not said
  bool single_active_consumer = false;
  std::string missing;  // the first field that should be there and cannot be read, and why; empty: all can
  friend bool operator==(const QueueStatistics&, const QueueStatistics&) = default;
};

using StatisticsByQueue = std::map<std::string, QueueStatistics, std::less<>>;

// The query that asks for no more than is read here.
[[nodiscard]] std::string_view statistics_columns();

// The answer of /api/queues/VHOST/QUEUE. Code::invalid: no JSON object, or about another queue than `name`.
[[nodiscard]] Result<QueueStatistics> parse_queue_statistics(std::string_view body, std::string_view name);

struct StatisticsPage {
  StatisticsByQueue queues;
  std::int64_t pages = 1;  // there are
};
// The answer of /api/queues/VHOST?page=N. Code::invalid: no such object, another page than `page`, a queue twice.
[[nodiscard]] Result<StatisticsPage> parse_statistics_page(std::string_view body, std::int64_t page);

// The answer of /metrics/detailed with the families queue_coarse_metrics and queue_consumer_count: ready, in_flight and
// consumers of the queues of `vhost`. Code::invalid: not the text format, or without any of its series.
[[nodiscard]] Result<StatisticsByQueue> parse_detailed_metrics(std::string_view body, std::string_view vhost);

// One consumer of a queue, as the broker sees it.
struct Consumer {
  std::string tag;
  std::string connection;  // the name that its client gave the connection; empty: none
  std::string peer_host;   // an address, as the broker sees it
  std::int64_t peer_port = 0;
  bool active = true;  // false: waits behind the active one of a single active consumer
};
// Of the answer of /api/queues/VHOST/QUEUE without columns. Errors as of parse_queue_statistics(); also where the list
// or an address in it is missing: half a list would be taken for all consumers there are.
[[nodiscard]] Result<std::vector<Consumer>> parse_consumers(std::string_view body, std::string_view name);

}  // namespace sluice::queue::rabbit
