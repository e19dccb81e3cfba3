// SPDX-License-Identifier: Apache-2.0
#pragma once
// A linear program whose unknowns stand in a row of blocks, each condition touching one block or two neighbours: what
// plans over time look like. Solved by an interior-point method whose every step is one pass over the blocks; what it
// gives is a bound, whether or not it got all the way (decision 0025).
#include <array>
#include <cstdint>
#include <vector>

namespace sluice::lab {

inline constexpr std::size_t band_width = 5;  // unknowns of a block
using BandVector = std::array<double, band_width>;

// before * z(block - 1) + here * z(block) >= least
struct BandRow {
  std::uint32_t block = 0;
  BandVector before{};  // zeros in the first block
  BandVector here{};
  double least = 0;
};

// Minimise the sum over the blocks of cost * z, subject to all rows.
struct BandProgram {
  std::vector<BandVector> cost;  // one for each block
  std::vector<BandRow> rows;
  BandVector most{};  // some solution that is best has no unknown beyond +- this
};

struct BandAnswer {
  double bound = 0;  // no z that keeps the rows costs less: proved by duality, to rounding
  double cost = 0;   // of the point that was reached, which keeps the rows nearly
  std::int64_t steps = 0;
  std::vector<BandVector> z;
};

// Mehrotra's predictor and corrector (SIAM J. Optimization 2 (1992) 575), until bound and cost are within 1e-3 of one
// another, or `steps_max`. Requires: at least one block; every unknown in some row; every row's block there.
[[nodiscard]] BandAnswer solve(const BandProgram& program, std::int64_t steps_max = 120);

}  // namespace sluice::lab
