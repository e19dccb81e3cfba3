// SPDX-License-Identifier: Apache-2.0
#include "queue/local/engine_thread.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>

namespace sluice::queue::local {

namespace {

// A polled lock: short against a commit (4 syncs, some milliseconds), long against a system call.
constexpr Duration pause_low = std::chrono::microseconds{300};
constexpr Duration pause_high = std::chrono::microseconds{1500};
// Longer than any pause, so that somebody who waits gets the file.
constexpr Duration step_back = std::chrono::milliseconds{2};
constexpr Duration look_patience = std::chrono::milliseconds{200};
// Slewing clocks drift by at most 0.05 %; a second is a jump.
constexpr std::int64_t jump_ms = 1000;

// The file's name was given to another file, or to none, while it was in use.
struct Moved {};

}  // namespace

Engine::Thread::Thread(Engine& engine, aio::Loop& loop, std::uint64_t seed)
    : engine_(engine),
      loop_(loop),
      clock_(engine.clock_),
      random_(seed),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  store_options_.create = engine.options_.create;
  store_options_.vfs = engine.options_.vfs;
  store_options_.busy = [this](int) { return pause(); };
  store_options_.mark = [this] { return static_cast<std::int64_t>(random_.next() >> 1U); };
  store_options_.fresh_name = [this] { return std::to_string(::getpid()) + "-" + random_.hex(8); };
}

void Engine::Thread::submit(Batch requests) {
  {
    const std::lock_guard lock(mutex_);
    std::ranges::move(requests, std::back_inserter(channel_));
  }
  ::eventfd_write(wake_.get(), 1);
}

void Engine::Thread::watch(int change) {
  {
    const std::lock_guard lock(mutex_);
    watchers_ += change;
    look_now_ = look_now_ || change > 0;  // what came between the last look and this wait must not be missed
  }
  if (change > 0) {
    ::eventfd_write(wake_.get(), 1);
  }
}

void Engine::Thread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  ::eventfd_write(wake_.get(), 1);
}

void Engine::Thread::main() {
  sigset_t all;  // signals are the loop's
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (true) {
    Batch batch;
    bool looking = false;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) {
        break;
      }
      batch.swap(channel_);
      looking = watchers_ > 0 && (look_now_ || clock_.now() >= next_look_);
      look_now_ = look_now_ && watchers_ > 0 && !looking;
    }
    const bool serving = !batch.empty();
    if (serving) {
      serve(std::move(batch));
    }
    if (looking) {
      look();
    } else if (!serving) {
      wait();
    }
  }
  store_.reset();
}

void Engine::Thread::wait() {
  int timeout_ms = -1;
  std::array<pollfd, 2> fds{pollfd{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                            pollfd{.fd = -1, .events = POLLIN, .revents = 0}};
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || !channel_.empty() || look_now_) {
      return;
    }
    if (watchers_ > 0) {
      fds[1].fd = events_.get();
      timeout_ms =
          static_cast<int>(to_ms(std::max(Duration{0}, next_look_ - clock_.now()) + std::chrono::microseconds{999}));
    }
  }
  ::poll(fds.data(), fds.size(), timeout_ms);
  eventfd_t count = 0;
  ::eventfd_read(wake_.get(), &count);
  if (fds[1].revents != 0) {
    std::array<char, 4096> events;
    while (::read(events_.get(), events.data(), events.size()) > 0) {
    }
    next_look_ = clock_.now();
  }
}

void Engine::Thread::serve(Batch batch) {
  drop_expired(batch);
  while (!batch.empty() && !transact(batch)) {
    drop_expired(batch);
  }
  deliver();
}

