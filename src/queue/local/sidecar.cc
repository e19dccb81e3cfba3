// SPDX-License-Identifier: Apache-2.0
#include "queue/local/sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "queue/local/checksum.h"

namespace sluice::queue::local {

namespace {

// The file: one header, then one note per slot, all of 64 and 32 bytes so that none crosses a page.
struct Header {
  std::array<char, 8> magic{'s', 'l', 'u', 'i', 'c', 'e', 'w', '1'};
  std::array<char, 48> boot{};
  std::uint64_t sum = 0;
};
static_assert(sizeof(Header) == 64);

struct Note {
  std::int64_t key = 0;
  std::int64_t deliveries = 0;
  std::uint64_t progress = 0;
  std::uint64_t sum = 0;
};
static_assert(sizeof(Note) == 32);

template <class T>
std::uint64_t sum_of(const T& record) {
  return checksum(1, std::string_view(reinterpret_cast<const char*>(&record), sizeof(T) - sizeof(record.sum)));
}

std::string reason(int error) {
  return std::strerror(error);
}  // NOLINT(concurrency-mt-unsafe): glibc's is per thread

std::array<char, 48> boot_id() {
  std::array<char, 48> out{};
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  std::memcpy(out.data(), id.data(), std::min(id.size(), out.size()));
  return out;
}

// True: ours now. An open file description holds it, so it works between two files opened by one process too.
Result<bool> lock(int fd) {
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_SETLK, &whole) == 0) {
    return true;
  }
  if (errno == EAGAIN || errno == EACCES) {
    return false;
  }
  return Error{Code::denied, "file locks do not work here: " + reason(errno)};
}

// The name may have been removed, or made anew, between open and lock.
bool still_named(int fd, const std::string& path) {
  struct stat open{};
  struct stat named{};
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
         open.st_dev == named.st_dev;
}

template <class T>
bool write_record(int fd, const T& record, off_t at) {
  return ::pwrite(fd, &record, sizeof record, at) == static_cast<ssize_t>(sizeof record);
}

}  // namespace

Result<Sidecar> Sidecar::make(const std::string& folder, std::int64_t owner) {
  const std::string path = folder + "/" + std::to_string(owner);
  if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
    return Error{Code::denied, "cannot make the folder " + folder + ": " + reason(errno)};
  }
  // A reaper may take a fresh file for a dead owner's in the moment before it is locked; then it is made again.
  for (int tries = 0; tries < 100; ++tries) {
    aio::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!fd) {
      return Error{Code::denied, "cannot make " + path + ": " + reason(errno)};
    }
    const Result<bool> ours = lock(fd.get());
    if (!ours) {
      return ours.error().in(path);
    }
    if (!*ours || !still_named(fd.get(), path)) {
      continue;
    }
    Header header;
    header.boot = boot_id();
    header.sum = sum_of(header);
    if (::ftruncate(fd.get(), 0) != 0 || !write_record(fd.get(), header, 0)) {
      const int error = errno;
      ::unlink(path.c_str());
      return Error{Code::denied, "cannot write " + path + ": " + reason(error)};
    }
    return Sidecar(path, std::move(fd));
  }
  return Error{Code::retry, "cannot lock " + path};
}

Result<void> Sidecar::note(std::size_t slot, DeliveryKey delivery, Progress progress) {
  Note note{.key = delivery.key, .deliveries = delivery.deliveries, .progress = static_cast<std::uint64_t>(progress)};
  note.sum = sum_of(note);
  if (!write_record(fd_.get(), note, static_cast<off_t>(sizeof(Header) + slot * sizeof(Note)))) {
    return Error{Code::denied, "cannot write " + path_ + ": " + reason(errno)};
  }
  return {};
}

void Sidecar::remove() {
  if (fd_) {
    ::unlink(path_.c_str());
    fd_.reset();
  }
}

Result<std::optional<Remains>> Remains::of(const std::string& folder, std::int64_t owner) {
  Remains remains;
  remains.path_ = folder + "/" + std::to_string(owner);
  remains.fd_ = aio::Fd(::open(remains.path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!remains.fd_) {
    if (errno == ENOENT) {
      return std::optional(std::move(remains));
    }
    // Not knowing is not death: an unreadable file keeps its messages until somebody repairs it.
    return Error{Code::denied, "cannot open " + remains.path_ + ": " + reason(errno)};
  }
  const Result<bool> ours = lock(remains.fd_.get());
  if (!ours) {
    return ours.error().in(remains.path_);
  }
  if (!*ours || !still_named(remains.fd_.get(), remains.path_)) {
    return std::optional<Remains>{};
  }
  Header header;
  const ssize_t got = ::pread(remains.fd_.get(), &header, sizeof header, 0);
  remains.believed_ = got == static_cast<ssize_t>(sizeof header) && header.magic == Header{}.magic &&
                      header.sum == sum_of(header) && header.boot == boot_id();
  Note note;
  for (off_t at = sizeof header; remains.believed_; at += sizeof note) {
    const ssize_t n = ::pread(remains.fd_.get(), &note, sizeof note, at);
    if (n == 0) {
      break;
    }
    if (n == static_cast<ssize_t>(sizeof note) && note.sum == sum_of(note)) {
      auto& [deliveries, progress] = remains.notes_[note.key];
      if (note.deliveries >= deliveries) {
        deliveries = note.deliveries;
        progress = static_cast<Progress>(note.progress);
      }
    } else if (note.key != 0 || note.sum != 0) {
      remains.believed_ = false;
    }
  }
  return std::optional(std::move(remains));
}

std::optional<Progress> Remains::progress(DeliveryKey delivery) const {
  if (!believed_) {
    return std::nullopt;
  }
  const auto found = notes_.find(delivery.key);
  const bool noted = found != notes_.end() && found->second.first == delivery.deliveries;
  return noted ? found->second.second : Progress::held;
}

void Remains::remove() {
  if (fd_) {
    ::unlink(path_.c_str());
    fd_.reset();
  }
}

}  // namespace sluice::queue::local
