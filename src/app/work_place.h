// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a worker of a pool lives: its slot, whose lock it holds to its end, and the files by which a scaler sees it.
#include <optional>
#include <string>
#include <string_view>

#include "app/context.h"
#include "app/wiring.h"
#include "base/result.h"
#include "fleet/process/slot_lock.h"
#include "fleet/process/state_folder.h"

namespace sluice::app {

class WorkPlace {
 public:
  // The slot that a scaler gave (SLUICE_SLOT_FD), or a free one of `pool` for a worker started by hand; empty when
  // there is neither, so that nobody scales it. Code::conflict when the pool has no free slot.
  static Result<std::optional<WorkPlace>> take(Context& context, const LoadedPool* pool);

  [[nodiscard]] const std::string& worker() const { return worker_; }
  [[nodiscard]] std::string socket() const { return folder_.slot_path(slot_, "sock"); }
  // What GET /worker would have said last, for whoever asks after the end.
  [[nodiscard]] Result<void> last_words(std::string_view json) const;

 private:
  WorkPlace(fleet::process::StateFolder folder, int slot, std::string worker, fleet::process::LockFile lock)
      : folder_(std::move(folder)), slot_(slot), worker_(std::move(worker)), lock_(std::move(lock)) {}

  fleet::process::StateFolder folder_;
  int slot_;
  std::string worker_;
  fleet::process::LockFile lock_;
};

}  // namespace sluice::app
