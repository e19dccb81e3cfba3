// SPDX-License-Identifier: Apache-2.0
// A queue file survives what a disk may do to it: every power cut, every failing call, every flipped bit.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <set>

#include "base/testing_folder.h"
#include "queue/local/checked_vfs.h"
#include "queue/local/content.h"
#include "queue/local/crash_vfs.h"
#include "queue/local/store.h"

namespace sluice::queue::local {
namespace {

StoreOptions options(const std::string& vfs = crash::vfs()) {
  return StoreOptions{.create = true,
                      .vfs = vfs,
                      .busy = {},
                      .fresh_name = [] { return std::string("test"); },
                      .mark = [n = std::int64_t{0}]() mutable { return ++n; }};
}

std::unique_ptr<Store> must_open(const std::string& path) {
  Result<std::unique_ptr<Store>> store = Store::open(path, options());
  EXPECT_TRUE(store) << (store ? "" : store.error().what);
  return store ? std::move(*store) : nullptr;
}

// Everything a reader can see, as text.
std::string describe(const std::string& path) {
  std::string out;
  Db db(path, checked_vfs(crash::vfs().c_str()), false);
  Statement messages(db,
                     "SELECT id, state, attempts, cause, deliveries, coalesce(bytes, (SELECT bytes FROM content c"
                     " WHERE c.key = m.key)) FROM message m ORDER BY m.key");
  while (messages.step()) {
    out += std::string(messages.bytes(0)) + " state " + std::to_string(messages.integer(1)) + " attempts " +
           std::to_string(messages.integer(2)) + " deliveries " + std::to_string(messages.integer(4));
    const std::string id(messages.bytes(0));
    out += decode_content(id, messages.bytes(5)) ? "\n" : " WITHOUT ITS CONTENT\n";
  }
  Statement dead(db, "SELECT id, cause FROM dead ORDER BY n");
  while (dead.step()) {
    out += std::string(dead.bytes(0)) + " dead\n";
  }
  Statement owners(db, "SELECT who FROM owner ORDER BY n");
  while (owners.step()) {
    out += std::string(owners.bytes(0)) + " receives\n";
  }
  Statement counter(db, "SELECT ready, in_flight, delayed, dead, published_n, acked_n FROM counter");
  counter.step();
  for (int i = 0; i < 6; ++i) {
    out += std::to_string(counter.integer(i)) + " ";
  }
  return out;
}

void publish(Store& store, const std::string& id, std::size_t bytes) {
  const Message message{.id = id,
                        .body = std::string(bytes, 'x'),
                        .headers = {{"k", "v"}},
                        .type = "t",
                        .priority = 0,
                        .published_at = {}};
  store.publish(id, 0, encode_content(message, WallTime{}), 1000);
}

// One step of the workload: a transaction.
using Step = std::function<void(Store&)>;

const std::vector<Step>& workload() {
  static const std::vector<Step> steps{
      [](Store& s) { publish(s, "a", 10), publish(s, "b", 9000), publish(s, "c", 10); },
      [](Store& s) { (void)s.add_owner("w", 1000); },
      [](Store& s) { (void)s.claim(1, 2); },
      [](Store& s) { publish(s, "d", 3000); },
      [](Store& s) {
        (void)s.settle(1, "w", Settle{.how = Settle::How::ack, .delivery = {1, 1}, .why = {}}, 1000);
        (void)s.settle(1, "w",
                       Settle{.how = Settle::How::dead_letter, .delivery = {2, 1}, .cause = Cause::failed, .why = "x"},
                       1000);
      },
      [](Store& s) { (void)s.claim(1, 1); },
      [](Store& s) {
        (void)s.settle(1, "w",
                       Settle{.how = Settle::How::retry,
                              .delivery = {3, 1},
                              .progress = Progress::begun,
                              .delay = std::chrono::seconds{1},
                              .cause = Cause::retried,
                              .why = {}},
                       1000);
      },
      [](Store& s) { s.wake_due(5000); },
      [](Store& s) { s.leave(1, [](DeliveryKey) { return Progress::held; }); },
  };
  return steps;
}

TEST(StoreCrash, EveryPowerCutLeavesTheStateBeforeOrAfterTheTransactionItHit) {
  const TestFolder folder;
  const std::string path = folder.path() + "/q.db";
  crash::recorder().changes.clear();
  std::vector<std::string> states;        // after each step
  std::vector<std::size_t> committed_at;  // changes recorded by then
  crash::Disk start;
  {
    const std::unique_ptr<Store> store = must_open(path);
    start.database = crash::slurp(path);
    crash::recorder().changes.clear();
    states.push_back(describe(path));
    committed_at.push_back(0);
    for (const Step& step : workload()) {
      store->begin(true);
      step(*store);
      store->commit();
      states.push_back(describe(path));
      committed_at.push_back(crash::recorder().size());
    }
  }
  const std::vector<crash::Change> changes = crash::recorder().changes;
  ASSERT_GT(changes.size(), 50U);
  EXPECT_NE(states.back().find("2 0 0 1 4 1"), std::string::npos) << states.back();
  Random random(7);
  std::set<crash::Disk> seen;
  const std::string again = folder.path() + "/again.db";
  std::size_t step = 0;
  for (std::size_t cut = 0; cut <= changes.size(); ++cut) {
    while (step + 1 < committed_at.size() && committed_at[step + 1] <= cut) {
      ++step;
    }
    for (const crash::Disk& disk : crash::after_power_cut(start, changes, cut, random, 1)) {
      if (!seen.insert(disk).second) {
        continue;
      }
      disk.store(again);
      const std::unique_ptr<Store> store = must_open(again);
      ASSERT_TRUE(store) << "cut " << cut;
      const std::string got = describe(again);
      const bool before = got == states[step];
      const bool after = step + 1 < states.size() && got == states[step + 1];
      ASSERT_TRUE(before || after) << "cut " << cut << " of " << changes.size() << ", step " << step << ", got\n"
                                   << got << "\nbefore\n"
                                   << states[step];
    }
  }
  EXPECT_GT(seen.size(), 100U);
}

// What the engine does with a failure: this connection is over, the next one starts from the file.
TEST(StoreCrash, EveryFailingCallIsReportedAndLosesNothingThatWasCommitted) {
  const TestFolder folder;
  for (const int error : {SQLITE_FULL, SQLITE_IOERR_WRITE}) {
    for (int fail_at = 0;; fail_at += error == SQLITE_FULL && fail_at < 40 ? 1 : 4) {
      const std::string path = folder.path() + "/" + std::to_string(error) + "-" + std::to_string(fail_at) + ".db";
      std::unique_ptr<Store> store = must_open(path);
      std::string sure = describe(path);
      crash::recorder().fail(fail_at, error, false);
      bool failed = false;
      for (const Step& step : workload()) {
        bool committing = false;
        try {
          if (!store) {
            store = must_open(path);
          }
          store->begin(true);
          step(*store);
          committing = true;
          store->commit();
          sure = describe(path);
        } catch (const SqlFailure& failure) {
          failed = true;
          EXPECT_TRUE(failure.full() || failure.fatal()) << failure.what;
          EXPECT_NE(explain(failure, path).what.find(path), std::string::npos);
          const Counters lost = store->counters();
          store->rollback();
          store.reset();
          store = must_open(path);
          store->begin(false);
          const bool never = store->never_happened(lost);
          store->commit();
          const std::string now = describe(path);
          EXPECT_TRUE(now == sure || committing) << "a step that failed before its commit has happened";
          EXPECT_EQ(now == sure, never || !committing) << "whether it happened is told wrong";
          sure = now;
        }
      }
      store.reset();
      EXPECT_EQ(describe(path), sure);
      std::filesystem::remove(path);
      if (!failed) {
        crash::recorder().fail(-1, SQLITE_OK, false);
        EXPECT_GT(fail_at, 50);
        break;  // the fault lies behind the last change
      }
    }
  }
}

struct Damage : testing::Test {
  TestFolder folder;
  std::string path = folder.path() + "/q.db";
  std::string good;
  std::string right;
  void SetUp() override {
    {
      const std::unique_ptr<Store> store = must_open(path);
      for (const Step& step : workload()) {
        store->begin(true);
        step(*store);
        store->commit();
      }
    }
    right = describe(path);
    good = crash::slurp(path);
  }
  // Opens what the bytes are: true, or false with an error that names the file; never a wrong answer.
  bool opens_right(const std::string& bytes, const std::string& what) {
    crash::spit(path, bytes);
    const Result<std::unique_ptr<Store>> store = Store::open(path, options());
    if (!store) {
      EXPECT_NE(store.error().what.find(path), std::string::npos) << what << ": " << store.error().what;
      return false;
    }
    try {
      EXPECT_EQ(describe(path), right) << what;
    } catch (const SqlFailure&) {
      ADD_FAILURE() << what << ": opened, and failed only when it was read";
    }
    return true;
  }
};

TEST_F(Damage, AFlippedBitIsAnErrorOrHarmless) {
  Random random(3);
  int errors = 0;
  // Every bit of the header, then one bit of every 24 bytes at random: a sample, for the time it takes.
  std::vector<std::size_t> bits;
  for (std::size_t bit = 0; bit < 100 * 8; bit += 7) {
    bits.push_back(bit);
  }
  for (std::size_t byte = 100; byte < good.size(); byte += 160) {
    bits.push_back(byte * 8 + random.below(160 * 8));
  }
  for (const std::size_t bit : bits) {
    if (bit / 8 < good.size()) {
      std::string bytes = good;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      errors += opens_right(bytes, "bit " + std::to_string(bit)) ? 0 : 1;
    }
  }
  EXPECT_GT(errors, static_cast<int>(bits.size() / 2)) << "free pages may be damaged, used ones never unseen";
}

TEST_F(Damage, ACutOffFileIsAnError) {
  for (std::size_t size = 0; size < good.size(); size += size < 600 ? 7 : 509) {
    const bool opened = opens_right(good.substr(0, size), "cut at " + std::to_string(size));
    EXPECT_FALSE(opened && size + 4096 < good.size()) << "only a free last page may be missing";
  }
}

TEST_F(Damage, ZeroedTailsAndSwappedPagesAreErrors) {
  for (std::size_t page = 0; page + 1 < good.size() / 4096; ++page) {
    std::string zeroed = good;
    zeroed.replace(page * 4096, std::string::npos, good.size() - page * 4096, '\0');
    EXPECT_FALSE(opens_right(zeroed, "zeroed from page " + std::to_string(page)));
    std::string swapped = good;
    swapped.replace(page * 4096, 4096, good, (page + 1) * 4096, 4096);
    swapped.replace((page + 1) * 4096, 4096, good, page * 4096, 4096);
    if (swapped != good) {
      (void)opens_right(swapped, "swapped " + std::to_string(page));  // free pages may change places
    }
  }
}

TEST_F(Damage, AMessageWhoseBytesAreDamagedIsFoundWhenItIsTaken) {
  // A file too large to be read whole when it is opened: the damage shows at the message.
  {
    const std::unique_ptr<Store> store = must_open(path);
    store->begin(true);
    for (int i = 0; i < 1200; ++i) {
      publish(*store, "big" + std::to_string(i), 8000);
    }
    store->commit();
  }
  std::string bytes = crash::slurp(path);
  const std::size_t at = bytes.find(std::string(4000, 'x'), bytes.size() / 2);
  ASSERT_NE(at, std::string::npos);
  bytes[at + 100] = 'y';
  crash::spit(path, bytes);
  const std::unique_ptr<Store> store = must_open(path);
  ASSERT_TRUE(store);
  store->begin(true);
  const std::int64_t owner = store->add_owner("w", 1);
  store->commit();
  int taken = 0;
  int aside = 0;
  for (bool more = true; more;) {
    try {
      store->begin(true);
      const auto some = store->claim(owner, 50);
      store->commit();
      more = !some->empty();
      taken += static_cast<int>(some->size());
    } catch (const DamagedRow& row) {
      store->rollback();
      DamagedRow found = row;
      if (found.key == 0) {
        store->begin(false);
        found.key = store->find_damaged();
        store->rollback();
      }
      store->begin(true);
      store->set_aside(found, 5);
      store->commit();
      ++aside;
    }
  }
  EXPECT_EQ(aside, 1);
  EXPECT_EQ(taken, 1200 + 2 - 1);
  store->begin(false);
  const std::vector<DeadRow> dead = store->dead(0, 10);
  store->commit();
  ASSERT_EQ(dead.size(), 2U);
  EXPECT_NE(dead[1].why.find("damaged"), std::string::npos);
}

TEST(Content, AnyChangedByteIsSeen) {
  const Message message{
      .id = "id", .body = "body", .headers = {{"k", "v"}}, .type = "t", .priority = 0, .published_at = {}};
  const std::string bytes = encode_content(message, WallTime{});
  EXPECT_TRUE(decode_content("id", bytes));
  EXPECT_FALSE(decode_content("ID", bytes));
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string bad = bytes;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(decode_content("id", bad));
    EXPECT_FALSE(decode_content("id", bytes.substr(0, i / 8)));
  }
}

}  // namespace
}  // namespace sluice::queue::local
