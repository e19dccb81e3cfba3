// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker does with one message. The runtime owns everything around it: attempts, leases, deadlines, settling.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"
#include "queue/message.h"

namespace sluice::worker {

// How a handler's run ended, in its own words.
struct Outcome {
  enum class Kind {
    done,          // acknowledge
    retry,         // again later, by the handler's own wish
    failed,        // again later
    permanent,     // to the dead letters at once: it can never succeed
    cannot_start,  // the worker's failure, not the message's: handed back without an attempt, and the worker ends
  };
  Kind kind = Kind::failed;
  std::string why;                // one line for people; empty when done
  std::optional<Duration> delay;  // with retry: instead of the pool's delay

  static Outcome done() { return {Kind::done, {}, {}}; }
  static Outcome retry(std::string why, std::optional<Duration> delay = {}) {
    return {Kind::retry, std::move(why), delay};
  }
  static Outcome failed(std::string why) { return {Kind::failed, std::move(why), {}}; }
  static Outcome permanent(std::string why) { return {Kind::permanent, std::move(why), {}}; }
  static Outcome cannot_start(std::string why) { return {Kind::cannot_start, std::move(why), {}}; }
};

// One run that was begun by Handler::start_at_once(). Once this is gone nobody hears of its end, and it is told to
// stop.
class Run {
 public:
  virtual ~Run() = default;
  // Tells it to stop and waits until it has; from here on its end is not told. Empty: it came to none that counts.
  [[nodiscard]] virtual aio::Task<std::optional<Outcome>> cancel() = 0;
};

class Handler {
 public:
  virtual ~Handler() = default;
  // Can it work at all? Asked once, before the worker takes a message. An Error ends the worker.
  [[nodiscard]] virtual Result<void> check() { return {}; }
  // Handles one message; up to `concurrency` of these run at once. `attempt` counts from 1. Must not block the loop.
  // Cancelled at `max_runtime`, when the lease is lost and when the worker must leave: what it started has then stopped
  // working before it unwinds. What it throws (cancellation apart) counts as failed. `delivery` outlives the call.
  virtual aio::Task<Outcome> handle(const queue::Delivery& delivery, std::uint32_t attempt,
                                    aio::Deadline max_runtime) = 0;
  // The same without a coroutine, for handlers that need none: a worker spends more on one than on all the rest of a
  // short message. Begins, at the latest with started(), and returns; `ended` is called once, on the loop and not
  // inside this call. Null: handle() is the only way.
  [[nodiscard]] virtual std::unique_ptr<Run> start_at_once(std::shared_ptr<const queue::Delivery> /*delivery*/,
                                                           std::uint32_t /*attempt*/,
                                                           std::move_only_function<void(Outcome)> /*ended*/) {
    return nullptr;
  }
  // After some start_at_once(): no more follow for now.
  virtual void started() {}
};

}  // namespace sluice::worker
