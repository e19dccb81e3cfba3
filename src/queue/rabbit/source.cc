// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/source.h"

#include <fmt/core.h>

#include <utility>

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;

// The broker's own list changes every 5 s.
constexpr Duration list_each = 2s;
// Two rounds of RabbitMQ's statistics and a little.
constexpr Duration standstill_after = 12s;
constexpr std::int64_t standstill_readings = 2;
// Timestamps are whole seconds, and what is read may be 10 s newer than it is taken to be.
constexpr std::chrono::milliseconds ahead_max = 15s;
// An older message than this is rather a publisher that counts in another unit or sets 0.
constexpr std::chrono::milliseconds age_max = std::chrono::hours{24 * 365};

}  // namespace

bool Standstill::watch(const Management::Told& told, std::int64_t ready, Time now) {
  if (last_ != told.statistics || told.statistics.ready == ready) {
    last_ = told.statistics;
    agreed_at_ = now;
    agreed_reading_ = told.reading;
  }
  return now - agreed_at_ > standstill_after && told.reading - agreed_reading_ >= standstill_readings;
}

std::optional<model::OldestAge> head_age(const Management::Told& told, std::string& missing) {
  if (!told.statistics.head_timestamp_s) {
    return std::nullopt;
  }
  // In whole seconds first: a count up to 2^53 fits, in nanoseconds it would not.
  const std::int64_t read_s = to_ms(told.observed_wall.time_since_epoch()) / 1000;
  const std::chrono::seconds age{read_s - *told.statistics.head_timestamp_s};
  if (age < -ahead_max || age > age_max) {
    if (missing.empty()) {
      missing =
          age < -ahead_max
              ? "head_message_timestamp: in the future; the publishers' clock and the one here differ, or they do "
                "not count in seconds"
              : "head_message_timestamp: more than a year ago";
    }
    return std::nullopt;
  }
  return model::OldestAge{std::max<Duration>(age, 0s), model::AgeKind::exact, told.observed_at};
}

RabbitSource::RabbitSource(const std::shared_ptr<Broker>& broker, std::string queue,
                           std::shared_ptr<Management> management, bool lists_consumers)
    : broker_(broker),
      poller_(Poller::of(broker)),
      queue_(std::move(queue)),
      management_(std::move(management)),
      lists_consumers_(lists_consumers) {}

void RabbitSource::add(model::Sample& sample, const Management::Answer& answer) {
  sample.missing = answer.missing;
  if (!answer.told) {
    return;
  }
  const Management::Told& told = *answer.told;
  if (told.statistics.single_active_consumer) {
    sample.workers_max = 1;
  }
  if (standstill_.watch(told, sample.ready->n, sample.ready->observed_at)) {
    if (sample.missing.empty()) {
      sample.missing = "the statistics have stood still while the queue has not; in flight and age are unknown";
    }
    return;
  }
  const auto reading = [&told](std::optional<std::int64_t> n) {
    return n ? std::optional(model::Reading{*n, told.observed_at}) : std::nullopt;
  };
  sample.in_flight = reading(told.statistics.in_flight);
  sample.published_n = reading(told.statistics.published_n);
  sample.acked_n = reading(told.statistics.acked_n);
  if (sample.ready->n > 0) {  // what was in front some seconds ago is gone when nothing waits now
    sample.oldest_age = head_age(told, sample.missing);
  }
}

aio::Task<void> RabbitSource::list_consumers(model::Sample& sample, aio::Deadline deadline) {
  if (broker_->clock().now() >= list_again_) {
    const Time asked = broker_->clock().now();
    const Result<std::vector<Consumer>> all = co_await management_->consumers(queue_, deadline);
    list_again_ = broker_->clock().now() + list_each;
    unlisted_ = all ? "" : "who consumes: " + all.error().what;
    if (all) {
      listed_ = model::ConsumerList{.all = {}, .observed_at = asked};
      for (const Consumer& one : *all) {
        listed_->all.push_back({.tag = one.tag, .connection = one.connection, .active = one.active});
      }
    }
  }
  sample.consumer_list = listed_;
  if (sample.missing.empty()) {
    sample.missing = unlisted_;
  }
}

aio::Task<Result<model::Sample>> RabbitSource::sample(aio::Deadline deadline) {
  const Result<Poller::Counts> counts = co_await poller_->counts(queue_, deadline);
  if (!counts) {
    co_return counts.error();
  }
  model::Sample out;
  out.ready = model::Reading{counts->ready, counts->at};
  out.consumers = model::Reading{counts->consumers, counts->at};
  if (!management_) {
    if (lists_consumers_) {
      out.missing = "who consumes is not known without spec.queue.rabbitmq.management";
    }
    co_return out;
  }
  const Result<void> told = co_await ask_management(out, deadline);
  co_return told ? Result<model::Sample>(std::move(out)) : told.error();
}

// Apart from sample(), so that a pool without management waits with little memory.
aio::Task<Result<void>> RabbitSource::ask_management(model::Sample& sample, aio::Deadline deadline) {
  const Management::Answer answer = co_await management_->about(queue_, deadline);
  const std::string where = fmt::format("queue {} on {}", queue_, broker_->address().text());
  if (answer.told && answer.told->statistics.type == "stream") {
    co_return Error{Code::invalid,
                    where + ": a stream; reading it takes nothing from it, so its length is no backlog to scale by"};
  }
  // A queue that is down answers a declare with 0.
  const std::string state = answer.told ? answer.told->statistics.state : "";
  if ((state == "down" || state == "crashed" || state == "minority" || state == "stopped") && sample.ready->n == 0) {
    co_return Error{Code::retry, fmt::format("{}: the broker says that the queue is {}", where, state)};
  }
  add(sample, answer);
  if (lists_consumers_) {
    co_await list_consumers(sample, deadline);
  }
  co_return Result<void>{};
}

}  // namespace sluice::queue::rabbit
