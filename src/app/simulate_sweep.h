// SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs of scenarios, several at a time, with their progress on the terminal.
#include <optional>
#include <string>
#include <vector>

#include "aio/task.h"
#include "app/context.h"
#include "app/progress.h"
#include "app/simulate_load.h"
#include "lab/outcome.h"

namespace sluice::app {

// Each policy of each scenario with each seed. What is loaded outlives it.
class Sweep {
 public:
  // `journals`: a folder that is there; each run's journal goes to it.
  Sweep(Context& context, const std::vector<Loaded>& loaded, std::optional<std::string> journals);

  // Does all of it on `threads` threads.
  aio::Task<void> run(std::size_t threads);
  [[nodiscard]] bool all_written() const;
  // "12 runs, 3.4 million events in 1.2 s"; on stderr, since it is of this machine. Before outcomes().
  [[nodiscard]] std::string pace() const;
  // One for each scenario. Once.
  [[nodiscard]] std::vector<lab::Outcome> outcomes();

 private:
  // One run of the sweep.
  struct Piece {
    std::size_t loaded = 0;
    std::size_t policy = 0;
    std::int64_t seed = 0;
  };
  class Journals;

  void work(std::size_t index);  // on a thread of the crew: touches nothing but its own place
  void tell();

  Context& context_;
  const std::vector<Loaded>& loaded_;
  std::optional<std::string> journals_;
  ProgressLine progress_;
  std::vector<Piece> pieces_;
  std::vector<lab::Run> runs_;
  std::vector<char> written_;  // not bool: each has its own byte
  std::int64_t done_ = 0;
  Time started_;
};

}  // namespace sluice::app
