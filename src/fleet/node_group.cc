// SPDX-License-Identifier: Apache-2.0
#include "fleet/node_group.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice::fleet {
namespace {

std::string_view plural(std::size_t n) {
  return n == 1 ? "" : "s";
}

// Whole seconds, rounded up: a countdown with tenths would be a different text at every look.
std::string left(Time at, Time now) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(std::max(at - now, Duration{0}));
  return seconds < std::chrono::minutes{1} ? fmt::format("{} s left", seconds.count())
                                           : humane_duration(seconds) + " left";
}

}  // namespace

NodeGroup::NodeGroup(NodeGroupOptions options, Time now) : options_(options) {
  check(options.max >= 1 && options.slots >= 1 && options.min >= 0 && options.min <= options.max,
        "a node group has nodes");
  nodes_.resize(static_cast<std::size_t>(options.max));
  for (int i = 0; i < options.min; ++i) {
    nodes_[static_cast<std::size_t>(i)].state = NodeState::up;
    nodes_[static_cast<std::size_t>(i)].empty_since = now;
  }
}

bool NodeGroup::add(int slot, Time now) {
  check(!node_of(slot) && !waits(slot), "a slot has one worker");
  if (places_left() <= 0) {
    return false;
  }
  waiting_.push_back(slot);
  place_and_boot(now);
  return true;
}

void NodeGroup::adopt(int slot, int node, Time now) {
  check(node >= 1 && !node_of(slot) && !waits(slot), "a slot has one worker, on a node from 1");
  const auto index = static_cast<std::size_t>(node - 1);
  if (index >= nodes_.size()) {
    nodes_.resize(index + 1);
  }
  if (nodes_[index].state != NodeState::up) {
    nodes_[index].state = NodeState::up;
    nodes_[index].empty_since = now;
  }
  nodes_[index].slots.insert(slot);
}

void NodeGroup::remove(int slot, Time now) {
  std::erase(waiting_, slot);
  std::erase(placed_, slot);
  for (Node& node : nodes_) {
    if (node.slots.erase(slot) > 0 && node.slots.empty()) {
      node.empty_since = now;
    }
  }
  place_and_boot(now);
}

std::vector<int> NodeGroup::lose(int node, Time now) {
  Node& lost = nodes_.at(static_cast<std::size_t>(node - 1));
  const std::set<int> slots = std::exchange(lost.slots, {});
  lost.state = NodeState::off;
  for (const int slot : slots) {
    std::erase(placed_, slot);
  }
  place_and_boot(now);
  return {slots.begin(), slots.end()};
}

std::vector<int> NodeGroup::advance(Time now) {
  for (Node& node : nodes_) {
    if (node.state == NodeState::booting && node.up_at <= now) {
      node.state = NodeState::up;
      node.empty_since = node.up_at;
    }
  }
  place_and_boot(now);
  switch_off_idle(now);
  return std::exchange(placed_, {});
}

std::optional<Time> NodeGroup::next() const {
  std::optional<Time> first;
  const auto sooner = [&first](Time at) { first = first ? std::min(*first, at) : at; };
  const bool spare = count(NodeState::up) + count(NodeState::booting) > options_.min;
  for (const Node& node : nodes_) {
    if (node.state == NodeState::booting) {
      sooner(node.up_at);
    } else if (node.state == NodeState::up && node.slots.empty() && spare) {
      sooner(node.empty_since + options_.off_after);
    }
  }
  return first;
}

std::optional<int> NodeGroup::node_of(int slot) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].slots.contains(slot)) {
      return static_cast<int>(i) + 1;
    }
  }
  return std::nullopt;
}

bool NodeGroup::waits(int slot) const {
  return std::ranges::find(waiting_, slot) != waiting_.end();
}

