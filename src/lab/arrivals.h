// SPDX-License-Identifier: Apache-2.0
#pragma once
// When messages come: one generator for each kind of a scenario, and their sum.
#include <memory>
#include <vector>

#include "lab/draw.h"
#include "lab/scenario_read.h"

namespace sluice::lab {

class Generator {
 public:
  virtual ~Generator() = default;
  // The next arrival, never before the last one; `never` when there is none.
  [[nodiscard]] virtual Us next() = 0;
};

[[nodiscard]] std::unique_ptr<Generator> generator(const Arrivals& arrivals, const Files& files, Random random);

// All of a load's arrivals in order.
class Merged {
 public:
  Merged(const Load& load, const Files& files, std::int64_t seed, std::uint64_t pool);
  [[nodiscard]] Us next();

 private:
  struct One {
    std::unique_ptr<Generator> generator;
    Us next = never;
  };
  std::vector<One> all_;
};

}  // namespace sluice::lab
