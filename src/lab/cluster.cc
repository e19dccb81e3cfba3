// SPDX-License-Identifier: Apache-2.0
#include "lab/cluster.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice::lab {

Cluster::Cluster(Agenda& agenda, const Environment& environment, const Files& files, std::int64_t seed)
    : agenda_(agenda),
      environment_(environment),
      boot_(environment.nodes.boot, files),
      random_(stream(seed, Stream::nodes)),
      nodes_max_(static_cast<int>(environment.nodes.max)),
      slots_(static_cast<int>(environment.nodes.slots)) {
  for (std::int64_t i = 0; i < environment.nodes.min; ++i) {
    nodes_.emplace_back();
    ++booting_;
    ++ordered_;
    nodes_.back().state = State::booting;
    turn_on(static_cast<std::uint32_t>(i));
  }
  peak_ = up_;
}

std::optional<std::string> Cluster::add(PodRef pod) {
  if (environment_.quota && pods_ >= *environment_.quota) {
    return fmt::format("quota: {} of {} workers are there", pods_, *environment_.quota);
  }
  if (pods_ >= places()) {
    return fmt::format("{} of {} nodes full ({} slots)", nodes_max_, nodes_max_, places());
  }
  ++pods_;
  waiting_.push_back(pod);
  place_waiting();
  order_nodes();
  return std::nullopt;
}

void Cluster::remove(PodRef pod, int node) {
  --pods_;
  if (node == 0) {
    std::erase(waiting_, pod);
    return;
  }
  const auto number = static_cast<std::uint32_t>(node - 1);
  Node& from = nodes_[number];
  std::erase(from.pods, pod);
  --from.used;
  if (from.used == 0) {
    from.empty_since = agenda_.now();
    watch_empty(number);
  }
  place_waiting();
}

void Cluster::place_waiting() {
  if (placing_) {
    return;  // who is told of its place may come back with more
  }
  placing_ = true;
  while (!waiting_.empty()) {
    const std::optional<std::uint32_t> number = fullest_with_room();
    if (!number) {
      break;
    }
    const PodRef pod = waiting_.front();
    waiting_.pop_front();
    Node& node = nodes_[*number];
    ++node.used;
    node.pods.push_back(pod);
    owners_[pod.pool]->placed(pod.worker, static_cast<int>(*number) + 1);
  }
  placing_ = false;
}

// The fullest, so that the others fall empty and go; of those alike, the first.
std::optional<std::uint32_t> Cluster::fullest_with_room() const {
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    const bool room = nodes_[i].state == State::up && nodes_[i].used < slots_;
    if (room && (!best || nodes_[i].used > nodes_[*best].used)) {
      best = i;
    }
  }
  return best;
}

void Cluster::order_nodes() {
  while (static_cast<std::int64_t>(waiting_.size()) > static_cast<std::int64_t>(booting_) * slots_ &&
         up_ + booting_ < nodes_max_) {
    const auto off = std::ranges::find(nodes_, State::off, &Node::state);
    const auto number = static_cast<std::uint32_t>(off - nodes_.begin());
    if (off == nodes_.end()) {
      nodes_.emplace_back();
    }
    order(number);
  }
}

void Cluster::order(std::uint32_t number) {
  Node& node = nodes_[number];
  node.state = State::booting;
  node.ordered_at = agenda_.now();
  ++node.generation;
  ++booting_;
  ++ordered_;
  peak_ = std::max(peak_, up_ + booting_);
  agenda_.enter(agenda_.now() + boot_.next(random_), Happens::booted, 0, number, node.generation);
}

void Cluster::booted(std::uint32_t number, std::uint32_t generation) {
  if (nodes_[number].generation == generation && nodes_[number].state == State::booting) {
    turn_on(number);
    place_waiting();
  }
}

void Cluster::turn_on(std::uint32_t number) {
  Node& node = nodes_[number];
  node.state = State::up;
  node.empty_since = agenda_.now();
  --booting_;
  ++up_;
  if (environment_.nodes.spot) {
    const Us life = exponential(random_, static_cast<double>(to_us(*environment_.nodes.spot)));
    agenda_.enter(agenda_.now() + life, Happens::node_lost, 0, number, node.generation);
  }
  watch_empty(number);
}

void Cluster::watch_empty(std::uint32_t number) {
  const Node& node = nodes_[number];
  agenda_.enter(node.empty_since + to_us(environment_.nodes.removed), Happens::node_empty, 0, number, node.generation);
}

void Cluster::node_empty(std::uint32_t number, std::uint32_t generation) {
  Node& node = nodes_[number];
  const bool due = node.empty_since + to_us(environment_.nodes.removed) <= agenda_.now();
  if (node.generation == generation && node.state == State::up && node.used == 0 && due &&
      up_ + booting_ > environment_.nodes.min) {
    turn_off(node);
  }
}

void Cluster::node_lost(std::uint32_t number, std::uint32_t generation) {
  Node& node = nodes_[number];
  if (node.generation != generation || node.state != State::up) {
    return;
  }
  const std::vector<PodRef> pods = std::exchange(node.pods, {});
  node.used = 0;
  turn_off(node);
  for (const PodRef& pod : pods) {
    --pods_;
    owners_[pod.pool]->node_gone(pod.worker, static_cast<int>(number) + 1);
  }
  while (up_ + booting_ < environment_.nodes.min) {
    order(static_cast<std::uint32_t>(std::ranges::find(nodes_, State::off, &Node::state) - nodes_.begin()));
  }
  order_nodes();
}

void Cluster::turn_off(Node& node) {
  past_node_us_ += agenda_.now() - node.ordered_at;
  node.state = State::off;
  ++node.generation;
  --up_;
}

Us Cluster::node_us() const {
  Us out = past_node_us_;
  for (const Node& node : nodes_) {
    out += node.state == State::off ? 0 : agenda_.now() - node.ordered_at;
  }
  return out;
}

model::Capacity Cluster::capacity() const {
  if (!waiting_.empty()) {
    return {model::Room::waiting, fmt::format("{} waiting for a node, {} booting", waiting_.size(), booting_)};
  }
  if (environment_.quota && pods_ >= *environment_.quota) {
    return {model::Room::full, fmt::format("quota: {} of {} workers are there", pods_, *environment_.quota)};
  }
  if (pods_ >= places()) {
    return {model::Room::full, fmt::format("{} of {} nodes full ({} slots)", nodes_max_, nodes_max_, places())};
  }
  return {model::Room::room, fmt::format("{} of {} nodes up", up_, nodes_max_)};
}

}  // namespace sluice::lab
