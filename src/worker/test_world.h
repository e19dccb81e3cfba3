// SPDX-License-Identifier: Apache-2.0
#pragma once
// For tests: a queue in memory, virtual time, a handler that follows a script, and worker processes that can crash.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "queue/memory.h"
#include "worker/runtime.h"

namespace sluice::worker::testing {

using namespace std::chrono_literals;
using aio::Deadline;
using aio::Task;
using queue::Cause;
using queue::Place;

// What one run of the handler does.
struct Step {
  Outcome outcome = Outcome::done();
  Duration work{0};
  bool crash = false;   // the worker's process dies in it
  bool throws = false;  // after the work
};

struct Seen {
  std::string id;
  std::uint32_t attempt = 0;
  Cause cause = Cause::none;
  Time at;
  int beside = 0;  // other handlers running then
};

class ScriptHandler final : public Handler {
 public:
  ScriptHandler(aio::Loop& loop, aio::Clock& clock) : loop_(loop), clock_(clock) {}
  Result<void> check() override { return able; }
  Task<Outcome> handle(const queue::Delivery& delivery, std::uint32_t attempt, Deadline) override {
    const std::string id = delivery.message.id;
    runs.push_back({id, attempt, delivery.cause, clock_.now(), running});
    const Step step = next(id);
    const Running scope(running);
    if (step.crash) {
      crash();
      co_await clock_.sleep_until(Time::max());
    }
    if (step.work > Duration{0}) {
      co_await clock_.sleep_for(step.work);
    }
    if (step.throws) {
      throw std::runtime_error("out of cheese");
    }
    if (step.outcome.kind == Outcome::Kind::done) {
      succeeded.insert(id);
    }
    co_return step.outcome;
  }
  std::unique_ptr<Run> start_at_once(std::shared_ptr<const queue::Delivery> delivery, std::uint32_t attempt,
                                     std::move_only_function<void(Outcome)> ended) override {
    if (!at_once) {
      return nullptr;
    }
    auto play = std::make_shared<Play>(loop_, clock_);
    play->ended = std::move(ended);
    loop_.start(perform(play, std::move(delivery), attempt), [](const std::exception_ptr&) {});
    return std::make_unique<PlayRun>(std::move(play));
  }
  [[nodiscard]] std::vector<Seen> runs_of(const std::string& id) const {
    std::vector<Seen> out;
    for (const Seen& run : runs) {
      if (run.id == id) {
        out.push_back(run);
      }
    }
    return out;
  }

  std::map<std::string, std::vector<Step>> script;  // by id; the last step repeats; without an entry: `usual`
  Step usual;
  Result<void> able;
  std::function<void()> crash = [] {};
  std::vector<Seen> runs;
  std::multiset<std::string> succeeded;
  int running = 0;
  bool at_once = false;  // started without a coroutine of the worker's

 private:
  // One run on its own.
  struct Play {
    Play(aio::Loop& loop, aio::Clock& clock) : group(loop, clock), over_changed(clock) {}
    aio::TaskGroup group;
    std::move_only_function<void(Outcome)> ended;
    std::optional<Outcome> outcome;
    bool over = false;
    aio::Event over_changed;
  };
  class PlayRun final : public Run {
   public:
    explicit PlayRun(std::shared_ptr<Play> play) : play_(std::move(play)) {}
    ~PlayRun() override {
      play_->ended = nullptr;
      play_->group.cancel();
    }
    Task<std::optional<Outcome>> cancel() override {
      play_->ended = nullptr;
      play_->group.cancel();
      while (!play_->over) {
        co_await play_->over_changed.wait(Deadline{});
      }
      co_return play_->outcome;
    }

