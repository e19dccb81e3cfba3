// SPDX-License-Identifier: Apache-2.0
#include "queue/local/receiver.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::queue::local {

namespace {

using aio::Deadline;
using aio::Task;

// A poll (its deadline already reached) still has to ask the thread; this long it may take before it counts as empty.
constexpr Duration claim_patience = std::chrono::milliseconds{500};
// Slots of the side file: deliveries of one worker at once; 32 bytes each.
constexpr std::size_t claim_max = 4096;

Error not_held(Tag tag) {
  return Error{Code::gone,
               "delivery " + std::to_string(tag) + " is not held here: settled, or given to another worker"};
}

// Awaiting anything throws when the caller was cancelled; this is the cheapest anything.
Task<void> unless_cancelled() {
  co_return;
}

struct Registered {
  std::int64_t owner = 0;
  Result<Sidecar> sidecar;
};

}  // namespace

// A class of its own and not a Question: there is one for every message, and it costs one allocation.
class LocalReceiver::SettleRequest final : public Request {
 public:
  SettleRequest(std::shared_ptr<State> state, std::shared_ptr<const std::string> who, Tag tag, Settle settle)
      : state_(std::move(state)), owner_(state_->owner), who_(std::move(who)), tag_(tag), settle_(std::move(settle)) {}
  void run(Store& store, std::int64_t now_ms) override { ours = store.settle(owner_, *who_, settle_, now_ms); }
  void answered(Fate fate) override {
    if (fate == Fate::done) {
      forget(*state_, tag_);
    }
  }
  bool ours = false;

 private:
  std::shared_ptr<State> state_;  // the loop's, but for the owner
  std::int64_t owner_;
  std::shared_ptr<const std::string> who_;
  Tag tag_;
  Settle settle_;
};

void LocalReceiver::forget(State& state, Tag tag) {
  if (const auto mine = state.held.find(tag); mine != state.held.end()) {
    state.free_slots.push_back(mine->second.slot);
    state.held.erase(mine);
  }
}

LocalReceiver::LocalReceiver(std::shared_ptr<Engine> engine, std::string who)
    : engine_(std::move(engine)),
      who_(std::make_shared<const std::string>(std::move(who))),
      state_(std::make_shared<State>(engine_->clock())) {}

Task<Result<void>> LocalReceiver::open(Deadline deadline) {
  if (state_->closed) {
    co_return Error{Code::gone, "this receiver is closed"};
  }
  if (state_->sidecar) {
    co_return Result<void>{};
  }
  // The number, the locked side file and the row come to be in one transaction: whoever sees the row finds the lock.
  const auto work = [who = who_](Store& store, std::int64_t now_ms) {
    const std::int64_t owner = store.add_owner(*who, now_ms);
    return std::make_shared<Registered>(Registered{owner, Sidecar::make(store.folder(), owner)});
  };
  const auto question = std::make_shared<Question<std::shared_ptr<Registered>>>(work);
  question->deadline = deadline;
  const Verdict verdict = co_await engine_->ask(question);
  if (verdict.fate != Fate::done) {
    co_return verdict.error;
  }
  Registered& registered = **question->answer;
  if (!registered.sidecar) {
    co_return registered.sidecar.error();  // its row has no lock, so the next look clears it away
  }
  state_->owner = registered.owner;
  state_->sidecar.emplace(std::move(*registered.sidecar));
  co_return Result<void>{};
}

Result<void> LocalReceiver::consuming() const {
  if (!state_->sidecar || state_->closed) {
    return Error{Code::gone, "receiver " + *who_ + " is not open"};
  }
  return {};
}

Task<Result<std::vector<Delivery>>> LocalReceiver::receive(std::size_t max, Deadline deadline) {
  check(max >= 1, "receive() for nothing");
  while (true) {
    if (const Result<void> usable = consuming(); !usable) {
      co_return usable.error();
    }
    if (state_->arrived.empty() && !state_->cancelled && !state_->claiming) {
      const Result<void> claimed = co_await claim(std::min(max, claim_max), deadline);
      const bool late = !claimed && claimed.error().code == Code::retry && deadline.passed(engine_->clock().now());
      if (!claimed && !late) {
        co_return claimed.error();
      }
    }
    if (!state_->arrived.empty()) {
      co_return hand_out(max);
    }
    const bool over = state_->cancelled && !state_->claiming;
    if (over || state_->closed || deadline.passed(engine_->clock().now())) {
      co_return std::vector<Delivery>{};
    }
    if (state_->claiming) {
      co_await state_->claimed.wait(deadline);  // of a receive() that was cancelled
    } else {
      const Engine::Watching watching(*engine_);
      co_await engine_->ready().wait(deadline);
    }
    co_await unless_cancelled();
  }
}

