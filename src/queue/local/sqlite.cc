// SPDX-License-Identifier: Apache-2.0
#include "queue/local/sqlite.h"

#include <sqlite3.h>

#include "queue/local/checked_vfs.h"

namespace sluice::queue::local {

namespace {

int primary(int code) {
  return code & 0xff;
}

}  // namespace

bool SqlFailure::busy() const {
  return primary(code) == SQLITE_BUSY || primary(code) == SQLITE_LOCKED;
}
bool SqlFailure::full() const {
  return primary(code) == SQLITE_FULL;
}
bool SqlFailure::damaged() const {
  return primary(code) == SQLITE_CORRUPT || primary(code) == SQLITE_NOTADB || code == SQLITE_IOERR_DATA ||
         code == SQLITE_IOERR_CORRUPTFS || code == SQLITE_IOERR_SHORT_READ;
}
bool SqlFailure::fatal() const {
  return primary(code) == SQLITE_IOERR || damaged();
}

Error explain(const SqlFailure& failure, const std::string& path) {
  const std::string file = "queue file " + path;
  if (failure.busy()) {
    return Error{Code::retry, file + " is held by another process; try again, or see who holds it with: fuser " + path};
  }
  if (failure.damaged()) {
    const std::string where =
        failure.damaged_page != 0 ? " (page " + std::to_string(failure.damaged_page) + " fails its checksum)" : "";
    return Error{Code::invalid, file + " is damaged" + where +
                                    ": nothing is read from it. Restore it from a backup, or " +
                                    "move it away and save what is readable with: sqlite3 " + path + " .recover"};
  }
  switch (primary(failure.code)) {
    case SQLITE_FULL:
      return Error{Code::denied, file + ": the disk is full, nothing was written. Free space there and try again; " +
                                     "what was confirmed before is safe"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Error{Code::denied,
                   file + " cannot be written (read-only file, folder or filesystem): make the file and its " +
                       "folder writable for this user"};
    case SQLITE_CANTOPEN:
      return Error{Code::denied, file + ": it or its journal " + path + "-journal cannot be opened (" + failure.what +
                                     "): check that the folder exists and is writable, and the limit of open files"};
    case SQLITE_IOERR:
      return Error{Code::denied, file + ": the disk reports an error (" + failure.what +
                                     "): see dmesg for the device; the file is opened anew at the next try"};
    case SQLITE_NOMEM:
      return Error{Code::retry, file + ": out of memory"};
    default:
      return Error{Code::retry, file + ": " + failure.what};
  }
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Statement::Statement(Db& db, const char* sql) : db_(&db) {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v3(db.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  statement_.reset(raw);
  if (rc != SQLITE_OK) {
    db.fail(rc);
  }
}

void Statement::put(int at, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), at, value);
}
void Statement::put(int at, std::optional<std::string_view> bytes) {
  if (bytes) {
    put(at, *bytes);
  } else {
    sqlite3_bind_null(statement_.get(), at);
  }
}
void Statement::put(int at, std::string_view bytes) {
  // A null pointer would bind NULL; an empty blob is not NULL.
  const char* data = bytes.data() != nullptr ? bytes.data() : "";
  const int rc = sqlite3_bind_blob64(statement_.get(), at, data, bytes.size(), SQLITE_STATIC);
  if (rc != SQLITE_OK) {
    db_->fail(rc);
  }
}

bool Statement::step() {
  const int rc = sqlite3_step(statement_.get());
  if (rc == SQLITE_ROW) {
    return true;
  }
  if (rc != SQLITE_DONE) {
    const int extended = sqlite3_extended_errcode(db_->handle());
    const std::string what = sqlite3_errmsg(db_->handle());
    reset();
    throw SqlFailure{primary(extended) == primary(rc) ? extended : rc, what, take_damaged_page()};
  }
  reset();
  return false;
}

int Statement::run() {
  while (step()) {
  }
  return sqlite3_changes(db_->handle());
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}
std::string_view Statement::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return data == nullptr ? std::string_view{} : std::string_view(static_cast<const char*>(data), size);
}
bool Statement::null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Db::Db(const std::string& path, const std::string& vfs, bool create) {
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (create ? SQLITE_OPEN_CREATE : 0);
  const int rc = sqlite3_open_v2(path.c_str(), &db_, flags, vfs.c_str());
  if (rc != SQLITE_OK) {
    SqlFailure failure{rc, db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(rc), 0};
    sqlite3_close_v2(db_);
    throw failure;
  }
  int reserve = page_reserve;
  sqlite3_file_control(db_, nullptr, SQLITE_FCNTL_RESERVE_BYTES, &reserve);
}

Db::~Db() {
  sqlite3_close_v2(db_);
}

void Db::on_busy(std::function<bool(int tries)> wait) {
  busy_ = std::move(wait);
  sqlite3_busy_handler(db_, [](void* self, int tries) { return static_cast<Db*>(self)->busy_(tries) ? 1 : 0; }, this);
}

void Db::exec(const char* sql) {
  const int rc = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) {
    fail(rc);
  }
}

std::int64_t Db::integer(const char* sql) {
  Statement statement(*this, sql);
  const std::int64_t value = statement.step() ? statement.integer(0) : 0;
  return value;
}

std::string Db::text(const char* sql) {
  Statement statement(*this, sql);
  return statement.step() ? std::string(statement.bytes(0)) : std::string{};
}

bool Db::moved() {
  int gone = 0;
  return sqlite3_file_control(db_, nullptr, SQLITE_FCNTL_HAS_MOVED, &gone) == SQLITE_OK && gone != 0;
}

std::int64_t Db::changes() const {
  return sqlite3_total_changes64(db_);
}

bool Db::in_transaction() const {
  return sqlite3_get_autocommit(db_) == 0;
}

void Db::fail(int code) const {
  const int extended = sqlite3_extended_errcode(db_);
  throw SqlFailure{primary(extended) == primary(code) ? extended : code, sqlite3_errmsg(db_), take_damaged_page()};
}

}  // namespace sluice::queue::local
