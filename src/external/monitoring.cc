// SPDX-License-Identifier: Apache-2.0
#include "external/monitoring.h"

#include <utility>

namespace sluice::external {

bool Monitoring::knows(std::string_view metric) const {
  const std::size_t bar = metric.find('|');
  return bar != std::string_view::npos && metric.substr(0, bar).contains('.');
}

aio::Task<Result<std::vector<Item>>> Monitoring::read(Question question, aio::Deadline deadline) {
  const Result<std::vector<gcp::Point>> points =
      co_await metrics_->read(std::move(question.metric), std::move(question.selector), deadline);
  if (!points) {
    co_return points.error();
  }
  std::vector<Item> out;
  for (const gcp::Point& point : *points) {
    out.push_back(
        {.labels = Labels(point.labels.begin(), point.labels.end()), .at = point.ended_at, .milli = point.milli});
  }
  co_return out;
}

}  // namespace sluice::external
