// SPDX-License-Identifier: Apache-2.0
// Every queue file that is refused, and what is said. The table is the page docs/reference/bad-input-local-queue.md:
// SNAP_UPDATE=1 writes it, without that the test compares.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/testing_folder.h"
#include "queue/local/content.h"
#include "queue/local/crash_vfs.h"
#include "queue/local/store.h"

namespace sluice::queue::local {
namespace {

namespace fs = std::filesystem;

constexpr const char* page_path = "docs/reference/bad-input-local-queue.md";

StoreOptions options() {
  return StoreOptions{.create = true,
                      .vfs = {},
                      .busy = {},
                      .fresh_name = [] { return std::string("test"); },
                      .mark = [n = std::int64_t{0}]() mutable { return ++n; }};
}

struct Case {
  std::string what;
  std::function<void(const std::string& path)> prepare;  // a good file with one message is at `path`
  std::string path = "DIR/orders.db";
  bool fine = false;
  bool writes = false;     // the answer is that of the first write
  bool as_nobody = false;  // opened by a user who owns nothing here; the superuser may do everything
};

// Gives up the superuser's rights for a while; nothing to give up for anybody else.
class Nobody {
 public:
  explicit Nobody(bool wanted) : dropped_(wanted && ::geteuid() == 0) { set(dropped_ ? 65534 : ::geteuid()); }
  ~Nobody() { set(dropped_ ? 0 : ::geteuid()); }
  Nobody(const Nobody&) = delete;
  Nobody& operator=(const Nobody&) = delete;

