// SPDX-License-Identifier: Apache-2.0
// links: base model policy
//
// What one decision of the policy lag costs, with its thirty shadow queues: a look at which a step has passed, and one
// between two steps. The queue is busy: bursts, a backlog, workers that start. Beside it how much is remembered, in
// memory and written down. The reference is a copy of what is remembered, the least that a next state could cost.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "policy/lag.h"
#include "policy/lag_json.h"

namespace sluice::policy {
namespace {

constexpr int looks = 4'000;
constexpr int rounds = 7;
constexpr double wanted_us = 50;
constexpr std::size_t memory_wanted = 65'536;
constexpr std::size_t written_wanted = 16'384;

struct Figure {
  double step_us = 0;
  double look_us = 0;
  double copy_us = 0;
  std::size_t memory = 0;   // the most at any look
  std::size_t written = 0;  // the same
};

// Arrivals of one step: quiet, or a burst.
std::int64_t arrivals(Random& random, int i) {
  return (i / 37) % 3 == 0 ? 200 + static_cast<std::int64_t>(random.below(100))
                           : static_cast<std::int64_t>(random.below(20));
}

Figure measure(std::int64_t longest_ms, std::uint64_t seed) {
  Random random(seed);
  const LagOptions options{.max_ms = longest_ms, .workers_max = 10'000};
  LagMemory memory;
  model::Observation seen;
  seen.fleet.age_ms = 0;
  std::int64_t published = 0;
  std::int64_t acked = 0;
  std::int64_t workers = 0;
  Figure out;
  std::chrono::nanoseconds stepping{0};
  std::chrono::nanoseconds looking{0};
  std::chrono::nanoseconds copying{0};
  for (int i = 0; i < looks; ++i) {
    published += arrivals(random, i);
    acked = std::min(published, acked + workers * 2);
    seen.at_ms = 5'000 * (i + 1);
    seen.queue.ready = model::SeenCount{std::max<std::int64_t>(published - acked - workers, 0), 0};
    seen.queue.in_flight = model::SeenCount{std::min(published - acked, workers), 0};
    seen.queue.published_n = model::SeenCount{published, 0};
    seen.queue.acked_n = model::SeenCount{acked, 0};
    const auto begin = std::chrono::steady_clock::now();
    LagStep step = lag(options, memory, seen);
    const auto stepped = std::chrono::steady_clock::now();
    seen.at_ms += 1'000;
    const LagStep look = lag(options, step.next, seen);
    const auto looked = std::chrono::steady_clock::now();
    const LagMemory copy = step.next;
    const auto copied = std::chrono::steady_clock::now();
    check(copy == step.next && look.terms.has_value(), "a decision was blind");
    stepping += stepped - begin;
    looking += looked - stepped;
    copying += copied - looked;
    // Those that were asked for start within two steps; those that are not needed leave at once.
    std::int64_t& starting = seen.workers[static_cast<std::size_t>(model::WorkerState::starting)];
    workers = std::min(workers + starting, std::max(step.proposal.enough, step.proposal.wanted));
    starting = std::max<std::int64_t>(step.proposal.wanted - workers, 0);
    seen.workers[static_cast<std::size_t>(model::WorkerState::busy)] = workers;
    seen.starts.last_ms_ago = 5'000;
    memory = std::move(step.next);
    std::string text;
    append_json(text, memory);
    out.memory = std::max(out.memory, memory_size(memory));
    out.written = std::max(out.written, text.size());
  }
  const auto us = [](auto d) { return std::chrono::duration<double, std::micro>(d).count() / looks; };
  out.step_us = us(stepping);
  out.look_us = us(looking);
  out.copy_us = us(copying);
  return out;
}

Figure median(std::int64_t longest_ms) {
  std::vector<Figure> all;
  for (int i = 0; i < rounds; ++i) {
    all.push_back(measure(longest_ms, static_cast<std::uint64_t>(i) + 1));
  }
  std::ranges::sort(all, {}, &Figure::step_us);
  return all[rounds / 2];
}

}  // namespace
}  // namespace sluice::policy

int main() {
  using namespace sluice::policy;
  for (const std::int64_t longest_s : {30, 150, 600}) {
    const Figure figure = median(longest_s * 1000);
    fmt::print(
        "lag of {:3} s: {:5.1f} us for a look at a step (wanted: {:.0f} us), {:4.1f} us between steps; copying what is "
        "remembered {:.1f} us\n",
        longest_s, figure.step_us, wanted_us, figure.look_us, figure.copy_us);
    fmt::print("lag of {:3} s: {:5.1f} KB remembered (wanted: {} KB), {:4.1f} KB written (wanted: {} KB)\n", longest_s,
               static_cast<double>(figure.memory) / 1024, memory_wanted / 1024,
               static_cast<double>(figure.written) / 1024, written_wanted / 1024);
  }
  return 0;
}