// What it brings goes to `arrived`, whether or not anybody still waits.
Task<Result<void>> LocalReceiver::claim(std::size_t max, Deadline deadline) {
  std::vector<DeliveryKey> known;
  if (state_->claim_lost) {
    for (const auto& [tag, held] : state_->held) {
      known.push_back(held.delivery);
    }
  }
  const auto work = [owner = state_->owner, max, lost = state_->claim_lost, known](Store& store, std::int64_t) {
    if (lost && store.writing()) {
      store.reconcile(owner, [&](DeliveryKey delivery) { return std::ranges::find(known, delivery) != known.end(); });
    }
    return store.writing() ? store.claim(owner, max) : std::optional(std::vector<Taken>{});
  };
  const auto question = std::make_shared<Question<std::optional<std::vector<Taken>>>>(work);
  question->deadline = Deadline{std::max(deadline.at, engine_->clock().now() + claim_patience)};
  question->writes = state_->claim_lost;
  question->claims = true;
  state_->claiming = true;
  question->on_loop = [state = state_](Fate fate, std::optional<std::optional<std::vector<Taken>>>& answer) {
    state->claiming = false;
    state->claim_lost = fate == Fate::unknown || (state->claim_lost && fate != Fate::done);
    if (fate == Fate::done && *answer) {
      std::ranges::move(**answer, std::back_inserter(state->arrived));
    }
    state->claimed.notify();
  };
  const Verdict verdict = co_await engine_->ask(question);
  if (verdict.fate != Fate::done) {
    co_return verdict.error;
  }
  if (!*question->answer) {
    co_return Error{Code::gone, "receiver " + *who_ + " is registered no more: its file beside the queue was removed"};
  }
  co_return Result<void>{};
}

std::vector<Delivery> LocalReceiver::hand_out(std::size_t max) {
  const WallTime wall = engine_->clock().wall();
  std::vector<Delivery> out;
  while (out.size() < max && !state_->arrived.empty()) {
    Taken& taken = state_->arrived.front();
    std::size_t slot = state_->held.size();
    if (!state_->free_slots.empty()) {
      slot = state_->free_slots.back();
      state_->free_slots.pop_back();
    }
    const Tag tag = ++state_->last_tag;
    state_->held.emplace(tag, Held{.delivery = taken.delivery, .slot = slot, .apart = taken.apart});
    // A wall clock that was set back must not make a negative wait.
    const std::int64_t waited_ms = std::max<std::int64_t>(0, wall.time_since_epoch().count() - taken.since_ms);
    out.push_back(Delivery{.message = std::move(taken.message),
                           .tag = tag,
                           .attempts = taken.attempts,
                           .cause = taken.cause,
                           .waited = std::chrono::milliseconds{waited_ms}});
    state_->arrived.pop_front();
  }
  return out;
}

Result<void> LocalReceiver::note(Tag tag, Progress progress) {
  const auto found = state_->held.find(tag);
  if (found == state_->held.end() || !state_->sidecar) {
    return not_held(tag);
  }
  found->second.progress = progress;
  return state_->sidecar->note(found->second.slot, found->second.delivery, progress);
}

Task<Result<void>> LocalReceiver::begin(Tag tag, Deadline) {
  co_return note(tag, Progress::begun);
}

// A note that cannot be written means a redelivery says "crash" instead of "ack unknown"; the acknowledgement that
// follows meets the same disk and reports it.
void LocalReceiver::finished(Tag tag) {
  (void)note(tag, Progress::finished).has_value();
}

Task<Result<void>> LocalReceiver::settle(Tag tag, Settle settle, Deadline deadline) {
  const auto found = state_->held.find(tag);
  if (found == state_->held.end()) {
    co_return not_held(tag);
  }
  settle.delivery = found->second.delivery;
  settle.progress = found->second.progress;
  settle.apart = found->second.apart;
  const auto request = std::make_shared<SettleRequest>(state_, who_, tag, std::move(settle));
  request->deadline = deadline;
  const Verdict verdict = co_await engine_->ask(request);
  if (verdict.fate != Fate::done) {
    co_return verdict.error;
  }
  if (!request->ours) {
    co_return not_held(tag);
  }
  co_return Result<void>{};
}

