// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the demo shows, as values; the pictures of it as lines.
#include <string>
#include <vector>

#include "app/context.h"
#include "app/narrate.h"
#include "app/screen.h"
#include "fleet/node_group.h"
#include "model/fleet_view.h"
#include "model/sample.h"

namespace sluice::app {

struct DemoNode {
  fleet::NodeState state = fleet::NodeState::off;
  int workers = 0;
  int slots = 0;
};

struct DemoState {
  std::string pool_file, journal_file;  // as a person here would type them
  std::string phase;                    // "" or what goes on at the end: "draining"
  std::int64_t count = 0, confirmed = 0, done = 0;
  std::optional<model::Sample> sample;
  std::optional<model::FleetView> view;
  std::vector<DemoNode> nodes;
  Spark ready{24}, workers{24};
};

// The picture above the events: a head, bars, numbers, nodes.
[[nodiscard]] std::vector<std::string> demo_head(const DemoState& state, int columns, bool colour);
// Head and as many of the last events as fit.
[[nodiscard]] std::vector<std::string> demo_picture(const DemoState& state, const std::vector<Told>& told, int columns,
                                                    int rows, bool colour);
// "37 ready, 4 in flight, 154 of 200 done, 5 workers (4 busy, 1 starting)"
[[nodiscard]] std::string demo_line(const DemoState& state);

// The commands to try next, a line each: only what exists and works when pasted.
[[nodiscard]] std::vector<std::string> demo_next(const Context& context, const std::string& pool_file, bool whole);

}  // namespace sluice::app
