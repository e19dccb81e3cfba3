// SPDX-License-Identifier: Apache-2.0
#include "queue/local/checked_vfs.h"

#include <sqlite3.h>

#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "queue/local/checksum.h"

namespace sluice::queue::local {

namespace {

thread_local unsigned damaged_page = 0;

enum class Role { database, journal, other };

// SQLite allocates szOsFile bytes for it; the file of the layer below lies directly behind.
struct CheckedFile {
  sqlite3_file base;  // first: SQLite sees only this
  Role role;
  sqlite3_int64 number_at;  // where the last page number was read in a journal, and what it was
  unsigned number;
  bool written;
};

sqlite3_file* below(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<CheckedFile*>(file) + 1);
}
CheckedFile& checked(sqlite3_file* file) {
  return *reinterpret_cast<CheckedFile*>(file);
}

// Whole pages are powers of two from 512 on; everything else SQLite reads and writes is headers, numbers or zeros.
bool is_page(int amount) {
  return amount >= 512 && std::has_single_bit(static_cast<unsigned>(amount));
}

std::uint64_t page_sum(unsigned number, const char* page, int amount) {
  return checksum(number, std::string_view(page, static_cast<std::size_t>(amount - page_reserve)));
}

bool page_is_right(unsigned number, const char* page, int amount) {
  std::uint64_t stored = 0;
  std::memcpy(&stored, page + amount - page_reserve, page_reserve);
  return stored == page_sum(number, page, amount);
}

int check_page(unsigned number, const char* page, int amount) {
  if (page_is_right(number, page, amount)) {
    return SQLITE_OK;
  }
  damaged_page = number;
  return SQLITE_IOERR_DATA;
}

int file_close(sqlite3_file* file) {
  return below(file)->pMethods->xClose(below(file));
}

int file_read(sqlite3_file* file, void* into, int amount, sqlite3_int64 offset) {
  const int rc = below(file)->pMethods->xRead(below(file), into, amount, offset);
  CheckedFile& self = checked(file);
  const char* const bytes = static_cast<const char*>(into);
  if (rc == SQLITE_IOERR_SHORT_READ && self.role == Role::database && is_page(amount)) {
    // SQLite would take the missing part for zeros. Behind the end it may; inside, the file was cut off.
    sqlite3_int64 size = 0;
    const bool cut = below(file)->pMethods->xFileSize(below(file), &size) == SQLITE_OK && offset < size;
    return cut ? check_page(static_cast<unsigned>(offset / amount) + 1, bytes, amount) : rc;
  }
  if (rc != SQLITE_OK || self.role == Role::other) {
    return rc;
  }
  if (self.role == Role::database) {
    const bool whole = is_page(amount) && offset % amount == 0;
    return whole ? check_page(static_cast<unsigned>(offset / amount) + 1, bytes, amount) : SQLITE_OK;
  }
  // Only a journal that somebody else left: what this connection wrote itself may be followed by the stale records of
  // an older transaction, which SQLite tells apart by their nonce and this layer cannot.
  if (self.written) {
    return SQLITE_OK;
  }
  // A journal's record is the page's number (4 bytes, big endian), the page, and SQLite's own thin checksum.
  if (amount == 4) {
    unsigned char raw[4];
    std::memcpy(raw, bytes, 4);
    self.number_at = offset;
    self.number = unsigned{raw[0]} << 24U | unsigned{raw[1]} << 16U | unsigned{raw[2]} << 8U | unsigned{raw[3]};
  } else if (is_page(amount) && self.number_at + 4 == offset) {
    return check_page(self.number, bytes, amount);
  }
  return SQLITE_OK;
}

int file_write(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset) {
  checked(file).written = true;
  if (checked(file).role != Role::database || !is_page(amount) || offset % amount != 0) {
    return below(file)->pMethods->xWrite(below(file), from, amount, offset);
  }
  // Into SQLite's own page, not a copy: the page stays in its cache, and its journal must get it with the right
  // checksum. SQLite leaves the reserved bytes to us (https://sqlite.org/cksumvfs.html does the same).
  char* const page = static_cast<char*>(const_cast<void*>(from));
  const std::uint64_t sum = page_sum(static_cast<unsigned>(offset / amount) + 1, page, amount);
  std::memcpy(page + amount - page_reserve, &sum, page_reserve);
  return below(file)->pMethods->xWrite(below(file), page, amount, offset);
}

int file_truncate(sqlite3_file* f, sqlite3_int64 n) {
  return below(f)->pMethods->xTruncate(below(f), n);
}
int file_sync(sqlite3_file* f, int flags) {
  return below(f)->pMethods->xSync(below(f), flags);
}
int file_size(sqlite3_file* f, sqlite3_int64* n) {
  return below(f)->pMethods->xFileSize(below(f), n);
}
int file_lock(sqlite3_file* f, int level) {
  return below(f)->pMethods->xLock(below(f), level);
}
int file_unlock(sqlite3_file* f, int level) {
  return below(f)->pMethods->xUnlock(below(f), level);
}
int file_reserved(sqlite3_file* f, int* held) {
  return below(f)->pMethods->xCheckReservedLock(below(f), held);
}
int file_control(sqlite3_file* f, int op, void* arg) {
  return below(f)->pMethods->xFileControl(below(f), op, arg);
}
int file_sector(sqlite3_file* f) {
  return below(f)->pMethods->xSectorSize(below(f));
}
int file_traits(sqlite3_file* f) {
  return below(f)->pMethods->xDeviceCharacteristics(below(f));
}

// Version 1: no shared memory and no memory maps, through which pages would come unchecked.
const sqlite3_io_methods methods{.iVersion = 1,
                                 .xClose = file_close,
                                 .xRead = file_read,
                                 .xWrite = file_write,
                                 .xTruncate = file_truncate,
                                 .xSync = file_sync,
                                 .xFileSize = file_size,
                                 .xLock = file_lock,
                                 .xUnlock = file_unlock,
                                 .xCheckReservedLock = file_reserved,
                                 .xFileControl = file_control,
                                 .xSectorSize = file_sector,
                                 .xDeviceCharacteristics = file_traits,
                                 .xShmMap = nullptr,
                                 .xShmLock = nullptr,
                                 .xShmBarrier = nullptr,
                                 .xShmUnmap = nullptr,
                                 .xFetch = nullptr,
                                 .xUnfetch = nullptr};

int vfs_open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  auto* const lower = static_cast<sqlite3_vfs*>(vfs->pAppData);
  CheckedFile& self = checked(file);
  self.role = (flags & SQLITE_OPEN_MAIN_DB) != 0        ? Role::database
              : (flags & SQLITE_OPEN_MAIN_JOURNAL) != 0 ? Role::journal
                                                        : Role::other;
  self.number_at = -8;
  self.number = 0;
  self.written = false;
  const int rc = lower->xOpen(lower, name, below(file), flags, out_flags);
  // SQLite calls xClose of a file that failed to open exactly when its methods are set.
  file->pMethods = below(file)->pMethods != nullptr ? &methods : nullptr;
  return rc;
}