   private:
    std::shared_ptr<Play> play_;
  };
  Task<void> keep(std::shared_ptr<Play> play, const queue::Delivery& delivery, std::uint32_t attempt) {
    Outcome outcome = co_await handle(delivery, attempt, Deadline{});
    play->outcome = std::move(outcome);
  }
  Task<void> perform(std::shared_ptr<Play> play, std::shared_ptr<const queue::Delivery> delivery,
                     std::uint32_t attempt) {
    co_await clock_.sleep_until(clock_.now());  // the worker is in the middle of starting it
    play->group.spawn(keep(play, *delivery, attempt));
    co_await play->group.join();
    play->over = true;
    play->over_changed.notify();
    if (play->ended) {
      std::exchange(play->ended, nullptr)(*play->outcome);
    }
  }
  struct Running {
    explicit Running(int& n) : count(n) { ++count; }
    ~Running() { --count; }
    int& count;
  };
  Step next(const std::string& id) {
    const auto found = script.find(id);
    if (found == script.end()) {
      return usual;
    }
    const Step step = found->second.front();
    if (found->second.size() > 1) {
      found->second.erase(found->second.begin());
    }
    return step;
  }
  aio::Loop& loop_;
  aio::Clock& clock_;
};

struct Note final : Observer {
  void ready() override { ++ready_n; }
  void settled(const Settled& s) override {
    lines.push_back(std::string(s.id) + " " + std::to_string(s.attempt) + " " + std::string(word(s.fate)));
  }
  void trouble(std::string_view what) override { troubles.emplace_back(what); }
  void recovered(Duration after) override { recoveries.push_back(after); }
  int ready_n = 0;
  std::vector<std::string> lines;
  std::vector<std::string> troubles;
  std::vector<Duration> recoveries;
};

class World {
 public:
  explicit World(queue::MemoryOptions queue_options = {})
      : broker(loop, clock, random, queue_options), handler(loop, clock) {
    handler.at_once = queue_options.begins_at_once;
    options.worker = "w0";
    options.idle_exit = 10s;
    options.lease = queue_options.lease;
    broker.on_event([this](const queue::MemoryEvent& e) {
      if (e.kind == queue::MemoryEvent::Kind::acked) {
        EXPECT_TRUE(handler.succeeded.contains(std::string(e.id))) << e.id << " was acknowledged before it was done";
      }
    });
  }
  ~World() { broker.verify(); }

  Task<void> publish(std::vector<std::string> ids) {
    std::vector<queue::Message> batch;
    for (const std::string& id : ids) {
      batch.push_back({.id = id, .body = body, .headers = {}, .type = {}, .priority = 0, .published_at = clock.wall()});
    }
    const Deadline deadline = clock.in(1min);
    const auto publisher = broker.publisher("p");
    const std::vector<queue::Published> answers = co_await publisher->publish(std::move(batch), deadline);
    for (const queue::Published& answer : answers) {
      EXPECT_EQ(answer.state, queue::PublishState::confirmed) << answer.why;
    }
  }

  // One worker process from its start to its end; nothing: it crashed.
  Task<std::optional<Result<Summary>>> process() {
    std::unique_ptr<queue::Receiver> receiver = broker.receiver("w" + std::to_string(++processes));
    Runtime life(loop, clock, random, *receiver, handler, options, note);
    runtime = &life;
    std::optional<Result<Summary>> end;
    aio::TaskGroup group(loop, clock);
    handler.crash = [&] {
      broker.kill(*receiver);
      group.cancel();
    };
    group.spawn(keep_end(life, end));
    co_await group.join();
    report = life.report();
    runtime = nullptr;
    crashes += end ? 0 : 1;
    co_return end;
  }

  // Processes one after the other until one ends by itself.
  Task<Result<Summary>> serve() {
    while (true) {
      std::optional<Result<Summary>> end = co_await process();
      if (end) {
        co_return std::move(*end);
      }
    }
  }

  void run(Task<void> main) { clock.run(std::move(main)); }
  // Runs `story`, given this world; it captures nothing.
  void run(Task<void> (*story)(World&)) { clock.run(story(*this)); }

  [[nodiscard]] std::uint64_t at(Place place) { return broker.count(place); }
  [[nodiscard]] bool nothing_held() { return at(Place::held) == 0 && at(Place::running) == 0; }

  aio::Loop loop;
  aio::VirtualClock clock{loop};
  Random random{7};
  queue::MemoryBroker broker;
  ScriptHandler handler;
  Note note;
  RuntimeOptions options;
  std::string body = "work";
  Runtime* runtime = nullptr;  // of the living process
  WorkerReport report;         // of the last one that ended
  int processes = 0;
  int crashes = 0;

 private:
  static Task<void> keep_end(Runtime& life, std::optional<Result<Summary>>& end) {
    Result<Summary> result = co_await life.run();
    end.emplace(std::move(result));
  }
};

// `n` ids: m0, m1, ..
inline std::vector<std::string> ids(int n) {
  std::vector<std::string> out;
  for (int i = 0; i < n; ++i) {
    out.push_back("m" + std::to_string(i));
  }
  return out;
}

// Asks the living process to drain (or stop) at a time.
inline Task<void> drain_at(World& w, Time at, int times) {
  co_await w.clock.sleep_until(at);
  if (w.runtime != nullptr && times > 0) {
    w.runtime->request_drain();
  }
  if (w.runtime != nullptr && times > 1) {
    w.runtime->request_stop_now();
  }
}

}  // namespace sluice::worker::testing
