// SPDX-License-Identifier: Apache-2.0
#pragma once
// The latest journal lines of each pool, in memory, for who asks why over HTTP.
//
// Not the journal file read again: in a cluster the journal is a container's output, which its writer cannot read.
// Bounded in lines and bytes for a pool and in all; pools share what there is evenly, so a busy one never pushes out
// what a quiet one decided. What deciding remembered is kept beside each tick (of the policy lag, beside some),
// so that the oldest tick kept is explained as well as from a file that has all before it.
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "control/journal.h"
#include "control/story.h"

namespace sluice::control {

// Chosen: some hours of a pool that is busy at 10 s, and little beside what a thousand pools cost anyway.
struct RingLimits {
  std::size_t pool_lines = 2'000;
  std::size_t pool_bytes = 1U << 20U;
  std::size_t bytes = 8U << 20U;  // of all pools; each may have an equal share of it
};

class JournalRing {
 public:
  explicit JournalRing(RingLimits limits = {}) : limits_(limits) {}

  // `before` is of a tick line.
  void add(const std::string& pool, std::string_view line, const std::optional<ControlState>& before);
  // The pool is gone.
  void forget(const std::string& pool);
  // The ticks asked for among the lines that are there. Empty: there is no line of that pool.
  [[nodiscard]] std::optional<Story> story(const std::string& pool, const Ask& ask) const;
  // When the oldest tick kept of a pool was; empty when there is none.
  [[nodiscard]] std::string begins_at(const std::string& pool) const;
  // Of all lines, with what it takes to keep them.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t lines() const;

 private:
  struct Entry {
    std::string line;
    std::optional<ControlState> before;
  };
  struct Lines {
    std::string pool_line;  // the spec in force at the first entry, where that has gone from the front
    std::deque<Entry> entries;
    std::size_t since_memory = 0;  // lines since one that was kept with what deciding remembered
    std::size_t bytes = 0;
  };
  static std::size_t cost(const Entry& entry);
  [[nodiscard]] std::size_t share() const;
  void trim(Lines& lines);

  const RingLimits limits_;
  std::map<std::string, Lines> pools_;
  std::size_t bytes_ = 0;
};

// One sink for the journals of many pools, each of which begins a new file with its own pool and state lines.
struct SharedSink {
  JournalSink& sink;
  std::uint64_t file = 0;  // counts files begun
};

// A pool's own end of a shared sink. What was written is in the ring too; what could not be written is not.
class PoolSink final : public JournalSink {
 public:
  // Both outlive it; `ring` may be null.
  PoolSink(SharedSink& shared, JournalRing* ring, std::string pool)
      : shared_(shared), ring_(ring), pool_(std::move(pool)) {}
  Result<void> write(std::string_view line) override;
  bool at_start_of_file() override;
  void remembers(const ControlState& before) override { before_ = before; }

 private:
  SharedSink& shared_;
  JournalRing* ring_;
  std::string pool_;
  std::uint64_t file_ = 0;
  std::optional<ControlState> before_;  // of the next line
};

}  // namespace sluice::control
