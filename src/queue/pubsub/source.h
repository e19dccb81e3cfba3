// SPDX-License-Identifier: Apache-2.0
#pragma once
// How much there is in a subscription, as Cloud Monitoring knows it: all that is not acknowledged, what is in work
// included, a minute to three old. Pub/Sub itself does not say; and what waits alone nobody does.
#include <memory>
#include <string>

#include "gcp/monitoring.h"
#include "queue/backlog_source.h"

namespace sluice::queue::pubsub {

struct SourceOptions {
  std::string project;
  std::string subscription;              // its short name
  std::string dead_letter_subscription;  // empty: none
};

// Gives `total`, approximate, `dead` where that subscription has a number, and the age of the oldest message not
// acknowledged, which may be in work: a bound. Each with the time at which Monitoring saw it.
class PubsubSource final : public BacklogSource {
 public:
  // The clock outlives it.
  PubsubSource(aio::Clock& clock, std::shared_ptr<gcp::Metrics> metrics, SourceOptions options);
  aio::Task<Result<model::Sample>> sample(aio::Deadline deadline) override;

 private:
  struct Read {
    std::int64_t milli = 0;
    Time observed_at;
  };
  [[nodiscard]] aio::Task<Result<Read>> read(std::string metric, std::string subscription, aio::Deadline deadline);

  aio::Clock& clock_;
  std::shared_ptr<gcp::Metrics> metrics_;
  SourceOptions options_;
};

}  // namespace sluice::queue::pubsub
