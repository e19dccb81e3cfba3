// SPDX-License-Identifier: Apache-2.0
#include "app/line_reader.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::app {
namespace {

constexpr std::size_t chunk = std::size_t{256} << 10U;  // chosen: few system calls, little memory

}  // namespace

Result<LineReader> LineReader::open(const std::string& path, std::size_t length_max) {
  aio::Fd file(path == "-" ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (path != "-" && !file) {
    return Error{Code::denied, fmt::format("{}: cannot open: {}", path, std::strerror(errno))};
  }
  return LineReader(std::move(file), path, length_max);
}

// False at the end of the file.
Result<bool> LineReader::fill() {
  buffer_.erase(0, at_);
  at_ = 0;
  const std::size_t had = buffer_.size();
  buffer_.resize(had + chunk);
  ssize_t n = -1;
  do {
    n = ::read(fd(), buffer_.data() + had, chunk);
  } while (n < 0 && errno == EINTR);
  const int number = errno;
  buffer_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0) {
    return Error{Code::denied, fmt::format("{}: cannot read: {}", path_, std::strerror(number))};
  }
  return n > 0;
}

Result<std::optional<ReadLine>> LineReader::next() {
  ReadLine line{.text = "", .number = number_ + 1, .ended = true, .too_long = false};
  std::size_t searched = 0;
  while (true) {
    const std::size_t end = buffer_.find('\n', at_ + searched);
    const bool found = end != std::string::npos;
    const std::size_t length = (found ? end : buffer_.size()) - at_;
    if (found || length > length_max_) {
      line.text.append(buffer_, at_, std::min(length, length_max_ - std::min(length_max_, line.text.size())));
      line.too_long = line.too_long || length > length_max_;
      at_ += length + (found ? 1 : 0);
      searched = 0;
      if (found) {
        number_ = line.number;
        return std::optional<ReadLine>(std::move(line));
      }
    } else {
      searched = length;
    }
    const Result<bool> more = fill();
    if (!more) {
      return more.error();
    }
    if (!*more) {
      break;
    }
  }
  if (at_ == buffer_.size() && !line.too_long) {
    return std::optional<ReadLine>{};
  }
  line.text.append(buffer_, at_, length_max_ - std::min(length_max_, line.text.size()));
  at_ = buffer_.size();
  line.ended = false;
  number_ = line.number;
  return std::optional<ReadLine>(std::move(line));
}

}  // namespace sluice::app
