// SPDX-License-Identifier: Apache-2.0
#include "queue/local/integrity.h"

#include <fmt/core.h>
#include <sqlite3.h>

#include "queue/local/checked_vfs.h"
#include "queue/local/sqlite.h"

namespace sluice::queue::local {
namespace {

// Steps of SQLite's machine between two looks at the limit, and how many of them a second has at least: measured on a
// slow machine, so that the limit is kept there and a fast one reads more.
constexpr int steps_between = 100'000;
constexpr double steps_a_second = 5e6;

struct Budget {
  double left = 0;
};

int spend(void* budget) {
  auto* b = static_cast<Budget*>(budget);
  b->left -= steps_between;
  return b->left <= 0 ? 1 : 0;
}

}  // namespace

Result<Checked> check_whole_file(const std::string& path, Duration at_most) {
  try {
    Db db(path, checked_vfs(nullptr), false);
    db.on_busy([](int tries) { return tries < 50; });
    Budget budget{to_s(at_most) * steps_a_second};
    sqlite3_progress_handler(db.handle(), steps_between, spend, &budget);
    const std::string found = db.text("PRAGMA quick_check(1)");
    if (found != "ok") {
      return Error{Code::invalid, fmt::format("queue file {} is damaged: {}", path, found)};
    }
    return Checked::whole;
  } catch (const SqlFailure& failure) {
    if ((failure.code & 0xff) == SQLITE_INTERRUPT) {
      return Checked::in_part;
    }
    return explain(failure, path);
  }
}

std::string sqlite_version() {
  return sqlite3_libversion();
}

}  // namespace sluice::queue::local