// One layer over one lower VFS. The rest of the calls go straight down, with the lower VFS as their first argument.
struct Layer {
  std::string name;
  sqlite3_vfs vfs;
};

sqlite3_vfs* lower_of(sqlite3_vfs* vfs) {
  return static_cast<sqlite3_vfs*>(vfs->pAppData);
}

std::unique_ptr<Layer> make_layer(sqlite3_vfs* lower) {
  auto layer = std::make_unique<Layer>();
  layer->name = std::string("sluice-checked-") + lower->zName;
  layer->vfs = *lower;
  sqlite3_vfs& vfs = layer->vfs;
  vfs.iVersion = 1;  // no system-call overrides
  vfs.szOsFile = static_cast<int>(sizeof(CheckedFile)) + lower->szOsFile;
  vfs.pNext = nullptr;
  vfs.zName = layer->name.c_str();
  vfs.pAppData = lower;
  vfs.xOpen = vfs_open;
  vfs.xDelete = [](sqlite3_vfs* v, const char* n, int sync) { return lower_of(v)->xDelete(lower_of(v), n, sync); };
  vfs.xAccess = [](sqlite3_vfs* v, const char* n, int f, int* out) {
    return lower_of(v)->xAccess(lower_of(v), n, f, out);
  };
  vfs.xFullPathname = [](sqlite3_vfs* v, const char* n, int size, char* out) {
    return lower_of(v)->xFullPathname(lower_of(v), n, size, out);
  };
  vfs.xDlOpen = nullptr;
  vfs.xDlError = nullptr;
  vfs.xDlSym = nullptr;
  vfs.xDlClose = nullptr;
  vfs.xRandomness = [](sqlite3_vfs* v, int n, char* out) { return lower_of(v)->xRandomness(lower_of(v), n, out); };
  vfs.xSleep = [](sqlite3_vfs* v, int us) { return lower_of(v)->xSleep(lower_of(v), us); };
  vfs.xCurrentTime = [](sqlite3_vfs* v, double* out) { return lower_of(v)->xCurrentTime(lower_of(v), out); };
  vfs.xGetLastError = [](sqlite3_vfs* v, int n, char* out) { return lower_of(v)->xGetLastError(lower_of(v), n, out); };
  return layer;
}

}  // namespace

std::string checked_vfs(const char* base) {
  // SQLite keeps a pointer to what is registered for ever, so it lives as long as the process.
  static std::mutex mutex;
  static auto* const layers = new std::map<std::string, std::unique_ptr<Layer>>();
  const std::lock_guard lock(mutex);
  // Counting its memory costs SQLite a lock for each allocation. Refused, and harmless, once SQLite is in use.
  static const int uncounted = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)uncounted;
  sqlite3_vfs* const lower = sqlite3_vfs_find(base);
  check(lower != nullptr, "an SQLite VFS that is not registered was asked for");
  std::unique_ptr<Layer>& layer = (*layers)[lower->zName];
  if (!layer || layer->vfs.pAppData != lower) {
    layer = make_layer(lower);
    check(sqlite3_vfs_register(&layer->vfs, 0) == SQLITE_OK, "SQLite did not take the checked VFS");
  }
  return layer->name;
}

unsigned take_damaged_page() {
  return std::exchange(damaged_page, 0);
}

}  // namespace sluice::queue::local
