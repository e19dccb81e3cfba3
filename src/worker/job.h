// SPDX-License-Identifier: Apache-2.0
#pragma once
// One delivery on its way through a worker.
//
//   held --run()--> begin --> handler --> settle: ack | retry | dead letter | requeue
//     '--give_back()-----------------------------------------------------> requeue
//
// The lease is renewed beside it (keep_lease) from the start until it is settled. Once the lease is lost nothing is
// sent about the delivery any more: it belongs to somebody else.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "aio/event.h"
#include "aio/task_group.h"
#include "base/random.h"
#include "queue/receiver.h"
#include "worker/handler.h"
#include "worker/options.h"

namespace sluice::worker {

// One call to the broker; shorter than settle_timeout so that a lost answer is asked for again within it.
inline constexpr Duration call_timeout = std::chrono::seconds{10};

// What all jobs of a worker share. The references outlive them.
struct JobContext {
  aio::Loop& loop;
  aio::Clock& clock;
  Random& random;
  queue::Receiver& receiver;
  Handler& handler;
  const RuntimeOptions& options;
  std::optional<Duration> lease = {};  // of one delivery; none: the broker has none
  bool stopping = false;               // no handler starts any more
  Time leave_by = Time::max();         // settling ends by then
};

// How a delivery's stay here ended.
enum class Fate {
  done,
  retry,   // the handler asked for it
  failed,  // to be tried again
  dead_lettered,
  requeued,
  lost,     // the lease, or the tag, was no longer ours: nothing was sent
  unknown,  // settling got no answer; the broker may or may not have done it
};
[[nodiscard]] std::string_view word(Fate fate);

struct JobEnd {
  Fate fate = Fate::unknown;
  std::string why;
  std::optional<Duration> work;              // set when the handler ran
  std::optional<std::string> worker_failed;  // the handler could not start: the worker must end
};

class Job {
 public:
  // `received` is when the delivery arrived. Its lease began a little earlier, so the first one is trusted a tenth
  // less.
  Job(JobContext& context, queue::Delivery delivery, Time received);

  // A redelivery that may have killed its worker: it runs alone, so that a second crash is its own.
  [[nodiscard]] bool suspect() const;
  // To be given up without another run: it crashed its workers too often, or is too large.
  [[nodiscard]] bool hopeless() const;
  // Its body is, so that it goes to the dead letters unread; the broker may not even have kept it.
  [[nodiscard]] bool too_large() const;

  // Runs the handler and settles. Call one of these two, once, unless run_at_once() was true.
  aio::Task<JobEnd> run();
  // Hands it back unfinished.
  aio::Task<JobEnd> give_back();
  // Begins, and starts the handler, where neither takes a coroutine; false: they do, and nothing has happened.
  // `ended` is called once, on the loop, when the handler has ended; what follows then is acknowledging, where it is
  // done(), and conclude() where it is not.
  [[nodiscard]] bool run_at_once(std::move_only_function<void()> ended);
  [[nodiscard]] bool done() const { return outcome_ && outcome_->kind == Outcome::Kind::done; }
  [[nodiscard]] JobEnd acknowledged() const;
  // Acknowledging got this answer, which is an error.
  aio::Task<JobEnd> not_acknowledged(Result<void> answer);
  // Settles what the handler left.
  aio::Task<JobEnd> conclude();
  // Of one that was stopped: whether its handler, started at once, is to be ended by end_handler(). True once.
  [[nodiscard]] bool must_end_handler() { return run_ != nullptr && !std::exchange(ending_, true); }
  // False when it ended by itself before this began, which was told.
  aio::Task<bool> end_handler();
  // Renews the lease until the job is over; returns at once where the broker has none.
  aio::Task<void> keep_lease();

  // Stops the handler if it runs (it is requeued then) and keeps it from starting.
  void stop();
  // It belongs to somebody else by now: stops the handler, and nothing is sent about it any more.
  void lose(std::string why);
  // Ends keep_lease().
  void over();

  [[nodiscard]] const queue::Delivery& delivery() const { return delivery_; }
  std::size_t place = 0;  // in the list of whoever runs it
  [[nodiscard]] std::uint32_t attempt() const { return delivery_.attempts + 1; }

 private:
  struct Verdict {
    enum class Step { ack, retry, requeue, dead_letter };
    Step step;
    Fate fate;
    queue::Cause cause;
    std::string why;
    Duration delay;
  };

  aio::Task<std::optional<Fate>> begin();
  aio::Task<void> handle();
  aio::Task<void> call(aio::Deadline until);
  [[nodiscard]] Verdict judge() const;
  [[nodiscard]] Verdict again(Fate fate, queue::Cause cause, const std::string& why,
                              std::optional<Duration> delay) const;
  [[nodiscard]] static Verdict bury(queue::Cause cause, std::string why);
  [[nodiscard]] static Verdict hand_back(std::string why);
  aio::Task<JobEnd> settle(Verdict verdict, std::optional<Result<void>> answer = {});
  aio::Task<Result<void>> send(Verdict verdict, aio::Deadline deadline);
  [[nodiscard]] bool ours() const;

  JobContext& context_;
  const std::shared_ptr<const queue::Delivery> kept_;
  const queue::Delivery& delivery_;
  Time lease_until_ = Time::max();
  bool lost_ = false;
  std::string lost_why_ = "the lease was lost";
  bool stop_ = false;
  bool over_ = false;
  aio::Event over_event_;
  aio::TaskGroup* handler_group_ = nullptr;  // while handle() runs
  std::unique_ptr<Run> run_;                 // while the handler does that was started at once
  std::move_only_function<void()> ended_;
  bool ending_ = false;  // by end_handler()
  Time started_;
  std::optional<Outcome> outcome_;
  std::optional<Duration> work_;
};

}  // namespace sluice::worker
