// SPDX-License-Identifier: Apache-2.0
#pragma once
// A sluice worker in a C++ program of your own:
//
//   #include <sluice/worker.h>
//   int main() {
//     sluice::Worker worker;
//     return worker.run([](const sluice::Message& message) {
//       store(message.body());
//       return sluice::Outcome::done();
//     });
//   }
//
// It is configured by the environment (SLUICE_QUEUE and the rest), as `sluice work` is, so a scaler runs it by naming
// the program in a pool's `run.command`. A message is acknowledged after the function returned done(), never before.
// C++17; nothing but the standard library is included here.
//
// CMake: find_package(sluice REQUIRED) and target_link_libraries(... PRIVATE sluice::worker).
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

// One delivery. Valid until the function that got it returns.
class Message {
 public:
  // Stays the same when the message comes again: what makes work idempotent.
  const std::string& id() const;
  const std::string& body() const;  // any bytes
  const std::string& type() const;
  const std::vector<std::pair<std::string, std::string>>& headers() const;
  // The first header of that name, or null.
  const std::string* header(const std::string& name) const;
  // From 1; grows when the message was tried before.
  int attempt() const;
  // Why it came again: "crash", "lost lease", "ack unknown", "requeued", "retried", "failed"; empty the first time.
  const std::string& cause() const;
  // Turns true when the result is no longer wanted: the time is up, the lease is lost, the worker must leave. A
  // function that runs for long looks here from time to time and returns; one that does not within 10 s ends its
  // worker.
  bool cancelled() const;

  struct Impl;
  explicit Message(const Impl& impl) : impl_(impl) {}
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

 private:
  const Impl& impl_;
};

// What became of a message. A function that throws has failed.
class Outcome {
 public:
  enum class Kind { done, retry, failed, permanent };

  // Acknowledge it.
  static Outcome done() { return Outcome(Kind::done, {}, {}); }
  // Again later: after the pool's delay for this attempt, or after `delay`.
  static Outcome retry(std::string why) { return Outcome(Kind::retry, std::move(why), {}); }
  static Outcome retry_after(std::chrono::milliseconds delay, std::string why) {
    return Outcome(Kind::retry, std::move(why), delay);
  }
  // Again later, and to the dead letters after the pool's number of attempts.
  static Outcome failed(std::string why) { return Outcome(Kind::failed, std::move(why), {}); }
  // To the dead letters now: it can never succeed.
  static Outcome permanent(std::string why) { return Outcome(Kind::permanent, std::move(why), {}); }

  Kind kind() const { return kind_; }
  const std::string& why() const { return why_; }
  std::optional<std::chrono::milliseconds> delay() const { return delay_; }

 private:
  Outcome(Kind kind, std::string why, std::optional<std::chrono::milliseconds> delay)
      : kind_(kind), why_(std::move(why)), delay_(delay) {}
  Kind kind_;
  std::string why_;
  std::optional<std::chrono::milliseconds> delay_;
};

// What is said here goes before the environment; what is said nowhere has the default in brackets.
struct WorkerOptions {
  // The file of a local queue, or JSON as in SLUICE_QUEUE: {"queue":{"local":{"path":"orders.db"}}}.
  std::string queue;
  // SLUICE_WORKER [worker-<process id>]
  std::string name;
  // Messages at once, each on a thread (at most two threads a core). 0: SLUICE_CONCURRENCY [1]
  int concurrency = 0;
  // The function never blocks and returns within milliseconds: it runs on the thread of run(), one call at a time, and
  // a message costs half as much as with a thread of its own. While it runs there is no heartbeat and no answer to a
  // signal, and cancelled() never turns true, so one that takes longer than 50 ms is said in the log.
  bool brief = false;
  // Leave when the queue has been empty for this long. SLUICE_IDLE_EXIT [never]
  std::optional<std::chrono::milliseconds> idle_exit;
  // Of one message. SLUICE_MAX_RUNTIME [no limit]
  std::optional<std::chrono::milliseconds> max_runtime;
  // From the request to drain to the end; what runs longer is put back.
  std::chrono::milliseconds grace = std::chrono::seconds(30);
  // While run() lives, SIGTERM and SIGINT drain, a second one puts back at once. false: they are the program's own.
  bool handle_signals = true;
  // Gets each line for people, on the thread of run(). Empty: standard error.
  std::function<void(const std::string&)> log;
};

class Worker {
 public:
  explicit Worker(WorkerOptions options = {});
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Takes messages until the queue stays empty or it is asked to drain; call once. `handle` runs on threads of the
  // worker's own, several at once, and may block (WorkerOptions::brief: on this one). Returns what main() should: 0
  // done, 1 failed, 2 wrong configuration (nothing was taken); then error() says why.
  int run(std::function<Outcome(const Message&)> handle);
  // Takes no more, finishes what runs, leaves. From any thread, also before run(). Not from a signal handler.
  void drain();

  // Why run() did not return 0.
  const std::string& error() const;
  // How it went, as JSON: the answer of GET /worker. After run().
  const std::string& report() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
