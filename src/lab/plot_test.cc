// SPDX-License-Identifier: Apache-2.0
#include "lab/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <string>
#include <vector>

namespace sluice::lab {
namespace {

struct Name {
  double x = 0, y = 0;
  bool ends = false;  // at x, and begins there otherwise
};

std::vector<Name> names(const PointPlot& plot) {
  const std::string page = svg(plot);
  const std::regex one(R"re(<text class="name( end)?" x="([0-9.]+)" y="([0-9.]+)">)re");
  std::vector<Name> out;
  for (std::sregex_iterator it(page.begin(), page.end(), one); it != std::sregex_iterator(); ++it) {
    out.push_back({std::stod((*it)[2]), std::stod((*it)[3]), (*it)[1].matched});
  }
  return out;
}

TEST(PointPlot, NamesOfPointsAtTheSamePlaceStandApart) {
  PointPlot plot;
  for (const char* name : {"hpa 5", "hpa 10", "hpa 20"}) {
    plot.points.push_back({.name = name, .colour = "c0", .x = 3, .y = 4});
  }
  const std::vector<Name> all = names(plot);
  ASSERT_EQ(all.size(), 3);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      const bool sides = all[i].ends != all[k].ends;
      EXPECT_TRUE(sides || std::abs(all[i].y - all[k].y) >= 10) << i << " and " << k;
    }
  }
}

TEST(PointPlot, ThereIsRoomForANameRightOfTheLastPoint) {
  PointPlot plot;
  plot.points = {{.name = "lag 30s", .colour = "c0", .x = 1, .y = 1},
                 {.name = "backlogPerWorker 5", .colour = "c1", .x = 9, .y = 1}};
  EXPECT_FALSE(names(plot)[1].ends);
}

TEST(PointPlot, ANameThatIsTooLongStaysInThePicture) {
  PointPlot plot;
  plot.points = {{.name = std::string(80, 'x'), .colour = "c0", .x = 9, .y = 1}};
  const Name only = names(plot).at(0);
  EXPECT_TRUE(only.ends);
  EXPECT_LT(only.x, 640);
}

}  // namespace
}  // namespace sluice::lab
