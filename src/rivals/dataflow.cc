// SPDX-License-Identifier: Apache-2.0
#include "rivals/dataflow.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace sluice::rivals {
namespace {

// Of a window of samples.
struct Terms {
  double seconds = 0;
  double throughput = 0;   // finished a second
  double arrivals = 0;     // a second
  double busy = 0;         // workers, on average
  double utilization = 0;  // of those there
};

Terms terms_of(const std::vector<DataflowSample>& samples) {
  const DataflowSample& first = samples.front();
  const DataflowSample& last = samples.back();
  Terms out;
  out.seconds = static_cast<double>(std::max<std::int64_t>(last.at_ms - first.at_ms, 1)) / 1000;
  const std::int64_t finished = last.finished - first.finished;
  out.throughput = static_cast<double>(finished) / out.seconds;
  out.arrivals = std::max(0.0, static_cast<double>(finished + last.backlog - first.backlog) / out.seconds);
  std::int64_t busy = 0;
  std::int64_t there = 0;
  for (const DataflowSample& one : samples) {
    busy += one.busy;
    there += one.there;
  }
  out.busy = static_cast<double>(busy) / static_cast<double>(samples.size());
  out.utilization = there == 0 ? 0 : static_cast<double>(busy) / static_cast<double>(there);
  return out;
}

double backlog_s(const DataflowSample& one, const Terms& terms) {
  return static_cast<double>(one.backlog) / terms.throughput;
}

// A number of workers that a double may be too large for.
std::int64_t whole(double workers) {
  return static_cast<std::int64_t>(std::min(std::ceil(workers), 2147483647.0));
}

DataflowSample sample_of(const model::Observation& seen, std::int64_t backlog) {
  return {.at_ms = seen.at_ms,
          .finished = seen.queue.acked_n->n,
          .backlog = backlog,
          .busy = seen.count(model::WorkerState::busy),
          .there = started(seen)};
}

// Whether the window is full; what is older than it is dropped but for one.
bool collect(const DataflowLike& options, DataflowSample now, DataflowLikeState& state) {
  std::vector<DataflowSample>& samples = state.samples;
  samples.push_back(now);
  const std::int64_t from_ms = now.at_ms - to_ms(options.window);
  while (samples.size() > 2 && samples[1].at_ms <= from_ms) {
    samples.erase(samples.begin());
  }
  return samples.size() >= 2 && samples.front().at_ms <= from_ms;
}

}  // namespace

std::optional<std::int64_t> dataflow_workers(const DataflowLike& options, const std::vector<DataflowSample>& samples,
                                             std::int64_t workers) {
  const Terms terms = terms_of(samples);
  if (terms.throughput <= 0 || terms.busy <= 0) {
    const bool empty = std::ranges::all_of(samples, [](const DataflowSample& one) { return one.backlog == 0; });
    const bool idle = terms.throughput <= 0 && terms.busy <= 0 && empty;
    return idle && workers > 1 ? std::optional<std::int64_t>(1) : std::nullopt;
  }
  const bool behind = std::ranges::all_of(
      samples, [&](const DataflowSample& one) { return backlog_s(one, terms) > to_s(options.backlog_high); });
  if (behind && terms.utilization * 100 > static_cast<double>(options.busy_percent)) {
    const double each = terms.throughput / terms.busy;
    const double rate = terms.arrivals + static_cast<double>(samples.back().backlog) / to_s(options.drain);
    const std::int64_t needed = whole(rate / each);
    return needed > workers ? std::optional(needed) : std::nullopt;
  }
  const bool caught_up = std::ranges::all_of(
      samples, [&](const DataflowSample& one) { return backlog_s(one, terms) < to_s(options.backlog_low); });
  if (caught_up && terms.utilization * 100 < static_cast<double>(options.utilization_percent)) {
    const std::int64_t enough = whole(terms.busy * 100 / static_cast<double>(options.utilization_percent));
    return enough < workers ? std::optional(std::max<std::int64_t>(enough, 1)) : std::nullopt;
  }
  return std::nullopt;
}

policy::Proposal step(const DataflowLike& options, const Bounds& bounds, const model::Observation& seen,
                      DataflowLikeState& state) {
  const std::int64_t least = std::max<std::int64_t>(bounds.min, 1);  // a job has one at the least
  const std::int64_t most = std::max<std::int64_t>(bounds.max, 1);
  state.workers = std::clamp(state.workers.value_or(seen.useful()), least, most);
  const std::optional<std::int64_t> backlog = messages(Counts::ready, bounds, seen);
  if (!backlog || !seen.queue.acked_n) {
    policy::Proposal out = blind(*state.workers, seen);
    out.sentence = backlog ? "the count of finished messages is unknown" : out.sentence;
    return out;
  }
  std::string said = fmt::format("{} in the backlog", *backlog);
  const bool early = !state.samples.empty() && seen.at_ms - state.samples.back().at_ms < to_ms(options.interval);
  if (early || !collect(options, sample_of(seen, *backlog), state)) {
    return want(*state.workers, said + "; the window is not full", seen);
  }
  const Terms terms = terms_of(state.samples);
  said += fmt::format(", {:.3g} finished a second, {:.0f} % busy", terms.throughput, terms.utilization * 100);
  const std::optional<std::int64_t> asked = dataflow_workers(options, state.samples, *state.workers);
  const std::int64_t next = std::clamp(asked.value_or(*state.workers), least, most);
  if (next != *state.workers) {
    state.workers = next;
    state.samples.clear();
  }
  return want(*state.workers, said + fmt::format(": {}", *state.workers), seen);
}

}  // namespace sluice::rivals
