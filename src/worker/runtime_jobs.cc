// SPDX-License-Identifier: Apache-2.0
// What a worker does with its messages, between their arrival and their last word.
#include <algorithm>
#include <utility>

#include "worker/runtime.h"

namespace sluice::worker {

void Runtime::accept(std::vector<queue::Delivery> batch) {
  if (batch.empty()) {
    return;
  }
  const Time now = clock_.now();
  if (!report_.first_claim_at) {
    report_.first_claim_at = clock_.wall();
  }
  std::vector<std::shared_ptr<Job>> harmless;
  for (queue::Delivery& delivery : batch) {
    if (delivery.waited && !delivery.redelivered()) {
      report_.wait.add(*delivery.waited);
    }
    const auto job = std::make_shared<Job>(context_, std::move(delivery), now);
    if (context_.lease) {
      all_->spawn(lease(job));
    }
    if (context_.stopping) {
      start(job, false);
    } else if (job->hopeless()) {
      start(job, true);
    } else if (job->suspect()) {
      suspects_.push_back(job);
    } else {
      harmless.push_back(job);
    }
  }
  for (const std::shared_ptr<Job>& job : harmless) {
    start(job, suspects_.empty());
  }
  handler_.started();
}

void Runtime::start(std::shared_ptr<Job> job, bool handle) {
  job->place = jobs_.size();
  jobs_.push_back(job);
  // `job` goes with what it is told: both end with the job itself.
  Job* const raw = job.get();
  if (handle && !alone_ && job->run_at_once([this, raw] { handled(jobs_[raw->place]); })) {
    return;
  }
  all_->spawn(work(std::move(job), handle));
}

aio::Task<void> Runtime::work(std::shared_ptr<Job> job, bool handle) {
  JobEnd end;
  if (alone_ && handle && receiver_.counts_what_it_holds()) {
    handle = co_await leave_alone(job->delivery().tag);
  }
  if (handle) {
    end = co_await job->run();
  } else {
    end = co_await job->give_back();
  }
  over(job, end);
}

void Runtime::handled(const std::shared_ptr<Job>& job) {
  if (!job->done()) {
    all_->spawn(conclude(job, false));
    return;
  }
  receiver_.finished(job->delivery().tag);
  done_.push_back(job);
  done_changed_.notify();
  if (!std::exchange(acknowledging_, true)) {
    all_->spawn(acknowledge());
  }
}

// All that are done by now at once: it wakes when what tells the ends of several handlers has told them all.
aio::Task<void> Runtime::acknowledge() {
  while (phase_ != Phase::gone) {
    co_await done_changed_.wait(aio::Deadline{});
    const std::vector<std::shared_ptr<Job>> jobs = std::exchange(done_, {});
    std::vector<queue::Tag> tags;
    tags.reserve(jobs.size());
    for (const std::shared_ptr<Job>& job : jobs) {
      tags.push_back(job->delivery().tag);
    }
    const aio::Deadline deadline = clock_.in(call_timeout).earlier(aio::Deadline{context_.leave_by});
    const std::vector<Result<void>> answers = co_await receiver_.ack_all(std::move(tags), deadline);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (answers[i]) {
        over(jobs[i], jobs[i]->acknowledged());
      } else {
        all_->spawn(not_acknowledged(jobs[i], answers[i]));
      }
    }
  }
}

aio::Task<void> Runtime::not_acknowledged(std::shared_ptr<Job> job, Result<void> answer) {
  const JobEnd end = co_await job->not_acknowledged(std::move(answer));
  over(job, end);
}

aio::Task<void> Runtime::conclude(std::shared_ptr<Job> job, bool stopped) {
  if (stopped) {
    const bool ended = co_await job->end_handler();
    if (!ended) {
      co_return;
    }
  }
  const JobEnd end = co_await job->conclude();
  over(job, end);
}

void Runtime::stop_all() {
  for (const std::shared_ptr<Job>& job : jobs_) {
    job->stop();
    end_handler(job);
  }
}

// One that was started at once has nobody else who ends it.
void Runtime::end_handler(const std::shared_ptr<Job>& job) {
  if (job->must_end_handler()) {
    all_->spawn(conclude(job, true));
  }
}

void Runtime::over(const std::shared_ptr<Job>& job, const JobEnd& end) {
  job->over();
  jobs_.back()->place = job->place;
  std::swap(jobs_[job->place], jobs_.back());
  jobs_.pop_back();
  alone_ = alone_ && !jobs_.empty();
  record(*job, end);
  if (end.worker_failed) {
    fail(Error{Code::invalid, *end.worker_failed});
  }
  if (phase_ == Phase::consuming && !context_.stopping && suspects_.empty() && !alone_) {
    start_receive();
  } else {
    changed_.notify();
  }
}

aio::Task<void> Runtime::lease(std::shared_ptr<Job> job) {
  co_await job->keep_lease();
}

void Runtime::record(const Job& job, const JobEnd& end) {
  idle_since_ = clock_.now();
  looked_ = false;
  if (end.work) {
    report_.work.add(*end.work);
  }
  const queue::Delivery& delivery = job.delivery();
  switch (end.fate) {
    case Fate::done:
      ++report_.counts.done;
      break;
    case Fate::retry:
      ++report_.counts.retried;
      break;
    case Fate::failed:
      ++report_.counts.failed;
      break;
    case Fate::dead_lettered:
      ++report_.counts.dead_lettered;
      break;
    case Fate::requeued:
      ++report_.counts.requeued;
      break;
    case Fate::lost:
      ++summary_.lost;
      observer_.trouble("message " + delivery.message.id + " was taken from this worker: " + end.why);
      return;
    case Fate::unknown:
      ++summary_.unknown;
      observer_.trouble("message " + delivery.message.id + " may come back, the broker did not confirm: " + end.why);
      return;
  }
  // What was given up without another run has had its last attempt already.
  const bool ran = end.work || end.fate != Fate::dead_lettered;
  observer_.settled(Settled{.id = delivery.message.id,
                            .attempt = ran ? job.attempt() : std::max(1U, delivery.attempts),
                            .fate = end.fate,
                            .cause = delivery.cause,
                            .wait = delivery.waited,
                            .work = end.work.value_or(Duration{0}),
                            .why = end.why});
}

}  // namespace sluice::worker
