// SPDX-License-Identifier: Apache-2.0
#pragma once
// The state folder of a pool: .sluice/<pool>/ with scaler.lock and slots/N.{lock,sock,last,log}.
//
// Held open by descriptor, so that a socket in a folder of any depth is reached by a short name: a socket's address
// holds only 107 bytes of path.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "aio/fd.h"
#include "base/result.h"

namespace sluice::fleet::process {

// Code::denied (not allowed, read-only, disk full), Code::retry (out of descriptors or memory) or Code::invalid, with
// the reason of `error` and, where there is one, the way out.
[[nodiscard]] Error file_error(const std::string& path, std::string_view doing, int error);

class StateFolder {
 public:
  // `create`: makes it and the folders above it. Without, a missing one is Code::gone.
  static Result<StateFolder> open(const std::string& path, bool create);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string scaler_lock() const { return path_ + "/scaler.lock"; }
  // "slots/3.lock" with the folder in front, for messages; `kind` is lock, sock, last or log.
  [[nodiscard]] std::string slot_path(int slot, std::string_view kind) const;
  // The base URL of a worker's socket; valid as long as this object.
  [[nodiscard]] std::string socket_url(int slot) const;
  // One above the highest slot that ever had a lock file.
  [[nodiscard]] int slots_seen() const;

  // An Fd, or an empty one when there is no such file. Requires for writing: flags hold O_CREAT where it may be
  // missing.
  [[nodiscard]] Result<aio::Fd> open_slot_file(int slot, std::string_view kind, int flags) const;
  void remove_slot_file(int slot, std::string_view kind) const;
  // At most `max` bytes from the end; empty when missing.
  [[nodiscard]] std::string tail(int slot, std::string_view kind, std::size_t max) const;
  // Empties the file once it is larger than `max`: whoever appends to it goes on at its new end.
  void bound(int slot, std::string_view kind, std::size_t max) const;

 private:
  std::string path_;
  aio::Fd slots_;
};

}  // namespace sluice::fleet::process
