// SPDX-License-Identifier: Apache-2.0
#pragma once
// One slot of the pool: its lock and what is written in it.
//
//   free --try_take, write record--> held by the scaler --exec--> held by the worker --exit--> free, the record stays
//                                                                     free --scaler notes the end in the record--> free
//
// The lock is taken before the worker exists and given to it by inheritance, so it is held from before exec until the
// worker and everything it left behind is gone, whatever program it is. So the kernel fences two scalers, and a scaler
// killed between any two of these steps leaves either a free slot or a worker that holds it.
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "fleet/process/lock_file.h"
#include "fleet/process/state_folder.h"
#include "model/fleet_view.h"

namespace sluice::fleet::process {

// How the worker of a record ended, as the scaler saw it.
struct SlotEnd {
  model::EndKind kind = model::EndKind::succeeded;
  bool started = true;
  std::string why;
  Time at;
  friend bool operator==(const SlotEnd&, const SlotEnd&) = default;
};

struct SlotRecord {
  std::string worker;  // orders-w3
  std::string id;      // unique to this start
  pid_t pid = 0;       // 0: not written yet
  int node = 0;        // from 1; 0: none, started by hand
  bool stays_when_idle = false;
  Time created_at;      // same clock for all processes of one boot
  WallTime started_at;  // for people
  std::optional<SlotEnd> end;
  friend bool operator==(const SlotRecord&, const SlotRecord&) = default;
};
// One line of JSON, and back; empty for what is no record.
[[nodiscard]] std::string to_json(const SlotRecord& record);
[[nodiscard]] std::optional<SlotRecord> parse_record(std::string_view line);

// Takes the lock of `slot`; empty when a worker holds it.
[[nodiscard]] Result<std::optional<LockFile>> take_slot(const StateFolder& folder, int slot);

struct SlotLook {
  bool held = false;
  std::optional<SlotRecord> record;  // of the one who holds it, or who held it last
};
[[nodiscard]] Result<SlotLook> look_at_slot(const StateFolder& folder, int slot);

// For a worker started by hand: the first free slot below `max`, with the record of `record` (worker's name apart,
// which is `pool`-w<slot>) written. Code::conflict, naming the way out, when all are taken.
struct TakenSlot {
  int slot = 0;
  std::string worker;
  LockFile lock;
};
[[nodiscard]] Result<TakenSlot> take_free_slot(const StateFolder& folder, const std::string& pool, int max,
                                               SlotRecord record);

}  // namespace sluice::fleet::process
