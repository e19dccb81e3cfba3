// SPDX-License-Identifier: Apache-2.0
#pragma once
// A pool's journal as what it says of its load: what was seen at each tick, in few bytes; and whether today's code
// decides each tick as it was decided then.
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/journal_read.h"

namespace sluice::lab {

// What one tick saw. Times are wall time in milliseconds, of the reading itself.
struct PastLook {
  std::int64_t at_ms = 0;     // of the tick
  std::int64_t queue_ms = 0;  // of the reading of the queue
  std::optional<std::int64_t> ready, in_flight, published, acked;
  std::int64_t busy = 0;
  std::int64_t placed = 0;  // live, and on a node
  std::int64_t live = 0;
};

// A worker from being asked for until it had started, in milliseconds. The journal tells it as closely as it was
// looked at.
struct PastStart {
  std::int64_t took_ms = 0;
  bool waited_for_place = false;
  std::optional<std::int64_t> place_ms;  // of them without a place, where it is known
};

struct Past {
  std::string pool;           // namespace/name
  bool journal = true;        // false: from elsewhere (lab/past_file.h)
  bool pool_known = true;     // false: only what pools have by default is in `spec`, and workers.max is not in it
  bool workers_known = true;  // false: nobody said how many were busy
  pool::PoolSpec spec;
  std::size_t specs = 0;  // how many different ones there were; `spec` is the last
  std::vector<PastLook> looks;
  std::int64_t end_ms = 0;  // of the record; looks in which nothing changed are not kept one by one
  std::vector<PastStart> starts;
  std::int64_t asked = 0;  // workers
  std::int64_t full = 0;   // ticks at which there was no room for a worker
  std::int64_t oldest_ms = 0;
  // Run again:
  std::size_t same = 0;
  std::size_t different = 0;
  std::size_t undecided = 0;  // what deciding remembered was not in the journal
  std::string first_difference;
  // Of what is not from a journal:
  std::vector<std::string> notes;         // how it was understood, each a line for people
  std::vector<std::int64_t> services_ms;  // of single messages, rising
};

// Takes in journals line by line, the oldest first; several pools may be in one.
class PastReader {
 public:
  // `where` names the line in messages: "journal.jsonl:12".
  void take(std::string_view line, const std::string& where);
  // The file ends here. A last line that cannot be read was being written when the scaler ended, and is no mistake.
  void end_of_file();
  [[nodiscard]] std::vector<Past> finish();
  [[nodiscard]] std::size_t unread() const { return unread_; }
  [[nodiscard]] const std::string& first_unread() const { return first_unread_; }

 private:
  struct Asked {
    std::int64_t at_ms = 0;
    std::int64_t seen_ms = 0;  // the last tick at which it had not started
    bool waited = false;
    std::optional<std::int64_t> placed_ms;
  };
  struct One {
    Past past;
    control::Replay replay;
    std::string spec_hash;
    std::map<std::string, Asked> asked;  // by worker
    std::int64_t last_ms = 0;
  };
  One& of(const std::string& pool);
  void tick(One& one, const control::TickLine& tick);
  void started(One& one, const model::Observation& seen, std::int64_t now);
  void act(One& one, const control::ActLine& act);
  void again(One& one, const control::JournalLine& line, const std::string& where);
  void settle(bool at_end);

  std::map<std::string, One> pools_;
  std::string last_pool_;
  std::optional<std::string> bad_;  // the last line, when it could not be read
  std::size_t unread_ = 0;
  std::string first_unread_;
};

}  // namespace sluice::lab