 private:
  static void set(uid_t user) { EXPECT_EQ(::seteuid(user), 0); }
  bool dropped_;
};

void overwrite(const std::string& path, std::size_t at, const std::string& bytes) {
  std::string all = crash::slurp(path);
  all.replace(at, bytes.size(), bytes);
  crash::spit(path, all);
}

void replace_by(const std::string& path, const std::string& bytes) {
  crash::spit(path, bytes);
}

void by_sqlite(const std::string& path, const char* sql) {
  fs::remove(path);
  sqlite3* db = nullptr;
  sqlite3_open(path.c_str(), &db);
  sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  sqlite3_close(db);
}

std::vector<Case> cases() {
  return {
      {.what = "no file yet", .prepare = [](const std::string& p) { fs::remove(p); }, .fine = true},
      {.what = "a link to a queue file",
       .prepare = [](const std::string& p) { fs::create_symlink(p, fs::path(p).parent_path() / "link.db"); },
       .path = "DIR/link.db",
       .fine = true},
      {.what = "a clock that stands in 1970 when the message was published",
       .prepare = [](const std::string&) {},
       .fine = true},
      {.what = "a folder that does not exist", .prepare = [](const std::string&) {}, .path = "DIR/nowhere/orders.db"},
      {.what = "a file where a folder should be",
       .prepare = [](const std::string&) {},
       .path = "DIR/orders.db/orders.db"},
      {.what = "a folder", .prepare = [](const std::string&) {}, .path = "DIR"},
      {.what = "a path that ends in a slash", .prepare = [](const std::string&) {}, .path = "DIR/new/"},
      {.what = "a fifo",
       .prepare =
           [](const std::string& p) {
             fs::remove(p);
             ASSERT_EQ(::mkfifo(p.c_str(), 0600), 0);
           }},
      {.what = "a device", .prepare = [](const std::string&) {}, .path = "/dev/null"},
      {.what = "a link to nothing",
       .prepare =
           [](const std::string& p) {
             fs::remove(p);
             fs::create_symlink("gone.db", p);
           }},
      {.what = "a link to itself",
       .prepare =
           [](const std::string& p) {
             fs::remove(p);
             fs::create_symlink(fs::path(p).filename(), p);
           }},
      {.what = "a file that may only be read: it is opened, and a publish says",
       .prepare = [](const std::string& p) { fs::permissions(p, fs::perms(0444)); },
       .fine = true,
       .writes = true,
       .as_nobody = true},
      {.what = "a file of somebody else, who lets nobody read it",
       .prepare = [](const std::string& p) { fs::permissions(p, fs::perms::none); },
       .as_nobody = true},
      {.what = "a folder that may only be read",
       .prepare =
           [](const std::string& p) {
             fs::remove(p);
             fs::remove_all(p + "-workers");
             fs::permissions(fs::path(p).parent_path(), fs::perms(0555));
           },
       .as_nobody = true},
      {.what = "an empty file", .prepare = [](const std::string& p) { replace_by(p, ""); }},
      {.what = "a text file", .prepare = [](const std::string& p) { replace_by(p, "orders: 12\n"); }},
      {.what = "the first 40 bytes of a queue file",
       .prepare = [](const std::string& p) { replace_by(p, crash::slurp(p).substr(0, 40)); }},
      {.what = "a queue file cut off inside a page",
       .prepare = [](const std::string& p) { replace_by(p, crash::slurp(p).substr(0, 3 * 4096 + 100)); }},
      {.what = "a queue file cut off between pages",
       .prepare = [](const std::string& p) { replace_by(p, crash::slurp(p).substr(0, 3 * 4096)); }},
      {.what = "an SQLite database of another program",
       .prepare = [](const std::string& p) { by_sqlite(p, "CREATE TABLE t(a)"); }},
      {.what = "a database with our mark and tables of another program",
       .prepare =
           [](const std::string& p) {
             by_sqlite(p, "PRAGMA application_id=1936487793; PRAGMA user_version=1; CREATE TABLE t(a)");
           }},
      {.what = "a queue file of a newer sluice",
       .prepare =
           [](const std::string& p) {
             by_sqlite(p, "PRAGMA application_id=1936487793; PRAGMA user_version=7; CREATE TABLE t(a)");
           }},
      {.what = "one flipped bit in the header", .prepare = [](const std::string& p) { overwrite(p, 40, "\x7f"); }},
      {.what = "one changed byte in a page",
       .prepare = [](const std::string& p) { overwrite(p, 4096 + 4000, "\x7f"); }},
      {.what = "a zeroed page", .prepare = [](const std::string& p) { overwrite(p, 8192, std::string(4096, '\0')); }},
      {.what = "the last pages zeroed",
       .prepare =
           [](const std::string& p) {
             const std::size_t half = crash::slurp(p).size() / 8192 * 4096;
             overwrite(p, half, std::string(crash::slurp(p).size() - half, '\0'));
           }},
      {.what = "two pages that changed places",
       .prepare =
           [](const std::string& p) {
             const std::string all = crash::slurp(p);
             overwrite(p, 4096, all.substr(8192, 4096));
             overwrite(p, 8192, all.substr(4096, 4096));
           }},
      {.what = "a folder in which no file can be made",
       .prepare = [](const std::string&) {},
       .path = "/proc/orders.db"},
      {.what = "an unreadable path", .prepare = [](const std::string&) {}, .path = "DIR/" + std::string(300, 'x')},
  };
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

void publish_one(Store& store, const std::string& id) {
  const Message message{.id = id, .body = "b", .headers = {}, .type = {}, .priority = 0, .published_at = {}};
  store.begin(true);
  store.publish(id, 0, encode_content(message, WallTime{}), 0);
  store.commit();
}

// The answer of one case, with its folder called DIR.
std::string answer(const Case& one) {
  const TestFolder own;
  const std::string folder = fs::canonical(own.path()).string();
  const std::string good = folder + "/orders.db";
  {
    const Result<std::unique_ptr<Store>> store = Store::open(good, options());
    EXPECT_TRUE(store) << (store ? "" : store.error().what);
    publish_one(**store, "a");
  }
  fs::permissions(folder, fs::perms(0755));
  one.prepare(good);
  Result<std::unique_ptr<Store>> store = Error{Code::invalid, "not opened"};
  {
    const Nobody user(one.as_nobody);
    store = Store::open(replaced(one.path, "DIR", folder), options());
  }
  EXPECT_EQ(store.has_value(), one.fine) << one.what;
  std::string said = store ? "opened" : replaced(store.error().what, folder, "DIR");
  if (store && one.writes) {
    try {
      publish_one(**store, "b");
      ADD_FAILURE() << one.what << ": it was written";
    } catch (const SqlFailure& failure) {
      said = replaced(explain(failure, good).what, folder, "DIR");
    }
    store = Error{Code::invalid, "closed"};
  }
  fs::permissions(folder, fs::perms(0755));
  return said;
}

// A few hundred cases stand for all; SLUICE_SOAK=1 takes every one.
std::size_t stride(std::size_t usual) {
  return std::getenv("SLUICE_SOAK") != nullptr ? 1 : usual;
}

class SmallStore : public ::testing::Test {
 protected:
  SmallStore() {
    const Result<std::unique_ptr<Store>> store = Store::open(path, options());
    for (const char* id : {"a", "b", "c"}) {
      publish_one(**store, id);
    }
  }
  // What is said of a file that holds `bytes`.
  std::string said_of(const std::string& bytes) {
    crash::spit(path, bytes);
    const Result<std::unique_ptr<Store>> store = Store::open(path, options());
    return store ? "opened" : std::string(store.error().what);
  }
  const TestFolder folder;
  const std::string path = folder.path() + "/orders.db";
};

TEST_F(SmallStore, CutOffAnywhereIsRefused) {
  const std::string whole = crash::slurp(path);
  ASSERT_EQ(said_of(whole), "opened");
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += stride(101)) {
    const std::string said = said_of(whole.substr(0, bytes));
    ASSERT_TRUE(said.starts_with("queue file " + path)) << "cut off after " << bytes << ": " << said;
  }
}

TEST_F(SmallStore, WithAnyBitFlippedIsRefused) {
  const std::string whole = crash::slurp(path);
  for (std::size_t bit = 0; bit < 8 * whole.size(); bit += stride(1009)) {
    std::string other = whole;
    other[bit / 8] = static_cast<char>(static_cast<unsigned char>(other[bit / 8]) ^ (1U << (bit % 8)));
    const std::string said = said_of(other);
    ASSERT_TRUE(said.starts_with("queue file " + path)) << "bit " << bit << " flipped: " << said;
  }
}

TEST(BadQueueFile, IsRefusedWithItsPathWhatIsWrongAndTheWayOut) {
  std::string page =
      "# Bad queue files: what is there, what you are told\n\n"
      "<!-- Generated by src/queue/local/bad_input_test.cc. To change it: change that, then SNAP_UPDATE=1 "
      "build/dev/queue_local_test -->\n\n"
      "The file of a local queue is looked at when it is opened; damage in a large file is found when the damaged page "
      "is used, "
      "and a message\nwhose own bytes are damaged goes to the dead letters. `DIR` is some folder. Code words say what "
      "a caller "
      "should do: `invalid` needs other\ninput, `denied` an operator, `retry` patience.\n\n"
      "| there is | the answer |\n| --- | --- |\n";
  for (const Case& one : cases()) {
    const std::string said = answer(one);
    if (!one.fine) {
      EXPECT_NE(said.find("queue file"), std::string::npos) << one.what << ": " << said;
    }
    page += fmt::format("| {} | `{}` |\n", one.what, replaced(said, std::string(300, 'x'), "xxx.."));
  }
  page +=
      "\nA filesystem of the network (NFS, SMB, 9p, AFS, Ceph, Lustre, FUSE and others) is refused by its type: `queue "
      "file "
      "DIR/orders.db is on\na network filesystem (NFS), whose locks and syncs cannot be trusted: put the file on a "
      "local "
      "disk, or use a broker (queue.rabbitmq) when\nseveral machines share the queue`.\n";
  if (std::getenv("SNAP_UPDATE") != nullptr) {
    crash::spit(page_path, page);
  }
  EXPECT_EQ(crash::slurp(page_path), page) << "to write it anew: SNAP_UPDATE=1 build/dev/queue_local_test";
}

}  // namespace
}  // namespace sluice::queue::local
