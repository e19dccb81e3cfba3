// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names such as "pubsub.googleapis.com|subscription|num_undelivered_messages": Cloud Monitoring's.
#include <memory>

#include "external/source.h"
#include "gcp/monitoring.h"

namespace sluice::external {

class Monitoring final : public Source {
 public:
  explicit Monitoring(std::shared_ptr<gcp::Metrics> metrics) : metrics_(std::move(metrics)) {}

  // What has more than one part, as every metric type of Cloud Monitoring.
  [[nodiscard]] bool knows(std::string_view metric) const override;
  [[nodiscard]] aio::Task<Result<std::vector<Item>>> read(Question question, aio::Deadline deadline) override;

 private:
  std::shared_ptr<gcp::Metrics> metrics_;
};

}  // namespace sluice::external
