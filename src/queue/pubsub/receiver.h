// SPDX-License-Identifier: Apache-2.0
#pragma once
// One worker on one subscription, by pulling.
//
// What Pub/Sub does not do, and what that means here (docs/decisions/0022):
//   - it does not know whether a handler began: every delivery that is not acknowledged counts as an attempt, and only
//     where the subscription has a dead-letter policy is it told at all;
//   - it does not say why a message comes again: Cause::redelivered, but for what this very process did to it;
//   - a retry delay is a lease of that length that nobody extends, 600 s at most, and lost with nobody.
#include <functional>
#include <memory>
#include <unordered_map>

#include "queue/pubsub/inbox.h"
#include "queue/pubsub/publisher.h"
#include "queue/receiver.h"

namespace sluice::queue::pubsub {

struct ReceiverOptions {
  std::string subscription;       // its whole name
  std::string who;                // the worker
  std::string dead_letter_topic;  // a whole name; empty: none
};

// What this process remembers of messages that it gave back, by Pub/Sub's own id: what the next delivery cannot say.
class Notes {
 public:
  struct Note {
    std::uint32_t attempts = 0;   // handler runs that began here and did not end in an acknowledgement
    std::uint32_t uncounted = 0;  // deliveries that were handed back unbegun
    Cause cause = Cause::none;
  };
  [[nodiscard]] const Note* find(const std::string& id) const;
  [[nodiscard]] Note& of(const std::string& id);
  void forget(const std::string& id) { notes_.erase(id); }

 private:
  std::unordered_map<std::string, Note> notes_;
  std::deque<std::string> order_;  // the oldest is dropped
};

// How long a delivery is ours at a time: the subscription's own ack deadline, within 10 to 60 s; 10 s where it may not
// be read. Pure.
[[nodiscard]] Duration lease_of(std::optional<std::chrono::seconds> ack_deadline);

class PubsubReceiver final : public Receiver {
 public:
  PubsubReceiver(std::shared_ptr<Service> service, ReceiverOptions options);
  ~PubsubReceiver() override;

  aio::Task<Result<void>> open(aio::Deadline deadline) override;
  aio::Task<Result<std::vector<Delivery>>> receive(std::size_t max, aio::Deadline deadline) override;
  aio::Task<Result<void>> begin(Tag tag, aio::Deadline deadline) override;
  std::optional<Result<void>> begin_at_once(Tag tag) override;
  void finished(Tag tag) override;
  aio::Task<Result<void>> ack(Tag tag, aio::Deadline deadline) override;
  aio::Task<std::vector<Result<void>>> ack_all(std::vector<Tag> tags, aio::Deadline deadline) override;
  aio::Task<Result<void>> retry(Tag tag, Duration delay, Cause cause, std::string why, aio::Deadline deadline) override;
  aio::Task<Result<void>> requeue(Tag tag, aio::Deadline deadline) override;
  aio::Task<Result<void>> dead_letter(Tag tag, Cause cause, std::string why, aio::Deadline deadline) override;
  [[nodiscard]] std::optional<Duration> lease() const override { return lease_; }
  aio::Task<Result<void>> extend(Tag tag, aio::Deadline deadline) override;
  aio::Task<Result<void>> cancel(aio::Deadline deadline) override;
  aio::Task<Result<void>> close(aio::Deadline deadline) override;

 private:
  struct Held {
    Received received;
    std::uint32_t attempts = 0;
    bool begun = false;
    bool finished = false;
    bool settling = false;   // its lease is not extended any more
    bool extending = false;  // a request that would undo a settling is under way
    Time until;              // the lease's end, as far as we know
  };

  [[nodiscard]] Held* find(Tag tag);
  // The same, but for one whose lease has run out: that one is forgotten.
  [[nodiscard]] Result<Held*> ours(Tag tag);
  void lost(Tag tag);
  [[nodiscard]] aio::Task<void> hand_out(std::size_t max, std::vector<Delivery>& out, aio::Deadline deadline);
  [[nodiscard]] Delivery deliver(Inbox::Arrived arrived);
  // Waits until no extension is under way that would come after.
  [[nodiscard]] aio::Task<Result<void>> quiet(Tag tag, aio::Deadline deadline);
  // The lease ends so long from now, and the delivery with it.
  [[nodiscard]] aio::Task<Result<void>> let_go(Tag tag, std::chrono::seconds after, Notes::Note note,
                                               aio::Deadline deadline);
  // After a settling call: what was answered, told to Held.
  [[nodiscard]] Result<void> settled(Tag tag, Result<void> answer);
  // Whether anybody keeps what is published to the topic for dead letters.
  [[nodiscard]] aio::Task<Result<void>> somebody_listens(aio::Deadline deadline);

  std::shared_ptr<Service> service_;
  ReceiverOptions options_;
  std::shared_ptr<Settler> settler_;
  std::shared_ptr<Inbox> inbox_;
  PubsubPublisher dead_letters_;
  Duration lease_;
  bool opened_ = false;
  bool cancelled_ = false;
  bool closed_ = false;
  std::optional<Time> listened_;  // when somebody was last seen to
  std::unordered_map<Tag, Held> held_;
  Tag last_tag_ = 0;
  Notes notes_;
  aio::Event extended_;
};

}  // namespace sluice::queue::pubsub
