// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace sluice::queue::local {

enum class Checked {
  whole,    // every page and every row
  in_part,  // the time was over; what was read is sound
};

// Reads a queue file from end to end, for a person who asks whether it is sound. Changes nothing and blocks at most
// about `at_most`. Code::invalid for damage, with the way out.
[[nodiscard]] Result<Checked> check_whole_file(const std::string& path, Duration at_most);

// SQLite's own version: "3.40.1".
[[nodiscard]] std::string sqlite_version();

}  // namespace sluice::queue::local
