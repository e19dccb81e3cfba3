// SPDX-License-Identifier: Apache-2.0
#pragma once
// Metrics from Cloud Monitoring. Each question is asked in the background once a minute while somebody wants it, by
// every process at the same moments of the day, and answered from memory; the subscriptions of a project share one list
// of them all (docs/decisions/0021).
//
// Not a cache in front of the API: with one, whoever comes after it ran out waits, and a burst of HPAs is a burst of
// calls. What is not newer than `stale_after` is an error that says how old it is, never a number.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aio/loop.h"
#include "gcp/monitoring.h"
#include "gcp/monitoring_api.h"

namespace sluice::gcp {

struct CloudMonitoringOptions {
  MonitoringApiOptions api = {};
  // Where a selector names no project.
  std::function<aio::Task<Result<std::string>>(aio::Deadline)> project;
  // Whether a project has a subscription, for the text of the error where there is no data; none: nobody can say.
  // An answer is kept for a minute.
  std::function<aio::Task<Result<bool>>(std::string project, std::string subscription, aio::Deadline)> has_subscription;
  Duration each = std::chrono::seconds{60};          // between two readings: samples come no oftener
  Duration stale_after = std::chrono::seconds{300};  // the end of a point
  Duration kept = std::chrono::minutes{5};           // a question that nobody asks
  std::size_t questions_max = 1000;                  // of different metrics, selectors or projects
  std::size_t subscriptions_max = 20'000;            // kept in memory, of one metric in one project
  std::uint64_t seed = 1;
};

class CloudMonitoring final : public Metrics {
 public:
  // References outlive it, and what it asks in the background ends within 10 s after it.
  CloudMonitoring(aio::Loop& loop, aio::Clock& clock, std::shared_ptr<TokenSource> tokens,
                  CloudMonitoringOptions options);
  ~CloudMonitoring() override;
  CloudMonitoring(const CloudMonitoring&) = delete;
  CloudMonitoring& operator=(const CloudMonitoring&) = delete;

  aio::Task<Result<std::vector<Point>>> read(std::string metric, model::Selector selector,
                                             aio::Deadline deadline) override;
  // Questions that are being asked now.
  [[nodiscard]] std::size_t questions() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sluice::gcp
