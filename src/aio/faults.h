// SPDX-License-Identifier: Apache-2.0
#pragma once
// Breaks every step of an exchange once. A step is a connect, a read or a write; each is failed in every way that a
// network has, in a run of its own. The exchange must then end with an error or with the right answer, never with a
// wrong one and never not at all. Part of the library and not of one test, because every protocol is tested with it.
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "aio/stream.h"

namespace sluice::aio {

enum class Fault {
  none,
  reset,     // the step fails at once; of a write one half arrives
  end,       // a read ends the stream; a write arrives whole, and then the connection is gone
  stall,     // nothing happens until the deadline
  one_byte,  // no failure: a read brings one byte only
};
[[nodiscard]] std::string_view fault_word(Fault fault);

// The plan of one run: the step numbered `at` meets `fault`.
class Faults {
 public:
  Faults(std::size_t at, Fault fault) : at_(at), fault_(fault) {}
  // Counts one step and says what it meets.
  [[nodiscard]] Fault next() { return steps_++ == at_ ? fault_ : Fault::none; }
  [[nodiscard]] std::size_t steps() const { return steps_; }
  [[nodiscard]] Fault fault() const { return fault_; }

 private:
  std::size_t at_;
  Fault fault_;
  std::size_t steps_ = 0;
};

// `exchange` runs everything from its beginning, on a loop and a clock of its own, and judges the outcome. Called once
// without a fault, then once for every step and fault. Returns the number of steps of the first run.
std::size_t for_each_failure(const std::function<void(Faults&)>& exchange);

// A stream whose reads and writes are steps of `faults`. Both outlive it.
[[nodiscard]] std::unique_ptr<Stream> with_faults(std::unique_ptr<Stream> stream, Faults& faults, Clock& clock);
// The step of a connect: an error where the plan has one.
[[nodiscard]] Task<Result<void>> connect_step(Faults& faults, Clock& clock, Deadline deadline);

struct StreamPair {
  std::unique_ptr<Stream> first;
  std::unique_ptr<Stream> second;
};
// Two ends of a connection in memory; each direction holds at most `capacity` bytes under way.
[[nodiscard]] StreamPair stream_pair(Clock& clock, std::size_t capacity = 64U << 10U);

}  // namespace sluice::aio
