// SPDX-License-Identifier: Apache-2.0
#include "queue/memory.h"

#include <algorithm>

#include "base/check.h"
#include "queue/memory_state.h"

namespace sluice::queue {
namespace {

using aio::Deadline;
using aio::Task;

// How many of its last answers a broker can repeat as stale ones.
constexpr std::size_t sampled_max = 256;

// Awaiting anything throws when the caller was cancelled; this is the cheapest anything.
Task<void> unless_cancelled() {
  co_return;
}

Task<void> wait_out(aio::Clock& clock, Duration delay, Deadline deadline) {
  const Time until = std::min(clock.now() + delay, deadline.at);
  co_await clock.sleep_until(until);
}

Error undone(Op op) {
  return Error{Code::retry, std::string(word(op)) + ": the broker did not answer, nothing was done"};
}

// In the line of those who wait for a message, and out of it whichever way the wait ends.
class Waiting {
 public:
  Waiting(MemoryBroker::State& state, MemoryHolder& holder) : state_(state), holder_(holder) {}
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    if (listed_) {  // cancelled: what it was woken for is the next one's
      leave();
      state_.wake();
    }
  }

  Task<void> wait(Deadline deadline) {
    const auto arrange = [this, at = deadline.at](aio::Resumer resumer) { enlist(at, std::move(resumer)); };
    co_await aio::suspend(arrange);
    co_await unless_cancelled();
    leave();
  }

 private:
  void enlist(Time at, aio::Resumer resumer) {
    if (at != Time::max()) {
      state_.clock.wake_at(at, resumer);
    }
    holder_.waiter = std::move(resumer);
    holder_.armed_for = at;
    state_.waiting.push_back(holder_);
    listed_ = true;
    state_.wake();
  }
  void leave() {
    if (listed_) {
      listed_ = false;
      state_.waiting.erase(holder_);
      holder_.waiter.reset();
    }
  }

  MemoryBroker::State& state_;
  MemoryHolder& holder_;
  bool listed_ = false;
};

class MemoryReceiver final : public Receiver {
 public:
  MemoryReceiver(MemoryBroker::State& state, std::string who) : state_(state) {
    holder_.who = std::move(who);
    state_.holders.push_back(&holder_);
  }
  ~MemoryReceiver() override {
    if (!holder_.closed) {
      state_.died(holder_);
    }
    std::erase(state_.holders, &holder_);
    state_.advance();
  }
  MemoryReceiver(const MemoryReceiver&) = delete;
  MemoryReceiver& operator=(const MemoryReceiver&) = delete;

  Task<Result<void>> open(Deadline deadline) override {
    return exchange(Op::open, deadline, [this]() -> Result<void> {
      if (holder_.closed) {
        return Error{Code::gone, "this receiver is closed"};
      }
      state_.consumers += holder_.open ? 0 : 1;
      holder_.open = true;
      return {};
    });
  }

  Task<Result<std::vector<Delivery>>> receive(std::size_t max, Deadline deadline) override {
    check(max >= 1, "receive() for nothing");
    if (!state_.instant()) {
      const Result<bool> entered = co_await state_.enter(Op::receive, holder_.who, deadline);
      if (!entered) {
        co_return entered.error();
      }
      if (!*entered) {
        co_return std::vector<Delivery>{};  // nothing came in time: no error of a receive
      }
    }
    while (true) {
      if (const Result<void> usable = consuming(); !usable) {
        co_return usable.error();
      }
      state_.advance();
      collect(max);
      if (!holder_.arrived.empty() || holder_.cancelled || deadline.passed(state_.clock.now())) {
        break;
      }
      Waiting waiting(state_, holder_);
      co_await waiting.wait(deadline);
    }
    if (!state_.instant()) {
      const Result<void> left = co_await state_.leave(Op::receive, holder_.who, deadline);
      if (!left) {
        co_return left.error();
      }
    }
    co_return hand_out(max);
  }

  Task<Result<void>> begin(Tag tag, Deadline deadline) override {
    return exchange(Op::begin, deadline, [this, tag] { return state_.begin(holder_, tag); });
  }
  std::optional<Result<void>> begin_at_once(Tag tag) override {
    return state_.options.begins_at_once && !holder_.dead ? std::optional(state_.begin(holder_, tag)) : std::nullopt;
  }
  void finished(Tag tag) override {
    if (!holder_.dead) {
      state_.finished(holder_, tag);
    }
  }
  Task<Result<void>> ack(Tag tag, Deadline deadline) override {
    return exchange(Op::ack, deadline, [this, tag] { return state_.ack(holder_, tag); });
  }
  Task<Result<void>> retry(Tag tag, Duration delay, Cause cause, std::string, Deadline deadline) override {
    return exchange(Op::retry, deadline, [=, this] { return state_.retry(holder_, tag, delay, cause); });
  }
  Task<Result<void>> requeue(Tag tag, Deadline deadline) override {
    return exchange(Op::requeue, deadline, [this, tag] { return state_.requeue(holder_, tag); });
  }
  Task<Result<void>> dead_letter(Tag tag, Cause cause, std::string why, Deadline deadline) override {
    return exchange(Op::dead_letter, deadline, [=, this, text = std::move(why)]() mutable {
      return state_.bury(holder_, tag, cause, std::move(text));
    });
  }
  Task<Result<void>> extend(Tag tag, Deadline deadline) override {
    return exchange(Op::extend, deadline, [this, tag] { return state_.extend(holder_, tag); });
  }

