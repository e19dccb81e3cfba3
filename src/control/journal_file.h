// SPDX-License-Identifier: Apache-2.0
#pragma once
// The journal on disk: journal.jsonl, rotated at 64 MiB, 4 older ones kept as journal.jsonl.1 .. .4.
#include <functional>
#include <string>

#include "control/journal.h"

namespace sluice::control {

class JournalFile final : public JournalSink {
 public:
  struct Options {
    std::size_t bytes_max = 64U << 20U;  // design section 11
    int kept = 4;
  };
  // `echo`, if set, gets every line too (scale --output json).
  JournalFile(std::string path, Options options, std::function<void(std::string_view)> echo = nullptr);
  ~JournalFile() override;
  JournalFile(const JournalFile&) = delete;
  JournalFile& operator=(const JournalFile&) = delete;

  // Appends in one write(2), so that a crash tears at most the last line; a torn last line of an earlier run is ended
  // first. Code::denied with path and reason (disk full, read-only) when nothing whole was written.
  Result<void> write(std::string_view line) override;
  bool at_start_of_file() override;

 private:
  Result<void> open();
  Result<void> rotate();
  [[nodiscard]] Error failed(std::string_view what) const;

  std::string path_;
  Options options_;
  std::function<void(std::string_view)> echo_;
  int fd_ = -1;
  std::size_t bytes_ = 0;
  bool start_ = true;
  bool torn_ = false;  // the last line is not whole, and could not be removed
};

}  // namespace sluice::control
