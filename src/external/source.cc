// SPDX-License-Identifier: Apache-2.0
#include "external/source.h"

#include <fmt/core.h>

#include <optional>

namespace sluice::external {
namespace {

constexpr std::string_view names =
    "accepted: NAME|OF|A|CLOUD_MONITORING_METRIC where monitoring is on, and where pools are served sluice-backlog, "
    "sluice-ready, sluice-in-flight, sluice-oldest-age-seconds, sluice-desired-workers";

}  // namespace

aio::Task<Result<std::vector<Item>>> read(const Sources& sources, Question question, aio::Deadline deadline) {
  std::optional<Error> first;
  for (const std::unique_ptr<Source>& source : sources.known) {
    if (!source->knows(question.metric)) {
      continue;
    }
    Result<std::vector<Item>> items = co_await source->read(question, deadline);
    if (items || items.error().code != Code::gone) {
      co_return items;
    }
    if (!first) {
      first = items.error();
    }
  }
  if (!first && sources.others) {
    Result<std::vector<Item>> items = co_await sources.others->read(std::move(question), deadline);
    co_return items;
  }
  co_return first
      ? *first
      : Error{Code::gone, fmt::format("the server could not find the metric {}; {}", question.metric, names)};
}

}  // namespace sluice::external
