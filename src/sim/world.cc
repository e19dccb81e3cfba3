// SPDX-License-Identifier: Apache-2.0
#include "sim/world.h"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <list>
#include <memory>

#include "control/journal_read.h"
#include "sim/ledger.h"
#include "sim/plan.h"
#include "sim/scaler.h"
#include "sim/sim_worker.h"

namespace sluice::sim {
namespace {

using namespace std::chrono_literals;
using aio::Task;

// The broker's faults, drawn for every exchange while chaos lasts.
class DrawnFaults final : public queue::Faults {
 public:
  DrawnFaults(const FaultRates& rates, Random& random, const bool& calm)
      : rates_(rates), random_(random), calm_(calm) {}
  Before before(queue::Op, std::string_view) override {
    Before out;
    if (!calm_) {
      out.fail = random_.chance(rates_.queue_fail);
      out.delay = random_.chance(rates_.queue_delay) ? random_.between(0s, 2s) : Duration{0};
    }
    return out;
  }
  After after(queue::Op, std::string_view) override {
    After out;
    if (!calm_) {
      out.lose = random_.chance(rates_.queue_lose);
      out.delay = random_.chance(rates_.queue_delay) ? random_.between(0s, 2s) : Duration{0};
    }
    return out;
  }
  Sampled sampled(std::string_view) override {
    Sampled out;
    if (!calm_) {
      out.stale = random_.chance(rates_.sample_stale) ? random_.between(0s, 10s) : Duration{0};
      out.absent = random_.chance(rates_.sample_absent) ? static_cast<std::uint32_t>(random_.below(512)) : 0;
    }
    return out;
  }

 private:
  const FaultRates& rates_;
  Random& random_;
  const bool& calm_;
};

class World {
 public:
  World(std::uint64_t seed, Bug bug);
  Verdict run();

 private:
  Task<void> main();
  Task<void> publish();
  Task<void> chaos();
  Task<void> one_fault(Duration mean, std::function<void()> strike);
  Task<void> end_chaos(aio::TaskGroup& faults);
  Task<void> scaler_death(aio::TaskGroup& process, aio::Deadline end);
  Task<void> scaler_life(std::string name, bool only_in_chaos);
  Task<void> until_rest();
  void spawn_worker(const fleet::Spawned& spawned);
  SimWorker* random_worker();
  SimWorker* find(const std::string& id);
  void crash_worker();
  void replay_journals();
  [[nodiscard]] bool over() const { return ledger_.violation().has_value(); }

