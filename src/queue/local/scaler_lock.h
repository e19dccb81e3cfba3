// SPDX-License-Identifier: Apache-2.0
#pragma once
// At most one scaler per queue file, for whatever pool: two would start workers for the same backlog twice. A lock of
// the kernel on FILE-scaler.lock, so that it ends with the scaler however it ends; the text in the file only says who
// holds it.
#include <string>

#include "aio/fd.h"
#include "base/result.h"
#include "base/time.h"

namespace sluice::queue::local {

class ScalerLock {
 public:
  // Code::conflict, naming the holder's process, pool and start, while another one lives. The file stays when it is let
  // go.
  [[nodiscard]] static Result<ScalerLock> take(const std::string& queue_path, const std::string& pool, WallTime now);

 private:
  explicit ScalerLock(aio::Fd fd) : fd_(std::move(fd)) {}
  aio::Fd fd_;
};

}  // namespace sluice::queue::local
