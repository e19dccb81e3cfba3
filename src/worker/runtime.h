// SPDX-License-Identifier: Apache-2.0
#pragma once
// The worker: takes messages, has them handled, settles them, and leaves when there is nothing to do or when told to.
//
//   open --> consume --idle for idle_exit--> cancel --handle what still arrived--> close     (idle)
//               |------request_drain()-----> cancel --finish within grace, requeue the rest--> close  (sigterm)
//               '------cannot go on--------> the same as a drain, and an Error               (error)
//
// Not a pool of pulling loops, one per handler: one place decides what is taken, so that "alone" (a suspect) and "no
// more" (drain, idle exit) are states of one machine and not agreements between many. One thread: all of it runs on the
// Loop.
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "aio/event.h"
#include "aio/task_group.h"
#include "base/random.h"
#include "queue/receiver.h"
#include "worker/handler.h"
#include "worker/job.h"
#include "worker/options.h"
#include "worker/report.h"

namespace sluice::worker {

// A broker that is away is found within 5 s of its return; its own pauses between dials come on top of these.
inline constexpr Backoff::Options away_backoff{.base = std::chrono::milliseconds{100}, .cap = std::chrono::seconds{2}};

// One delivery that left this worker, for `work --output json`.
struct Settled {
  std::string_view id;
  std::uint32_t attempt = 1;
  Fate fate = Fate::done;                   // done, retry, failed, dead_lettered or requeued
  queue::Cause cause = queue::Cause::none;  // why it had been redelivered
  std::optional<Duration> wait;
  Duration work{0};
  std::string_view why;
};

// Told what happens, on the loop, in order. Must not throw; may call request_drain() and request_stop_now().
class Observer {
 public:
  virtual ~Observer() = default;
  // The broker has accepted this consumer.
  virtual void ready() {}
  // Once for each delivery whose settling the broker has confirmed.
  virtual void settled(const Settled&) {}
  // Something an operator should see; one line. A broker that is away is told once for each reason, not at each try.
  virtual void trouble(std::string_view) {}
  // The broker is back: the queue is consumed again, after this long.
  virtual void recovered(Duration) {}
};

enum class EndReason { idle, sigterm };
[[nodiscard]] std::string_view word(EndReason reason);

struct Summary {
  EndReason reason = EndReason::idle;
  Counts counts;
  std::uint64_t lost = 0;     // leases lost: redelivered elsewhere
  std::uint64_t unknown = 0;  // settling never confirmed: may come back
};

class Runtime {
 public:
  // All references outlive the Runtime. `random` draws the jitter of retries.
  Runtime(aio::Loop& loop, aio::Clock& clock, Random& random, queue::Receiver& receiver, Handler& handler,
          RuntimeOptions options, Observer& observer);

  // The whole life of the worker; call once. When it returns nothing is held any more. An Error: the worker could not
  // go on (handler cannot be started, broker refused or was silent for too long); report() then has the counts and the
  // reason. Cancelling it is dying: nothing is settled on the way out.
  [[nodiscard]] aio::Task<Result<Summary>> run();

  // Takes no more, finishes what runs within the grace period, requeues the rest, leaves. Idempotent; also before
  // run().
  void request_drain();
  // The same without waiting: handlers are cancelled and their messages requeued at once.
  void request_stop_now();
  // Takes no more and finishes what runs, for as long as that takes; then run() waits for request_drain(). For a worker
  // that would only be started again if it ended, until whoever runs it takes it away. Idempotent.
  void request_rest();
  // Nothing is held any more, and it waits to be taken away.
  [[nodiscard]] bool rests() const { return resting_ && phase_ == Phase::gone; }

  [[nodiscard]] WorkerReport report() const;

 private:
  enum class Phase { opening, consuming, leaving, gone };

  aio::Task<void> live();
  aio::Task<bool> open();
  aio::Task<void> consume();
  aio::Task<void> leave();
  aio::Task<bool> cancel_consumer();
  aio::Task<void> take_leftovers();
  aio::Task<void> settle_all();
  aio::Task<void> close();

  [[nodiscard]] bool must_leave() const { return draining_ || failure_.has_value(); }
  [[nodiscard]] bool idle_long_enough() const;
  [[nodiscard]] aio::Deadline receive_until() const;
  [[nodiscard]] bool room() const;
  void start_receive();
  aio::Task<void> receive_scope();
  aio::Task<void> receive_batches();
  void receive_failed(const Error& error);
  void receive_worked();
  // Tells it unless it was told since the broker was last heard.
  void tell_once(const Error& error);

  void accept(std::vector<queue::Delivery> batch);
  void start_suspect();
  void return_suspects();
  // Lets go of all but this one; false when that could not be.
  aio::Task<bool> leave_alone(queue::Tag tag);
  void start(std::shared_ptr<Job> job, bool handle);
  // Its handler has ended, which was started at once.
  void handled(const std::shared_ptr<Job>& job);
  aio::Task<void> acknowledge();
  aio::Task<void> not_acknowledged(std::shared_ptr<Job> job, Result<void> answer);
  aio::Task<void> conclude(std::shared_ptr<Job> job, bool stopped);
  void stop_all();
  void end_handler(const std::shared_ptr<Job>& job);
  // `job` is the caller's own hold on it, not the one in jobs_.
  void over(const std::shared_ptr<Job>& job, const JobEnd& end);
  aio::Task<void> work(std::shared_ptr<Job> job, bool handle);
  aio::Task<void> lease(std::shared_ptr<Job> job);
  void record(const Job& job, const JobEnd& end);
  void begin_leaving();
  void fail(Error error);

  aio::Clock& clock_;
  Random& random_;
  queue::Receiver& receiver_;
  Handler& handler_;
  const RuntimeOptions options_;
  Observer& observer_;
  JobContext context_;

  Phase phase_ = Phase::opening;
  bool draining_ = false;
  bool resting_ = false;  // draining_, without a limit, and without an end
  bool stop_now_ = false;
  std::optional<Error> failure_;
  Time finish_by_ = Time::max();  // handlers are cancelled then

  aio::Event changed_;
  aio::TaskGroup* all_ = nullptr;            // while run() lives
  aio::TaskGroup* receive_group_ = nullptr;  // while receive_batches() lives
  bool receive_lives_ = false;               // from before that until after it
  bool receiving_ = false;                   // it waits for messages, or is about to
  aio::Event receive_due_;
  bool looked_ = false;  // a receive came back empty since idle_since_
  Backoff away_backoff_;
  Backoff refused_backoff_;
  Time receive_after_;
  std::optional<Time> failing_since_;  // the broker, or this queue
  Time failed_at_;                     // last
  std::optional<Time> refused_since_;  // this queue, by a broker that answers
  std::set<std::string> told_;         // since failing_since_
  Time idle_since_;

  std::vector<std::shared_ptr<Job>> jobs_;      // being handled or settled; each knows its place
  std::vector<std::shared_ptr<Job>> suspects_;  // held, waiting to run alone
  bool alone_ = false;                          // a suspect runs
  std::vector<std::shared_ptr<Job>> done_;      // handled, to be acknowledged together
  aio::Event done_changed_;
  bool acknowledging_ = false;  // acknowledge() lives

  WorkerReport report_;
  Summary summary_;
};

}  // namespace sluice::worker