  Bug bug_;
  Plan plan_;
  Random random_;
  Random latency_;
  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  bool calm_ = false;
  bool published_all_ = false;
  Ledger ledger_;
  queue::MemoryBroker broker_;
  DrawnFaults faults_;
  fleet::MemoryFleet fleet_;
  std::string spec_json_ = "{}";
  SimWorkerContext worker_context_;
  ScalerContext scaler_context_;
  std::list<std::unique_ptr<SimWorker>> workers_;
  std::list<std::unique_ptr<Scaler>> scalers_;
  aio::TaskGroup* world_ = nullptr;
  aio::Event stop_;  // violated, or at rest
  aio::Event crash_scaler_;
};

World::World(std::uint64_t seed, Bug bug)
    : bug_(bug),
      plan_(draw_plan(seed)),
      random_(seed ^ 0x5eed),
      latency_(seed ^ 0x1a7e),
      ledger_(plan_, clock_),
      broker_(loop_, clock_, latency_, plan_.broker),
      faults_(plan_.faults, random_, calm_),
      fleet_(clock_, Random(seed ^ 0xf1ee7), plan_.fleet),
      worker_context_{loop_, clock_, broker_, fleet_, ledger_, plan_, bug},
      scaler_context_{loop_, clock_, random_, broker_, fleet_, ledger_, plan_, spec_json_, calm_, bug},
      stop_(clock_),
      crash_scaler_(clock_) {
  broker_.set_faults(&faults_);
  broker_.on_event([this](const queue::MemoryEvent& event) { ledger_.queue_event(event); });
  fleet_.on_spawn = [this](const fleet::Spawned& spawned) { spawn_worker(spawned); };
  fleet_.on_drain = [this](const std::string& id) {
    if (SimWorker* worker = find(id)) {
      worker->drain();
    }
  };
  fleet_.on_kill = [this](const std::string& id) {
    ledger_.worker_ended(id);
    if (SimWorker* worker = find(id)) {
      worker->die(false);
    }
  };
  fleet_.on_event = [this](const fleet::FleetEvent& event) {
    ledger_.fleet_event(event);
    if (event.kind == fleet::FleetEventKind::requested && !plan_.two_scalers && !scalers_.empty()) {
      scalers_.back()->worker_requested();
    }
  };
}

void World::spawn_worker(const fleet::Spawned& spawned) {
  workers_.push_back(std::make_unique<SimWorker>(worker_context_, spawned, random_.next()));
  world_->spawn(workers_.back()->live());
}

SimWorker* World::find(const std::string& id) {
  const auto found = std::ranges::find_if(workers_, [&](const auto& worker) { return worker->id() == id; });
  return found == workers_.end() ? nullptr : found->get();
}

SimWorker* World::random_worker() {
  std::vector<SimWorker*> alive;
  for (const auto& worker : workers_) {
    if (worker->alive()) {
      alive.push_back(worker.get());
    }
  }
  return alive.empty() ? nullptr : alive[random_.below(alive.size())];
}

void World::crash_worker() {
  if (SimWorker* worker = random_worker()) {
    ledger_.chaos_will_end(worker->id());
    fleet_.crash(worker->slot(), SIGKILL, worker->settled_count());
  }
}

// Sends again under the same id until it is confirmed, as a careful publisher does.
Task<void> World::publish() {
  const std::unique_ptr<queue::Publisher> publisher = broker_.publisher("publisher");
  int n = 0;
  for (const Duration gap : plan_.gaps) {
    co_await clock_.sleep_for(gap);
    const bool poison = n < plan_.poison;
    const std::string id = fmt::format("{}{}", poison ? "poison" : "m", n++);
    for (int tries = 0; !over(); ++tries) {
      const bool renamed = bug_ == Bug::resend_with_new_id && tries > 0;
      queue::Message message{.id = renamed ? fmt::format("{}-again{}", id, tries) : id, .body = "work"};
      std::vector<queue::Message> batch;
      batch.push_back(std::move(message));
      const aio::Deadline deadline = clock_.in(5s);
      const std::vector<queue::Published> out = co_await publisher->publish(std::move(batch), deadline);
      if (out.at(0).state == queue::PublishState::confirmed) {
        ledger_.confirmed(id);
        break;
      }
      co_await clock_.sleep_for(100ms);
    }
  }
  published_all_ = true;
}

Task<void> World::one_fault(Duration mean, std::function<void()> strike) {
  while (!calm_) {
    const Duration pause = random_.between(mean / 2, mean * 3 / 2);
    co_await clock_.sleep_for(pause);
    if (!calm_) {
      strike();
    }
  }
}

Task<void> World::chaos() {
  aio::TaskGroup group(loop_, clock_);
  const auto spawn = [&](Duration mean, std::function<void()> strike) {
    if (mean > Duration{0}) {
      group.spawn(one_fault(mean, std::move(strike)));
    }
  };
  spawn(plan_.chaos.crash_worker, [this] { crash_worker(); });
  spawn(plan_.chaos.crash_scaler, [this] { crash_scaler_.notify(); });
  spawn(plan_.chaos.freeze_broker, [this] { broker_.freeze(clock_.now() + random_.between(0s, 20s)); });
  spawn(plan_.chaos.drain_worker, [this] {
    if (SimWorker* worker = random_worker()) {
      worker->drain();
    }
  });
  spawn(plan_.chaos.lose_node, [this] {
    const int node = 1 + static_cast<int>(random_.below(static_cast<std::uint64_t>(plan_.fleet.nodes.max)));
    for (const auto& worker : workers_) {
      ledger_.chaos_will_end(worker->id());  // whoever is on that node; the others stay
    }
    fleet_.lose_node(node);
  });
  group.spawn(end_chaos(group));
  co_await group.join();
}

Task<void> World::end_chaos(aio::TaskGroup& faults) {
  co_await clock_.sleep_for(plan_.chaos_for);
  calm_ = true;
  faults.cancel();
}

Task<void> World::scaler_death(aio::TaskGroup& process, aio::Deadline end) {
  co_await crash_scaler_.wait(end);
  process.cancel();
}

// A scaler process, started again a while after each crash, with empty memory.
Task<void> World::scaler_life(std::string name, bool only_in_chaos) {
  for (int life = 0; !(only_in_chaos && calm_); ++life) {
    scalers_.push_back(std::make_unique<Scaler>(scaler_context_, fmt::format("{}{}", name, life)));
    aio::TaskGroup group(loop_, clock_);
    group.spawn(scalers_.back()->live());
    group.spawn(scaler_death(group, only_in_chaos ? clock_.in(plan_.chaos_for) : aio::Deadline{}));
    co_await group.join();
    const Duration down = random_.between(0s, 15s);
    co_await clock_.sleep_for(down);
  }
}

Task<void> World::until_rest() {
  const aio::Deadline limit = clock_.in(plan_.chaos_for + plan_.calm_for);
  while (!limit.passed(clock_.now())) {
    co_await clock_.sleep_for(1s);
    const bool rest =
        calm_ && published_all_ && ledger_.all_settled(broker_) && fleet_.live() <= plan_.pool.spec.workers.min;
    if (rest || over()) {
      break;
    }
  }
  stop_.notify();
}

Task<void> World::main() {
  aio::TaskGroup group(loop_, clock_);
  world_ = &group;
  group.spawn(fleet_.run());
  group.spawn(publish());
  group.spawn(chaos());
  group.spawn(scaler_life("a", false));
  if (plan_.two_scalers) {
    group.spawn(scaler_life("b", true));
  }
  group.spawn(until_rest());
  const aio::Wake why = co_await stop_.wait(aio::Deadline{});
  (void)why;
  ledger_.final_check(broker_, fleet_);
  for (const auto& worker : workers_) {
    worker->die(false);
  }
  group.cancel();
  co_await group.join();
}

// I7: every decision is the same when its journal is run again.
void World::replay_journals() {
  for (const auto& scaler : scalers_) {
    control::Replay replay([&](std::string_view) -> Result<pool::PoolSpec> { return plan_.pool.spec; });
    for (const std::string& line : scaler->journal()) {
      const Result<control::JournalLine> parsed = control::parse_journal_line(line);
      if (!parsed) {
        ledger_.violate(fmt::format("I7 a journal line does not read back: {}", parsed.error().what));
        return;
      }
      const auto replayed = replay.feed(*parsed);
      if (!replayed || (*replayed && !(*replayed)->same)) {
        ledger_.violate(fmt::format("I7 run again, this tick decides differently: {}", line.substr(0, 60)));
        return;
      }
    }
  }
}

Verdict World::run() {
  const auto watch = [this] {
    if (over()) {
      stop_.notify();
    }
  };
  clock_.run(main(), watch);
  if (!over()) {
    broker_.verify();
    replay_journals();
  }
  return Verdict{.seed = plan_.seed,
                 .violation = ledger_.violation(),
                 .plan = plan_.describe(),
                 .events = clock_.events(),
                 .workers_started = fleet_.spawned(),
                 .messages = plan_.messages};
}

}  // namespace

Verdict run_seed(std::uint64_t seed, Bug bug) {
  return World(seed, bug).run();
}

}  // namespace sluice::sim
