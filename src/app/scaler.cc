// SPDX-License-Identifier: Apache-2.0
#include "app/scaler.h"

#include <fmt/core.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "app/resume.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;
using fleet::process::ProcessFleet;
using fleet::process::ProcessFleetOptions;
using fleet::process::ScalerHolder;
using fleet::process::ScalerLock;
using fleet::process::SlotLook;
using fleet::process::StateFolder;
using fleet::process::WorkerCommand;

// Lines that only pass by: a dry run leaves no journal.
class PassingSink final : public control::JournalSink {
 public:
  explicit PassingSink(std::function<void(std::string_view)> on_line) : on_line_(std::move(on_line)) {}
  Result<void> write(std::string_view line) override {
    if (on_line_) {
      on_line_(line);
    }
    return {};
  }
  bool at_start_of_file() override { return std::exchange(start_, false); }

 private:
  std::function<void(std::string_view)> on_line_;
  bool start_ = true;
};

WorkerCommand worker_command(const Context& context, const LoadedPool& loaded) {
  const pool::PoolSpec& spec = loaded.pool.spec;
  const std::optional<Duration> idle = pool::idle_exit(spec);
  WorkerCommand command{.argv = spec.workers.run->command,
                        .binary = context.binary,
                        .directory = loaded.folder,
                        .inherited = &context.environment,
                        .environment = {},
                        .env = spec.workers.run->env,
                        .pool_id = loaded.pool.id(),
                        .queue_json = pool::queue_json(spec),
                        .secrets = loaded.secrets,
                        .idle_exit = idle ? format_duration(*idle) : "never"};
  command.environment.push_back(fmt::format("SLUICE_CONCURRENCY={}", spec.workers.concurrency));
  if (spec.workers.max_runtime) {
    command.environment.push_back("SLUICE_MAX_RUNTIME=" + format_duration(*spec.workers.max_runtime));
  }
  return command;
}

ProcessFleetOptions fleet_options(const Context& context, const LoadedPool& loaded, bool observe_only) {
  const pool::Workers& workers = loaded.pool.spec.workers;
  const pool::Nodes nodes = workers.process ? workers.process->nodes : pool::Nodes{};
  return {.pool = loaded.pool.name,
          .max = static_cast<int>(workers.max),
          .nodes = {.min = static_cast<int>(nodes.min),
                    .max = static_cast<int>(nodes.max),
                    .slots = static_cast<int>(pool::slots_per_node(workers)),
                    .boot = nodes.boot},
          .command = worker_command(context, loaded),
          .observe_only = observe_only};
}

void send_signals(const StateFolder& folder, int slot, const SlotLook& seen, const std::vector<int>& numbers) {
  const aio::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, seen.record->pid, 0)));
  // Looked at again behind the pidfd: the number cannot have become another process's in between.
  const Result<SlotLook> again = fleet::process::look_at_slot(folder, slot);
  if (!process || !again || !again->held || !again->record || again->record->id != seen.record->id) {
    return;
  }
  for (const int number : numbers) {
    ::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0);
  }
}

}  // namespace

Scaler::Scaler(Context& context, LoadedPool pool, ScalerOptions options)
    : context_(context), pool_(std::move(pool)), options_(std::move(options)) {}

aio::Task<Result<std::unique_ptr<Scaler>>> Scaler::open(Context& context, LoadedPool pool, ScalerOptions options,
                                                        aio::Deadline deadline) {
  std::unique_ptr<Scaler> scaler(new Scaler(context, std::move(pool), std::move(options)));
  const Result<void> fleet = scaler->open_fleet();
  if (!fleet) {
    co_return fleet.error();
  }
  wiring::QueueAccess access{.create = !scaler->options_.dry_run,
                             .secrets = scaler->pool_.secrets,
                             .purpose = "sluice scale",
                             .expires = scaler->options_.queue_expires};
  wiring::QueueSpec spec = wiring::queue_spec(scaler->pool_.pool.spec);
  Result<std::unique_ptr<wiring::QueueClient>> client =
      co_await context.queues.open(std::move(spec), std::move(access), deadline);
  if (!client) {
    co_return client.error();
  }
  scaler->queue_ = std::move(*client);
  scaler->start_control();
  co_return scaler;
}

