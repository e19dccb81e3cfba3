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

// All that can be read until the end, or bytes_max + 1 bytes where there is more. Code::denied with what the system
// says.
[[nodiscard]] Result<std::string> read_all(int fd, std::size_t bytes_max);

struct Pipe {
  Fd read_end;
  Fd write_end;
};
// Both ends close-on-exec and blocking. Code::retry when the process is out of descriptors.
[[nodiscard]] Result<Pipe> make_pipe();
// O_NONBLOCK on the open file description, so on every descriptor that shares it.
[[nodiscard]] Result<void> set_nonblocking(int fd);

// Awaits readiness of a pollable descriptor (pipe, socket, inotify, pidfd, terminal). The descriptor stays the caller's
// and must stay open as long as the Watch lives. One waiter per direction, one Watch per descriptor. A descriptor that
// cannot be polled (a regular file), is broken or was hung up is always ready: the system call that follows says why.
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

// Writes all of `bytes` to a pipe or socket, which is made non-blocking, waiting as needed. A reader that closed its
// end is success (an unread body is fine) when `closed_is_fine`, else Code::gone. Code::retry at the deadline: how much
// was written by then is unknown to the caller. Requires: ignore_sigpipe().
[[nodiscard]] Task<Result<void>> write_all(Loop& loop, Clock& clock, int fd, std::string bytes, bool closed_is_fine,
                                           Deadline deadline);
// The next bytes, at most `most` of them, empty at the end of the stream. Code::retry at the deadline.
[[nodiscard]] Task<Result<std::string>> read_some(Loop& loop, Clock& clock, int fd, std::size_t most,
                                                  Deadline deadline);

}  // namespace sluice::aio
