// SPDX-License-Identifier: Apache-2.0
#pragma once
// A file whose lock says "somebody lives here" and whose content says who. The lock is an open-file-description lock:
// every process that inherited the descriptor holds it, the kernel drops it with the last of them, and anybody can ask
// for it without touching it. Not flock(), which can only be asked by taking it; not fcntl's process locks, which no
// child inherits.
#include <optional>
#include <string>

#include "aio/fd.h"
#include "base/result.h"

namespace sluice::fleet::process {

class LockFile {
 public:
  // Takes the lock of an open file at once, or not: empty when somebody else holds it.
  static Result<std::optional<LockFile>> try_take(aio::Fd file, std::string path);
  // One that came with this process; closed on exec from here on. `fd` becomes this object's.
  static Result<LockFile> inherited(int fd);

  // Replaces the content by one line. In place and padded, because the lock belongs to this very file, and a reader of
  // the moment between cutting and writing would find it empty.
  Result<void> write(std::string line);
  [[nodiscard]] int fd() const { return file_.get(); }
  // Only closes the descriptor: the lock stays with a child that inherited it.
  void close() { file_.reset(); }

 private:
  LockFile(aio::Fd file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  aio::Fd file_;
  std::string path_;
};

struct LockLook {
  bool held = false;
  std::string line;  // the content without its padding
};
// Asks without taking.
[[nodiscard]] Result<LockLook> look(const aio::Fd& file, const std::string& path);

}  // namespace sluice::fleet::process
