// SPDX-License-Identifier: Apache-2.0
#pragma once
// A pool's journal as the verbs that look read it: followed as it grows, or searched with its older files.
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "control/story.h"

namespace sluice::app {

// The last tick of a journal that somebody may be writing. Each poll reads only what is new.
class JournalTail {
 public:
  explicit JournalTail(std::string path) : path_(std::move(path)), story_({}) {}
  // Code::gone when there is no journal.
  Result<void> poll();
  [[nodiscard]] const control::Story& story() const { return story_; }

 private:
  std::string path_;
  control::Story story_;
  ino_t inode_ = 0;
  off_t offset_ = 0;
};

// The ticks asked for, from all files of a journal (journal.jsonl.4 .. .1, journal.jsonl). A last line without its end
// is left out: it is torn, or still being written. Code::gone when there is no journal.
[[nodiscard]] Result<control::Story> search_journal(const std::string& path, const control::Ask& ask);

}  // namespace sluice::app
