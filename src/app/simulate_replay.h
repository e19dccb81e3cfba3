// SPDX-License-Identifier: Apache-2.0
#pragma once
// Journals as scenarios, for verbs that simulate what was recorded.
#include <optional>
#include <string>
#include <vector>

#include "app/simulate_load.h"
#include "lab/replay.h"

namespace sluice::app {

// One pool of the journals given.
struct ReplayedPool {
  lab::Past past;
  Loaded loaded;
  std::vector<std::string> assumed;
};
struct ReplayedJournals {
  std::vector<ReplayedPool> pools;
  std::size_t unread = 0;  // lines
  std::string first_unread;
  // exit_failed: a decision comes out otherwise today; exit_partly: lines could not be used.
  [[nodiscard]] int exit() const;
};

// --service, --start and --late, which journals cannot know.
[[nodiscard]] std::vector<Flag> replay_flags();
[[nodiscard]] lab::ReplayWishes replay_wishes(const Args& args);

// What was recorded of one pool as a scenario. Says what is wrong on stderr and returns empty: exit_usage.
[[nodiscard]] std::optional<ReplayedPool> replayed_pool(Context& context, const Args& args, lab::Past past,
                                                        const std::string& verb);
// The pools of these journals, the oldest file first. Says what is wrong on stderr and returns empty: exit_usage.
[[nodiscard]] std::optional<ReplayedJournals> replay_journals(Context& context, const Args& args,
                                                              const std::vector<std::string>& paths,
                                                              const std::string& verb);
// Whether the decisions are the same today, what was recorded and what was assumed. Lines with ends.
[[nodiscard]] std::string replay_text(const ReplayedPool& pool, bool colour);
// The same as one JSON line, with its end.
[[nodiscard]] std::string replay_json(const ReplayedPool& pool);

}  // namespace sluice::app
