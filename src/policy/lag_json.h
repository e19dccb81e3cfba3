// SPDX-License-Identifier: Apache-2.0
#pragma once
// The lag policy's memory in the journal: at most 16 KB, exactly, so that a run from it decides the same bits.
//
// What a person looks at is written as numbers. The curves and the shadows are long lists of small numbers, and written
// as such would be four times as large: those are bytes (the differences, seven bits a byte) in base64.
#include <string>

#include "base/result.h"
#include "policy/lag_memory.h"

namespace boost::json {
class value;
}

namespace sluice::policy {

void append_json(std::string& out, const LagMemory& memory);
// The exact inverse. Code::invalid with the path for what is none.
[[nodiscard]] Result<LagMemory> lag_memory_from_json(const boost::json::value& json, const std::string& path);

}  // namespace sluice::policy
