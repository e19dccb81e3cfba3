// SPDX-License-Identifier: Apache-2.0
#pragma once
// The imagined node group under a process fleet and under the in-memory twin: nodes with slots, a boot time and a
// limit.
//
// A pure machine, time is handed in. Workers wait unbound, as pods do: whichever node has room first takes the one that
// waited longest. Not bound to the node booted for them, or a place that falls free meanwhile would stay empty.
//
//   off --a worker waits and no booting node has room for it--> booting --boot time--> up --empty for off_after--> off
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/fleet_view.h"

namespace sluice::fleet {

struct NodeGroupOptions {
  int min = 1;    // up from the start, never off
  int max = 1;    // at least 1
  int slots = 1;  // workers a node holds, at least 1
  Duration boot{0};
  Duration off_after = std::chrono::seconds{60};  // specified: design, process.nodes
};

enum class NodeState { off, booting, up };

// Nodes are numbered from 1, as people count them.
class NodeGroup {
 public:
  NodeGroup(NodeGroupOptions options, Time now);

  // Takes in the worker of `slot`: placed at once if an up node has room, else waiting for a node. False, and nothing
  // changed, when no place is free and none can be booted. Requires: `slot` is not in the group.
  [[nodiscard]] bool add(int slot, Time now);
  // A worker that already runs on `node`, found after a restart: the node is up, whatever the limits say by now.
  void adopt(int slot, int node, Time now);
  // Its worker is gone or withdrawn; the place goes to one that waits. No effect for a slot that is not in the group.
  void remove(int slot, Time now);
  // The node is off at once; returns the slots of the workers that were on it, which have left the group.
  std::vector<int> lose(int node, Time now);

  // Lets time pass. Returns the slots that got their place since the last call, by add() and remove() too, in order.
  std::vector<int> advance(Time now);
  // When advance() has something to do next; empty: never, as things are.
  [[nodiscard]] std::optional<Time> next() const;

  // The node a worker is placed on; empty while it waits, or when it is not in the group.
  [[nodiscard]] std::optional<int> node_of(int slot) const;
  [[nodiscard]] bool waits(int slot) const;
  // What a waiting worker waits for: "node 2 boots, 12 s left".
  [[nodiscard]] std::string why(int slot, Time now) const;
  // Whether another worker would get a place, in words: "3 of 3 nodes full (12 slots)".
  [[nodiscard]] model::Capacity capacity(Time now) const;
  // Why add() refuses, whether or not somebody waits.
  [[nodiscard]] std::string full_text(Time now) const;
  [[nodiscard]] NodeState state(int node) const;
  [[nodiscard]] int count(NodeState state) const;

 private:
  struct Node {
    NodeState state = NodeState::off;
    Time up_at;        // booting: when it is up
    Time empty_since;  // up and empty: since when
    std::set<int> slots;
  };
  [[nodiscard]] int room_on(const Node& node) const;
  [[nodiscard]] int places_left() const;
  [[nodiscard]] bool within_limit(const Node& node) const { return &node - nodes_.data() < options_.max; }
  [[nodiscard]] std::vector<int> booting_in_order() const;
  void place_and_boot(Time now);
  bool place_waiting();
  bool boot_one(Time now);
  void switch_off_idle(Time now);

  NodeGroupOptions options_;
  std::vector<Node> nodes_;
  std::vector<int> waiting_;  // first come, first placed
  std::vector<int> placed_;   // not yet told by advance()
};

}  // namespace sluice::fleet
