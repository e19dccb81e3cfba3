// SPDX-License-Identifier: Apache-2.0
#pragma once
// For tests: an SQLite VFS over the system's that writes down every change to a queue file and its journal, so that a
// test can build each state a power cut may leave behind, and that fails on request. One test at a time uses it.
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"

namespace sluice::queue::local::crash {

struct Change {
  enum class Kind { write, truncate, sync };
  Kind kind;
  bool journal = false;
  sqlite3_int64 at = 0;  // or the new size
  std::string bytes;
};

struct Recorder {
  std::mutex mutex;
  std::vector<Change> changes;
  // Fails the n-th change from now on (0 the next) with `error`, once or for ever. SQLITE_OK: none.
  int fail_in = -1;
  int error = SQLITE_OK;
  bool for_ever = false;

  int meet(Change change) {
    const std::lock_guard lock(mutex);
    if (error != SQLITE_OK && fail_in-- <= 0) {
      const int what = change.kind == Change::Kind::sync && error == SQLITE_IOERR_WRITE ? SQLITE_IOERR_FSYNC : error;
      if (!for_ever) {
        error = SQLITE_OK;
      }
      return what;
    }
    changes.push_back(std::move(change));
    return SQLITE_OK;
  }
  void fail(int after, int with, bool always) {
    const std::lock_guard lock(mutex);
    fail_in = after;
    error = with;
    for_ever = always;
  }
  std::size_t size() {
    const std::lock_guard lock(mutex);
    return changes.size();
  }
};

inline Recorder& recorder() {
  static Recorder one;
  return one;
}

struct File {
  sqlite3_file base;
  bool recorded;
  bool journal;
};

inline sqlite3_file* below(sqlite3_file* f) {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<File*>(f) + 1);
}

inline int meet(sqlite3_file* f, Change change) {
  const File& self = *reinterpret_cast<File*>(f);
  change.journal = self.journal;
  return self.recorded ? recorder().meet(std::move(change)) : SQLITE_OK;
}

inline const sqlite3_io_methods& methods() {
  static const sqlite3_io_methods table = [] {
    sqlite3_io_methods m{};
    m.iVersion = 1;
    m.xClose = [](sqlite3_file* f) { return below(f)->pMethods->xClose(below(f)); };
    m.xRead = [](sqlite3_file* f, void* p, int n, sqlite3_int64 at) {
      return below(f)->pMethods->xRead(below(f), p, n, at);
    };
    m.xWrite = [](sqlite3_file* f, const void* p, int n, sqlite3_int64 at) {
      const auto size = static_cast<std::size_t>(n);
      const int rc = meet(f, Change{Change::Kind::write, false, at, std::string(static_cast<const char*>(p), size)});
      return rc != SQLITE_OK ? rc : below(f)->pMethods->xWrite(below(f), p, n, at);
    };
    m.xTruncate = [](sqlite3_file* f, sqlite3_int64 n) {
      const int rc = meet(f, Change{Change::Kind::truncate, false, n, {}});
      return rc != SQLITE_OK ? SQLITE_IOERR_TRUNCATE : below(f)->pMethods->xTruncate(below(f), n);
    };
    m.xSync = [](sqlite3_file* f, int) {
      return meet(f, Change{Change::Kind::sync, false, 0, {}});
    };  // no need for a disk
    m.xFileSize = [](sqlite3_file* f, sqlite3_int64* n) { return below(f)->pMethods->xFileSize(below(f), n); };
    m.xLock = [](sqlite3_file* f, int level) { return below(f)->pMethods->xLock(below(f), level); };
    m.xUnlock = [](sqlite3_file* f, int level) { return below(f)->pMethods->xUnlock(below(f), level); };
    m.xCheckReservedLock = [](sqlite3_file* f, int* out) {
      return below(f)->pMethods->xCheckReservedLock(below(f), out);
    };
    m.xFileControl = [](sqlite3_file* f, int op, void* arg) {
      return below(f)->pMethods->xFileControl(below(f), op, arg);
    };
    m.xSectorSize = [](sqlite3_file*) { return 512; };
    m.xDeviceCharacteristics = [](sqlite3_file*) { return 0; };  // promises nothing: the most careful SQLite
    return m;
  }();
  return table;
}

