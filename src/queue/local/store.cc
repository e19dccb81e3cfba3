// SPDX-License-Identifier: Apache-2.0
#include "queue/local/store.h"

#include <sqlite3.h>

#include <algorithm>

#include "base/check.h"
#include "queue/local/content.h"
#include "queue/local/schema.h"

namespace sluice::queue::local {

namespace {

// How many due messages one transaction lets back into the line; the rest follow in the next.
constexpr std::int64_t due_page = 1000;

std::string_view column_text(const Statement& statement, int column) {
  return statement.bytes(column);
}

Cause cause_of(std::int64_t stored) {
  const bool known = stored >= 0 && stored <= static_cast<std::int64_t>(Cause::too_large);
  return known ? static_cast<Cause>(stored) : Cause::crash;
}

}  // namespace

Store::Store(const std::string& path, const StoreOptions& options)
    : path_(path), folder_(path + "-workers"), mark_(options.mark), db_(path, options.vfs, false) {
  if (options.busy) {
    db_.on_busy(options.busy);
  }
  // PERSIST: overwriting one journal file costs fewer syncs than making and unlinking it, and is as safe (FULL syncs
  // the zeroed header; EXTRA would add the folder, which no commit changes). No memory maps: their pages come
  // unchecked.
  db_.exec(
      "PRAGMA journal_mode=PERSIST;PRAGMA synchronous=EXTRA;PRAGMA journal_size_limit=33554432;"
      "PRAGMA secure_delete=OFF;PRAGMA temp_store=MEMORY;PRAGMA cache_size=-8000;PRAGMA mmap_size=0;"
      "PRAGMA trusted_schema=OFF;PRAGMA cell_size_check=ON;");
  const auto make = [this](Statement& into, const char* sql) { into = Statement(db_, sql); };
  make(begin_read_, "BEGIN");
  make(begin_write_, "BEGIN IMMEDIATE");
  make(commit_, "COMMIT");
  make(read_counters_,
       "SELECT ready, in_flight, delayed, dead, published_n, acked_n, next_line, next_owner,"
       " commits, mark FROM counter");
  make(write_counters_,
       "UPDATE counter SET ready=?, in_flight=?, delayed=?, dead=?, published_n=?, acked_n=?,"
       " next_line=?, next_owner=?, commits=?, mark=?");
  make(next_due_, "SELECT due_ms FROM message INDEXED BY message_due WHERE state=2 ORDER BY due_ms LIMIT 1");
  make(lanes_, "SELECT max(priority) FROM message INDEXED BY message_place WHERE state=0 AND priority<?");
  make(oldest_,
       "SELECT since_ms FROM message INDEXED BY message_place WHERE state=0 AND priority=? AND deliveries=0"
       " ORDER BY line LIMIT 1");
  make(consumers_, "SELECT count(*) FROM owner WHERE consuming=1");
  make(dead_, "SELECT n, id, cause, attempts, why, who, at_ms FROM dead WHERE n > ? ORDER BY n LIMIT ?");
  make(owners_, "SELECT n FROM owner");
  make(add_message_, "INSERT INTO message VALUES(?, ?, 0, ?, ?, 0, 0, 0, 0, ?, 0, 0, ?) ON CONFLICT(id) DO NOTHING");
  make(add_content_, "INSERT INTO content VALUES(?, ?)");
  make(add_owner_, "INSERT INTO owner VALUES(?, ?, ?, 1)");
  make(stop_owner_, "UPDATE owner SET consuming=0 WHERE n=?");
  make(has_owner_, "SELECT 1 FROM owner WHERE n=?");
  make(remove_owner_, "DELETE FROM owner WHERE n=?");
  make(ready_,
       "SELECT key, id, deliveries, attempts, cause, since_ms, priority, bytes FROM message INDEXED BY message_place"
       " WHERE state=0 ORDER BY priority DESC, line LIMIT ?");
  make(take_,
       "UPDATE message SET state=1, owner=?, deliveries=deliveries+1 WHERE key IN (SELECT key FROM message"
       " INDEXED BY message_place WHERE state=0 ORDER BY priority DESC, line LIMIT ?)");
  make(head_, "SELECT key FROM message INDEXED BY message_place WHERE state=0 ORDER BY priority DESC, line LIMIT ?");
  make(bytes_, "SELECT bytes FROM message WHERE key=?");
  make(content_, "SELECT bytes FROM content WHERE key=?");
  make(held_, "SELECT attempts FROM message WHERE key=? AND state=1 AND owner=? AND deliveries=?");
  make(ack_, "DELETE FROM message WHERE key=? AND state=1 AND owner=? AND deliveries=?");
  make(drop_message_, "DELETE FROM message WHERE key=?");
  make(drop_content_, "DELETE FROM content WHERE key=?");
  make(delay_, "UPDATE message SET state=2, owner=0, attempts=attempts+?, cause=?, due_ms=?, delay_ms=? WHERE key=?");
  make(return_, "UPDATE message SET state=0, owner=0, attempts=attempts+?, cause=? WHERE key=?");
  make(bury_,
       "INSERT INTO dead SELECT NULL, id, ?, ?, ?, ?, ?, priority,"
       " coalesce(bytes, (SELECT bytes FROM content WHERE key=message.key)) FROM message WHERE key=?");
  make(owned_, "SELECT key, deliveries FROM message INDEXED BY message_place WHERE state=1 AND owner=?");
  make(due_,
       "SELECT key, due_ms FROM message INDEXED BY message_due WHERE state=2 AND due_ms<=? ORDER BY due_ms LIMIT ?");
  make(wake_, "UPDATE message SET state=0, line=?, since_ms=? WHERE key=?");
  make(shorten_, "UPDATE message SET due_ms=?1+delay_ms WHERE state=2 AND due_ms>?1+delay_ms");
}

void Store::begin(bool write) {
  (write ? begin_write_ : begin_read_).bind().run();
  writing_ = write;
  check(read_counters_.bind().step() || db_.in_transaction(), "a transaction that did not begin");
  const Statement& row = read_counters_;
  counters_ = Counters{.ready = row.integer(0),
                       .in_flight = row.integer(1),
                       .delayed = row.integer(2),
                       .dead = row.integer(3),
                       .published_n = row.integer(4),
                       .acked_n = row.integer(5),
                       .next_line = row.integer(6),
                       .next_owner = row.integer(7),
                       .commits = row.integer(8),
                       .mark = row.integer(9)};
  read_counters_.reset();
  stored_ = counters_;
  changes_ = db_.changes();
}

void Store::commit() {
  if (writing_ && db_.changes() != changes_) {
    ++counters_.commits;
    counters_.mark = mark_();
    const Counters& c = counters_;
    write_counters_
        .bind(c.ready, c.in_flight, c.delayed, c.dead, c.published_n, c.acked_n, c.next_line, c.next_owner, c.commits,
              c.mark)
        .run();
  }
  commit_.bind().run();
  stored_ = counters_;
  writing_ = false;
}

void Store::rollback() noexcept {
  writing_ = false;
  counters_ = stored_;
  if (db_.in_transaction()) {
    try {
      db_.exec("ROLLBACK");
    } catch (const SqlFailure&) {  // NOLINT(bugprone-empty-catch)
      // The connection is closed next, which leaves the journal for the next one to roll back.
    }
  }
}

std::optional<std::int64_t> Store::next_due() {
  std::optional<std::int64_t> due;
  if (counters_.delayed > 0 && next_due_.bind().step()) {
    due = next_due_.integer(0);
    next_due_.reset();
  }
  return due;
}

// Per priority the first of the line that was never delivered. Those before it came back to their old place: as many as
// dead or draining workers had in hand, so the walk is short; what was retried stands at the end.
std::optional<std::int64_t> Store::oldest_fresh() {
  std::optional<std::int64_t> oldest;
  for (std::int64_t below = 256; lanes_.bind(below).step() && !lanes_.null(0);) {
    below = lanes_.integer(0);
    if (oldest_.bind(below).step()) {
      oldest = std::min(oldest.value_or(oldest_.integer(0)), oldest_.integer(0));
    }
    oldest_.reset();
    lanes_.reset();
  }
  lanes_.reset();
  return oldest;
}

std::int64_t Store::consumers() {
  const std::int64_t n = consumers_.bind().step() ? consumers_.integer(0) : 0;
  consumers_.reset();
  return n;
}

std::vector<DeadRow> Store::dead(std::int64_t after, std::int64_t limit) {
  std::vector<DeadRow> out;
  for (dead_.bind(after, limit); dead_.step();) {
    out.push_back(DeadRow{.n = dead_.integer(0),
                          .id = std::string(column_text(dead_, 1)),
                          .cause = cause_of(dead_.integer(2)),
                          .attempts = static_cast<std::uint32_t>(dead_.integer(3)),
                          .why = std::string(column_text(dead_, 4)),
                          .who = std::string(column_text(dead_, 5)),
                          .at_ms = dead_.integer(6)});
  }
  return out;
}

std::vector<DeadOwner> Store::find_dead() {
  std::vector<std::int64_t> all;
  for (owners_.bind(); owners_.step();) {
    all.push_back(owners_.integer(0));
  }
  std::vector<DeadOwner> out;
  for (const std::int64_t n : all) {
    Result<std::optional<Remains>> remains = Remains::of(folder_, n);
    if (remains && remains->has_value()) {
      out.push_back(DeadOwner{.n = n, .remains = std::move(**remains)});
    }
  }
  return out;
}

void Store::publish(std::string_view id, std::uint8_t priority, std::string_view content, std::int64_t now_ms) {
  const std::int64_t key = counters_.next_line;
  const bool apart = content.size() > inline_bytes;
  const std::optional<std::string_view> here = apart ? std::nullopt : std::optional(content);
  if (add_message_.bind(key, id, std::int64_t{priority}, key, now_ms, here).run() == 0) {
    return;  // it waits or runs already
  }
  ++counters_.next_line;
  if (apart) {
    add_content_.bind(key, content).run();
  }
  ++counters_.ready;
  ++counters_.published_n;
}

std::int64_t Store::add_owner(std::string_view who, std::int64_t now_ms) {
  const std::int64_t n = counters_.next_owner++;
  add_owner_.bind(n, who, now_ms).run();
  return n;
}

bool Store::stop_consuming(std::int64_t owner) {
  return stop_owner_.bind(owner).run() == 1;
}

void Store::leave(std::int64_t owner, const std::function<Progress(DeliveryKey)>& progress) {
  for (const DeliveryKey& delivery : owned(owner)) {
    const Progress got = progress(delivery);
    return_row(delivery.key, got == Progress::begun ? Progress::held : got);
  }
  remove_owner_.bind(owner).run();
}

void Store::reconcile(std::int64_t owner, const std::function<bool(DeliveryKey)>& known) {
  for (const DeliveryKey& delivery : owned(owner)) {
    if (!known(delivery)) {
      return_row(delivery.key, Progress::held);
    }
  }
}

std::vector<DeliveryKey> Store::owned(std::int64_t owner) {
  std::vector<DeliveryKey> out;
  for (owned_.bind(owner); owned_.step();) {
    out.push_back(DeliveryKey{.key = owned_.integer(0), .deliveries = owned_.integer(1)});
  }
  return out;
}

std::optional<std::vector<Taken>> Store::claim(std::int64_t owner, std::size_t max) {
  const bool registered = has_owner_.bind(owner).step();
  has_owner_.reset();
  if (!registered) {
    return std::nullopt;
  }
  const auto limit = static_cast<std::int64_t>(max);
  std::vector<Taken> out;
  try {
    for (ready_.bind(limit); ready_.step();) {
      Taken& taken = out.emplace_back();
      taken.delivery = DeliveryKey{.key = ready_.integer(0), .deliveries = ready_.integer(2) + 1};
      taken.attempts = static_cast<std::uint32_t>(ready_.integer(3));
      taken.cause = cause_of(ready_.integer(4));
      taken.since_ms = ready_.integer(5);
      taken.apart = ready_.null(7);
      std::optional<Message> message =
          decode_content(ready_.bytes(1), taken.apart ? content(taken.delivery.key) : ready_.bytes(7));
      if (!message) {
        ready_.reset();
        throw DamagedRow{taken.delivery.key};
      }
      taken.message = std::move(*message);
      taken.message.priority = static_cast<std::uint8_t>(ready_.integer(6));
    }
  } catch (const SqlFailure& failure) {
    if (!failure.damaged()) {
      throw;
    }
    blame_ = limit;  // the failure has ended the transaction: look for the culprit in the next one
    throw DamagedRow{0};
  }
  content_.reset();
  const auto n = static_cast<std::int64_t>(out.size());
  if (n > 0) {
    check(take_.bind(owner, n).run() == n, "the line changed inside a transaction");
  }
  counters_.ready -= n;
  counters_.in_flight += n;
  return out;
}

// Valid until the next call. Empty, which no content is, when there is none.
std::string_view Store::content(std::int64_t key) {
  return content_.bind(key).step() ? content_.bytes(0) : std::string_view{};
}

// Reads the line's head one message at a time, to find the one whose bytes cannot be read. 0: none.
std::int64_t Store::find_damaged() {
  std::vector<std::int64_t> keys;
  for (head_.bind(blame_); head_.step();) {
    keys.push_back(head_.integer(0));
  }
  for (const std::int64_t key : keys) {
    try {
      (void)bytes_.bind(key).step();
      (void)content(key);
      bytes_.reset();
      content_.reset();
    } catch (const SqlFailure& failure) {
      if (!failure.damaged()) {
        throw;
      }
      return key;
    }
  }
  throw SqlFailure{SQLITE_CORRUPT, "the line of waiting messages cannot be read", 0};
}

bool Store::settle(std::int64_t owner, std::string_view who, const Settle& settle, std::int64_t now_ms) {
  const std::int64_t key = settle.delivery.key;
  if (settle.how == Settle::How::ack) {
    if (ack_.bind(key, owner, settle.delivery.deliveries).run() == 0) {
      return false;
    }
    if (settle.apart) {
      drop_content_.bind(key).run();
    }
    --counters_.in_flight;
    ++counters_.acked_n;
    return true;
  }
  const bool held = held_.bind(key, owner, settle.delivery.deliveries).step();
  const std::int64_t attempts = held ? held_.integer(0) : 0;
  held_.reset();
  if (!held) {
    return false;
  }
  const bool begun = settle.progress != Progress::held;
  switch (settle.how) {
    case Settle::How::ack:
      break;
    case Settle::How::retry: {
      // Rounded up: a delay is never shorter than asked for.
      const std::int64_t delay = std::max<std::int64_t>(0, to_ms(settle.delay + std::chrono::microseconds{999}));
      delay_.bind(std::int64_t{begun}, static_cast<std::int64_t>(settle.cause), now_ms + delay, delay, key).run();
      --counters_.in_flight;
      ++counters_.delayed;
      break;
    }
    case Settle::How::requeue:  // handed back by a living worker: no crash, however far it got
      return_row(key, settle.progress == Progress::finished ? Progress::finished : Progress::held);
      break;
    case Settle::How::dead_letter:
      --counters_.in_flight;
      bury(key, who, static_cast<std::uint32_t>(attempts + std::int64_t{begun}), settle.cause, settle.why, now_ms);
      break;
  }
  return true;
}

void Store::return_row(std::int64_t key, Progress progress) {
  const Cause cause = progress == Progress::held       ? Cause::requeued
                      : progress == Progress::finished ? Cause::ack_unknown
                                                       : Cause::crash;
  return_.bind(std::int64_t{progress != Progress::held}, static_cast<std::int64_t>(cause), key).run();
  --counters_.in_flight;
  ++counters_.ready;
}

void Store::bury(std::int64_t key, std::string_view who, std::uint32_t attempts, Cause cause, std::string_view why,
                 std::int64_t now_ms) {
  bury_.bind(static_cast<std::int64_t>(cause), std::int64_t{attempts}, why, who, now_ms, key).run();
  drop_message_.bind(key).run();
  drop_content_.bind(key).run();
  ++counters_.dead;
}

void Store::give_back(const DeadOwner& dead) {
  for (const DeliveryKey& delivery : owned(dead.n)) {
    // Notes lost with the machine: it may have begun, so it counts, or a message that takes the machine down would do
    // so for ever.
    return_row(delivery.key, dead.remains.progress(delivery).value_or(Progress::begun));
  }
  remove_owner_.bind(dead.n).run();
}

void Store::wake_due(std::int64_t now_ms) {
  if (counters_.delayed == 0) {
    return;
  }
  std::vector<std::pair<std::int64_t, std::int64_t>> due;
  for (due_.bind(now_ms, due_page); due_.step();) {
    due.emplace_back(due_.integer(0), due_.integer(1));
  }
  for (const auto& [key, due_ms] : due) {
    wake_.bind(counters_.next_line++, due_ms, key).run();
  }
  const auto n = static_cast<std::int64_t>(due.size());
  counters_.delayed -= n;
  counters_.ready += n;
}

void Store::set_aside(DamagedRow row, std::int64_t now_ms) {
  const std::int64_t key = row.key;
  Statement ready(db_, "SELECT attempts FROM message WHERE key=? AND state=0");
  if (!ready.bind(key).step()) {
    return;  // another process was first
  }
  const auto attempts = static_cast<std::uint32_t>(ready.integer(0));
  ready.reset();
  // Without its bytes, which cannot be read; their pages stay allocated and unused.
  Statement bury(db_, "INSERT INTO dead SELECT NULL, id, ?, ?, ?, ?, ?, priority, NULL FROM message WHERE key=?");
  bury.bind(static_cast<std::int64_t>(Cause::permanent), std::int64_t{attempts},
            std::string_view("damaged on disk: its stored bytes fail their checksum"), std::string_view("sluice"),
            now_ms, key)
      .run();
  drop_message_.bind(key).run();
  --counters_.ready;
  ++counters_.dead;
}

void Store::shorten_delays(std::int64_t now_ms) {
  shorten_.bind(now_ms).run();
}

}  // namespace sluice::queue::local
