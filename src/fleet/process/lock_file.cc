// SPDX-License-Identifier: Apache-2.0
#include "fleet/process/lock_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fleet/process/state_folder.h"

namespace sluice::fleet::process {
namespace {

// Chosen: holds any record of ours, so that the file never changes its size.
constexpr std::size_t padded_size = 1024;

struct flock whole_file(short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

Result<std::optional<LockFile>> LockFile::try_take(aio::Fd file, std::string path) {
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) == 0) {
    return std::optional<LockFile>(LockFile(std::move(file), std::move(path)));
  }
  if (errno == EAGAIN || errno == EACCES) {
    return std::optional<LockFile>();
  }
  return file_error(path, "lock", errno);
}

Result<LockFile> LockFile::inherited(int fd) {
  struct stat info{};
  if (fd < 3 || ::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return Error{Code::invalid,
                 fmt::format("descriptor {} is not a slot lock; SLUICE_SLOT_FD is for sluice to set", fd)};
  }
  return LockFile(aio::Fd(fd), fmt::format("descriptor {}", fd));
}

Result<void> LockFile::write(std::string line) {
  struct stat info{};
  if (::fstat(file_.get(), &info) != 0) {
    return file_error(path_, "read its size", errno);
  }
  line.resize(std::max({line.size() + 1, padded_size, static_cast<std::size_t>(info.st_size)}), ' ');
  line.back() = '\n';
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t n = ::pwrite(file_.get(), line.data() + done, line.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno != EINTR) {
      return file_error(path_, "write", errno);
    }
    done += static_cast<std::size_t>(std::max<ssize_t>(n, 0));
  }
  return {};
}

Result<LockLook> look(const aio::Fd& file, const std::string& path) {
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(file.get(), F_OFD_GETLK, &lock) != 0) {
    return file_error(path, "ask for its lock", errno);
  }
  LockLook seen;
  seen.held = lock.l_type != F_UNLCK;
  seen.line.resize(4 * padded_size);
  const ssize_t n = ::pread(file.get(), seen.line.data(), seen.line.size(), 0);
  if (n < 0) {
    return file_error(path, "read", errno);
  }
  seen.line.resize(static_cast<std::size_t>(n));
  const std::size_t last = seen.line.find_last_not_of(" \n");
  seen.line.resize(last == std::string::npos ? 0 : last + 1);
  return seen;
}

}  // namespace sluice::fleet::process
