// SPDX-License-Identifier: Apache-2.0
#pragma once
// A worker's side of a queue.
//
//   waiting --receive--> held --begin--> running --ack--> gone
//                          |                |----retry----> delayed --> waiting      (attempts + 1)
//                          |                |----dead_letter--> dead letters         (attempts + 1)
//                          |----requeue-----'--requeue--> waiting                    (attempts unchanged)
//   a Receiver that dies: held -> waiting (requeued), running -> waiting (crash, attempts + 1),
//                         finished but not acknowledged -> waiting (ack unknown, attempts + 1)
// An attempt is counted only for what was begun. What was finished and is handed back anyway (requeue, close, lost
// lease) comes back as ack unknown, because its next run is a duplicate. Handed back keeps its place; retried goes to
// the end.
//
// The broker is the authority: a settling call that returns an Error may or may not have happened. Every tag is settled
// at most once and only on the Receiver that delivered it; one that is settled already, or whose lease was lost, is
// answered Code::gone. There is no automatic acknowledgement.
#include <functional>
#include <optional>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"
#include "queue/message.h"

namespace sluice::queue {

class Receiver {
 public:
  virtual ~Receiver() = default;

  // Has `tell` called on the loop, from within anything, for each delivery that was handed out and is no longer held
  // here because the connection it came over has ended, and why: somebody else gets it. Not called where a lease says
  // so.
  virtual void on_lost(std::function<void(Tag, const Error& why)> tell) { (void)tell; }

  // Connects and is accepted as a consumer: from here on the worker is "ready".
  virtual aio::Task<Result<void>> open(aio::Deadline deadline) = 0;
  // Up to `max` deliveries (max >= 1), waiting for the first until the deadline; empty when none came. Cancel-safe:
  // what was delivered to a cancelled call is handed out by the next one, or requeued by close().
  virtual aio::Task<Result<std::vector<Delivery>>> receive(std::size_t max, aio::Deadline deadline) = 0;
  // The handler is about to run: from here on the death of this process counts as an attempt. Durable against the
  // death of the process when it returns.
  virtual aio::Task<Result<void>> begin(Tag tag, aio::Deadline deadline) = 0;
  // The same where the broker need not be told; empty where it must be.
  [[nodiscard]] virtual std::optional<Result<void>> begin_at_once(Tag) { return std::nullopt; }
  // Whether the death of this process counts as an attempt for everything it holds, begun or not: the broker cannot
  // tell them apart.
  [[nodiscard]] virtual bool counts_what_it_holds() const { return false; }
  // Before begin() of a message that may kill this process, where that is so: until the next receive() nothing more is
  // taken, and what arrived unasked goes back. The caller hands back what else it holds after it, and then a death
  // counts for this message alone.
  [[nodiscard]] virtual aio::Task<Result<void>> alone(Tag tag, aio::Deadline deadline);
  // The handler has succeeded; the acknowledgement follows. Lets a redelivery after this say "ack unknown".
  virtual void finished(Tag tag) = 0;

  // Done: gone for good. Durable when it returns.
  virtual aio::Task<Result<void>> ack(Tag tag, aio::Deadline deadline) = 0;
  // Several at once, for a broker that has one round trip or one commit for all of them; answers in the order of the
  // tags.
  virtual aio::Task<std::vector<Result<void>>> ack_all(std::vector<Tag> tags, aio::Deadline deadline);
  // Again after `delay`; counts as an attempt. `cause` is failed or retried; `why` is one line for people.
  virtual aio::Task<Result<void>> retry(Tag tag, Duration delay, Cause cause, std::string why,
                                        aio::Deadline deadline) = 0;
  // Back at once, to its old place as far as the broker can; not an attempt.
  virtual aio::Task<Result<void>> requeue(Tag tag, aio::Deadline deadline) = 0;
  // To the dead letters with its cause, attempts and origin: published there first, then acknowledged.
  virtual aio::Task<Result<void>> dead_letter(Tag tag, Cause cause, std::string why, aio::Deadline deadline) = 0;
  // How long a delivery is ours when nothing is said about it, once open() has succeeded; empty where the broker has no
  // leases. Who handles deliveries extends each of them every third of it.
  [[nodiscard]] virtual std::optional<Duration> lease() const { return std::nullopt; }
  // Keeps the lease of a held or running delivery where the broker has leases; elsewhere does nothing.
  virtual aio::Task<Result<void>> extend(Tag tag, aio::Deadline deadline) = 0;

  // Stops consuming: after it returns, receive() hands out what had already arrived and then nothing.
  virtual aio::Task<Result<void>> cancel(aio::Deadline deadline) = 0;
  // Requeues what is still held, then lets go of the broker. Idempotent.
  virtual aio::Task<Result<void>> close(aio::Deadline deadline) = 0;
};

}  // namespace sluice::queue
