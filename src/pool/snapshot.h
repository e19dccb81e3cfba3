// SPDX-License-Identifier: Apache-2.0
#pragma once
// For tests: a committed file holds what the code generates. SNAP_UPDATE=1 writes it anew; the difference is reviewed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace sluice::pool {

// `path` is relative to the source folder, where tests run.
inline void expect_file_holds(const std::string& path, const std::string& text) {
  if (std::getenv("SNAP_UPDATE") != nullptr) {
    std::ofstream(path, std::ios::binary) << text;
  }
  std::ifstream file(path, std::ios::binary);
  std::stringstream committed;
  committed << file.rdbuf();
  // Not EXPECT_EQ: a page of differences says less than how to make it right.
  EXPECT_TRUE(committed.str() == text)
      << path << " is not what the code generates; to write it anew: SNAP_UPDATE=1 build/dev/pool_test";
}

}  // namespace sluice::pool
