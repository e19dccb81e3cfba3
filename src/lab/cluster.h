// SPDX-License-Identifier: Apache-2.0
#pragma once
// The nodes that all pools of a simulated world share, as a cluster with an autoscaler has them: workers wait unbound,
// first come first placed, on the fullest node that has room; a node is ordered when those on their way have no room
// for who waits; an empty one goes after a while; a spot node is taken with all that runs on it.
//
// fleet/node_group.h is the same for one pool under a fixed boot time. This one draws its times, and costs nothing
// where nothing happens, whatever the number of nodes.
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "lab/agenda.h"
#include "lab/draw.h"
#include "model/fleet_view.h"

namespace sluice::lab {

struct PodRef {
  std::uint16_t pool = 0;
  std::uint32_t worker = 0;
  friend bool operator==(const PodRef&, const PodRef&) = default;
};

// A pool, as its cluster sees it.
class PodOwner {
 public:
  virtual ~PodOwner() = default;
  virtual void placed(std::uint32_t worker, int node) = 0;
  virtual void node_gone(std::uint32_t worker, int node) = 0;
};

class Cluster {
 public:
  Cluster(Agenda& agenda, const Environment& environment, const Files& files, std::int64_t seed);
  // In the order of the pools' numbers.
  void join(PodOwner& owner) { owners_.push_back(&owner); }

  // Why a worker was not taken in; empty: it was, and is told when it is placed, which may be at once.
  [[nodiscard]] std::optional<std::string> add(PodRef pod);
  // Requires: the pod is in the cluster, on `node` or (0) waiting.
  void remove(PodRef pod, int node);

  void booted(std::uint32_t node, std::uint32_t generation);
  void node_empty(std::uint32_t node, std::uint32_t generation);
  void node_lost(std::uint32_t node, std::uint32_t generation);

  [[nodiscard]] model::Capacity capacity() const;
  [[nodiscard]] int up() const { return up_; }
  [[nodiscard]] int booting() const { return booting_; }
  // Of all nodes that were ordered, until they were gone.
  [[nodiscard]] Us node_us() const;
  [[nodiscard]] std::int64_t nodes_ordered() const { return ordered_; }
  [[nodiscard]] int nodes_peak() const { return peak_; }

 private:
  enum class State : std::uint8_t { off, booting, up };
  struct Node {
    State state = State::off;
    int used = 0;
    std::uint32_t generation = 0;
    Us empty_since = 0;
    Us ordered_at = 0;
    std::vector<PodRef> pods;
  };
  void place_waiting();
  void order_nodes();
  void order(std::uint32_t number);
  void turn_on(std::uint32_t number);
  void turn_off(Node& node);
  void watch_empty(std::uint32_t number);
  [[nodiscard]] std::optional<std::uint32_t> fullest_with_room() const;
  [[nodiscard]] std::int64_t places() const { return static_cast<std::int64_t>(nodes_max_) * slots_; }

  Agenda& agenda_;
  const Environment& environment_;
  Draw boot_;
  Random random_;
  int nodes_max_;
  int slots_;
  std::vector<PodOwner*> owners_;
  std::vector<Node> nodes_;  // as many as were ever on at once
  std::deque<PodRef> waiting_;
  std::int64_t pods_ = 0;  // placed and waiting
  int up_ = 0;
  int booting_ = 0;
  int peak_ = 0;
  std::int64_t ordered_ = 0;
  Us past_node_us_ = 0;
  bool placing_ = false;
};

}  // namespace sluice::lab