Task<Result<void>> LocalReceiver::ack(Tag tag, Deadline deadline) {
  return settle(tag, Settle{.how = Settle::How::ack, .why = {}}, deadline);
}
Task<std::vector<Result<void>>> LocalReceiver::ack_all(std::vector<Tag> tags, Deadline deadline) {
  struct One {
    Tag tag;
    Settle settle;
  };
  std::vector<Result<void>> answers(tags.size());
  std::vector<std::size_t> places;  // of those that are held, in answers
  std::vector<One> all;
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const auto found = state_->held.find(tags[i]);
    if (found == state_->held.end()) {
      answers[i] = not_held(tags[i]);
      continue;
    }
    places.push_back(i);
    all.push_back(One{tags[i], Settle{.how = Settle::How::ack,
                                      .delivery = found->second.delivery,
                                      .progress = found->second.progress,
                                      .apart = found->second.apart,
                                      .why = {}}});
  }
  if (all.empty()) {
    co_return answers;
  }
  const auto work = [all, owner = state_->owner, who = who_](Store& store, std::int64_t now_ms) {
    std::vector<bool> ours;
    for (const One& one : all) {
      ours.push_back(store.settle(owner, *who, one.settle, now_ms));
    }
    return ours;
  };
  const auto question = std::make_shared<Question<std::vector<bool>>>(work);
  question->deadline = deadline;
  question->on_loop = [state = state_, tags](Fate fate, std::optional<std::vector<bool>>&) {
    for (std::size_t i = 0; fate == Fate::done && i < tags.size(); ++i) {
      forget(*state, tags[i]);
    }
  };
  const Verdict verdict = co_await engine_->ask(question);
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (verdict.fate != Fate::done) {
      answers[places[i]] = verdict.error;
    } else if (!(*question->answer)[i]) {
      answers[places[i]] = not_held(tags[places[i]]);
    }
  }
  co_return answers;
}
Task<Result<void>> LocalReceiver::retry(Tag tag, Duration delay, Cause cause, std::string why, Deadline deadline) {
  return settle(tag, Settle{.how = Settle::How::retry, .delay = delay, .cause = cause, .why = std::move(why)},
                deadline);
}
Task<Result<void>> LocalReceiver::requeue(Tag tag, Deadline deadline) {
  return settle(tag, Settle{.how = Settle::How::requeue, .why = {}}, deadline);
}
Task<Result<void>> LocalReceiver::dead_letter(Tag tag, Cause cause, std::string why, Deadline deadline) {
  return settle(tag, Settle{.how = Settle::How::dead_letter, .cause = cause, .why = std::move(why)}, deadline);
}
// No leases: the lock lives as long as the process.
Task<Result<void>> LocalReceiver::extend(Tag, Deadline) {
  co_return Result<void>{};
}

Task<Result<void>> LocalReceiver::cancel(Deadline deadline) {
  if (!state_->sidecar || std::exchange(state_->cancelled, true)) {
    co_return Result<void>{};
  }
  engine_->ready().notify();
  const auto work = [owner = state_->owner](Store& store, std::int64_t) { return store.stop_consuming(owner); };
  const auto question = std::make_shared<Question<bool>>(work);
  question->deadline = deadline;
  const Verdict verdict = co_await engine_->ask(question);
  if (verdict.fate != Fate::done) {
    co_return verdict.error;
  }
  co_return Result<void>{};
}

Task<Result<void>> LocalReceiver::close(Deadline deadline) {
  if (std::exchange(state_->closed, true) || !state_->sidecar) {
    co_return Result<void>{};
  }
  state_->cancelled = true;
  engine_->ready().notify();
  state_->claimed.notify();
  std::vector<Held> held;
  for (const auto& [tag, one] : state_->held) {
    held.push_back(one);
  }
  state_->held.clear();
  state_->arrived.clear();
  const auto work = [owner = state_->owner, held](Store& store, std::int64_t) {
    store.leave(owner, [&](DeliveryKey delivery) {
      const auto known = std::ranges::find(held, delivery, &Held::delivery);
      return known == held.end() ? Progress::held : known->progress;
    });
    return true;
  };
  const auto question = std::make_shared<Question<bool>>(work);
  question->deadline = deadline;
  const Verdict verdict = co_await engine_->ask(question);
  if (verdict.fate != Fate::done) {
    state_->sidecar.reset();  // without the lock we count as dead, and the others take back what we had
    co_return verdict.error;
  }
  state_->sidecar->remove();
  co_return Result<void>{};
}

}  // namespace sluice::queue::local
