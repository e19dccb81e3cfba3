// SPDX-License-Identifier: Apache-2.0
#include "sim/scaler.h"

namespace sluice::sim {

using aio::Deadline;
using aio::Task;

// Between the bad connection and a planted bug: notes what the scaler was really told and what it tried.
class Scaler::ToldFleet final : public fleet::Fleet {
 public:
  ToldFleet(fleet::Fleet& inner, Told& told, aio::Clock& clock) : inner_(inner), told_(told), clock_(clock) {}
  Task<Result<model::FleetView>> view(Deadline deadline) override {
    Result<model::FleetView> out = co_await inner_.view(deadline);
    told_.view = out;
    co_return out;
  }
  Task<Result<void>> start(int slot, bool stays, Deadline deadline) override {
    Result<void> out = co_await inner_.start(slot, stays, deadline);
    told_.last_start = clock_.now();
    co_return out;
  }
  Task<Result<void>> withdraw(int slot, std::string id, Deadline deadline) override {
    Result<void> out = co_await inner_.withdraw(slot, std::move(id), deadline);
    co_return out;
  }
  Task<Result<void>> drain(int slot, std::string id, Deadline deadline) override {
    Result<void> out = co_await inner_.drain(slot, std::move(id), deadline);
    co_return out;
  }

 private:
  fleet::Fleet& inner_;
  Told& told_;
  aio::Clock& clock_;
};

class Scaler::ToldSource final : public queue::BacklogSource {
 public:
  ToldSource(queue::BacklogSource& inner, Told& told) : inner_(inner), told_(told) {}
  Task<Result<model::Sample>> sample(Deadline deadline) override {
    Result<model::Sample> out = co_await inner_.sample(deadline);
    told_.sample = out;
    co_return out;
  }

 private:
  queue::BacklogSource& inner_;
  Told& told_;
};

Scaler::Scaler(ScalerContext& context, std::string name) : context_(context), due_(context.clock) {
  const auto draw_fault = [this](fleet::Call call, int) { return draw(call); };
  faulty_ = std::make_unique<fleet::FaultyFleet>(context.fleet, context.clock, draw_fault);
  told_fleet_ = std::make_unique<ToldFleet>(*faulty_, told_, context.clock);
  fleet_ = with_bug(context.bug, *told_fleet_, context.fleet);
  honest_source_ = context.broker.source(name);
  told_source_ = std::make_unique<ToldSource>(*honest_source_, told_);
  source_ = with_bug(context.bug, *told_source_);
  journal_ = std::make_unique<control::Journal>(lines_, context.plan.pool.id(), context.spec_json, name);
  control::ControllerOptions options;
  // The decision is checked when it is made, before anybody acts on it.
  options.decide = [this, inner = decide_with_bug(context.bug)](
                       const pool::PoolSpec& spec, const control::ControlState& state, const model::Observation& seen) {
    control::Step step = inner(spec, state, seen);
    control::Snapshot snapshot;
    snapshot.tick = std::to_string(lines_.lines.size());
    snapshot.seen = seen;
    snapshot.decision = step.decision;
    context_.ledger.decided(told_, snapshot);
    acting_ = true;
    told_.requested_in_tick = 0;
    return step;
  };
  controller_ = std::make_unique<control::Controller>(context.loop, context.clock, due_, *source_, *fleet_, *journal_,
                                                      log_, context.plan.pool, std::move(options));
  controller_->after_tick = [this](const control::Snapshot& snapshot) {
    context_.ledger.acted(told_, snapshot);
    acting_ = false;
  };
}

Scaler::~Scaler() = default;

fleet::Fault Scaler::draw(fleet::Call call) {
  fleet::Fault out;
  if (context_.calm) {
    return out;
  }
  const FaultRates& rates = context_.plan.faults;
  Random& random = context_.random;
  out.fail_before = random.chance(rates.fleet_fail);
  out.fail_after = random.chance(rates.fleet_lose);
  if (random.chance(rates.fleet_delay)) {
    out.delay_before = random.between(Duration{0}, std::chrono::seconds{3});
    out.delay_after = random.between(Duration{0}, std::chrono::seconds{3});
  }
  if (call == fleet::Call::view && random.chance(rates.view_stale)) {
    out.stale = 1 + random.below(4);
  }
  return out;
}

Task<void> Scaler::live() {
  aio::TaskGroup group(context_.loop, context_.clock);
  group.spawn(controller_->run());
  co_await group.join();
}

}  // namespace sluice::sim
