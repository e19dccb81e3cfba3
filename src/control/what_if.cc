// SPDX-License-Identifier: Apache-2.0
#include "control/what_if.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "policy/words.h"

namespace sluice::control {
namespace {

using model::Observation;
using model::WorkerState;

constexpr std::size_t sentences_max = 4;
// Where the search for the least backlog that grows gives up: more messages than any queue holds.
constexpr std::int64_t search_max = std::int64_t{1} << 40;

// One world that differs from the tick's.
struct World {
  pool::PoolSpec spec;
  ControlState state;
  Observation seen;
  [[nodiscard]] Step decide() const { return control::decide(spec, state, seen); }
  [[nodiscard]] std::int64_t change() const { return decide().decision.change; }
  [[nodiscard]] std::int64_t workers() const { return decide().decision.workers; }
};

std::string then(std::int64_t workers) {
  return fmt::format("then {}", policy::workers(workers));
}

void no_failures(Observation& seen) {
  seen.starts.failed_in_a_row = 0;
  seen.starts.ended = 0;
  seen.starts.failed = 0;
}

// Undoes one clamp that took workers away; says how. Empty: nothing a person can change.
std::string lift(World& world, const model::Clamp& clamp) {
  const std::int64_t more = clamp.from - clamp.to;
  if (clamp.by == "max") {
    world.spec.workers.max += more;
    return fmt::format("workers.max {}", world.spec.workers.max);
  }
  if (clamp.by == "surge") {
    world.spec.workers.surge = world.seen.unplaced() + clamp.from - world.seen.useful();
    return fmt::format("workers.surge {}", *world.spec.workers.surge);
  }
  if (clamp.by == "capacity") {
    world.seen.fleet.capacity = model::Room::room;
    std::erase_if(world.seen.waiting, [](const model::SeenWaiting& waiting) {
      return waiting.state == WorkerState::unscheduled || waiting.state == WorkerState::requested;
    });
    return fmt::format("room for {} more", policy::workers(more));
  }
  if (clamp.by == "broken") {
    world.state.broken.reset();
    no_failures(world.seen);
    return "workers that start";
  }
  if (clamp.by == "leader") {
    world.state.hold_until_ms.reset();
    world.state.fresh = false;
    return "the scaler's second look";
  }
  return "";
}

// "to get 19 workers: workers.max 19, workers.surge 10".
void say_lifts(std::vector<std::string>& out, World world, const model::Decision& decided) {
  std::string how;
  std::int64_t wanted = decided.workers;
  for (const model::Clamp& clamp : decided.clamps) {
    if (clamp.to >= clamp.from) {
      continue;
    }
    wanted = std::max(wanted, clamp.from);
    const std::string one = lift(world, clamp);
    how += one.empty() || how.empty() ? one : ", " + one;
  }
  if (!how.empty() && world.workers() > decided.workers) {
    out.push_back(fmt::format("for {}: {}", policy::workers(world.workers()), how));
  }
}

void say_readable(std::vector<std::string>& out, const World& world) {
  if (world.seen.fleet.error || !world.seen.fleet.age_ms) {
    out.emplace_back("workers that can be seen again: nothing is decided about what is unknown");
  } else if (!world.seen.queue.ready && !world.seen.queue.total) {
    out.emplace_back("a backlog that can be read again: unknown is not zero, so nothing is decided on it");
  }
}

void say_unpaused(std::vector<std::string>& out, World world) {
  if (!world.spec.paused) {
    return;
  }
  world.spec.paused = false;
  out.push_back(fmt::format("paused: false ({})", then(world.workers())));
}

// The same world when everybody who was asked for has started and taken work.
World all_started(World world) {
  const std::int64_t waiting = world.seen.not_started();
  for (const WorkerState state :
       {WorkerState::requested, WorkerState::unscheduled, WorkerState::starting, WorkerState::suspended}) {
    world.seen.workers[static_cast<std::size_t>(state)] = 0;
  }
  world.seen.workers[static_cast<std::size_t>(WorkerState::busy)] += waiting;
  world.seen.waiting.clear();
  const std::int64_t interval = to_ms(pool::every(world.spec.policy).period.value_or(std::chrono::seconds{1}));
  world.seen.starts.last_ms_ago = std::max(world.seen.starts.last_ms_ago.value_or(interval), interval);
  world.seen.starts.ready_ms_ago = interval;
  return world;
}

// Who holds growth by not having started yet.
void say_started(std::vector<std::string>& out, const World& world) {
  const std::int64_t waiting = world.seen.not_started();
  if (waiting == 0) {
    return;
  }
  const World later = all_started(world);
  const std::string who = waiting == 1 && !world.seen.waiting.empty() ? world.seen.waiting.front().worker
                                                                      : policy::workers(waiting) + " that start";
  if (later.change() > 0) {
    out.push_back(fmt::format("{} at work while the backlog stays ({})", who, then(later.workers())));
  }
}

void say_time(std::vector<std::string>& out, World world) {
  const std::optional<std::int64_t> again = world.decide().again_in_ms;
  if (!again) {
    return;
  }
  world.seen.at_ms += *again;
  for (auto* ago : {&world.seen.starts.last_ms_ago, &world.seen.starts.ready_ms_ago}) {
    if (*ago) {
      **ago += *again;
    }
  }
  if (world.seen.queue.ready) {
    world.seen.queue.ready->age_ms = 0;
  }
  const std::int64_t workers = world.workers();
  if (workers != world.seen.useful()) {
    out.push_back(
        fmt::format("{} more of the same ({})", humane_duration(std::chrono::milliseconds{*again}), then(workers)));
  }
}

// The least backlog that grows, by halving: more waiting messages never mean fewer workers. Empty: none does.
std::optional<std::int64_t> least_backlog(World& world) {
  const auto grows_at = [&world](std::int64_t n) {
    world.seen.queue.ready = model::SeenCount{n, 0};
    return world.change() > 0;
  };
  std::int64_t low = world.seen.queue.ready->n;
  if (grows_at(low)) {
    return low;
  }
  std::int64_t high = low + 1;
  while (high < search_max && !grows_at(high)) {
    low = high;
    high *= 2;
  }
  if (!grows_at(high)) {
    return std::nullopt;
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (grows_at(middle) ? high : low) = middle;
  }
  static_cast<void>(grows_at(high));
  return high;
}

void say_backlog(std::vector<std::string>& out, World world) {
  if (!world.seen.queue.ready) {
    return;
  }
  const std::int64_t now = world.seen.queue.ready->n;
  World later = all_started(world);
  std::string once;
  std::optional<std::int64_t> n = least_backlog(world);
  if (!n && world.seen.not_started() > 0) {
    n = least_backlog(later);
    once = " once the workers that start are at work";
    world = later;
  }
  if (!n || (*n == now && !once.empty())) {
    return;  // nothing helps, or say_started has said it
  }
  const std::string what = *n == now ? std::string("a newer reading of the same backlog")
                                     : fmt::format("{} waiting message{}{}", *n, *n == 1 ? "" : "s", once);
  out.push_back(fmt::format("{} ({})", what, then(world.workers())));
}

void say_age(std::vector<std::string>& out, World world) {
  const auto* threshold = std::get_if<pool::ThresholdPolicy>(&world.spec.policy);
  if (threshold == nullptr || !threshold->age) {
    return;
  }
  world.seen.queue.oldest_age = model::SeenAge{to_ms(*threshold->age) + 1, model::AgeKind::exact, 0};
  if (world.change() > 0) {
    out.push_back(fmt::format("a message that waits longer than {} ({})", humane_duration(*threshold->age),
                              then(world.workers())));
  }
}

void say_leaving(std::vector<std::string>& out, const World& world) {
  if (std::holds_alternative<pool::LagPolicy>(world.spec.policy)) {
    return;  // how long they are kept is learned, and in the reason
  }
  const std::optional<Duration> idle = pool::idle_exit(world.spec);
  if (world.seen.live() > world.spec.workers.min && idle) {
    const char* const leave = world.spec.workers.deployment ? "are asked to leave" : "leave by themselves";
    out.push_back(fmt::format("a queue that stays empty: workers {} after {}", leave, humane_duration(*idle)));
  }
}

}  // namespace

std::vector<std::string> what_if(const pool::PoolSpec& spec, const ControlState& before, const Observation& seen,
                                 const model::Decision& decided) {
  const World world{spec, before, seen};
  std::vector<std::string> out;
  if (world.decide().decision != decided) {
    return out;
  }
  say_readable(out, world);
  say_unpaused(out, world);
  say_lifts(out, world, decided);
  if (decided.change <= 0 && !spec.paused) {
    say_time(out, world);
    say_started(out, world);
    say_backlog(out, world);
    say_age(out, world);
  }
  say_leaving(out, world);
  out.resize(std::min(out.size(), sentences_max));
  return out;
}

}  // namespace sluice::control
