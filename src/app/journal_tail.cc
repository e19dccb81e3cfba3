// SPDX-License-Identifier: Apache-2.0
#include "app/journal_tail.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "aio/fd.h"
#include "app/line_reader.h"
#include "control/journal_file.h"

namespace sluice::app {
namespace {

constexpr std::size_t line_max = std::size_t{1} << 20U;
constexpr std::size_t chunk = std::size_t{1} << 20U;  // chosen: few reads of a 64 MiB file, little memory

Error unreadable(const std::string& path) {
  return Error{errno == ENOENT ? Code::gone : Code::denied,
               fmt::format("{}: cannot read: {}", path, std::strerror(errno))};
}

}  // namespace

Result<void> JournalTail::poll() {
  const aio::Fd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (!file || ::fstat(file.get(), &info) != 0) {
    return unreadable(path_);
  }
  if (info.st_ino != inode_ || info.st_size < offset_) {
    inode_ = info.st_ino;  // rotated, or written anew
    offset_ = 0;
    story_ = control::Story({});
  }
  std::string buffer;
  while (true) {
    const std::size_t had = buffer.size();
    buffer.resize(had + chunk);
    const ssize_t n = ::pread(file.get(), buffer.data() + had, chunk, offset_ + static_cast<off_t>(had));
    if (n < 0) {
      return unreadable(path_);
    }
    buffer.resize(had + static_cast<std::size_t>(n));
    std::size_t begin = 0;
    for (std::size_t end = buffer.find('\n', had); end != std::string::npos; end = buffer.find('\n', begin)) {
      story_.feed(std::string_view(buffer).substr(begin, end - begin));
      begin = end + 1;
    }
    offset_ += static_cast<off_t>(begin);
    buffer.erase(0, begin);
    if (buffer.size() > line_max) {
      offset_ += static_cast<off_t>(buffer.size());  // no line of ours
      buffer.clear();
    }
    if (n == 0) {
      return {};
    }
  }
}

Result<control::Story> search_journal(const std::string& path, const control::Ask& ask) {
  control::Story story(ask);
  bool any = false;
  for (int i = control::JournalFile::Options{}.kept; i >= 0; --i) {
    const std::string name = i == 0 ? path : fmt::format("{}.{}", path, i);
    if (::access(name.c_str(), F_OK) != 0 && errno == ENOENT) {
      continue;
    }
    // Only one that looks for the past needs every file; the last ticks are in the last two.
    if (!ask.tick && !ask.at && i > 1) {
      continue;
    }
    Result<LineReader> lines = LineReader::open(name, line_max);
    if (!lines) {
      return lines.error();
    }
    any = true;
    while (true) {
      const Result<std::optional<ReadLine>> line = lines->next();
      if (!line) {
        return line.error();
      }
      if (!*line || ((*line)->ended && !story.feed((*line)->text))) {
        break;
      }
    }
  }
  if (!any) {
    return Error{Code::gone, fmt::format("{}: there is no journal", path)};
  }
  return story;
}

}  // namespace sluice::app
