// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who scales a pool, or a queue file: one process, for as long as it lives. The kernel drops the lock with the process,
// so a killed scaler leaves nothing to clean up.
#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "fleet/process/lock_file.h"

namespace sluice::fleet::process {

struct ScalerHolder {
  std::string pool;  // namespace/name
  pid_t pid = 0;
  WallTime since;
};

class ScalerLock {
 public:
  // Takes the lock at `path` (a pool's scaler.lock, or one beside a queue file) or refuses with Code::conflict, naming
  // the holder: "pool default/orders is scaled by pid 4711 since 14:02:30".
  static Result<ScalerLock> take(const std::string& path, const ScalerHolder& self);

 private:
  explicit ScalerLock(LockFile lock) : lock_(std::move(lock)) {}
  LockFile lock_;
};

// Who scales now; empty when nobody does.
[[nodiscard]] Result<std::optional<ScalerHolder>> scaler_of(const std::string& path);

}  // namespace sluice::fleet::process
