// SPDX-License-Identifier: Apache-2.0
// links: base model pool policy aio queue fleet control worker sim
//
// How fast simulated time runs. The core: virtual clock, tasks, the queue in memory and the real worker runtime, with
// nobody watching. The reference in the same run: the clock and the tasks alone, sleepers that do nothing else. Then
// whole worlds, in which the real control loop scales, faults strike and every event is checked.
// An event is an instant of virtual time that somebody waited for, or a handler that ran in it.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "aio/task_group.h"
#include "base/check.h"
#include "queue/memory.h"
#include "sim/world.h"
#include "worker/runtime.h"
#include "worker/simulate_handler.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr int workers = 50;
constexpr int messages = 50'000;
constexpr int rounds = 5;
constexpr int seeds = 100;
constexpr double wanted = 1.0;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

aio::Task<void> sleeper(aio::Clock& clock, Random random) {
  for (int i = 0; i < 4 * messages / workers; ++i) {
    co_await clock.sleep_for(random.between(1ms, 1s));
  }
}

aio::Task<void> sleepers(aio::Loop& loop, aio::Clock& clock) {
  aio::TaskGroup group(loop, clock);
  for (std::uint64_t i = 0; i < workers; ++i) {
    group.spawn(sleeper(clock, Random(i)));
  }
  co_await group.join();
}

// One worker at its work until the queue stays empty.
struct Hand {
  Hand(aio::Loop& loop, aio::Clock& clock, queue::MemoryBroker& broker, std::uint64_t seed)
      : random(seed),
        handler(clock, random, {.work = 200ms}),
        receiver(broker.receiver(fmt::format("w{}", seed))),
        runtime(loop, clock, random, *receiver, handler, options(seed), observer) {}
  static worker::RuntimeOptions options(std::uint64_t seed) {
    worker::RuntimeOptions out{.worker = fmt::format("w{}", seed)};
    out.idle_exit = 10s;
    return out;
  }
  Random random;
  worker::SimulateHandler handler;
  std::unique_ptr<queue::Receiver> receiver;
  worker::Observer observer;
  worker::Runtime runtime;
};

aio::Task<void> run_one(worker::Runtime& runtime, std::uint64_t& done) {
  const Result<worker::Summary> end = co_await runtime.run();
  done += end ? end->counts.done : 0;
}

aio::Task<void> work(aio::Loop& loop, aio::Clock& clock) {
  Random random(1);
  queue::MemoryBroker broker(loop, clock, random, {.latency_low = 1ms, .latency_high = 3ms});
  const std::unique_ptr<queue::Publisher> publisher = broker.publisher("bench");
  std::vector<queue::Message> batch(messages);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    batch[i].id = fmt::format("m-{}", i);
    batch[i].body = "work";
  }
  const aio::Deadline soon = clock.in(1min);
  co_await publisher->publish(std::move(batch), soon);
  std::vector<std::unique_ptr<Hand>> hands;
  std::uint64_t done = 0;
  aio::TaskGroup group(loop, clock);
  for (std::uint64_t i = 0; i < workers; ++i) {
    hands.push_back(std::make_unique<Hand>(loop, clock, broker, i));
    group.spawn(run_one(hands.back()->runtime, done));
  }
  co_await group.join();
  check(done == messages, "not every message was done");
}

// Million events a second.
double rate(aio::Task<void> (*main)(aio::Loop&, aio::Clock&)) {
  aio::Loop loop;
  aio::VirtualClock clock(loop);
  const auto start = std::chrono::steady_clock::now();
  clock.run(main(loop, clock));
  return static_cast<double>(clock.events()) / seconds_since(start) / 1e6;
}

double worlds() {
  std::uint64_t events = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const sim::Verdict verdict = sim::run_seed(seed, sim::Bug::none);
    check(!verdict.violation, "a seed fails: sim_seeds says more");
    events += verdict.events;
  }
  return static_cast<double>(events) / seconds_since(start) / 1e6;
}

double median(std::vector<double> all) {
  std::ranges::sort(all);
  return all[all.size() / 2];
}

int run() {
  std::vector<double> bare, core;
  for (int i = 0; i < rounds; ++i) {
    bare.push_back(rate(sleepers));
    core.push_back(rate(work));
  }
  fmt::print("sleepers alone     {:6.2f} million events a second\n", median(bare));
  fmt::print("simulation core    {:6.2f} million events a second (wanted: {:.0f}), {:.0f} % of it\n", median(core),
             wanted, 100 * median(core) / median(bare));
  fmt::print("whole worlds, all checked: {:.2f} million events a second\n", worlds());
  return 0;
}

}  // namespace
}  // namespace sluice

int main() {
  return sluice::run();
}
