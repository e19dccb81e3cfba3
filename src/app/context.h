// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every verb gets from main(): the loop, the clock, chance, and where its words go. stdout is data, stderr is
// progress and logs.
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aio/clock.h"
#include "aio/loop.h"
#include "aio/signals.h"
#include "base/log.h"
#include "base/random.h"
#include "base/result.h"
#include "control/poll_budget.h"
#include "wiring/queues.h"

namespace sluice::app {

inline constexpr aio::Deadline for_ever{};  // of waits that a signal or a cancellation ends

// Text to a descriptor. Writes block, so that data reaches a slow reader whole. A reader that went away or was never
// there (closed pipe, closed descriptor) is its own choice and no failure; a full disk is one, kept for the exit code.
class Out {
 public:
  explicit Out(int fd);
  void write(std::string_view text);
  void line(std::string_view text);
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool terminal() const { return terminal_; }
  // Of the terminal, now; 100 x 30 when it does not say.
  [[nodiscard]] int columns() const;
  [[nodiscard]] int rows() const;
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

 private:
  int fd_;
  bool terminal_;
  bool closed_ = false;
  std::optional<Error> failure_;
};

struct Context {
  aio::Loop& loop;
  aio::Clock& clock;
  Random& random;
  Out& out;
  Out& err;
  const Log& log;
  wiring::Queues& queues;
  control::PollBudgets polls = {};       // of each broker
  bool json = false;                     // --output json
  bool colour = false;                   // on stdout
  bool err_colour = false;               // on stderr
  std::string binary;                    // this program, as others can start it
  std::string program;                   // this program, as a person here can type it
  std::vector<std::string> environment;  // "KEY=value"

  // Empty when not set, or set to nothing.
  [[nodiscard]] std::optional<std::string> env(std::string_view name) const;
};

// SIGINT, SIGTERM and SIGHUP as values, from here to the end of the process: one that comes while the verb is leaving
// changes nothing. Make it before anything that owns a thread, so that it goes last.
class StopSignals {
 public:
  explicit StopSignals(Context& context) : signals_(context.loop, context.clock, {SIGINT, SIGTERM, SIGHUP}) {}
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  // The next one's arrival.
  [[nodiscard]] aio::Task<void> next();

 private:
  aio::Signals signals_;
};

// Descriptors 0, 1 and 2 that the caller closed are opened on /dev/null, or the next file opened would become our
// stdout.
void open_standard_descriptors();

// Runs the program: parses, makes the Context, runs the verb. Returns the exit code.
[[nodiscard]] int run_program(int argc, char** argv, char** environment);

}  // namespace sluice::app