  Task<Result<void>> cancel(Deadline deadline) override {
    return exchange(Op::cancel, deadline, [this]() -> Result<void> {
      state_.stop_consuming(holder_);
      return {};
    });
  }
  Task<Result<void>> close(Deadline deadline) override {
    if (holder_.closed) {
      co_return Result<void>{};
    }
    const auto act = [this]() -> Result<void> {
      state_.close(holder_);
      return {};
    };
    const Result<void> done = co_await exchange(Op::close, deadline, act);
    co_return done;
  }

  void on_lost(std::function<void(Tag, const Error&)> tell) override { holder_.lost = std::move(tell); }
  [[nodiscard]] MemoryHolder& holder() { return holder_; }

 private:
  // One round trip: what may go wrong before, the step itself, what may go wrong after.
  template <class Act>
  Task<Result<void>> exchange(Op op, Deadline deadline, Act act) {
    if (!state_.instant()) {
      const Result<bool> entered = co_await state_.enter(op, holder_.who, deadline);
      if (!entered || !*entered) {
        co_return entered ? undone(op) : entered.error();
      }
    }
    if (holder_.dead) {
      co_return died();
    }
    state_.advance();
    const Result<void> done = act();
    state_.wake();
    if (!state_.instant()) {
      const Result<void> left = co_await state_.leave(op, holder_.who, deadline);
      if (!left) {
        co_return left.error();
      }
    }
    co_return done;
  }

  [[nodiscard]] Error died() const { return Error{Code::gone, "receiver " + holder_.who + " is dead"}; }
  [[nodiscard]] Result<void> consuming() const {
    if (holder_.dead) {
      return died();
    }
    if (!holder_.open || holder_.closed) {
      return Error{Code::gone, "receiver " + holder_.who + " is not open"};
    }
    return {};
  }
  void collect(std::size_t max) {
    while (!holder_.cancelled && holder_.arrived.size() < max) {
      const MemoryItem* item = state_.take(holder_);
      if (item == nullptr) {
        break;
      }
      holder_.arrived.push_back(item->tag());
    }
    state_.wake();  // there may be more for the next in line
  }
  std::vector<Delivery> hand_out(std::size_t max) {
    std::vector<Delivery> out;
    out.reserve(std::min(max, holder_.arrived.size()));
    while (out.size() < max && !holder_.arrived.empty()) {
      // What lost its lease before it was handed out is somebody else's now.
      if (MemoryItem* item = state_.find(holder_, holder_.arrived.front()); item != nullptr) {
        out.push_back(state_.delivery(*item));
      }
      holder_.arrived.pop_front();
    }
    return out;
  }

  MemoryBroker::State& state_;
  MemoryHolder holder_;
};

class MemoryPublisher final : public Publisher {
 public:
  MemoryPublisher(MemoryBroker::State& state, std::string who) : state_(state), who_(std::move(who)) {}

  Task<std::vector<Published>> publish(std::vector<Message> batch, Deadline deadline) override {
    std::vector<Published> answers(batch.size());
    if (deadline.passed(state_.clock.now())) {
      fail(answers, "the deadline had passed before it was sent");
      co_return answers;
    }
    if (!state_.instant()) {
      const Result<bool> entered = co_await state_.enter(Op::publish, who_, deadline);
      if (!entered || !*entered) {
        fail(answers, undone(Op::publish).what);
        co_return answers;
      }
    }
    state_.advance();
    std::vector<Trace*> stored(batch.size(), nullptr);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      answers[i].why = state_.store(batch[i], stored[i]);
      answers[i].state = stored[i] != nullptr ? PublishState::confirmed : PublishState::failed;
    }
    state_.wake();
    if (!state_.instant()) {
      const Result<void> left = co_await state_.leave(Op::publish, who_, deadline);
      if (!left) {
        for (std::size_t i = 0; i < answers.size(); ++i) {
          if (stored[i] != nullptr) {
            answers[i] = Published{.state = PublishState::unknown, .why = left.error().what};
          }
        }
        co_return answers;
      }
    }
    for (Trace* trace : stored) {
      if (trace != nullptr) {
        trace->confirmed = true;
      }
    }
    co_return answers;
  }

 private:
  static void fail(std::vector<Published>& answers, const std::string& why) {
    std::ranges::fill(answers, Published{.state = PublishState::failed, .why = why});
  }

  MemoryBroker::State& state_;
  std::string who_;
};

class MemorySource final : public BacklogSource {
 public:
  MemorySource(MemoryBroker::State& state, std::string who) : state_(state), who_(std::move(who)) {}

