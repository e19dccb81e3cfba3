// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a request of the aggregated API asks for: its target as a value. The whole table of paths is here, so that who
// may ask (front_proxy.h, review.h) and what is answered (documents.h) see the same reading of one text.
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::external {

inline constexpr std::string_view api_group = "external.metrics.k8s.io";
inline constexpr std::string_view api_version = "v1beta1";

struct Route {
  enum class Kind {
    health,         // /healthz, /livez, /readyz: `path` says which
    apis,           // /apis
    group,          // /apis/external.metrics.k8s.io
    group_version,  // /apis/external.metrics.k8s.io/v1beta1
    metric,         // /apis/external.metrics.k8s.io/v1beta1/namespaces/SPACE/METRIC
    openapi,        // /openapi/v2 and all below /openapi/v3: answered by 404, which an aggregator takes for "none"
    unknown,
  };
  Kind kind = Kind::unknown;
  std::string path;  // decoded, without a slash at its end
  // Of a metric.
  std::string space = {};
  std::string metric = {};    // lower case: client-go writes it so, whatever the HPA says
  std::string selector = {};  // the parameter labelSelector, not read yet: who may not ask is not told what is wrong
  bool watch = false;         // another verb for who decides what is allowed
  friend bool operator==(const Route&, const Route&) = default;
};

// Of a request's target. Parameters that are repeated count the first time, those that are not known not at all.
// Code::invalid for what does not decode (%2, %zz), what holds other than printable ASCII, a namespace that cannot be
// one and a metric's name that no path segment can be.
[[nodiscard]] Result<Route> parse_route(std::string_view target);

}  // namespace sluice::external
