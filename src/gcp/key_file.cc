// SPDX-License-Identifier: Apache-2.0
#include "gcp/key_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "aio/fd.h"

namespace sluice::gcp {

Result<Key> KeyFile::read(Stamp& stamp) const {
  const aio::Fd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) {
    return Error{Code::denied, fmt::format("cannot open: {}", std::strerror(errno))};
  }
  struct stat now{};
  if (::fstat(file.get(), &now) != 0 || !S_ISREG(now.st_mode)) {
    return Error{Code::denied, "not a file"};
  }
  // Taken before reading, so that what is written meanwhile is read again.
  stamp = Stamp{.device = now.st_dev,
                .inode = now.st_ino,
                .size = now.st_size,
                .changed_s = now.st_mtim.tv_sec,
                .changed_ns = now.st_mtim.tv_nsec};
  if (stamp_ && key_ && stamp == *stamp_) {
    return *key_;
  }
  Result<std::string> text = aio::read_all(file.get(), key_bytes_max);
  if (!text) {
    return text.error();
  }
  Result<Key> out = parse_key(*text, limits_);
  wipe(*text);
  return out;
}

bool KeyFile::look() {
  Stamp stamp;
  Result<Key> now = read(stamp);
  if (!now) {
    problem_ = Error{Code::denied, fmt::format("{}: {}", path_, now.error().what)};
    return false;
  }
  problem_.reset();
  stamp_ = stamp;
  if (key_ && *key_ == *now) {
    return false;
  }
  key_ = std::move(*now);
  return true;
}

}  // namespace sluice::gcp
