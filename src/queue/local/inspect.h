// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a path is before SQLite touches it: ours, nothing, or something that must be refused with words that help.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::queue::local {

inline constexpr std::int64_t application_id = 0x736c7571;  // "sluq", in the file's header
inline constexpr std::int64_t format_version = 1;           // PRAGMA user_version

enum class Found { queue, nothing };

struct Inspected {
  Found found = Found::nothing;
  std::string path;  // absolute, links resolved: locks and side files must be the same for every name of the file
};

// Refused with Code::invalid or Code::denied: a missing folder, a network filesystem, anything but a regular file, one
// this user cannot write. Never opens the file: closing it would drop the POSIX locks that this process holds on it.
[[nodiscard]] Result<Inspected> inspect(const std::string& path);

// Judges the first `header_bytes` of the file, or all there is of it. Refused: empty, foreign, cut off, another format.
inline constexpr std::size_t header_bytes = 100;  // https://sqlite.org/fileformat2.html section 1.3
[[nodiscard]] Result<void> check_header(const std::string& path, std::string_view header);

// The name of a network filesystem by its statfs magic number; null for a local one.
[[nodiscard]] const char* network_filesystem(std::uint64_t magic);

}  // namespace sluice::queue::local
