// SPDX-License-Identifier: Apache-2.0
#include "fleet/node_group.h"

#include <gtest/gtest.h>

namespace sluice::fleet {
namespace {

using namespace std::chrono_literals;
using model::Room;

constexpr Time t0{1h};

NodeGroup group(int min, int max, int slots, Duration boot = 30s) {
  return NodeGroup({.min = min, .max = max, .slots = slots, .boot = boot}, t0);
}

TEST(NodeGroup, PlacesAtOnceWhileAnUpNodeHasRoom) {
  NodeGroup nodes = group(1, 3, 2);
  EXPECT_TRUE(nodes.add(0, t0));
  EXPECT_TRUE(nodes.add(1, t0));
  EXPECT_EQ(nodes.advance(t0), (std::vector{0, 1}));
  EXPECT_EQ(nodes.node_of(1), 1);
  EXPECT_EQ(nodes.capacity(t0).why, "1 of 3 nodes up, 4 places left");
  EXPECT_EQ(nodes.capacity(t0).room, Room::room);
}

TEST(NodeGroup, BootsOneNodeForAsManyAsItHoldsAndPlacesThemWhenItIsUp) {
  NodeGroup nodes = group(1, 3, 2);
  for (const int slot : {0, 1, 2, 3, 4}) {
    EXPECT_TRUE(nodes.add(slot, t0 + slot * 1s));
  }
  EXPECT_EQ(nodes.count(NodeState::booting), 2);
  EXPECT_EQ(nodes.capacity(t0 + 20s).room, Room::waiting);
  EXPECT_EQ(nodes.capacity(t0 + 20s).why, "3 workers wait: node 2 boots, 12 s left");
  EXPECT_EQ(nodes.why(4, t0 + 20s), "node 3 boots, 14 s left");
  EXPECT_EQ(nodes.next(), t0 + 32s);
  EXPECT_EQ(nodes.advance(t0 + 31s), (std::vector{0, 1}));
  EXPECT_EQ(nodes.advance(t0 + 32s), (std::vector{2, 3}));
  EXPECT_EQ(nodes.node_of(3), 2);
  EXPECT_TRUE(nodes.waits(4));
  EXPECT_EQ(nodes.advance(t0 + 34s), (std::vector{4}));
}

TEST(NodeGroup, RefusesWhenEveryPlaceIsTakenOrPromised) {
  NodeGroup nodes = group(0, 1, 2);
  EXPECT_TRUE(nodes.add(0, t0));
  EXPECT_TRUE(nodes.add(1, t0));
  EXPECT_FALSE(nodes.add(2, t0));
  EXPECT_EQ(nodes.full_text(t0 + 10s), "1 of 1 nodes full (2 slots), node 1 boots, 20 s left");
  nodes.advance(t0 + 30s);
  EXPECT_EQ(nodes.capacity(t0 + 30s).room, Room::full);
  EXPECT_EQ(nodes.capacity(t0 + 30s).why, "1 of 1 nodes full (2 slots)");
  nodes.remove(1, t0 + 40s);
  EXPECT_EQ(nodes.capacity(t0 + 40s).room, Room::room);
  EXPECT_TRUE(nodes.add(2, t0 + 40s));
}

TEST(NodeGroup, APlaceThatFallsFreeGoesToWhoWaitedLongest) {
  NodeGroup nodes = group(1, 2, 1);
  EXPECT_TRUE(nodes.add(0, t0));
  EXPECT_TRUE(nodes.add(1, t0));
  nodes.remove(0, t0 + 5s);
  EXPECT_EQ(nodes.advance(t0 + 5s), (std::vector{1}));
  EXPECT_EQ(nodes.node_of(1), 1);
}

TEST(NodeGroup, AnIdleNodeAboveMinGoesOffAfterAMinute) {
  NodeGroup nodes = group(1, 2, 1);
  EXPECT_TRUE(nodes.add(0, t0));
  EXPECT_TRUE(nodes.add(1, t0));
  nodes.advance(t0 + 30s);
  nodes.remove(1, t0 + 40s);
  EXPECT_EQ(nodes.next(), t0 + 100s);
  nodes.advance(t0 + 99s);
  EXPECT_EQ(nodes.state(2), NodeState::up);
  nodes.advance(t0 + 100s);
  EXPECT_EQ(nodes.state(2), NodeState::off);
  nodes.remove(0, t0 + 101s);
  nodes.advance(t0 + 300s);
  EXPECT_EQ(nodes.state(1), NodeState::up);  // min
  EXPECT_EQ(nodes.next(), std::nullopt);
}

TEST(NodeGroup, AWithdrawnWorkersNodeStillComesUpAndGoesOffAgain) {
  NodeGroup nodes = group(0, 1, 1);
  EXPECT_TRUE(nodes.add(0, t0));
  nodes.remove(0, t0 + 1s);
  EXPECT_TRUE(nodes.advance(t0 + 30s).empty());
  EXPECT_EQ(nodes.state(1), NodeState::up);
  nodes.advance(t0 + 90s);
  EXPECT_EQ(nodes.state(1), NodeState::off);
}

TEST(NodeGroup, ALostNodeTakesItsWorkersAlongAndBootsAgainForThoseWhoWait) {
  NodeGroup nodes = group(1, 1, 2);
  EXPECT_TRUE(nodes.add(0, t0));
  EXPECT_TRUE(nodes.add(1, t0));
  nodes.advance(t0);
  EXPECT_EQ(nodes.lose(1, t0), (std::vector{0, 1}));
  EXPECT_EQ(nodes.state(1), NodeState::off);
  EXPECT_TRUE(nodes.add(3, t0));
  EXPECT_EQ(nodes.state(1), NodeState::booting);
}

TEST(NodeGroup, AdoptsWorkersBeyondItsLimitsAndPlacesNobodyThere) {
  NodeGroup nodes = group(1, 1, 1);
  nodes.adopt(7, 3, t0);
  EXPECT_EQ(nodes.node_of(7), 3);
  EXPECT_TRUE(nodes.add(0, t0));
  EXPECT_FALSE(nodes.add(1, t0));
  nodes.remove(7, t0);
  EXPECT_FALSE(nodes.add(1, t0));
  nodes.advance(t0 + 60s);
  EXPECT_EQ(nodes.state(3), NodeState::off);
}

}  // namespace
}  // namespace sluice::fleet