bool Engine::Thread::transact(Batch& batch) {
  patience_ = clock_.now() + look_patience;
  if (!batch.empty()) {
    patience_ = (*std::ranges::min_element(batch, {}, [](const auto& r) { return r->deadline.at; }))->deadline.at;
  }
  if (!store_) {
    Result<std::unique_ptr<Store>> opened = Store::open(engine_.path_, store_options_);
    turn_.got();
    if (!opened) {
      settle(batch, Fate::undone, opened.error());
      return true;
    }
    store_ = std::move(*opened);
    watch_file();
    turn_.open(store_->folder());
  }
  bool committing = false;
  bool settled = true;
  try {
    std::vector<DeadOwner> dead;
    if (clock_.now() >= next_reap_) {
      dead = store_->find_dead();
      next_reap_ = clock_.now() + engine_.options_.look_every;
    }
    one_transaction(batch, dead, committing);
  } catch (const DamagedRow& row) {
    settled = set_aside(batch, row);
  } catch (const Moved&) {
    store_.reset();
    settle(batch, Fate::undone,
           Error{Code::gone, "queue file " + engine_.path_ + " was removed or replaced while in use; " +
                                 "it is opened, or made, anew at the next try"});
  } catch (const SqlFailure& failure) {
    settled = failed(batch, failure, committing);
  }
  turn_.got();
  if (committing && turn_.others_want()) {
    rest(step_back);
  }
  return settled;
}

void Engine::Thread::one_transaction(Batch& batch, std::vector<DeadOwner>& dead, bool& committing) {
  const std::int64_t now_ms = wall_ms();
  const bool claims = std::ranges::any_of(batch, [](const auto& r) { return r->claims; });
  bool write = !dead.empty() || std::ranges::any_of(batch, [](const auto& r) { return r->writes; }) ||
               (claims && store_->counters().ready > 0);  // as of the last transaction: worth the lock, if only a guess
  if (!write) {
    store_->begin(false);
    const std::optional<std::int64_t> due = store_->next_due();
    write = (claims && store_->counters().ready > 0) || (due && (*due <= now_ms || shorten_));
    if (write) {
      store_->commit();
    }
  }
  if (write) {
    store_->begin(true);
    if (store_->moved()) {
      throw Moved{};
    }
  }
  turn_.got();
  std::erase_if(batch, [this](const std::shared_ptr<Request>& request) {
    int waiting = Request::pending;
    const bool ours = request->stage_.compare_exchange_strong(waiting, Request::started) || waiting == Request::started;
    if (!ours) {
      settled_.push_back(request);
    }
    return !ours;
  });
  if (write) {
    if (std::exchange(shorten_, false) && store_->counters().delayed > 0) {
      store_->shorten_delays(now_ms);
    }
    store_->wake_due(now_ms);
    std::ranges::for_each(dead, [this](const DeadOwner& owner) { store_->give_back(owner); });
  }
  for (const std::shared_ptr<Request>& request : batch) {
    request->run(*store_, now_ms);
  }
  next_due_ms_ = store_->next_due();
  committing = write;
  store_->commit();
  std::ranges::for_each(dead, [](DeadOwner& owner) { owner.remains.remove(); });
  settle(batch, Fate::done, {});
}

// A commit that reported an error may have happened all the same, and may be on the disk or not.
bool Engine::Thread::never_happened(const Counters& lost) {
  patience_ = clock_.now() + look_patience;
  Result<std::unique_ptr<Store>> opened = Store::open(engine_.path_, store_options_);
  if (!opened) {
    return false;
  }
  try {
    (*opened)->begin(false);
    const bool never = (*opened)->never_happened(lost);
    (*opened)->commit();
    return never;
  } catch (const SqlFailure&) {
    return false;
  }
}

bool Engine::Thread::failed(Batch& batch, const SqlFailure& failure, bool committing) {
  const Counters lost = store_->counters();
  store_->rollback();
  if (failure.busy()) {
    return batch.empty();  // tried again until the deadlines come
  }
  // Whatever it was, this connection is not used again: after a failed sync the kernel may have dropped the dirty
  // pages, and syncing once more would only pretend. The next one starts from the file, rolling back what its journal
  // says.
  store_.reset();
  const bool cut_off = committing && !never_happened(lost);
  if (failure.full() && !cut_off && batch.size() > 1) {
    // One large message must not keep small ones, or acknowledgements, from their place.
    for (std::shared_ptr<Request>& request : std::exchange(batch, {})) {
      serve(Batch{std::move(request)});
    }
    return true;
  }
  settle(batch, cut_off ? Fate::unknown : Fate::undone, explain(failure, engine_.path_));
  return true;
}

