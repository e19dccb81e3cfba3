// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one thread that talks to SQLite, and the bounded channel to it.
//
//   loop: ask() --> channel --> thread: takes all that waits, one transaction, one commit --> Loop::post --> loop:
//   answer
//
// A request that waits is `pending`, one inside a transaction `started`: at its deadline the first is withdrawn
// (nothing was done), of the second nobody knows. While receivers wait, the thread also watches the file for commits of
// other processes, for delays that end and for workers that died.
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/event.h"
#include "aio/loop.h"
#include "base/random.h"
#include "queue/local/store.h"

namespace sluice::queue::local {

enum class Fate {
  done,     // committed
  undone,   // certainly not in the file
  unknown,  // cut off: may be in the file
};

struct Verdict {
  Fate fate = Fate::undone;
  Error error;  // unless done
};

// One piece of work for the thread. Its fields pass from loop to thread and back with the channel's lock.
class Request {
 public:
  virtual ~Request() = default;
  // Inside a transaction; again after a rollback. May throw SqlFailure or DamagedRow.
  virtual void run(Store& store, std::int64_t now_ms) = 0;
  // On the loop, with or without a waiting caller.
  virtual void answered(Fate) {}

  aio::Deadline deadline;
  bool writes = true;     // false: runs in a reading transaction unless something else writes
  bool claims = false;    // takes messages: worth a writing transaction when some are ready
  std::size_t bytes = 0;  // of bodies, for the channel's limit

 private:
  friend class Engine;
  enum Stage { pending, started, withdrawn };
  std::atomic<int> stage_ = pending;
  Verdict verdict_;                     // the thread's until it is posted, then the loop's
  bool answered_ = false;               // loop only
  std::optional<aio::Resumer> waiter_;  // loop only
};

// A request that is a function and leaves a value.
template <class T>
class Question final : public Request {
 public:
  explicit Question(std::function<T(Store&, std::int64_t now_ms)> work) : work_(std::move(work)) {}
  void run(Store& store, std::int64_t now_ms) override { answer.emplace(work_(store, now_ms)); }
  void answered(Fate fate) override {
    if (on_loop) {
      on_loop(fate, answer);
    }
  }
  std::optional<T> answer;                               // once ask() said Fate::done
  std::function<void(Fate, std::optional<T>&)> on_loop;  // also when nobody waits for it any more

 private:
  std::function<T(Store&, std::int64_t)> work_;
};

struct EngineOptions {
  bool create = true;
  std::string vfs;
  std::size_t requests_max = 1024;  // in the channel; more wait in ask()
  std::size_t bytes_max = 64U << 20U;
  Duration look_every = std::chrono::milliseconds{250};
};

class Engine {
 public:
  // All references outlive it. `clock` is read from the thread too, so it is a real one.
  Engine(aio::Loop& loop, aio::Clock& clock, Random& random, std::string path, EngineOptions options);
  ~Engine();  // finishes what was started, fails the rest
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Puts the request through and says what became of it.
  [[nodiscard]] aio::Task<Verdict> ask(std::shared_ptr<Request> request);

  // While one exists, the thread looks for ready messages by itself and notifies ready().
  class Watching {
   public:
    explicit Watching(Engine& engine);
    ~Watching();
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;

   private:
    Engine& engine_;
  };
  [[nodiscard]] aio::Event& ready() { return ready_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] aio::Clock& clock() { return clock_; }

 private:
  struct Thread;
  struct Withdraw;
  void submit(std::shared_ptr<Request> request);
  [[nodiscard]] aio::Task<bool> room(aio::Deadline deadline, std::size_t bytes);
  void completed(const std::vector<std::shared_ptr<Request>>& requests, bool ready);

  aio::Loop& loop_;
  aio::Clock& clock_;
  std::string path_;
  EngineOptions options_;
  std::vector<std::shared_ptr<Request>> outgoing_;  // of this turn of the loop
  aio::Event ready_;
  aio::Event room_;
  std::size_t requests_ = 0;
  std::size_t bytes_ = 0;
  std::shared_ptr<Engine*> self_;  // null inside once the engine is gone: what the thread posts may run later
  std::unique_ptr<Thread> thread_;
};

}  // namespace sluice::queue::local
