// SPDX-License-Identifier: Apache-2.0
#include "fleet/process/process_fleet.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/check.h"

namespace sluice::fleet::process {

using model::WorkerState;
using namespace std::chrono_literals;

namespace {

constexpr Duration retry_after = 1s;       // chosen: descriptors and memory come back in seconds, not milliseconds
constexpr Duration adopted_every = 500ms;  // chosen: a worker that is no child of ours has no exit to wait for
constexpr Duration drain_timeout = 2s;     // chosen: the answer is 202 at once, unless the machine is overloaded

// A worker that is about to be ready is asked often at first: most are within 100 ms.
Duration starting_every(Duration age) {
  return std::clamp<Duration>(age / 16, 10ms, 1s);
}

}  // namespace

Result<std::unique_ptr<ProcessFleet>> ProcessFleet::open(aio::Loop& loop, aio::Clock& clock, Random random,
                                                         StateFolder folder, ProcessFleetOptions options) {
  std::unique_ptr<ProcessFleet> fleet(new ProcessFleet(loop, clock, random, std::move(folder), std::move(options)));
  const Result<void> seen = fleet->scan();
  if (!seen) {
    return seen.error();
  }
  return fleet;
}

ProcessFleet::ProcessFleet(aio::Loop& loop, aio::Clock& clock, Random random, StateFolder folder,
                           ProcessFleetOptions options)
    : loop_(loop),
      clock_(clock),
      random_(random),
      folder_(std::move(folder)),
      options_(std::move(options)),
      nodes_(options_.nodes, clock.now()),
      client_(loop, clock, aio::http::ClientOptions{}),
      changed_(clock),
      work_(clock),
      slots_(std::max(options_.max, folder_.slots_seen())) {
  check(options_.max >= 1, "a fleet has slots");
}

aio::Task<Result<model::FleetView>> ProcessFleet::view(aio::Deadline deadline) {
  const Time now = clock_.now();
  if (deadline.passed(now)) {
    co_return Error{Code::retry, fmt::format("pool {}: no time left to look at its workers", options_.pool)};
  }
  const Result<void> seen = scan();
  if (!seen) {
    co_return seen.error();
  }
  spawn_placed();
  co_await ask_all(false, deadline);
  co_return assemble(now);
}

aio::Task<Result<void>> ProcessFleet::start(int slot, bool stays_when_idle, aio::Deadline deadline) {
  const Result<void> valid = check_slot(slot, deadline);
  if (!valid) {
    co_return valid.error();
  }
  const Time now = clock_.now();
  const Result<void> seen = scan_slot(slot, now);
  if (!seen) {
    co_return seen.error();
  }
  if (live_.contains(slot) || waiting_.contains(slot)) {
    co_return Result<void>{};
  }
  if (!nodes_.add(slot, now)) {
    co_return Error{Code::throttled, nodes_.full_text(now)};
  }
  waiting_[slot] =
      Waiting{.id = random_.hex(16), .created_at = now, .stays_when_idle = stays_when_idle, .retry_at = now};
  work_.notify();
  if (nodes_.node_of(slot)) {
    const Result<void> spawned = spawn(slot);
    if (!spawned) {
      waiting_.erase(slot);
      nodes_.remove(slot, now);
      co_return spawned.error();
    }
  }
  co_return Result<void>{};
}

aio::Task<Result<void>> ProcessFleet::withdraw(int slot, std::string id, aio::Deadline deadline) {
  const Result<void> valid = check_slot(slot, deadline);
  if (!valid) {
    co_return valid.error();
  }
  if (const auto at = waiting_.find(slot); at != waiting_.end() && at->second.id == id) {
    waiting_.erase(at);
    nodes_.remove(slot, clock_.now());
    work_.notify();  // its place may be somebody else's now
    co_return Result<void>{};
  }
  const Result<void> seen = scan_slot(slot, clock_.now());
  if (!seen) {
    co_return seen.error();
  }
  if (const auto at = live_.find(slot); at != live_.end() && at->second.record.id == id) {
    co_return Error{Code::conflict, fmt::format("{} runs by now: left alone", at->second.record.worker)};
  }
  co_return gone(slot);
}

aio::Task<Result<void>> ProcessFleet::drain(int slot, std::string id, aio::Deadline deadline) {
  const Time now = clock_.now();
  if (deadline.passed(now) || slot < 0 || slot >= slots_) {
    const Result<void> valid = check_slot(slot, deadline);
    co_return valid;
  }
  if (const auto at = waiting_.find(slot); at != waiting_.end() && at->second.id == id) {
    co_return Error{Code::conflict, fmt::format("{}-w{} does not run yet", options_.pool, slot)};
  }
  const Result<void> seen = scan_slot(slot, now);
  if (!seen) {
    co_return seen.error();
  }
  const auto before = live_.find(slot);
  if (before == live_.end() || before->second.record.id != id) {
    co_return gone(slot);
  }
  const bool speaks = before->second.was_ready;
  const std::string url = folder_.socket_url(slot);
  aio::http::Request request;
  request.method = "POST";
  request.target = "/drain";
  const aio::Deadline limit = deadline.earlier(clock_.in(drain_timeout));
  const Result<aio::http::Response> answer = co_await client_.send(url, std::move(request), limit);
  work_.notify();
  if (answer && answer->status / 100 == 2) {
    co_return Result<void>{};
  }
  // A worker that spoke before and is silent now may have heard: a signal on top would be its second request.
  if (!answer && speaks) {
    co_return answer.error().in(fmt::format("{}-w{}", options_.pool, slot));
  }
  const auto after = live_.find(slot);
  if (after == live_.end() || after->second.record.id != id) {
    co_return gone(slot);
  }
  const Result<void> signalled = ask_by_signal(slot);
  co_return signalled;
}

Result<void> ProcessFleet::ask_by_signal(int slot) {
  Live& live = live_.at(slot);
  if (live.asked_by_signal) {
    return {};  // a second SIGTERM means "at once"
  }
  if (live.process) {
    live.asked_by_signal = live.process->signal(SIGTERM);
    return live.asked_by_signal ? Result<void>{} : gone(slot);
  }
  // No child of ours: the pidfd first, then a look whether the slot is still held by the same start, so that the number
  // cannot have become somebody else's in between.
  const std::string id = live.record.id;
  const aio::Fd pidfd(live.record.pid > 1 ? static_cast<int>(::syscall(SYS_pidfd_open, live.record.pid, 0)) : -1);
  if (!pidfd) {
    return Error{Code::retry,
                 fmt::format("{}: no /drain on its socket, and its process is not known", live.record.worker)};
  }
  const Result<void> seen = scan_slot(slot, clock_.now());
  const auto at = live_.find(slot);
  if (!seen || at == live_.end() || at->second.record.id != id) {
    return seen ? gone(slot) : seen.error();
  }
  at->second.asked_by_signal = ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGTERM, nullptr, 0) == 0;
  return at->second.asked_by_signal ? Result<void>{} : gone(slot);
}

