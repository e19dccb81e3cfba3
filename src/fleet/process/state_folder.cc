// SPDX-License-Identifier: Apache-2.0
#include "fleet/process/state_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "base/number.h"

namespace sluice::fleet::process {
namespace {

// "3.lock" -> 3; -1 for any other name.
int slot_of_lock(std::string_view name) {
  constexpr std::string_view suffix = ".lock";
  if (!name.ends_with(suffix)) {
    return -1;
  }
  name.remove_suffix(suffix.size());
  return std::max(parse_number<int>(name).value_or(-1), -1);
}

}  // namespace

Error file_error(const std::string& path, std::string_view doing, int error) {
  const std::string what = fmt::format("{}: cannot {}: {}", path, doing, std::strerror(error));
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EINTR:
    case EAGAIN:
      return Error{Code::retry, what};
    case ENOSPC:
    case EDQUOT:
      return Error{Code::denied, what + "; free space there, or choose another folder with --state"};
    case EACCES:
    case EPERM:
    case EROFS:
      return Error{Code::denied, what + "; choose a folder of yours with --state"};
    default:
      return Error{Code::invalid, what};
  }
}

Result<StateFolder> StateFolder::open(const std::string& path, bool create) {
  std::error_code error;
  StateFolder folder;
  folder.path_ = std::filesystem::absolute(path, error).lexically_normal().string();
  while (folder.path_.size() > 1 && folder.path_.ends_with('/')) {
    folder.path_.pop_back();
  }
  const std::string slots = folder.path_ + "/slots";
  if (create) {
    std::filesystem::create_directories(slots, error);
    if (error) {
      return file_error(slots, "make the state folder", error.value());
    }
  }
  folder.slots_ = aio::Fd(::open(slots.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.slots_) {
    if (errno == ENOENT) {
      return Error{Code::gone, fmt::format("{}: no such folder: nothing was started here yet", slots)};
    }
    return file_error(slots, "open the state folder", errno);
  }
  return folder;
}

std::string StateFolder::slot_path(int slot, std::string_view kind) const {
  return fmt::format("{}/slots/{}.{}", path_, slot, kind);
}

std::string StateFolder::socket_url(int slot) const {
  return fmt::format("unix:/proc/self/fd/{}/{}.sock", slots_.get(), slot);
}

int StateFolder::slots_seen() const {
  const int copy = ::openat(slots_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(copy >= 0 ? ::fdopendir(copy) : nullptr, ::closedir);
  int seen = 0;
  if (dir) {
    while (const dirent* entry = ::readdir(dir.get())) {
      seen = std::max(seen, slot_of_lock(entry->d_name) + 1);
    }
  }
  return seen;
}

Result<aio::Fd> StateFolder::open_slot_file(int slot, std::string_view kind, int flags) const {
  const std::string name = fmt::format("{}.{}", slot, kind);
  aio::Fd fd(::openat(slots_.get(), name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd && errno != ENOENT) {
    return file_error(slot_path(slot, kind), "open", errno);
  }
  return fd;
}

void StateFolder::remove_slot_file(int slot, std::string_view kind) const {
  const std::string name = fmt::format("{}.{}", slot, kind);
  ::unlinkat(slots_.get(), name.c_str(), 0);
}

std::string StateFolder::tail(int slot, std::string_view kind, std::size_t max) const {
  const Result<aio::Fd> fd = open_slot_file(slot, kind, O_RDONLY | O_NONBLOCK);
  struct stat info{};
  if (!fd || !*fd || ::fstat(fd->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return "";
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  std::string text(std::min(size, max), '\0');
  const ssize_t n = ::pread(fd->get(), text.data(), text.size(), static_cast<off_t>(size - text.size()));
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return text;
}

void StateFolder::bound(int slot, std::string_view kind, std::size_t max) const {
  const Result<aio::Fd> fd = open_slot_file(slot, kind, O_WRONLY | O_NONBLOCK);
  struct stat info{};
  if (fd && *fd && ::fstat(fd->get(), &info) == 0 && static_cast<std::size_t>(info.st_size) > max) {
    // A failure leaves the file as it is: it is tried again at the next look.
    [[maybe_unused]] const int done = ::ftruncate(fd->get(), 0);
  }
}

}  // namespace sluice::fleet::process
