// SPDX-License-Identifier: Apache-2.0
#pragma once
// The journal on a descriptor that somebody else reads, such as a container's stdout.
#include <string>

#include "control/journal.h"

namespace sluice::control {

class JournalStream final : public JournalSink {
 public:
  // `fd` stays the caller's and open.
  explicit JournalStream(int fd);
  ~JournalStream() override;
  JournalStream(const JournalStream&) = delete;
  JournalStream& operator=(const JournalStream&) = delete;

  // Does not wait for a reader of a pipe: Code::denied when there is none, when it does not keep up, and when the disk
  // behind a file is full; each line is tried anew. What of a line was written before that is completed first.
  Result<void> write(std::string_view line) override;
  bool at_start_of_file() override;

 private:
  Result<void> drain();
  int fd_;
  int own_ = -1;  // the same pipe by a description of its own, which does not wait
  std::string rest_;
  bool start_ = true;
};

}  // namespace sluice::control
