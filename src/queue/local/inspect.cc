// SPDX-License-Identifier: Apache-2.0
#include "queue/local/inspect.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace sluice::queue::local {

namespace {

std::string reason(int error) {
  return std::strerror(error);
}  // NOLINT(concurrency-mt-unsafe): glibc's is per thread

std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    value = value << 8U | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

Result<std::string> resolved(const std::string& path) {
  char full[PATH_MAX];
  if (::realpath(path.c_str(), full) != nullptr) {
    return std::string(full);
  }
  if (errno != ENOENT) {
    return Error{Code::invalid,
                 "queue file " + path + ": " + reason(errno) + ". Give the path of a file, such as orders.db"};
  }
  struct stat link{};
  if (::lstat(path.c_str(), &link) == 0) {
    return Error{Code::invalid, "queue file " + path + " is a link to a file that does not exist: remove the link or " +
                                    "give the path of the file itself"};
  }
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return Error{Code::invalid, "queue file \"" + path + "\" has no file name: give a path such as orders.db"};
  }
  if (::realpath(folder.c_str(), full) == nullptr) {
    return Error{Code::invalid, "queue file " + path + ": its folder " + folder + " cannot be used (" + reason(errno) +
                                    "): make it with: mkdir -p " + folder};
  }
  const std::string at = full;
  return (at == "/" ? "" : at) + "/" + name;
}

// FUSE carries both sshfs and the root of a rootless container; the mount's type tells.
bool local_fuse(const std::string& folder) {
  struct stat info{};
  if (::stat(folder.c_str(), &info) != 0) {
    return false;
  }
  const std::string device = " " + std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev)) + " ";
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(device) != std::string::npos) {
      return line.find(" - fuseblk ") != std::string::npos || line.find(" - fuse.fuse-overlayfs ") != std::string::npos;
    }
  }
  return false;
}

Result<void> local_filesystem(const std::string& path, const std::string& folder) {
  struct statfs info{};
  if (::statfs(folder.c_str(), &info) != 0) {
    return Error{Code::denied, "queue file " + path + ": " + reason(errno)};
  }
  const char* const name = network_filesystem(static_cast<std::uint64_t>(info.f_type));
  if (name != nullptr && !(std::string_view(name) == "FUSE" && local_fuse(folder))) {
    return Error{Code::invalid,
                 "queue file " + path + " is on a network filesystem (" + name + "), whose locks and syncs " +
                     "cannot be trusted: put the file on a local disk, or use a broker (queue.rabbitmq) " +
                     "when several machines share the queue"};
  }
  return {};
}

}  // namespace

const char* network_filesystem(std::uint64_t magic) {
  switch (magic & 0xffffffffU) {  // linux/magic.h and the filesystems' own headers
    case 0x6969:
      return "NFS";
    case 0xff534d42:
      return "CIFS";
    case 0xfe534d42:
      return "SMB2";
    case 0x517b:
      return "SMB";
    case 0x01021997:
      return "9p";
    case 0x65735546:
      return "FUSE";
    case 0x5346414f:
      return "AFS";
    case 0x6b414653:
      return "kAFS";
    case 0x00c36400:
      return "Ceph";
    case 0x0bd00bd0:
      return "Lustre";
    case 0x73757245:
      return "Coda";
    case 0x7461636f:
      return "OCFS2";
    case 0x01161970:
      return "GFS2";
    case 0x47504653:
      return "GPFS";
    case 0x564c:
      return "NCP";
    case 0x19830326:
      return "BeeGFS";
    case 0x013111a8:
      return "IBRIX";
    case 0x61636673:
      return "ACFS";
    case 0xaad7aaea:
      return "PanFS";
    case 0x20030528:
      return "OrangeFS";
    default:
      return nullptr;
  }
}

Result<Inspected> inspect(const std::string& path) {
  const Result<std::string> full = resolved(path);
  if (!full) {
    return full.error();
  }
  const std::string folder = full->substr(0, std::max<std::size_t>(1, full->rfind('/')));
  if (const Result<void> local = local_filesystem(path, folder); !local) {
    return local.error();
  }
  // Not by opening: a fifo would block, and a device might do anything.
  struct stat info{};
  if (::stat(full->c_str(), &info) != 0) {
    if (errno != ENOENT) {
      return Error{Code::denied, "queue file " + path + ": " + reason(errno)};
    }
    if (::access(folder.c_str(), W_OK | X_OK) != 0) {
      return Error{Code::denied, "queue file " + path + " cannot be made in " + folder + ": " + reason(errno) +
                                     ". Make the folder writable for this user, or choose another path"};
    }
    return Inspected{.found = Found::nothing, .path = *full};
  }
  if (!S_ISREG(info.st_mode)) {
    const std::string kind = S_ISDIR(info.st_mode) ? "a folder" : "not a regular file";
    return Error{Code::invalid, "queue file " + path + " is " + kind + ": give the path of a file, such as " +
                                    (S_ISDIR(info.st_mode) ? path + "/queue.db" : "orders.db")};
  }
  if (::access(full->c_str(), R_OK | W_OK) != 0 || ::access(folder.c_str(), W_OK | X_OK) != 0) {
    return Error{Code::denied, "queue file " + path + " cannot be read and written: " + reason(errno) +
                                   ". Make it and its folder " + folder + " writable for this user"};
  }
  return Inspected{.found = Found::queue, .path = *full};
}

Result<void> check_header(const std::string& path, std::string_view header) {
  const std::string file = "queue file " + path;
  if (header.empty()) {
    return Error{Code::invalid,
                 file + " is empty, which no queue file ever is: it was cut off or made by something else. " +
                     "Restore it from a backup, or remove it to begin with an empty queue"};
  }
  static constexpr std::string_view magic("SQLite format 3\0", 16);
  const std::size_t common = std::min(header.size(), magic.size());
  if (header.substr(0, common) != magic.substr(0, common)) {
    return Error{Code::invalid,
                 file + " is not a queue file: it does not begin like one. Give the path of a queue file, or " +
                     "of a file that does not exist yet"};
  }
  if (header.size() < header_bytes) {
    return Error{Code::invalid, file + " is cut off after " + std::to_string(header.size()) +
                                    " bytes. Restore it from a " + "backup, or remove it to begin with an empty queue"};
  }
  if (big_endian(header, 68) != application_id) {
    return Error{Code::invalid,
                 file + " is an SQLite database of another program: give the path of a queue file, or of a " +
                     "file that does not exist yet"};
  }
  const std::int64_t version = big_endian(header, 60);
  if (version != format_version) {
    return Error{Code::invalid, file + " has format " + std::to_string(version) + ", this sluice reads format " +
                                    std::to_string(format_version) +
                                    ": use the sluice version that made it, or a newer one"};
  }
  return {};
}

}  // namespace sluice::queue::local
