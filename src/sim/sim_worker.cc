// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_worker.h"

#include <csignal>

#include "pool/types.h"

namespace sluice::sim {

SimWorker::SimWorker(SimWorkerContext& context, fleet::Spawned spawned, std::uint64_t seed)
    : context_(context), spawned_(std::move(spawned)), random_(seed) {
  const pool::PoolSpec& spec = context.plan.pool.spec;
  honest_ = context.broker.receiver(spawned_.id);
  receiver_ = with_bug(context.bug, *honest_, draining_);
  worker::RuntimeOptions options;
  options.worker = spawned_.name;
  options.concurrency = static_cast<std::size_t>(spec.workers.concurrency);
  if (!spawned_.stays_when_idle) {
    options.idle_exit = pool::idle_exit(spec);
  }
  options.lease = context.plan.broker.lease;
  options.dead_letter_after = static_cast<std::uint32_t>(spec.dead_letter.after);
  options.retry_delays = spec.retry.delays;
  runtime_ = std::make_unique<worker::Runtime>(context.loop, context.clock, random_, *receiver_, *this, options, *this);
}

aio::Task<void> SimWorker::live() {
  aio::TaskGroup group(context_.loop, context_.clock);
  group_ = &group;
  if (alive_) {
    group.spawn(run());
  }
  co_await group.join();
  group_ = nullptr;
}

aio::Task<void> SimWorker::run() {
  const Result<worker::Summary> summary = co_await runtime_->run();
  alive_ = false;
  const int exit_code = summary ? 0 : 1;
  context_.ledger.worker_left(spawned_.id, exit_code);
  context_.ledger.chaos_will_end(spawned_.id);
  context_.broker.kill(
      spawned_.id);  // the end of a process is that of its connection, also when it could not say goodbye
  const std::string why = summary ? std::string() : summary.error().what;
  context_.fleet.report_end(spawned_.id, exit_code, settled_, why);
}

void SimWorker::die(bool by_poison) {
  if (!alive_) {
    return;
  }
  alive_ = false;
  context_.ledger.killed(spawned_.id, by_poison);
  context_.broker.kill(spawned_.id);
  if (group_ != nullptr) {
    group_->cancel();
  }
}

void SimWorker::drain() {
  runtime_->request_drain();
  draining_ = true;
}

void SimWorker::ready() {
  context_.fleet.report_ready(spawned_.id);
}

void SimWorker::settled(const worker::Settled&) {
  ++settled_;
  report();
}

void SimWorker::report() {
  const model::WorkerState state = draining_       ? model::WorkerState::draining
                                   : handling_ > 0 ? model::WorkerState::busy
                                                   : model::WorkerState::idle;
  context_.fleet.report(spawned_.id, state, handling_);
}

aio::Task<worker::Outcome> SimWorker::handle(const queue::Delivery& delivery, std::uint32_t, aio::Deadline) {
  const std::string id = delivery.message.id;
  context_.ledger.handler_started(spawned_.id, id, draining_);
  ++handling_;
  report();
  const Duration service = random_.between(context_.plan.service_low, context_.plan.service_high);
  co_await context_.clock.sleep_for(service);
  --handling_;
  if (id.starts_with("poison")) {
    // The handler takes its process with it.
    context_.ledger.chaos_will_end(spawned_.id);
    const std::string worker = spawned_.id;
    die(true);
    context_.fleet.report_end(worker, -SIGSEGV, settled_, "");
    const std::string why = "unreachable: the process is dead";
    co_await context_.clock.sleep_for(std::chrono::hours{24});
    co_return worker::Outcome::failed(why);
  }
  if (random_.chance(context_.plan.handler_fails)) {
    context_.ledger.handler_failed(id);
    co_return worker::Outcome::failed("exit status 1");
  }
  context_.ledger.handler_succeeded(spawned_.id, id);
  co_return worker::Outcome::done();
}

}  // namespace sluice::sim
