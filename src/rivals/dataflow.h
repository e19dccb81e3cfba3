// SPDX-License-Identifier: Apache-2.0
#pragma once
// The horizontal autoscaling of a streaming job of Google Cloud Dataflow, as far as it is documented.
//
// Source: Dataflow's guides "Deploying a pipeline" (streaming autoscaling) and "Tune Horizontal Autoscaling" (2026): up
// while the backlog is worth more than 15 s and the CPUs do more than 20 %, for a couple of minutes, so that it is
// cleared in about 150 s at the present throughput of a worker; down while it is worth less than 10 s and they do less
// than 75 %, so that they do 75 %. "Like": the formulas are not published. Here the utilization is the share of busy
// workers, a worker's throughput is that of a busy one, the arrivals of the window go on, and a change begins a new
// window. Where nothing was finished there is no throughput to divide by, and it holds.
#include <cstdint>
#include <optional>
#include <vector>

#include "rivals/seen.h"

namespace sluice::rivals {

struct DataflowLike {
  Duration backlog_high = std::chrono::seconds{15};
  Duration backlog_low = std::chrono::seconds{10};
  Duration drain = std::chrono::seconds{150};
  std::int64_t busy_percent = 20;         // up only above it
  std::int64_t utilization_percent = 75;  // down only below it, and to it: the autoscaling hint
  Duration window = std::chrono::seconds{120};
  Duration interval = std::chrono::seconds{10};  // between two samples; chosen
};

struct DataflowSample {
  std::int64_t at_ms = 0;
  std::int64_t finished = 0;  // since ever
  std::int64_t backlog = 0;
  std::int64_t busy = 0, there = 0;  // workers
  friend bool operator==(const DataflowSample&, const DataflowSample&) = default;
};
struct DataflowLikeState {
  std::optional<std::int64_t> workers;  // empty: not seen anything yet
  std::vector<DataflowSample> samples;
  friend bool operator==(const DataflowLikeState&, const DataflowLikeState&) = default;
};

// By a window full of samples; empty: no change. Requires: two samples.
[[nodiscard]] std::optional<std::int64_t> dataflow_workers(const DataflowLike& options,
                                                           const std::vector<DataflowSample>& samples,
                                                           std::int64_t workers);

[[nodiscard]] policy::Proposal step(const DataflowLike& options, const Bounds& bounds, const model::Observation& seen,
                                    DataflowLikeState& state);

}  // namespace sluice::rivals
