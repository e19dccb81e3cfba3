// SPDX-License-Identifier: Apache-2.0
#pragma once
// A layer between SQLite and the disk that ends every page of a queue file with a checksum of its bytes and its number,
// and refuses a page whose checksum is wrong: a flipped bit, a zeroed block or a swapped page anywhere (bodies,
// counters, indexes, the header) is an error and never a wrong answer. SQLite alone would not notice. Pages that a
// rollback journal brings back are checked too. Other programs can read such files; a page they write is then refused
// here.
#include <string>

namespace sluice::queue::local {

// Bytes at the end of each page that belong to this layer.
inline constexpr int page_reserve = 8;

// Registers the layer over the VFS `base` (null: the system's) once, and returns its name for sqlite3_open_v2.
// Thread-safe.
[[nodiscard]] std::string checked_vfs(const char* base);

// The page that last failed its check on this thread, 0 for none; forgets it. For the error message.
[[nodiscard]] unsigned take_damaged_page();

}  // namespace sluice::queue::local
