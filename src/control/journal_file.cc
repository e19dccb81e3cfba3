// SPDX-License-Identifier: Apache-2.0
#include "control/journal_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace sluice::control {

JournalFile::JournalFile(std::string path, Options options, std::function<void(std::string_view)> echo)
    : path_(std::move(path)), options_(options), echo_(std::move(echo)) {}

JournalFile::~JournalFile() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Error JournalFile::failed(std::string_view what) const {
  const int number = errno;
  const char* remedy = number == ENOSPC ? "; free some space, sluice goes on by itself" : "";
  return Error{Code::denied, fmt::format("{}: cannot {}: {}{}", path_, what, std::strerror(number), remedy)};
}

Result<void> JournalFile::open() {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  struct stat info{};
  if (fd_ < 0 || ::fstat(fd_, &info) != 0) {
    return failed("open");
  }
  bytes_ = static_cast<std::size_t>(info.st_size);
  char last = '\n';
  if (bytes_ > 0 && ::pread(fd_, &last, 1, info.st_size - 1) == 1 && last != '\n') {
    if (::write(fd_, "\n", 1) != 1) {
      return failed("write");
    }
    ++bytes_;
  }
  return {};
}

Result<void> JournalFile::rotate() {
  ::close(fd_);
  fd_ = -1;
  for (int i = options_.kept; i > 0; --i) {
    const std::string from = i == 1 ? path_ : fmt::format("{}.{}", path_, i - 1);
    if (::rename(from.c_str(), fmt::format("{}.{}", path_, i).c_str()) != 0 && errno != ENOENT) {
      return failed("rotate");
    }
  }
  start_ = true;
  torn_ = false;
  return open();
}

bool JournalFile::at_start_of_file() {
  // Asked before the first line of a tick, so a rotation here starts the new file with pool and state.
  if (fd_ < 0) {
    start_ = open().has_value() || start_;
  }
  if (fd_ >= 0 && bytes_ >= options_.bytes_max) {
    start_ = rotate().has_value() || start_;
  }
  return std::exchange(start_, false);
}

Result<void> JournalFile::write(std::string_view line) {
  if (fd_ < 0) {
    const Result<void> opened = open();
    if (!opened) {
      return opened;
    }
  }
  std::string whole(torn_ ? "\n" : "");
  whole.append(line) += '\n';
  std::size_t written = 0;
  while (written < whole.size()) {
    const ssize_t n = ::write(fd_, whole.data() + written, whole.size() - written);
    if (n < 0) {
      const Error error = failed("write");
      if (written > 0 && ::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) {
        bytes_ += written;
        torn_ = true;  // it stays, and readers skip it; the next line must not be glued to it
      }
      start_ = true;  // whoever reads on after the gap needs spec and state again
      return error;
    }
    written += static_cast<std::size_t>(n);  // less than asked for: the disk is full, which the next write says
  }
  bytes_ += whole.size();
  torn_ = false;
  if (echo_) {
    echo_(line);
  }
  return {};
}

}  // namespace sluice::control