std::string NodeGroup::why(int slot, Time now) const {
  const auto at = std::ranges::find(waiting_, slot);
  if (at == waiting_.end()) {
    return "";
  }
  const auto ahead = static_cast<std::size_t>(at - waiting_.begin());
  const std::vector<int> booting = booting_in_order();
  const std::size_t turn = ahead / static_cast<std::size_t>(options_.slots);
  if (turn >= booting.size()) {
    return full_text(now);
  }
  const Node& node = nodes_[static_cast<std::size_t>(booting[turn] - 1)];
  return fmt::format("node {} boots, {}", booting[turn], left(node.up_at, now));
}

model::Capacity NodeGroup::capacity(Time now) const {
  if (!waiting_.empty()) {
    return {model::Room::waiting, fmt::format("{} worker{} wait{}: {}", waiting_.size(), plural(waiting_.size()),
                                              waiting_.size() == 1 ? "s" : "", why(waiting_.front(), now))};
  }
  if (places_left() <= 0) {
    return {model::Room::full, full_text(now)};
  }
  return {model::Room::room, fmt::format("{} of {} nodes up, {} place{} left", count(NodeState::up), options_.max,
                                         places_left(), plural(static_cast<std::size_t>(places_left())))};
}

std::string NodeGroup::full_text(Time now) const {
  std::string text =
      fmt::format("{} of {} nodes full ({} slots)", options_.max, options_.max, options_.max * options_.slots);
  const std::vector<int> booting = booting_in_order();
  if (!booting.empty()) {
    const Node& node = nodes_[static_cast<std::size_t>(booting.front() - 1)];
    text += fmt::format(", node {} boots, {}", booting.front(), left(node.up_at, now));
  }
  return text;
}

NodeState NodeGroup::state(int node) const {
  return nodes_.at(static_cast<std::size_t>(node - 1)).state;
}

int NodeGroup::count(NodeState state) const {
  return static_cast<int>(std::ranges::count(nodes_, state, &Node::state));
}

int NodeGroup::room_on(const Node& node) const {
  return within_limit(node) ? std::max(0, options_.slots - static_cast<int>(node.slots.size())) : 0;
}

// What all nodes could still hold, beyond those who already wait.
int NodeGroup::places_left() const {
  int left = -static_cast<int>(waiting_.size());
  for (const Node& node : nodes_) {
    left += room_on(node);
  }
  return left;
}

std::vector<int> NodeGroup::booting_in_order() const {
  std::vector<int> numbers;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].state == NodeState::booting) {
      numbers.push_back(static_cast<int>(i) + 1);
    }
  }
  std::ranges::sort(numbers, {}, [this](int number) {
    return std::pair(nodes_[static_cast<std::size_t>(number - 1)].up_at, number);
  });
  return numbers;
}

void NodeGroup::place_and_boot(Time now) {
  while (place_waiting() || boot_one(now)) {
  }
}

// The lowest node first, so that the others fall empty and go off.
bool NodeGroup::place_waiting() {
  if (waiting_.empty()) {
    return false;
  }
  for (Node& node : nodes_) {
    if (node.state == NodeState::up && room_on(node) > 0) {
      const int slot = waiting_.front();
      waiting_.erase(waiting_.begin());
      node.slots.insert(slot);
      placed_.push_back(slot);
      return true;
    }
  }
  return false;
}

bool NodeGroup::boot_one(Time now) {
  if (static_cast<int>(waiting_.size()) <= count(NodeState::booting) * options_.slots) {
    return false;
  }
  for (Node& node : nodes_) {
    if (node.state == NodeState::off && within_limit(node)) {
      node.state = options_.boot > Duration{0} ? NodeState::booting : NodeState::up;
      node.up_at = now + options_.boot;
      node.empty_since = now;
      return true;
    }
  }
  return false;
}

// The highest node first, so that the ones that stay are 1..min.
void NodeGroup::switch_off_idle(Time now) {
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    Node& node = nodes_[i];
    const bool spare = count(NodeState::up) + count(NodeState::booting) > options_.min;
    if (spare && node.state == NodeState::up && node.slots.empty() && node.empty_since + options_.off_after <= now) {
      node.state = NodeState::off;
    }
  }
}

}  // namespace sluice::fleet
