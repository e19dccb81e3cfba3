// SPDX-License-Identifier: Apache-2.0
#include "gcp/examine.h"

#include <fmt/core.h>

#include <algorithm>

#include "gcp/query.h"

namespace sluice::gcp {
namespace {

using namespace std::chrono_literals;
using Level = Finding::Level;
using Topic = Finding::Topic;

constexpr Duration window = 5min;

Finding failed(Topic topic, const Error& error) {
  return {.topic = error.code == Code::denied && topic != Topic::credentials ? Topic::permission : topic,
          .level = Level::failed,
          .text = error.what};
}

Finding about_data(const Listed& listed, const ExamineOptions& options, const std::string& project, WallTime now) {
  const std::string what =
      options.subscription.empty() ? "project " + project : fmt::format("subscription {}", options.subscription);
  if (listed.points.empty()) {
    return {.topic = Topic::metric,
            .level = Level::warning,
            .text = fmt::format("no series of {} for {} in the last {}", options.metric, what, humane_duration(window)),
            .fix = "check the name; a new subscription has data after some minutes"};
  }
  const auto newest =
      std::ranges::max_element(listed.points, {}, [](const Point& point) { return point.ended_at; })->ended_at;
  const auto age = std::max<std::chrono::milliseconds>(now - newest, 0ms);
  return {.topic = Topic::metric,
          .text = fmt::format("{} has data of {}, {} old", options.metric, what, humane_duration(age))};
}

}  // namespace

aio::Task<std::vector<Finding>> examine(aio::Clock& clock, std::shared_ptr<Credentials> credentials, MonitoringApi& api,
                                        ExamineOptions options, aio::Deadline deadline) {
  std::vector<Finding> out;
  if (credentials == nullptr) {
    out.push_back({.topic = Topic::credentials, .text = "an emulator: no credentials, and no Cloud Monitoring"});
    co_return out;
  }
  const Result<std::string> token = co_await credentials->token(deadline);
  if (!token) {
    out.push_back(failed(Topic::credentials, token.error()));
    co_return out;
  }
  out.push_back(
      {.topic = Topic::credentials,
       .text = fmt::format("credentials from {}: a token for {}", credentials->where(), credentials->account())});
  std::string project = options.project;
  if (project.empty()) {
    const Result<std::string> ours = co_await credentials->project(deadline);
    if (!ours) {
      out.push_back(failed(Topic::project, ours.error()));
      co_return out;
    }
    project = *ours;
  }
  out.push_back({.topic = Topic::project, .text = "project " + project});
  const Result<Descriptor> descriptor = co_await api.descriptor(project, options.metric, deadline);
  if (!descriptor) {
    out.push_back(
        failed(descriptor.error().code == Code::gone ? Topic::metric : Topic::monitoring, descriptor.error()));
    co_return out;
  }
  out.push_back({.topic = Topic::monitoring, .text = fmt::format("Cloud Monitoring answers for project {}", project)});
  std::string filter = metric_filter(options.metric);
  if (!options.subscription.empty()) {
    filter += fmt::format(" AND {} = {}", subscription_label, in_quotes(options.subscription));
  }
  ListRequest request{.project = project, .filter = std::move(filter), .kind = descriptor->kind, .window = window};
  const Result<Listed> listed = co_await api.list(std::move(request), deadline);
  out.push_back(listed ? about_data(*listed, options, project, clock.wall())
                       : failed(Topic::monitoring, listed.error()));
  co_return out;
}

}  // namespace sluice::gcp
