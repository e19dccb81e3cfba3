// SPDX-License-Identifier: Apache-2.0
#pragma once
// The answers of the aggregated API. Each says that it is JSON, errors too: kube-controller-manager asks for protobuf
// and takes an answer without a type for that. None says Retry-After: client-go would sleep through it inside the
// HPA's worker. Discovery never depends on a queue: an API that comes and goes stops the deletion of namespaces.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aio/http.h"
#include "base/time.h"
#include "external/selector.h"

namespace sluice::external {

[[nodiscard]] aio::http::Response group_list_document();     // /apis
[[nodiscard]] aio::http::Response group_document();          // /apis/external.metrics.k8s.io
[[nodiscard]] aio::http::Response resource_list_document();  // /apis/external.metrics.k8s.io/v1beta1

// One of a metric's values; an HPA adds them up.
struct Item {
  Labels labels = {};
  WallTime at = {};                  // when the value was true; whole seconds of it are written
  std::chrono::seconds window = {};  // the time the value is about; 0: not written
  std::int64_t milli = 0;
};
// `metric` as it was asked for.
[[nodiscard]] aio::http::Response value_list(std::string_view metric, const std::vector<Item>& items);

// A metav1.Status. The message is what the HPA's event shows to its owner: cause and remedy in one line.
[[nodiscard]] aio::http::Response failure(int status, std::string_view message);

}  // namespace sluice::external
