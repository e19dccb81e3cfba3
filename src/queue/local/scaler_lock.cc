// SPDX-License-Identifier: Apache-2.0
#include "queue/local/scaler_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "queue/local/inspect.h"

namespace sluice::queue::local {

namespace {

std::string reason(int error) {
  return std::strerror(error);
}  // NOLINT(concurrency-mt-unsafe): glibc's is per thread

std::string holder(int fd) {
  std::array<char, 512> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  // Between its lock and its first write a holder has no name yet.
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : "a scaler that has just started";
}

}  // namespace

Result<ScalerLock> ScalerLock::take(const std::string& queue_path, const std::string& pool, WallTime now) {
  const Result<Inspected> seen = inspect(queue_path);  // one lock for all names of the file
  if (!seen) {
    return seen.error();
  }
  const std::string path = seen->path + "-scaler.lock";
  aio::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd) {
    return Error{Code::denied, "cannot open " + path + ": " + reason(errno)};
  }
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_SETLK, &whole) != 0) {
    if (errno != EAGAIN && errno != EACCES) {
      return Error{Code::denied, "cannot lock " + path + ": " + reason(errno)};
    }
    return Error{Code::conflict, "queue file " + queue_path + " already has a scaler: " + holder(fd.get()) +
                                     "; end that one first, or use another queue file"};
  }
  const std::string text = "pid " + std::to_string(::getpid()) + ", pool " + pool + ", since " + format_wall(now);
  const bool written = ::ftruncate(fd.get(), 0) == 0 &&
                       ::pwrite(fd.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  if (!written) {
    return Error{Code::denied, "cannot write " + path + ": " + reason(errno)};
  }
  return ScalerLock(std::move(fd));
}

}  // namespace sluice::queue::local
