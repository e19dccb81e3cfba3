// SPDX-License-Identifier: Apache-2.0
#pragma once
// SQLite with owners: a connection, its prepared statements, and failures as exceptions, which stay inside this folder.
// One thread uses a connection.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sluice::queue::local {

// What SQLite said. `code` is the extended result code.
struct SqlFailure {
  int code = 0;
  std::string what;
  unsigned damaged_page = 0;  // set when a page's checksum was wrong

  [[nodiscard]] bool busy() const;
  [[nodiscard]] bool full() const;
  [[nodiscard]] bool damaged() const;  // of the file's content; reading again does not help
  [[nodiscard]] bool fatal() const;    // the connection must not be used again: an I/O error, a failed sync
};

// The failure for people: the file, what is wrong with it, and the way out.
[[nodiscard]] Error explain(const SqlFailure& failure, const std::string& path);

class Db;

class Statement {
 public:
  Statement() = default;
  Statement(Db& db, const char* sql);

  // Binds, in order, and resets what an earlier use left. Text and blobs are borrowed until the next use.
  template <class... Args>
  Statement& bind(const Args&... args) {
    reset();
    int at = 0;
    (put(++at, args), ...);
    return *this;
  }
  // True: a row is there. False: done. Throws SqlFailure.
  bool step();
  // Runs to the end, for statements without rows. Returns how many rows changed.
  int run();
  void reset();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string_view bytes(int column) const;  // valid until the next step
  [[nodiscard]] bool null(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  void put(int at, std::int64_t value);
  void put(int at, std::string_view bytes);
  void put(int at, std::optional<std::string_view> bytes);  // NULL without a value

  Db* db_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Db {
 public:
  // Throws SqlFailure. `create` makes the file when it is missing, with pages that have room for their checksum.
  Db(const std::string& path, const std::string& vfs, bool create);
  ~Db();
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

  // Called while somebody else holds the file; waits a little and returns true to try again, false to give up.
  void on_busy(std::function<bool(int tries)> wait);
  void exec(const char* sql);
  [[nodiscard]] std::int64_t integer(const char* sql);  // the first column of the first row
  [[nodiscard]] std::string text(const char* sql);
  // The file under this name is no longer the open one.
  [[nodiscard]] bool moved();
  [[nodiscard]] bool in_transaction() const;
  [[nodiscard]] std::int64_t changes() const;  // rows changed since the connection was opened
  [[noreturn]] void fail(int code) const;
  [[nodiscard]] sqlite3* handle() const { return db_; }

 private:
  sqlite3* db_ = nullptr;
  std::function<bool(int)> busy_;
};

}  // namespace sluice::queue::local
