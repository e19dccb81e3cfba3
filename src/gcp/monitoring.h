// SPDX-License-Identifier: Apache-2.0
#pragma once
// Numbers of Cloud Monitoring, from memory: whoever asks for the same gets the same, and the API is asked once.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"
#include "base/time.h"
#include "model/selector.h"

namespace sluice::gcp {

// The newest point of one time series.
struct Point {
  std::map<std::string, std::string> labels;  // metric.labels.*, resource.type, resource.labels.*
  std::int64_t milli = 0;                     // the value in thousandths; a double is cut off after three digits
  WallTime ended_at;                          // of the point's interval
};

class Metrics {
 public:
  virtual ~Metrics() = default;
  // `metric` is a type with "/" or "|" between its parts, in any case of letters; `selector` as the Stackdriver adapter
  // reads it. Errors: invalid (a selector or metric that cannot be, in that adapter's words), gone (no such metric, or
  // no series: the text says which), denied (names the role that is missing), throttled, retry (unreachable; or all
  // that is known is older than it may be). An answer is never empty.
  virtual aio::Task<Result<std::vector<Point>>> read(std::string metric, model::Selector selector,
                                                     aio::Deadline deadline) = 0;
};

}  // namespace sluice::gcp
