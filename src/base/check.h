// SPDX-License-Identifier: Apache-2.0
#pragma once
// check(): a broken invariant of our own code ends the process, in release too, so that a restart finds a known state.
// Never used for what the outside world can cause; that is a Result.
#include <source_location>
#include <string_view>

namespace sluice {

[[noreturn]] void check_failed(std::string_view why, std::source_location where);

inline void check(bool holds, std::string_view why, std::source_location where = std::source_location::current()) {
  if (!holds) [[unlikely]] {
    check_failed(why, where);
  }
}

}  // namespace sluice