aio::Task<int> ProcessFleet::drain_all(aio::Deadline deadline) {
  for (const auto& [slot, waiting] : std::exchange(waiting_, {})) {
    nodes_.remove(slot, clock_.now());
  }
  if (const Result<void> seen = scan(); seen) {
    std::vector<std::pair<int, std::string>> all;
    for (const auto& [slot, live] : live_) {
      all.emplace_back(slot, live.record.id);
    }
    for (const auto& [slot, id] : all) {
      // One that cannot be asked still counts below; the next call asks it again.
      [[maybe_unused]] const Result<void> asked = co_await drain(slot, id, deadline);
    }
  }
  co_return static_cast<int>(live_.size());
}

aio::Task<void> ProcessFleet::run() {
  aio::TaskGroup group(loop_, clock_);
  group.spawn(serve(&group));
  co_await group.join();
}

aio::Task<void> ProcessFleet::serve(aio::TaskGroup* group) {
  for (;;) {
    std::vector<int> slots;
    for (const auto& [slot, live] : live_) {
      slots.push_back(slot);
    }
    for (const int slot : slots) {
      // What cannot be read now is read at the next turn; view() is where it is an error.
      [[maybe_unused]] const Result<void> seen = scan_slot(slot, clock_.now());
    }
    spawn_placed();
    for (auto& [slot, live] : live_) {
      if (live.process && !std::exchange(live.watched, true)) {
        group->spawn(watch(live.process));
      }
    }
    co_await ask_all(true, aio::Deadline{});
    const aio::Deadline until = next_look();
    co_await work_.wait(until);
  }
}

aio::Task<void> ProcessFleet::watch(std::shared_ptr<aio::Process> process) {
  const Result<aio::ExitStatus> ended = co_await process->wait(aio::Deadline{});
  check(ended.has_value(), "a wait without a deadline ended without an exit");
  work_.notify();
}

