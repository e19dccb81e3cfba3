// SPDX-License-Identifier: Apache-2.0
// links: base model pool policy aio queue fleet control
//
// What one tick of each policy costs: observe what is in memory, decide, plan, and write the journal's line to memory.
// The pool is at its maximum and wants more, so that no line is folded away. The reference is the same line copied and
// hashed, the least that a record of it could cost.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/check.h"
#include "control/decide.h"
#include "control/journal.h"
#include "control/observe.h"
#include "pool/pool.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

constexpr int ticks = 20'000;
constexpr int rounds = 7;
constexpr double wanted_us = 20;

class Memory final : public JournalSink {
 public:
  Result<void> write(std::string_view line) override {
    last.assign(line);
    ++lines;
    return {};
  }
  bool at_start_of_file() override { return false; }
  std::string last;
  std::int64_t lines = 0;
};

model::FleetView fleet_of(int workers, Time now) {
  model::FleetView view;
  view.observed_at = now;
  for (int slot = 0; slot < workers; ++slot) {
    view.workers.push_back({.slot = slot,
                            .name = fmt::format("orders-w{}", slot),
                            .id = fmt::format("4711-{}", slot),
                            .state = model::WorkerState::busy,
                            .why = "",
                            .since = now - 1min,
                            .created_at = now - 2min,
                            .claimed_at = now - 1min,
                            .handling = 1,
                            .place = "node 1"});
  }
  return view;
}

struct Figure {
  double us = 0;       // for a tick
  double copy_us = 0;  // for a line of the same length
};

Figure measure(const pool::Policy& policy, int workers) {
  pool::PoolSpec spec;
  spec.queue = pool::LocalQueue{"orders.db"};
  spec.policy = policy;
  spec.workers.max = workers;  // wants more at every tick, and says each time why not
  Memory memory;
  Journal journal(memory, "default/orders", pool::to_json(spec), "bench");
  Observer observer(spec);
  ControlState state{.fresh = true};
  Time now{1h};
  Result<model::FleetView> fleet = fleet_of(workers, now);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < ticks; ++i) {
    now += 1s;
    fleet->observed_at = now;
    const model::Sample sample{.ready = model::Reading{10 * workers + i % 50, now},
                               .in_flight = model::Reading{workers, now},
                               .oldest_age = model::OldestAge{3s, model::AgeKind::exact, now}};
    const model::Observation seen = observer.observe(now, fleet, sample);
    Step step = decide(spec, state, seen);
    const model::Plan what = plan(spec, step.decision, *observer.view());
    check(journal.tick({WallTime{1767225600s + i * 1s}, seen, state, step.next, step.decision, what}).has_value(),
          "the journal refused a line");
    state = std::move(step.next);
  }
  const auto half = std::chrono::steady_clock::now();
  check(memory.lines >= ticks, "lines were folded away");
  std::size_t sum = 0;
  for (int i = 0; i < ticks; ++i) {
    const std::string copy = memory.last;
    sum += std::hash<std::string>()(copy);
  }
  const auto end = std::chrono::steady_clock::now();
  check(sum != 0, "the copies were left out");
  const auto us = [](auto d) { return std::chrono::duration<double, std::micro>(d).count() / ticks; };
  return {us(half - begin), us(end - half)};
}

Figure median(const pool::Policy& policy, int workers) {
  std::vector<Figure> all;
  for (int i = 0; i < rounds; ++i) {
    all.push_back(measure(policy, workers));
  }
  std::ranges::sort(all, {}, &Figure::us);
  return all[rounds / 2];
}

}  // namespace
}  // namespace sluice::control

int main() {
  using namespace sluice;
  struct Case {
    const char* name;
    pool::Policy policy;
  };
  const std::vector<Case> cases{{"threshold", pool::ThresholdPolicy{.messages = 20, .age = std::chrono::seconds{60}}},
                                {"backlogPerWorker", pool::BacklogPerWorkerPolicy{.messages = 5}}};
  for (const Case& one : cases) {
    for (const int workers : {10, 100}) {
      const control::Figure figure = control::median(one.policy, workers);
      fmt::print("tick of {:<16} {:3} workers {:6.1f} us (wanted: {:.0f} us); copying and hashing its line {:.2f} us\n",
                 one.name, workers, figure.us, control::wanted_us, figure.copy_us);
    }
  }
  return 0;
}
