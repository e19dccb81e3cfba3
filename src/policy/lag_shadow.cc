// SPDX-License-Identifier: Apache-2.0
#include "policy/lag_shadow.h"

#include <algorithm>
#include <cmath>

namespace sluice::policy {
namespace {

// The default first, then by how much they differ from it: the first 12 are those that a small simulation found to be
// worth nearly as much as all 30.
constexpr std::array<LagExpert, 30> experts = {{
    {1, 20'000, true},     {1, 120'000, true},    {1, 480'000, true},   {1, 20'000, false},   {1, 120'000, false},
    {1, 480'000, false},   {0.5, 20'000, true},   {0.5, 120'000, true}, {0.5, 480'000, true}, {0.5, 20'000, false},
    {0.5, 120'000, false}, {0.5, 480'000, false}, {1, 60'000, true},    {1, 240'000, true},   {1, 60'000, false},
    {1, 240'000, false},   {0.5, 60'000, true},   {0.5, 240'000, true}, {0.5, 60'000, false}, {0.5, 240'000, false},
    {2, 20'000, true},     {2, 60'000, true},     {2, 120'000, true},   {2, 240'000, true},   {2, 480'000, true},
    {2, 20'000, false},    {2, 60'000, false},    {2, 120'000, false},  {2, 240'000, false},  {2, 480'000, false},
}};

constexpr double sum_most = 1e14;  // messages and seconds: a thousandth of it is still whole

std::int64_t milli(double x) {
  return std::llround(std::min(x, sum_most) * 1000);
}
double of_milli(std::int64_t n) {
  return static_cast<double>(n) / 1000;
}
std::int32_t nodes_of(std::int32_t workers, std::int32_t slots) {
  return (workers + slots - 1) / slots;
}

// The fluid moves, and whoever was asked for comes.
void flow(LagShadow& shadow, const LagWorld& world) {
  const double part = world.step / LagWorld::parts;
  double waiting = of_milli(shadow.waiting_milli);
  double working = of_milli(shadow.working_milli);
  for (std::int32_t i = 0; i < LagWorld::parts; ++i) {
    shadow.workers += shadow.pending.pass();
    shadow.nodes += shadow.booting.pass();
    shadow.nodes -= shadow.spare.pass();
    const double servers = shadow.workers * world.service.servers;
    const double could = std::max(servers - working, 0.0) + servers * part / world.service.time;
    const double there = waiting + world.arrived / LagWorld::parts;
    const double starts = std::min(there, could);
    waiting = there - starts;
    const double flowing = working * (1 - world.finish) + starts * world.service.time / part * world.finish;
    working = waiting > 1e-3 ? servers : std::min(servers, flowing);
  }
  shadow.waiting_milli = milli(waiting);
  shadow.working_milli = milli(working);
}

void account(LagShadow& shadow, const LagWorld& world) {
  const double held = world.step * world.slots * (shadow.nodes + shadow.booting.count());
  const double started = world.all - of_milli(shadow.waiting_milli);
  const double late = std::max(world.due - std::max(world.due_before, started), 0.0);
  shadow.cost_milli = milli(of_milli(shadow.cost_milli) * world.fade + held);
  shadow.late_milli = milli(of_milli(shadow.late_milli) * world.fade + late);
}

std::int32_t on_nodes(const LagShadow& shadow, const LagWorld& world) {
  return shadow.workers + shadow.pending.count() - shadow.pending.later_than(world.warm);
}

std::int32_t need(const LagShadow& shadow, const LagWorld& world, const LagCurve& cold, const LagCurve& warm) {
  std::array<LagReady, decltype(shadow.pending.list)::capacity> pending;
  std::size_t size = 0;
  for (const LagEntry& entry : shadow.pending.list) {
    pending[size++] = {entry.at * world.step / LagWorld::parts, static_cast<double>(entry.n)};
  }
  const LagQueue queue{.waiting = of_milli(shadow.waiting_milli),
                       .working = of_milli(shadow.working_milli),
                       .workers = static_cast<double>(shadow.workers),
                       .pending = {pending.data(), size}};
  const std::int32_t free = std::max(shadow.nodes * world.slots - on_nodes(shadow, world), 0);
  const std::int32_t there = shadow.workers + shadow.pending.count() + free;
  const std::int32_t quickly = std::min(lag_need(warm, queue, world.service).workers, there);
  const std::int32_t both = std::max(lag_need(cold, queue, world.service).workers, quickly);
  return std::min(both + world.reserve, world.workers_max);
}

// First the free places of nodes that are there, then those of booting ones, then new nodes.
void grow(LagShadow& shadow, const LagWorld& world, std::int32_t more) {
  const std::int32_t free = shadow.nodes * world.slots - on_nodes(shadow, world);
  const std::int32_t at_once = std::clamp(free, 0, more);
  shadow.pending.add(world.warm, at_once);
  more -= at_once;
  const std::int32_t boots = shadow.booting.count();
  const std::int32_t joining = std::clamp(boots * world.slots - shadow.pending.later_than(world.warm), 0, more);
  if (joining > 0) {
    shadow.pending.add(shadow.booting.list.back().at + world.warm, joining);
    more -= joining;
  }
  shadow.pending.add(world.cold, more);
  shadow.booting.add(std::max(world.cold - world.warm, 1), nodes_of(more, world.slots));
}

void shrink(LagShadow& shadow, std::int32_t fewer) {
  fewer -= shadow.pending.take_last(fewer);
  const auto busy = static_cast<std::int32_t>(std::ceil(of_milli(shadow.working_milli)));
  shadow.workers -= std::clamp(shadow.workers - busy, 0, fewer);
}

}  // namespace

std::span<const LagExpert> lag_experts(std::size_t most) {
  return std::span(experts).first(std::clamp<std::size_t>(most, 1, experts.size()));
}

const LagCurve& LagCurves::cold_of(const LagExpert& expert) const {
  const auto* const found = std::ranges::find(catch_ups, expert.catch_up);
  const auto i = found == catch_ups.end() ? 0 : found - catch_ups.begin();
  return cold[static_cast<std::size_t>(i)][expert.trust ? 1 : 0];
}

void lag_shadow(LagShadow& shadow, const LagWorld& world, const LagCurve& cold, const LagCurve& warm,
                std::int32_t keep) {
  flow(shadow, world);
  account(shadow, world);
  const std::int32_t needed = need(shadow, world, cold, warm);
  shadow.needs.pass(keep);
  shadow.needs.see(needed, keep);
  const std::int32_t have = shadow.workers + shadow.pending.count();
  const std::int32_t target = needed >= have ? needed : std::min(have, shadow.needs.most(keep, keep));
  if (target > have) {
    grow(shadow, world, target - have);
  } else {
    shrink(shadow, have - target);
  }
  const std::int32_t used = nodes_of(on_nodes(shadow, world), world.slots);
  const std::int32_t idle = shadow.nodes - used;
  const std::int32_t spare = shadow.spare.count();
  if (idle > spare) {
    shadow.spare.add(world.node_idle, idle - spare);
  } else {
    shadow.spare.take_last(spare - idle);
  }
}

}  // namespace sluice::policy