aio::Deadline ProcessFleet::next_look() const {
  const Time now = clock_.now();
  Time first = nodes_.next().value_or(Time::max());
  for (const auto& [slot, waiting] : waiting_) {
    if (nodes_.node_of(slot)) {
      first = std::min(first, std::max(waiting.retry_at, now));
    }
  }
  for (const auto& [slot, live] : live_) {
    if (live.state == WorkerState::starting) {
      first = std::min(first, now + starting_every(now - live.record.created_at));
    }
    if (!live.process || live.state == WorkerState::terminating) {
      first = std::min(first, now + adopted_every);
    }
  }
  return aio::Deadline{first};
}

void ProcessFleet::spawn_placed() {
  const Time now = clock_.now();
  for (bool again = true; again;) {
    nodes_.advance(now);
    const auto at = std::ranges::find_if(
        waiting_, [&](const auto& entry) { return nodes_.node_of(entry.first) && entry.second.retry_at <= now; });
    again = at != waiting_.end();
    if (again) {
      const int slot = at->first;
      const Result<void> spawned = spawn(slot);
      if (!spawned) {
        waiting_.at(slot).retry_at = now + retry_after;
      }
    }
  }
}

// Makes the waiting worker of `slot` a process. An Error leaves it waiting.
Result<void> ProcessFleet::spawn(int slot) {
  const Time now = clock_.now();
  const Waiting waiting = waiting_.at(slot);
  Result<std::optional<LockFile>> lock = take_slot(folder_, slot);
  if (!lock) {
    return lock.error();
  }
  if (!*lock) {  // another scaler or a hand was faster: that worker is the one of this slot
    waiting_.erase(slot);
    nodes_.remove(slot, now);
    return scan_slot(slot, now);
  }
  SlotRecord record{.worker = fmt::format("{}-w{}", options_.pool, slot),
                    .id = waiting.id,
                    .node = nodes_.node_of(slot).value_or(0),
                    .stays_when_idle = waiting.stays_when_idle,
                    .created_at = waiting.created_at,
                    .started_at = clock_.wall()};
  const Result<void> done = exec(slot, **lock, std::move(record));
  if (!done) {
    return done.error();
  }
  waiting_.erase(slot);
  changed_.notify();
  work_.notify();
  return {};
}

// The record is written before the program runs, so that a scaler killed here leaves a worker that can be found.
Result<void> ProcessFleet::exec(int slot, LockFile& lock, SlotRecord record) {
  const Time now = clock_.now();
  const Result<aio::Fd> log = folder_.open_slot_file(slot, "log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  if (!log) {
    return log.error();
  }
  folder_.remove_slot_file(slot, "sock");
  folder_.remove_slot_file(slot, "last");
  const Result<void> written = lock.write(to_json(record));
  if (!written) {
    return written.error();
  }
  aio::SpawnOptions options;
  options.argv = argv_of(options_.command);
  options.environment =
      environment_of(options_.command, {record.worker, slot, record.stays_when_idle, folder_.path(), lock.fd()});
  options.directory = options_.command.directory;
  options.stdout_fd = log->get();
  options.stderr_fd = log->get();
  options.keep_fds = {lock.fd()};
  options.own_session = true;
  Result<std::unique_ptr<aio::Process>> process = aio::Process::spawn(loop_, clock_, options);
  if (!process && process.error().code == Code::retry) {
    [[maybe_unused]] const Result<void> emptied = lock.write("");
    return process.error();
  }
  if (!process) {  // its command cannot run: a start that failed, not an error of the fleet
    record.end = SlotEnd{.kind = model::EndKind::failed, .started = false, .why = process.error().what, .at = now};
    remember_end(slot, record);
    nodes_.remove(slot, now);
    return lock.write(to_json(record));
  }
  record.pid = (*process)->pid();
  // The worker runs and is found by its lock whatever comes of this; without the number only SIGTERM has no address.
  [[maybe_unused]] const Result<void> numbered = lock.write(to_json(record));
  Live live;
  live.since = now;
  live.why = fmt::format("pid {} runs, not ready yet", record.pid);
  live.process = std::move(*process);
  live.record = std::move(record);
  live_[slot] = std::move(live);
  ended_.erase(slot);
  return {};
}

Result<void> ProcessFleet::check_slot(int slot, aio::Deadline deadline) const {
  if (slot < 0 || slot >= options_.max) {
    return Error{Code::invalid, fmt::format("slot {}: slots are 0..{}", slot, options_.max - 1)};
  }
  if (deadline.passed(clock_.now())) {
    return Error{Code::retry, fmt::format("{}-w{}: no time left", options_.pool, slot)};
  }
  return {};
}

Error ProcessFleet::gone(int slot) const {
  return Error{Code::gone, fmt::format("{}-w{}: that worker is gone", options_.pool, slot)};
}

}  // namespace sluice::fleet::process