  Task<Result<model::Sample>> sample(Deadline deadline) override {
    if (state_.instant()) {
      state_.advance();
      co_return remember(state_.sample());
    }
    const Result<bool> entered = co_await state_.enter(Op::sample, who_, deadline);
    if (!entered || !*entered) {
      co_return undone(Op::sample);
    }
    state_.advance();
    const model::Sample seen = distort(remember(state_.sample()));
    const Result<void> left = co_await state_.leave(Op::sample, who_, deadline);
    if (!left) {
      co_return left.error();
    }
    co_return seen;
  }

 private:
  const model::Sample& remember(model::Sample sample) {
    if (state_.sampled.size() == sampled_max) {
      state_.sampled.pop_front();
    }
    return state_.sampled.emplace_back(sample);
  }

  model::Sample distort(model::Sample sample) {
    if (state_.faults == nullptr) {
      return sample;
    }
    const Faults::Sampled fault = state_.faults->sampled(who_);
    if (fault.stale > Duration{0}) {
      const Time newest = state_.clock.now() - fault.stale;
      sample = state_.sampled.front();
      for (const model::Sample& old : state_.sampled) {
        if (old.ready->observed_at <= newest) {
          sample = old;
        }
      }
    }
    const auto drop = [bits = fault.absent](Faults::Absent bit, auto& field) {
      if ((bits & bit) != 0) {
        field.reset();
      }
    };
    drop(Faults::absent_ready, sample.ready);
    drop(Faults::absent_in_flight, sample.in_flight);
    drop(Faults::absent_total, sample.total);
    drop(Faults::absent_delayed, sample.delayed);
    drop(Faults::absent_dead, sample.dead);
    drop(Faults::absent_consumers, sample.consumers);
    drop(Faults::absent_oldest_age, sample.oldest_age);
    drop(Faults::absent_published_n, sample.published_n);
    drop(Faults::absent_acked_n, sample.acked_n);
    return sample;
  }

  MemoryBroker::State& state_;
  std::string who_;
};

}  // namespace

Task<Result<bool>> MemoryBroker::State::enter(Op op, std::string_view who, Deadline deadline) {
  const Faults::Before fault = faults != nullptr ? faults->before(op, who) : Faults::Before{};
  Duration delay = fault.delay;
  if (options.latency_high > Duration{0}) {
    delay += random.between(options.latency_low, options.latency_high);
  }
  if (delay > Duration{0}) {
    co_await wait_out(clock, delay, deadline);
  }
  // A poll (receive with its deadline already reached) still gets what is there, unless something held it up.
  bool late = delay > Duration{0} && deadline.passed(clock.now());
  while (!late && frozen_until > clock.now()) {
    co_await wait_out(clock, frozen_until - clock.now(), deadline);
    late = deadline.passed(clock.now());
  }
  if (fault.fail) {
    co_return undone(op);
  }
  co_return !late;
}

Task<Result<void>> MemoryBroker::State::leave(Op op, std::string_view who, Deadline deadline) {
  const Faults::After fault = faults != nullptr ? faults->after(op, who) : Faults::After{};
  if (fault.delay > Duration{0}) {
    co_await wait_out(clock, fault.delay, deadline);
    if (deadline.passed(clock.now())) {
      co_return Error{Code::retry, std::string(word(op)) + ": the broker's answer is late"};
    }
  }
  if (fault.lose) {
    co_return Error{Code::retry, std::string(word(op)) + ": the broker's answer was lost"};
  }
  co_return Result<void>{};
}

MemoryBroker::MemoryBroker(aio::Loop& loop, aio::Clock& clock, Random& random, MemoryOptions options)
    : state_(std::make_unique<State>(loop, clock, random, options)) {}

MemoryBroker::~MemoryBroker() {
  check(state_->holders.empty(), "a MemoryBroker ended before its receivers");
}

std::unique_ptr<Publisher> MemoryBroker::publisher(std::string who) {
  return std::make_unique<MemoryPublisher>(*state_, std::move(who));
}
std::unique_ptr<Receiver> MemoryBroker::receiver(std::string who) {
  return std::make_unique<MemoryReceiver>(*state_, std::move(who));
}
std::unique_ptr<BacklogSource> MemoryBroker::source(std::string who) {
  return std::make_unique<MemorySource>(*state_, std::move(who));
}

void MemoryBroker::kill(Receiver& receiver) {
  state_->died(static_cast<MemoryReceiver&>(receiver).holder());
  state_->advance();
  state_->wake();
}

void MemoryBroker::cut(Receiver& receiver) {
  state_->cut(static_cast<MemoryReceiver&>(receiver).holder());
  state_->advance();
  state_->wake();
}

void MemoryBroker::kill(std::string_view who) {
  for (MemoryHolder* holder : state_->holders) {
    if (holder->who == who) {
      state_->died(*holder);
    }
  }
  state_->advance();
  state_->wake();
}

void MemoryBroker::set_faults(Faults* faults) {
  state_->faults = faults;
}
void MemoryBroker::freeze(Time until) {
  state_->frozen_until = until;
}
void MemoryBroker::on_event(std::function<void(const MemoryEvent&)> callback) {
  state_->watcher = std::move(callback);
}

}  // namespace sluice::queue
