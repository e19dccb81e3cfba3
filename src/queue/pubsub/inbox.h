// SPDX-License-Identifier: Apache-2.0
#pragma once
// What was pulled and not handed out yet, and the pull under way.
//
// A pull belongs to nobody who waits for it: Pub/Sub goes on delivering to a request whose client has gone, and what
// it delivers there is away for a whole lease. So a pull outlives the receive() that began it, what comes when nobody
// wants it any more goes back at once, and only the end of everything cuts it.
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "aio/event.h"
#include "aio/task_group.h"
#include "queue/pubsub/service.h"
#include "queue/pubsub/settler.h"

namespace sluice::queue::pubsub {

// How long a pull waits for a first message: to the deadline of who wants it, at most this. Chosen: a worker that is
// told to leave leaves a pull behind for so long, and an idle one asks three times a minute.
inline constexpr Duration pull_wait_max = std::chrono::seconds{20};

class Inbox : public std::enable_shared_from_this<Inbox> {
 public:
  struct Arrived {
    Received received;
    Time at;
  };

  Inbox(std::shared_ptr<Service> service, std::shared_ptr<Settler> settler, std::string subscription);

  // Begins a pull unless one is under way or it is too early for another.
  void pull(std::size_t max, Duration wait);
  [[nodiscard]] bool pulling() const { return pulling_; }
  // When the next pull may begin: those that bring nothing at once are spaced.
  [[nodiscard]] Time next_pull() const { return next_; }
  // From now on what comes goes back, at once.
  void refuse() { refused_ = true; }
  // Ends the pull under way: waits for one that is about to end by itself, and cuts any other.
  [[nodiscard]] aio::Task<void> end(aio::Deadline deadline);
  void cut();

  std::deque<Arrived> arrived;
  std::optional<Error> failure;  // of the last pull; whoever tells it takes it away
  aio::Event changed;

 private:
  static aio::Task<void> run(std::shared_ptr<Inbox> self, std::size_t max, Duration wait);
  [[nodiscard]] aio::Task<void> take(std::size_t max, Duration wait);
  void nothing_came(Time began);

  std::shared_ptr<Service> service_;
  std::shared_ptr<Settler> settler_;
  std::string subscription_;
  Asked asked_;
  bool pulling_ = false;
  aio::TaskGroup* group_ = nullptr;  // of the pull, while it lives
  Time ends_at_{};                   // about when the server ends it
  bool refused_ = false;
  bool punctual_ = false;        // the server ends a pull when it is asked to
  std::size_t max_ = batch_max;  // less when an answer was too large to be taken
  Time next_{};
  Backoff empty_;
};

}  // namespace sluice::queue::pubsub
