// SPDX-License-Identifier: Apache-2.0
#pragma once
// One worker's side of a local queue. Only local_queue.cc makes one.
#include <deque>
#include <unordered_map>

#include "queue/local/engine.h"
#include "queue/receiver.h"

namespace sluice::queue::local {

class LocalReceiver final : public Receiver {
 public:
  LocalReceiver(std::shared_ptr<Engine> engine, std::string who);

  aio::Task<Result<void>> open(aio::Deadline deadline) override;
  aio::Task<Result<std::vector<Delivery>>> receive(std::size_t max, aio::Deadline deadline) override;
  aio::Task<Result<void>> begin(Tag tag, aio::Deadline deadline) override;
  void finished(Tag tag) override;
  aio::Task<Result<void>> ack(Tag tag, aio::Deadline deadline) override;
  aio::Task<std::vector<Result<void>>> ack_all(std::vector<Tag> tags, aio::Deadline deadline) override;
  aio::Task<Result<void>> retry(Tag tag, Duration delay, Cause cause, std::string why, aio::Deadline deadline) override;
  aio::Task<Result<void>> requeue(Tag tag, aio::Deadline deadline) override;
  aio::Task<Result<void>> dead_letter(Tag tag, Cause cause, std::string why, aio::Deadline deadline) override;
  aio::Task<Result<void>> extend(Tag tag, aio::Deadline deadline) override;
  aio::Task<Result<void>> cancel(aio::Deadline deadline) override;
  aio::Task<Result<void>> close(aio::Deadline deadline) override;

 private:
  struct Held {
    DeliveryKey delivery;
    Progress progress = Progress::held;
    std::size_t slot = 0;  // of the side file
    bool apart = false;
  };
  class SettleRequest;
  // Shared with requests under way: they may be answered after the receiver is gone.
  struct State {
    explicit State(aio::Clock& clock) : claimed(clock) {}
    std::optional<Sidecar> sidecar;
    std::int64_t owner = 0;
    bool cancelled = false;
    bool closed = false;
    bool claiming = false;      // one claim at a time
    bool claim_lost = false;    // its answer is unknown: the file may hold deliveries for us that we never saw
    std::deque<Taken> arrived;  // claimed, not handed out
    aio::Event claimed;
    std::unordered_map<Tag, Held> held;
    std::vector<std::size_t> free_slots;
    Tag last_tag = 0;
  };

  [[nodiscard]] aio::Task<Result<void>> claim(std::size_t max, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> settle(Tag tag, Settle settle, aio::Deadline deadline);
  [[nodiscard]] std::vector<Delivery> hand_out(std::size_t max);
  [[nodiscard]] Result<void> consuming() const;
  Result<void> note(Tag tag, Progress progress);
  static void forget(State& state, Tag tag);

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<const std::string> who_;
  std::shared_ptr<State> state_;
};

}  // namespace sluice::queue::local
