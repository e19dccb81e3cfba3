// SPDX-License-Identifier: Apache-2.0
#pragma once
// File descriptors: owned, and awaited.
#include <memory>
#include <string>
#include <utility>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"

namespace sluice::aio {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read_end;
  Fd write_end;
};
// Both ends close-on-exec.
[[nodiscard]] Result<Pipe> make_pipe();

// Awaits readiness of a pollable descriptor (pipe, socket, inotify, pidfd, terminal). The descriptor stays the caller's and
// must outlive the wait. One waiter per direction.
class Watch {
 public:
  Watch(Loop& loop, Clock& clock, int fd);
  ~Watch();
  [[nodiscard]] Task<Wake> readable(Deadline deadline);
  [[nodiscard]] Task<Wake> writable(Deadline deadline);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Writes all of `bytes` to a non-blocking pipe, waiting as needed. EPIPE is success (an unread body is fine) when
// `closed_is_fine`, else Code::gone.
[[nodiscard]] Task<Result<void>> write_all(Loop& loop, Clock& clock, int fd, std::string bytes, bool closed_is_fine,
                                           Deadline deadline);

}  // namespace sluice::aio
