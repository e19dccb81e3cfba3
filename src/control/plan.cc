// SPDX-License-Identifier: Apache-2.0
// The slots for a decision; see control/decide.h.
#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "control/decide.h"
#include "control/rivals.h"

namespace sluice::control {

using model::WorkerState;

namespace {

bool without_work(const model::Worker& worker) {
  return (worker.state == WorkerState::idle || worker.state == WorkerState::ready) && worker.handling == 0;
}

bool leaves_already(const model::Worker& worker) {
  return worker.state == WorkerState::draining || worker.state == WorkerState::terminating;
}

// How many workers are on each node, and how many of them work. Where it is not known, it is one node.
struct OnNode {
  std::int64_t all = 0;
  std::int64_t busy = 0;
};
using Nodes = std::map<std::string, OnNode, std::less<>>;
Nodes by_node(const std::vector<const model::Worker*>& workers) {
  Nodes out;
  for (const model::Worker* const worker : workers) {
    OnNode& node = out[worker->place];
    ++node.all;
    node.busy += without_work(*worker) ? 0 : 1;
  }
  return out;
}

// Those of the first so many, node after node, that have no work now. The others stay on those nodes until they have
// none, so that the same nodes come first again.
std::vector<const model::Worker*> on_emptiest_nodes(std::vector<const model::Worker*> placed, std::int64_t spare) {
  const Nodes nodes = by_node(placed);
  std::ranges::sort(placed, {}, [&nodes](const model::Worker* worker) {
    const OnNode& node = nodes.find(worker->place)->second;
    return std::tuple(node.all, node.busy, std::string_view(worker->place), !without_work(*worker), worker->since,
                      worker->slot);
  });
  placed.resize(std::min(placed.size(), static_cast<std::size_t>(std::max<std::int64_t>(spare, 0))));
  std::erase_if(placed, [](const model::Worker* worker) { return !without_work(*worker); });
  return placed;
}

// The ones that had nothing to do for the longest time.
std::vector<const model::Worker*> idle_longest(std::vector<const model::Worker*> placed) {
  std::erase_if(placed, [](const model::Worker* worker) { return !without_work(*worker); });
  std::ranges::sort(placed, {}, [](const model::Worker* worker) { return std::pair(worker->since, worker->slot); });
  return placed;
}

// Those without a place first, the youngest of them in front; then those that may be asked to leave.
void plan_fewer(const pool::PoolSpec& spec, std::size_t fewer, std::int64_t spare, const model::FleetView& view,
                model::Plan& out) {
  std::vector<const model::Worker*> unplaced;
  std::vector<const model::Worker*> placed;
  for (const model::Worker& worker : view.workers) {
    if (worker.state == WorkerState::requested || worker.state == WorkerState::unscheduled) {
      unplaced.push_back(&worker);
    } else if (asked_to_leave(spec) && !worker.deaf && !leaves_already(worker)) {
      placed.push_back(&worker);
    }
  }
  std::ranges::sort(unplaced, [](const auto* a, const auto* b) {
    return std::pair(a->created_at, a->slot) > std::pair(b->created_at, b->slot);
  });
  for (const model::Worker* worker : unplaced) {
    if (out.withdraw.size() < fewer) {
      out.withdraw.push_back(worker->slot);
    }
  }
  const bool by_nodes = std::holds_alternative<pool::LagPolicy>(spec.policy);
  for (const model::Worker* worker :
       by_nodes ? on_emptiest_nodes(std::move(placed), std::max(spare, static_cast<std::int64_t>(fewer)))
                : idle_longest(std::move(placed))) {
    if (out.withdraw.size() + out.drain.size() < fewer) {
      out.drain.push_back(worker->slot);
    }
  }
}

// As a ReplicaSet picks: those that start are gone before those that run, of these the ones on the fullest node, then
// the youngest. Nobody can be asked to leave who does not run yet, so that those that start stay, and are asked when
// they do.
void plan_fewer_of_a_rival(std::size_t fewer, const model::FleetView& view, model::Plan& out) {
  std::vector<const model::Worker*> unplaced;
  std::vector<const model::Worker*> running;
  std::size_t starting = 0;
  for (const model::Worker& worker : view.workers) {
    const bool runs =
        worker.state == WorkerState::ready || worker.state == WorkerState::idle || worker.state == WorkerState::busy;
    if (worker.state == WorkerState::requested || worker.state == WorkerState::unscheduled) {
      unplaced.push_back(&worker);
    } else if (runs) {
      running.push_back(&worker);
    } else {
      starting += worker.state == WorkerState::starting ? 1 : 0;
    }
  }
  const Nodes nodes = by_node(running);
  std::ranges::sort(unplaced, std::ranges::greater{},
                    [](const auto* one) { return std::pair(one->created_at, one->slot); });
  std::ranges::sort(running, std::ranges::greater{}, [&](const auto* one) {
    return std::tuple(nodes.find(one->place)->second.all, one->created_at, one->slot);
  });
  for (const model::Worker* worker : unplaced) {
    if (out.withdraw.size() < fewer) {
      out.withdraw.push_back(worker->slot);
    }
  }
  for (const model::Worker* worker : running) {
    if (out.withdraw.size() + starting + out.drain.size() < fewer) {
      out.drain.push_back(worker->slot);
    }
  }
}

}  // namespace

model::Plan plan(const pool::PoolSpec& spec, const model::Decision& decision, const model::FleetView& view,
                 std::int64_t spare) {
  model::Plan out;
  if (decision.change > 0) {
    // Slots below `min` start with idle exit off, so they are filled first.
    for (const bool below_min : {true, false}) {
      for (const int slot : view.free_slots) {
        const bool wanted = slot >= 0 && slot < spec.workers.max && (slot < spec.workers.min) == below_min;
        if (wanted && static_cast<std::int64_t>(out.start.size()) < decision.change) {
          out.start.push_back(slot);
        }
      }
    }
  }
  if (decision.change < 0) {
    const auto fewer = static_cast<std::size_t>(-decision.change);
    if (is_rival(spec.policy)) {
      plan_fewer_of_a_rival(fewer, view, out);
    } else {
      plan_fewer(spec, fewer, spare, view, out);
    }
  }
  if (!spec.paused) {
    for (const model::Worker& worker : view.workers) {
      if (worker.stays_when_idle && worker.slot >= spec.workers.min && without_work(worker)) {
        out.drain.push_back(worker.slot);
      }
    }
  }
  return out;
}

}  // namespace sluice::control