Result<void> Scaler::lock() {
  const WallTime now = context_.clock.wall();
  const ScalerHolder self{.pool = pool_.pool.id(), .pid = ::getpid(), .since = now};
  Result<ScalerLock> state = ScalerLock::take(pool_.state + "/scaler.lock", self);
  if (!state) {
    return state.error();
  }
  state_lock_.emplace(std::move(*state));
  Result<QueueLock> queue = lock_queue(pool_.pool.spec.queue, pool_.pool.id(), now);
  if (!queue) {
    return queue.error();
  }
  queue_lock_ = std::move(*queue);
  return {};
}

Result<void> Scaler::open_fleet() {
  Result<StateFolder> folder = StateFolder::open(pool_.state, true);
  if (!folder) {
    return folder.error();
  }
  if (!options_.dry_run) {
    const Result<void> locked = lock();
    if (!locked) {
      return locked.error();
    }
  }
  Result<std::unique_ptr<ProcessFleet>> fleet =
      ProcessFleet::open(context_.loop, context_.clock, Random(context_.random.next()), std::move(*folder),
                         fleet_options(context_, pool_, options_.dry_run));
  if (!fleet) {
    return fleet.error();
  }
  fleet_ = std::move(*fleet);
  return {};
}

void Scaler::start_control() {
  source_ = queue_->source({.lists_consumers = pool_.pool.spec.workers.claim.by == pool::ClaimBy::broker});
  if (options_.dry_run) {
    sink_ = std::make_unique<PassingSink>(options_.on_line);
  } else {
    sink_ = std::make_unique<control::JournalFile>(journal_path(), control::JournalFile::Options{}, options_.on_line);
  }
  shared_ = std::make_unique<control::SharedSink>(*sink_);
  pool_sink_ = std::make_unique<control::PoolSink>(*shared_, options_.ring, pool_.pool.id());
  journal_ = std::make_unique<control::Journal>(*pool_sink_, pool_.pool.id(), pool::to_json(pool_.pool.spec),
                                                context_.random.hex(8));
  controller_ = std::make_unique<control::Controller>(
      context_.loop, context_.clock, fleet_->changed(), *source_, *fleet_, *journal_, context_.log, pool_.pool,
      control::ControllerOptions{.dry_run = options_.dry_run,
                                 .initial = resumed(context_, pool_),
                                 .budget = context_.polls.of(queue_->broker())});
}

aio::Task<void> Scaler::run() {
  aio::TaskGroup group(context_.loop, context_.clock);
  if (!options_.dry_run) {
    group.spawn(fleet_->run());
  }
  if (!stopped_) {
    const std::uint64_t ticking = group.spawn(controller_->run());
    stop_ticking_ = [&group, ticking] { group.cancel(ticking); };
  }
  try {
    co_await group.join();
  } catch (...) {
    stop_ticking_ = nullptr;
    throw;
  }
  stop_ticking_ = nullptr;
}

void Scaler::stop_ticking() {
  stopped_ = true;
  if (stop_ticking_) {
    stop_ticking_();
  }
}

aio::Task<int> Scaler::drain(aio::Deadline deadline) {
  while (true) {
    const int left = co_await fleet_->drain_all(deadline);
    if (left == 0 || deadline.passed(context_.clock.now())) {
      co_return left;
    }
    const aio::Deadline again = deadline.earlier(context_.clock.in(1s));
    co_await fleet_->changed().wait(again);
  }
}

void Scaler::signal_workers(const std::vector<int>& numbers) const {
  const StateFolder& folder = fleet_->folder();
  for (int slot = 0; slot < folder.slots_seen(); ++slot) {
    const Result<SlotLook> seen = fleet::process::look_at_slot(folder, slot);
    if (seen && seen->held && seen->record && seen->record->pid > 1) {
      send_signals(folder, slot, *seen, numbers);
    }
  }
}

std::vector<LivingWorker> Scaler::living() const {
  std::vector<LivingWorker> out;
  const StateFolder& folder = fleet_->folder();
  for (int slot = 0; slot < folder.slots_seen(); ++slot) {
    const Result<SlotLook> seen = fleet::process::look_at_slot(folder, slot);
    if (seen && seen->held) {
      const fleet::process::SlotRecord record =
          seen->record.value_or(fleet::process::SlotRecord{.worker = fmt::format("{}-w{}", pool_.pool.name, slot)});
      out.push_back({.worker = record.worker, .pid = record.pid, .stays_when_idle = record.stays_when_idle});
    }
  }
  return out;
}

void Scaler::close() {
  const Result<void> flushed = journal_->flush();
  if (!flushed) {
    context_.log.error("scale", "journal not written", {{"error", flushed.error().what}});
  }
}

}  // namespace sluice::app
