// SPDX-License-Identifier: Apache-2.0
#include "control/journal_stream.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice::control {
namespace {

std::string why(int number) {
  switch (number) {
    case EAGAIN:
      return "who reads it does not keep up";
    case EPIPE:
      return "nobody reads it any more";
    default:
      return std::strerror(number);
  }
}

}  // namespace

// Not O_NONBLOCK on the descriptor itself: others share its description, a terminal's shell among them.
JournalStream::JournalStream(int fd) : fd_(fd) {
  struct stat info{};
  if (::fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode)) {
    own_ = ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    fd_ = own_ >= 0 ? own_ : fd_;
  }
}

JournalStream::~JournalStream() {
  if (own_ >= 0) {
    ::close(own_);
  }
}

bool JournalStream::at_start_of_file() {
  return std::exchange(start_, false);
}

Result<void> JournalStream::drain() {
  while (!rest_.empty()) {
    const ssize_t n = ::write(fd_, rest_.data(), rest_.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      start_ = true;  // whoever reads on after the gap needs spec and state again
      return Error{Code::denied, "stdout: " + why(errno)};
    }
    rest_.erase(0, static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> JournalStream::write(std::string_view line) {
  if (const Result<void> drained = drain(); !drained) {
    return drained;
  }
  rest_ = std::string(line) + "\n";
  const std::size_t whole = rest_.size();
  const Result<void> written = drain();
  if (!written && rest_.size() == whole) {
    rest_.clear();  // nothing of it is out: it was not written
  }
  return written;
}

}  // namespace sluice::control