// Registers it once; its name goes into LocalOptions::vfs or StoreOptions::vfs.
inline std::string vfs() {
  static sqlite3_vfs layer = [] {
    sqlite3_vfs v = *sqlite3_vfs_find(nullptr);
    v.iVersion = 1;
    v.szOsFile += static_cast<int>(sizeof(File));
    v.zName = "sluice-crash";
    v.pNext = nullptr;
    v.pAppData = sqlite3_vfs_find(nullptr);
    v.xOpen = [](sqlite3_vfs* self, const char* name, sqlite3_file* f, int flags, int* out) {
      auto* const lower = static_cast<sqlite3_vfs*>(self->pAppData);
      File& file = *reinterpret_cast<File*>(f);
      file.journal = (flags & SQLITE_OPEN_MAIN_JOURNAL) != 0;
      const bool ours = (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
      file.recorded = ours && name != nullptr && std::string(name).find(".new-") == std::string::npos;
      const int rc = lower->xOpen(lower, name, below(f), flags, out);
      f->pMethods = below(f)->pMethods != nullptr ? &methods() : nullptr;
      return rc;
    };
    v.xDelete = [](sqlite3_vfs* s, const char* n, int sync) {
      auto* const lower = static_cast<sqlite3_vfs*>(s->pAppData);
      return lower->xDelete(lower, n, sync);
    };
    v.xAccess = [](sqlite3_vfs* s, const char* n, int flags, int* out) {
      auto* const lower = static_cast<sqlite3_vfs*>(s->pAppData);
      return lower->xAccess(lower, n, flags, out);
    };
    v.xFullPathname = [](sqlite3_vfs* s, const char* n, int size, char* out) {
      auto* const lower = static_cast<sqlite3_vfs*>(s->pAppData);
      return lower->xFullPathname(lower, n, size, out);
    };
    return v;
  }();
  static const int registered = sqlite3_vfs_register(&layer, 0);
  return registered == SQLITE_OK ? layer.zName : "";
}

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void spit(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// The two files of a queue, as a disk may hold them.
struct Disk {
  std::string database;
  std::string journal;
  bool has_journal = false;

  void apply(const Change& change, std::size_t keep_bytes = std::string::npos) {
    std::string& file = change.journal ? journal : database;
    has_journal = has_journal || change.journal;
    if (change.kind == Change::Kind::truncate) {
      file.resize(static_cast<std::size_t>(change.at));
    } else if (change.kind == Change::Kind::write) {
      const auto at = static_cast<std::size_t>(change.at);
      const std::size_t n = std::min(keep_bytes, change.bytes.size());
      file.resize(std::max(file.size(), at + n));
      file.replace(at, n, change.bytes, 0, n);
    }
  }
  void store(const std::string& path) const {
    spit(path, database);
    std::filesystem::remove(path + "-journal");
    if (has_journal) {
      spit(path + "-journal", journal);
    }
  }
  friend bool operator<(const Disk& a, const Disk& b) {
    return std::tie(a.database, a.journal, a.has_journal) < std::tie(b.database, b.journal, b.has_journal);
  }
};

// What the disk may hold after a power cut behind the first `cut` changes: everything that was synced, and of the rest
// any part, down to sectors of the last write. All of it, none, each one missing, each one alone, and `samples` random
// parts.
inline std::vector<Disk> after_power_cut(const Disk& start, const std::vector<Change>& changes, std::size_t cut,
                                         Random& random, int samples) {
  std::vector<std::size_t> loose;  // not synced yet
  std::vector<bool> keep(cut, true);
  for (std::size_t i = 0; i < cut; ++i) {
    if (changes[i].kind == Change::Kind::sync) {
      std::erase_if(loose, [&](std::size_t j) { return changes[j].journal == changes[i].journal; });
    } else {
      loose.push_back(i);
    }
  }
  std::vector<Disk> out;
  const auto build = [&](const std::vector<bool>& kept, std::size_t last_bytes) {
    Disk disk = start;
    for (std::size_t i = 0; i < cut; ++i) {
      if (kept[i]) {
        disk.apply(changes[i], i + 1 == cut ? last_bytes : std::string::npos);
      }
    }
    out.push_back(std::move(disk));
  };
  build(keep, std::string::npos);
  if (loose.empty()) {
    return out;
  }
  const auto without = [&](const auto& dropped) {
    std::vector<bool> kept = keep;
    for (const std::size_t i : loose) {
      kept[i] = !dropped(i);
    }
    build(kept, std::string::npos);
  };
  without([](std::size_t) { return true; });
  without([&](std::size_t i) { return i == loose.front(); });
  without([&](std::size_t i) { return i != loose.back(); });
  for (int sample = 0; sample < samples; ++sample) {
    without([&](std::size_t) { return random.chance(0.5); });
  }
  const Change& last = changes[cut - 1];
  if (last.kind == Change::Kind::write && last.bytes.size() > 512) {
    build(keep, 512 * (1 + random.below(last.bytes.size() / 512 - 1)));
  }
  return out;
}

}  // namespace sluice::queue::local::crash
