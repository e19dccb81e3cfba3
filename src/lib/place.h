// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a worker that a scaler started lives: its slot, whose lock it holds to its end, and the files by which the
// scaler sees it.
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fleet/process/lock_file.h"
#include "fleet/process/state_folder.h"

namespace sluice::lib {

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

class Place {
 public:
  // From SLUICE_SLOT_FD, SLUICE_SLOT and SLUICE_STATE; empty when no scaler gave them.
  static Result<std::optional<Place>> inherited(const Environment& environment);

  [[nodiscard]] std::string socket() const { return folder_.slot_path(slot_, "sock"); }
  // What GET /worker would have said last, for whoever asks after the end.
  [[nodiscard]] Result<void> last_words(std::string_view json) const;

 private:
  Place(fleet::process::StateFolder folder, int slot, fleet::process::LockFile lock)
      : folder_(std::move(folder)), slot_(slot), lock_(std::move(lock)) {}

  fleet::process::StateFolder folder_;
  int slot_;
  fleet::process::LockFile lock_;
};

}  // namespace sluice::lib
