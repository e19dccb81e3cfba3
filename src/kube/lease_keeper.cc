// SPDX-License-Identifier: Apache-2.0
#include "kube/lease_keeper.h"

#include <fmt/core.h>

#include <thread>

#include "aio/loop.h"
#include "kube/api.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;

constexpr Duration look_each = 200ms;  // at what other threads say
constexpr Duration answer_max = 4s;    // of one request: three of them fit into the lease's time
constexpr Duration release_max = 3s;   // of all that is left to do at the end

}  // namespace

// What belongs to the keeper's thread alone.
class LeaseKeeper::Keeping {
 public:
  Keeping(const LeaseKeeperOptions& options, aio::Loop& loop, aio::Clock& clock)
      : clock_(clock),
        machine_(options.lease),
        api_(loop, clock, options.access, options.read, options.environment),
        collection_(fmt::format("/apis/coordination.k8s.io/v1/namespaces/{}/leases", options.lease.space)),
        path_(collection_ + "/" + options.lease.name) {}

  [[nodiscard]] LeaseMachine& machine() { return machine_; }
  // Why the last request failed; empty when it did not.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

  [[nodiscard]] aio::Task<void> ask(LeaseMachine::Step step) {
    using Kind = LeaseMachine::Step::Kind;
    const Time sent_at = clock_.now();
    Call call{.method = step.kind == Kind::get      ? "GET"
                        : step.kind == Kind::create ? "POST"
                                                    : "PUT",
              .path = step.kind == Kind::create ? collection_ : path_,
              .body = std::move(step.body),
              .urgent = true};
    const aio::Deadline deadline = clock_.in(answer_max);
    const Result<std::string> answer = co_await api_.ask(std::move(call), deadline);
    Result<LeaseRecord> record = answer ? read_lease(*answer) : answer.error();
    const Time now = clock_.now();
    trouble_ =
        record || record.error().code == Code::gone || record.error().code == Code::conflict ? "" : record.error().what;
    if (record) {
      machine_.granted(std::move(*record), sent_at, now);
    } else {
      machine_.failed(record.error(), now);
    }
  }

 private:
  aio::Clock& clock_;
  LeaseMachine machine_;
  Api api_;
  const std::string collection_;
  const std::string path_;
  std::string trouble_;
};

struct LeaseKeeper::Thread {
  std::thread thread;
};

LeaseKeeper::LeaseKeeper(LeaseKeeperOptions options, std::function<void(const std::string&)> tell)
    : options_(std::move(options)),
      tell_(std::move(tell)),
      beat_(Time::max().time_since_epoch().count()),
      thread_(std::make_unique<Thread>()) {
  thread_->thread = std::thread([this] { run(); });  // everything else is there by now
}

LeaseKeeper::~LeaseKeeper() {
  release();
  thread_->thread.join();
}

void LeaseKeeper::release() {
  const std::scoped_lock held(holding_);
  releasing_ = true;
  held_until_ = Time::min().time_since_epoch().count();
}

void LeaseKeeper::run() {
  aio::Loop loop;
  aio::RealClock clock(loop);
  Keeping keeping(options_, loop, clock);
  loop.run(keep(keeping, clock));
}

aio::Task<void> LeaseKeeper::keep(Keeping& keeping, aio::Clock& clock) {
  std::string told;
  std::optional<Time> leave_by;
  while (true) {
    const Time now = clock.now();
    if (releasing_ && !leave_by) {
      leave_by = now + release_max;
      keeping.machine().release(now);
    }
    if (leave_by && (keeping.machine().released() || now >= *leave_by)) {
      co_return;
    }
    const bool hangs = now - Time{Duration{beat_.load()}} > options_.hang_max;
    LeaseMachine::Step step{.until = now + look_each};
    if (!hangs || releasing_) {
      step = keeping.machine().step(now, clock.wall());
    }
    if (step.kind == LeaseMachine::Step::Kind::wait) {
      const Time until = std::min(step.until, now + look_each);
      co_await clock.sleep_until(until);
      continue;
    }
    co_await keeping.ask(std::move(step));
    {
      const std::scoped_lock held(holding_);
      held_until_ = releasing_ ? Time::min().time_since_epoch().count()
                               : keeping.machine().held_until().time_since_epoch().count();
    }
    const std::string& news = keeping.trouble().empty() ? keeping.machine().holder() : keeping.trouble();
    if (news != told) {
      told = news;
      tell_(told);
    }
  }
}

}  // namespace sluice::kube