// One unreadable message must not stop the others; when not even that can be told, all of it stops, loudly.
bool Engine::Thread::set_aside(Batch& batch, const DamagedRow& row) {
  store_->rollback();
  try {
    DamagedRow found = row;
    if (found.key == 0) {
      store_->begin(false);
      found.key = store_->find_damaged();
      store_->rollback();
    }
    store_->begin(true);
    store_->set_aside(found, wall_ms());
    store_->commit();
    return false;
  } catch (const SqlFailure& failure) {
    store_->rollback();
    if (failure.busy()) {
      return false;
    }
    store_.reset();
    settle(batch, Fate::undone, explain(failure, engine_.path_));
    return true;
  }
}

void Engine::Thread::settle(Batch& batch, Fate fate, const Error& error) {
  for (std::shared_ptr<Request>& request : std::exchange(batch, {})) {
    request->verdict_ = Verdict{fate, error};
    settled_.push_back(std::move(request));
  }
}

void Engine::Thread::drop_expired(Batch& batch) {
  bool stopping = false;
  {
    const std::lock_guard lock(mutex_);
    stopping = stopping_;
  }
  Batch late;
  const Time now = clock_.now();
  std::erase_if(batch, [&](const std::shared_ptr<Request>& request) {
    const bool gone = stopping || request->deadline.passed(now);
    if (gone) {
      late.push_back(request);
    }
    return gone;
  });
  settle(late, Fate::undone,
         Error{Code::retry,
               "queue file " + engine_.path_ + ": the deadline came before it could be " + "locked, nothing was done"});
}

// While receivers wait: has anything become ready, by another process, by time or by a death?
void Engine::Thread::look() {
  next_look_ = clock_.now() + engine_.options_.look_every;
  Batch nobody;
  if (!transact(nobody) || !store_) {
    next_look_ = clock_.now() + (store_ ? pause_high : engine_.options_.look_every);
    return;
  }
  if (next_due_ms_) {
    const Duration left = std::chrono::milliseconds{std::max<std::int64_t>(0, *next_due_ms_ - wall_ms())};
    next_look_ = std::min(next_look_, clock_.now() + left);
  }
  deliver();
}

bool Engine::Thread::pause() {
  if (clock_.now() >= patience_) {
    return false;
  }
  turn_.want(random_);
  rest(random_.between(pause_low, pause_high));
  const std::lock_guard lock(mutex_);
  return !stopping_;
}

void Engine::Thread::rest(Duration d) {
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, d, [this] { return stopping_; });
}

std::int64_t Engine::Thread::wall_ms() {
  const std::int64_t wall = clock_.wall().time_since_epoch().count();
  const std::int64_t offset = wall - to_ms(clock_.now());
  shorten_ = shorten_ || (wall_offset_ms_ && offset < *wall_offset_ms_ - jump_ms);
  wall_offset_ms_ = offset;
  return wall;
}

void Engine::Thread::watch_file() {
  // Without inotify (its limits are per user) the looks every 250 ms remain.
  events_ = aio::Fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (events_ && ::inotify_add_watch(events_.get(), store_->path().c_str(), IN_MODIFY) < 0) {
    events_.reset();
  }
}

void Engine::Thread::deliver() {
  bool ready = false;
  {
    const std::lock_guard lock(mutex_);
    ready = watchers_ > 0 && store_ && store_->counters().ready > 0;
  }
  if (settled_.empty() && !ready) {
    return;
  }
  loop_.post([self = engine_.self_, batch = std::exchange(settled_, {}), ready] {
    if (*self != nullptr) {
      (*self)->completed(batch, ready);
    }
  });
}

}  // namespace sluice::queue::local
