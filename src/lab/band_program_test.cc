// SPDX-License-Identifier: Apache-2.0
#include "lab/band_program.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace sluice::lab {
namespace {

// A block's unused unknowns are held at nothing.
void hold_rest(BandProgram& program, std::size_t used) {
  for (std::uint32_t block = 0; block < program.cost.size(); ++block) {
    for (std::size_t i = used; i < band_width; ++i) {
      BandVector one{};
      one[i] = 1;
      program.rows.push_back({.block = block, .here = one, .least = 0});
      program.cost[block][i] = 1;
    }
  }
}

// The largest corner of x + 2y <= 4, 3x + y <= 7 by x + y is (2, 1).
TEST(BandProgram, FindsACornerOfAPlane) {
  BandProgram program{.cost = {{-1, -1}}, .rows = {}, .most = {10, 10, 10, 10, 10}};
  program.rows = {{.here = {-1, -2}, .least = -4}, {.here = {-3, -1}, .least = -7}};
  hold_rest(program, 2);
  const BandAnswer answer = solve(program);
  EXPECT_NEAR(answer.bound, -3, 1e-2);
  EXPECT_LE(answer.bound, -3 + 1e-9);
  EXPECT_NEAR(answer.z[0][0], 2, 0.1);
  EXPECT_NEAR(answer.z[0][1], 1, 0.1);
}

// The shortest way up: z0 >= 1, each block at least twice the one before it; the cost is the last.
TEST(BandProgram, GoesThroughAllBlocks) {
  BandProgram program{.cost = std::vector<BandVector>(20), .rows = {}, .most = {}};
  program.most.fill(3e6);
  program.rows.push_back({.block = 0, .here = {1}, .least = 1});
  for (std::uint32_t block = 1; block < 20; ++block) {
    program.rows.push_back({.block = block, .before = {-2}, .here = {1}, .least = 0});
  }
  program.cost.back() = {1};
  hold_rest(program, 1);
  EXPECT_NEAR(solve(program).bound, 524288, 1000);
}

// Whatever the program, no point that keeps its rows costs less than the bound, and some point costs hardly more.
TEST(BandProgram, TheBoundIsOneAndTheCostIsNear) {
  Random random(1);
  for (int round = 0; round < 50; ++round) {
    const std::size_t blocks = 1 + random.below(30);
    BandProgram program{.cost = std::vector<BandVector>(blocks), .rows = {}, .most = {}};
    program.most.fill(100);
    std::vector<BandVector> inside(blocks);  // a point that keeps all rows
    for (std::uint32_t block = 0; block < blocks; ++block) {
      for (std::size_t i = 0; i < band_width; ++i) {
        inside[block][i] = random.unit();
        program.cost[block][i] = random.unit() - 0.3;
        BandVector one{};
        one[i] = 1;
        program.rows.push_back({.block = block, .here = one, .least = -1});
        one[i] = -1;
        program.rows.push_back({.block = block, .here = one, .least = -2});
      }
      BandRow row{.block = block};
      double value = 0;
      for (std::size_t i = 0; i < band_width; ++i) {
        row.here[i] = random.unit() - 0.5;
        value += row.here[i] * inside[block][i];
        if (block > 0) {
          row.before[i] = random.unit() - 0.5;
          value += row.before[i] * inside[block - 1][i];
        }
      }
      row.least = value - random.unit();
      program.rows.push_back(row);
    }
    const BandAnswer answer = solve(program);
    double there = 0;
    for (std::size_t block = 0; block < blocks; ++block) {
      for (std::size_t i = 0; i < band_width; ++i) {
        there += program.cost[block][i] * inside[block][i];
      }
    }
    EXPECT_LE(answer.bound, there);
    EXPECT_NEAR(answer.bound, answer.cost, 2e-3 * std::abs(answer.cost)) << "round " << round;
    for (const BandRow& row : program.rows) {
      double value = 0;
      for (std::size_t i = 0; i < band_width; ++i) {
        value += row.here[i] * answer.z[row.block][i];
        value += row.block > 0 ? row.before[i] * answer.z[row.block - 1][i] : 0;
      }
      EXPECT_GE(value, row.least - 1e-2);
    }
  }
}

}  // namespace
}  // namespace sluice::lab
