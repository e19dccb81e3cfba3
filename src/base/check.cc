// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace sluice {

void check_failed(std::string_view why, std::source_location where) {
  std::fprintf(stderr, "sluice: bug: %.*s (%s:%u, %s)\n", static_cast<int>(why.size()), why.data(), where.file_name(),
               where.line(), where.function_name());
  std::abort();
}

}  // namespace sluice
