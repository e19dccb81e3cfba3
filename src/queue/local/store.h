// SPDX-License-Identifier: Apache-2.0
#pragma once
// The queue as tables: every change a message can make, as a step inside a transaction that the engine begins and ends.
// Blocks, so it lives on the engine's thread. Throws SqlFailure, and DamagedRow where one message alone is unreadable.
//
// The counters are kept in the transactions that change them, so that reading the backlog costs the same at 10 and at
// ten million messages. A message's body lives in a table of its own, so that taking and returning one never rewrites
// it.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "queue/local/sidecar.h"
#include "queue/local/sqlite.h"
#include "queue/message.h"

namespace sluice::queue::local {

struct Counters {
  std::int64_t ready = 0, in_flight = 0, delayed = 0, dead = 0, published_n = 0, acked_n = 0;
  std::int64_t next_line = 1;  // the next place at the end of the line, and the next key
  std::int64_t next_owner = 1;
  std::int64_t commits = 0;  // so far
  std::int64_t mark = 0;     // of the last one, drawn by its author: tells whose it was
  friend bool operator==(const Counters&, const Counters&) = default;
};

struct Taken {
  DeliveryKey delivery;
  Message message;
  std::uint32_t attempts = 0;
  Cause cause = Cause::none;
  std::int64_t since_ms = 0;  // wall: published, or the end of its last delay
  bool apart = false;         // its content has a row of its own
};

struct DeadRow {
  std::int64_t n = 0;  // grows; for paging
  std::string id;
  Cause cause = Cause::none;
  std::uint32_t attempts = 0;
  std::string why;
  std::string who;
  std::int64_t at_ms = 0;
};

struct Settle {
  enum class How { ack, retry, requeue, dead_letter };
  How how = How::ack;
  DeliveryKey delivery;
  Progress progress = Progress::held;
  bool apart = false;  // as taken
  Duration delay{0};
  Cause cause = Cause::none;
  std::string why;
};

struct DeadOwner {
  std::int64_t n = 0;
  Remains remains;
};

struct DamagedRow {
  std::int64_t key = 0;  // 0: one of those that were to be claimed
};

struct StoreOptions {
  bool create = true;
  std::string vfs;                          // of SQLite, under the checksums; empty: the system's
  std::function<bool(int)> busy;            // see Db::on_busy
  std::function<std::string()> fresh_name;  // a suffix for a file that is being made
  std::function<std::int64_t()> mark;       // a random number for each commit
};

class Store {
 public:
  // Finds or makes the file, rolls back what a crash left half done, and checks it. Never throws.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(const std::string& path, const StoreOptions& options);

  void begin(bool write);
  void commit();
  void rollback() noexcept;
  [[nodiscard]] bool writing() const { return writing_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }  // of the transaction, or of the last one
  // After a commit() that threw, in a transaction of a new Store: certainly not in the file, if `lost` are the old
  // counters().
  [[nodiscard]] bool never_happened(const Counters& lost) const {
    return counters_.commits < lost.commits || (counters_.commits == lost.commits && counters_.mark != lost.mark);
  }
  [[nodiscard]] bool moved() { return db_.moved(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }  // of the side files

  // In any transaction.
  [[nodiscard]] std::optional<std::int64_t> next_due();      // wall ms
  [[nodiscard]] std::optional<std::int64_t> oldest_fresh();  // wall ms of the oldest never delivered one
  [[nodiscard]] std::int64_t consumers();
  [[nodiscard]] std::vector<DeadRow> dead(std::int64_t after, std::int64_t limit);
  // Owners whose process is gone, each locked by us from here on. What cannot be told apart counts as alive.
  [[nodiscard]] std::vector<DeadOwner> find_dead();

  // In a writing one.
  void publish(std::string_view id, std::uint8_t priority, std::string_view content, std::int64_t now_ms);
  [[nodiscard]] std::int64_t add_owner(std::string_view who, std::int64_t now_ms);
  [[nodiscard]] bool stop_consuming(std::int64_t owner);
  // Nullopt: this owner is registered no more.
  [[nodiscard]] std::optional<std::vector<Taken>> claim(std::int64_t owner, std::size_t max);
  // False: the delivery is not this owner's any more.
  [[nodiscard]] bool settle(std::int64_t owner, std::string_view who, const Settle& settle, std::int64_t now_ms);
  // Everything of a living owner goes back: with what it knows of the progress, the rest as held.
  void leave(std::int64_t owner, const std::function<Progress(DeliveryKey)>& progress);
  // What belongs to the owner without its knowing, after a claim whose answer was lost.
  void reconcile(std::int64_t owner, const std::function<bool(DeliveryKey)>& known);
  void give_back(const DeadOwner& dead);
  void wake_due(std::int64_t now_ms);
  // A message whose stored bytes are wrong: to the dead letters, so that it is reported and blocks nobody.
  void set_aside(DamagedRow row, std::int64_t now_ms);
  // After a DamagedRow without a key, in a reading transaction of its own, which may end with it.
  [[nodiscard]] std::int64_t find_damaged();
  // After the wall clock jumped back: no delay is longer than it was asked for.
  void shorten_delays(std::int64_t now_ms);

 private:
  Store(const std::string& path, const StoreOptions& options);
  void check_whole();
  [[nodiscard]] std::string_view content(std::int64_t key);
  [[nodiscard]] std::vector<DeliveryKey> owned(std::int64_t owner);
  void return_row(std::int64_t key, Progress progress);
  void bury(std::int64_t key, std::string_view who, std::uint32_t attempts, Cause cause, std::string_view why,
            std::int64_t now_ms);

  std::string path_;
  std::string folder_;
  std::function<std::int64_t()> mark_;
  Db db_;
  bool writing_ = false;
  std::int64_t blame_ = 0;    // how many were being claimed when one could not be read
  std::int64_t changes_ = 0;  // SQLite's count when the transaction began
  Counters counters_;
  Counters stored_;

  Statement begin_read_, begin_write_, commit_, read_counters_, write_counters_;
  Statement next_due_, lanes_, oldest_, consumers_, dead_, owners_;
  Statement add_message_, add_content_, add_owner_, stop_owner_, has_owner_, remove_owner_;
  Statement ready_, take_, head_, bytes_, content_, held_, ack_, drop_message_, drop_content_;
  Statement delay_, return_, bury_, owned_, due_, wake_, shorten_;
};

}  // namespace sluice::queue::local
