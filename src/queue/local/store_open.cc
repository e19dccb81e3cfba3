// SPDX-License-Identifier: Apache-2.0
// Finding, making and checking a queue file.
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "aio/fd.h"
#include "queue/local/checked_vfs.h"
#include "queue/local/inspect.h"
#include "queue/local/schema.h"
#include "queue/local/store.h"

namespace sluice::queue::local {

namespace {

// Up to this many pages a file is read whole when it is opened (8 MiB: some milliseconds); a larger one is checked page
// by page as it is used.
constexpr std::int64_t whole_pages_max = 2048;

std::string reason(int error) {
  return std::strerror(error);
}  // NOLINT(concurrency-mt-unsafe): glibc's is per thread

// One maker at a time, so that what an earlier file of this name left behind can be cleared away without a race. Held
// until the descriptor is closed.
Result<aio::Fd> lock_making(const std::string& path, const StoreOptions& options) {
  const std::string folder = path + "-workers";
  const auto refused = [&path](const std::string& what, int error) {
    return Error{Code::denied, "queue file " + path + " cannot be made: " + what + ": " + reason(error) +
                                   ". Give a path in a folder that this user may write"};
  };
  if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
    return refused(folder, errno);
  }
  aio::Fd fd(::open((folder + "/make").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd) {
    return refused(folder + "/make", errno);
  }
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  for (int tries = 0; ::fcntl(fd.get(), F_OFD_SETLK, &whole) != 0; ++tries) {
    if ((errno != EAGAIN && errno != EACCES) || !options.busy || !options.busy(tries)) {
      return Error{Code::retry, "queue file " + path + " is being made by another process: " + reason(errno)};
    }
  }
  return fd;
}

// Made under another name and moved into place whole, so that nobody ever sees half a queue file, and never over
// another file.
Result<void> make_file(const std::string& path, const StoreOptions& options, const std::string& vfs) {
  const Result<aio::Fd> alone = lock_making(path, options);
  if (!alone) {
    return alone.error();
  }
  if (::access(path.c_str(), F_OK) == 0) {
    return {};  // another process was first
  }
  // The journal of a file that was removed after a crash would be rolled back into the new one.
  ::unlink((path + "-journal").c_str());
  const std::string fresh = path + ".new-" + options.fresh_name();
  try {
    Db db(fresh, vfs, true);
    db.exec("PRAGMA journal_mode=DELETE;PRAGMA synchronous=EXTRA;BEGIN IMMEDIATE;");
    db.exec(schema);
    db.exec(("PRAGMA application_id=" + std::to_string(application_id) +
             ";PRAGMA user_version=" + std::to_string(format_version) + ";COMMIT;")
                .c_str());
  } catch (const SqlFailure& failure) {
    ::unlink(fresh.c_str());
    ::unlink((fresh + "-journal").c_str());
    return explain(failure, path);
  }
  int rc = ::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
  if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) {  // a filesystem without it
    rc = ::link(fresh.c_str(), path.c_str());
  }
  const int error = errno;
  ::unlink(fresh.c_str());
  if (rc != 0 && error != EEXIST) {
    return Error{Code::denied, "queue file " + path + " cannot be made: " + reason(error)};
  }
  const std::string folder = path.substr(0, std::max<std::size_t>(1, path.rfind('/')));
  const aio::Fd at(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!at || ::fsync(at.get()) != 0) {
    return Error{Code::denied, "the folder of queue file " + path + " cannot be synced: " + reason(errno)};
  }
  return {};
}

// Through SQLite's own descriptor: opening and closing the file beside it would drop this process's locks on it.
std::string read_header(Db& db) {
  sqlite3_file* file = nullptr;
  sqlite3_int64 size = 0;
  std::string header;
  if (sqlite3_file_control(db.handle(), nullptr, SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file)) == SQLITE_OK &&
      file->pMethods != nullptr && file->pMethods->xFileSize(file, &size) == SQLITE_OK) {
    header.resize(std::min<std::size_t>(header_bytes, static_cast<std::size_t>(size)));
    if (file->pMethods->xRead(file, header.data(), static_cast<int>(header.size()), 0) != SQLITE_OK) {
      header.clear();
    }
  }
  return header;
}

// What the file is, once a journal that a crash left has been rolled back.
Result<void> recognise(const std::string& path, const std::string& vfs, const StoreOptions& options) {
  try {
    Db db(path, vfs, false);
    if (options.busy) {
      db.on_busy(options.busy);
    }
    std::optional<SqlFailure> failure;
    try {
      (void)db.integer("SELECT count(*) FROM sqlite_schema");
    } catch (const SqlFailure& f) {
      failure = f;
    }
    if (failure && failure->busy()) {
      return explain(*failure, path);
    }
    if (const Result<void> ours = check_header(path, read_header(db)); !ours) {
      return ours.error();
    }
    if (failure) {
      return explain(*failure, path);
    }
    return {};
  } catch (const SqlFailure& failure) {
    return explain(failure, path);
  }
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const std::string& path, const StoreOptions& given) {
  const Result<Inspected> seen = inspect(path);
  if (!seen) {
    return seen.error();
  }
  StoreOptions options = given;
  options.vfs = checked_vfs(given.vfs.empty() ? nullptr : given.vfs.c_str());
  if (seen->found == Found::nothing) {
    if (!options.create) {
      return Error{Code::gone, "queue file " + path + " does not exist: sluice publish or sluice work makes it"};
    }
    if (const Result<void> made = make_file(seen->path, options, options.vfs); !made) {
      return made.error();
    }
  } else if (::eaccess(seen->path.c_str(), R_OK) != 0) {
    return Error{Code::denied, "queue file " + path + " cannot be read by this user (" + reason(errno) +
                                   "): run sluice as the user to whom it belongs, see: ls -l " + path};
  }
  if (const Result<void> ours = recognise(seen->path, options.vfs, options); !ours) {
    return ours.error();
  }
  try {
    std::unique_ptr<Store> store(new Store(seen->path, options));
    store->check_whole();
    if (::mkdir(store->folder_.c_str(), 0777) != 0 && errno != EEXIST) {
      return Error{Code::denied, "cannot make the folder " + store->folder_ + ": " + reason(errno)};
    }
    return store;
  } catch (const SqlFailure& failure) {
    return explain(failure, path);
  }
}

void Store::check_whole() {
  begin(false);
  const Counters& c = counters_;
  const std::array all{c.ready, c.in_flight, c.delayed, c.dead, c.published_n, c.acked_n, c.next_line, c.next_owner};
  bool right = std::ranges::all_of(all, [](std::int64_t n) { return n >= 0; }) &&
               c.published_n == c.ready + c.in_flight + c.delayed + c.dead + c.acked_n;
  if (right && db_.integer("PRAGMA page_count") <= whole_pages_max) {
    right = db_.text("PRAGMA quick_check(1)") == "ok" &&
            db_.integer("SELECT count(*) FROM message WHERE state=0") == c.ready &&
            db_.integer("SELECT count(*) FROM message WHERE state=1") == c.in_flight &&
            db_.integer("SELECT count(*) FROM message WHERE state=2") == c.delayed &&
            db_.integer("SELECT count(*) FROM dead") == c.dead;
  }
  commit();
  if (!right) {
    throw SqlFailure{SQLITE_CORRUPT, "its tables or counters contradict each other", 0};
  }
}

}  // namespace sluice::queue::local
