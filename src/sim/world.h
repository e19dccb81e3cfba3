// SPDX-License-Identifier: Apache-2.0
#pragma once
// One seed, run: production control loop and worker runtime against the in-memory queue and fleet under virtual time.
// First chaos, in which safety is checked after every event; then calm, in which everything must come to rest.
#include <cstdint>
#include <optional>
#include <string>

#include "sim/bugs.h"

namespace sluice::sim {

struct Verdict {
  std::uint64_t seed = 0;
  std::optional<std::string> violation;  // empty: clean
  std::string plan;                      // what the seed meant
  std::uint64_t events = 0;
  int workers_started = 0;
  int messages = 0;
};

// Same seed, bug and build: same verdict, to the bit.
[[nodiscard]] Verdict run_seed(std::uint64_t seed, Bug bug);

}  // namespace sluice::sim
