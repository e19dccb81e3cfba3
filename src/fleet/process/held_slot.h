// SPDX-License-Identifier: Apache-2.0
#pragma once
// The worker's side of the process fleet: its slot, whose lock it holds to its end, and the files by which the scaler
// sees it.
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "fleet/process/slot_lock.h"
#include "fleet/process/state_folder.h"

namespace sluice::fleet::process {

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

class HeldSlot {
 public:
  // The slot that a scaler gave by SLUICE_SLOT_FD, SLUICE_SLOT and SLUICE_STATE, with the name of SLUICE_WORKER; empty
  // when no scaler gave one. Code::invalid names the variable that makes no sense.
  [[nodiscard]] static Result<std::optional<HeldSlot>> inherited(const Environment& environment);

  // One that this process took itself.
  HeldSlot(StateFolder folder, TakenSlot taken)
      : folder_(std::move(folder)), slot_(taken.slot), worker_(std::move(taken.worker)), lock_(std::move(taken.lock)) {}

  [[nodiscard]] const std::string& worker() const { return worker_; }
  [[nodiscard]] std::string socket() const { return folder_.slot_path(slot_, "sock"); }
  // Keeps what GET /worker would have said last, for whoever asks after the end.
  [[nodiscard]] Result<void> last_words(std::string_view json) const;

 private:
  StateFolder folder_;
  int slot_;
  std::string worker_;
  LockFile lock_;
};

}  // namespace sluice::fleet::process
