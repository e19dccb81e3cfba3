// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/source.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace sluice::queue::pubsub {

PubsubSource::PubsubSource(aio::Clock& clock, std::shared_ptr<gcp::Metrics> metrics, SourceOptions options)
    : clock_(clock), metrics_(std::move(metrics)), options_(std::move(options)) {}

aio::Task<Result<PubsubSource::Read>> PubsubSource::read(std::string metric, std::string subscription,
                                                         aio::Deadline deadline) {
  const model::Selector selector{{.key = "resource.labels.project_id", .values = {options_.project}},
                                 {.key = "resource.labels.subscription_id", .values = {subscription}}};
  const Result<std::vector<gcp::Point>> points =
      co_await metrics_->read("pubsub.googleapis.com/subscription/" + metric, selector, deadline);
  if (!points) {
    co_return points.error().in(fmt::format("projects/{}/subscriptions/{}", options_.project, subscription));
  }
  if (points->size() != 1 || points->front().milli < 0) {
    co_return Error{Code::invalid, fmt::format("{} of {}: {} series in Cloud Monitoring; there should be one", metric,
                                               subscription, points->size())};
  }
  const gcp::Point& point = points->front();
  // A clock of ours that is behind makes no reading of the future.
  const Duration age = std::max(Duration{0}, Duration{clock_.wall() - point.ended_at});
  co_return Read{.milli = point.milli, .observed_at = clock_.now() - age};
}

aio::Task<Result<model::Sample>> PubsubSource::sample(aio::Deadline deadline) {
  const Result<Read> total = co_await read("num_undelivered_messages", options_.subscription, deadline);
  if (!total) {
    co_return total.error();
  }
  model::Sample out;
  out.total = model::Reading{.n = total->milli / 1000, .observed_at = total->observed_at, .approximate = true};
  const Result<Read> oldest = co_await read("oldest_unacked_message_age", options_.subscription, deadline);
  if (oldest) {
    out.oldest_age = model::OldestAge{.age = std::chrono::milliseconds{oldest->milli},
                                      .kind = model::AgeKind::bound,
                                      .observed_at = oldest->observed_at};
  }
  if (!options_.dead_letter_subscription.empty()) {
    const Result<Read> dead = co_await read("num_undelivered_messages", options_.dead_letter_subscription, deadline);
    if (dead) {
      out.dead = model::Reading{.n = dead->milli / 1000, .observed_at = dead->observed_at, .approximate = true};
    }
  }
  co_return out;
}

}  // namespace sluice::queue::pubsub
