// SPDX-License-Identifier: Apache-2.0
#pragma once
// The in-memory twin of every broker: any number of publishers, receivers and backlog sources on one queue, in one
// process, under any Clock. It passes queue/conformance.h like the real ones, breaks on request (Faults), and can be
// looked into, which is what a simulation's invariants need. Loop thread only; it outlives what its factories made.
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aio/clock.h"
#include "base/random.h"
#include "queue/backlog_source.h"
#include "queue/publisher.h"
#include "queue/receiver.h"

namespace sluice::queue {

struct MemoryOptions {
  std::optional<Duration> lease = {};  // none: a delivery is held until its Receiver dies
  Duration notice_death{0};            // from the death of a Receiver to the return of what it had
  Duration latency_low{0};             // every exchange takes between low and high, one way
  Duration latency_high{0};
  std::size_t body_max = 16U << 20U;
  bool dedupe = true;           // false: a re-sent id is a second copy, as on RabbitMQ
  bool begins_at_once = false;  // true: as on RabbitMQ, which is told nothing when a handler starts
};

enum class Op { open, publish, receive, begin, ack, retry, requeue, dead_letter, extend, cancel, close, sample };
[[nodiscard]] std::string_view word(Op op);

// What goes wrong. Consulted around every exchange; the default breaks nothing. `who` is the owner's name.
class Faults {
 public:
  struct Before {
    Duration delay{0};
    bool fail = false;  // not done, and the caller hears of it
  };
  struct After {
    Duration delay{0};
    bool lose = false;  // done, and the caller hears that it failed
  };
  struct Sampled {
    Duration stale{0};         // answer with what was sampled this long ago, or the oldest known, times and all
    std::uint32_t absent = 0;  // bits of absent_ready.. below: these fields stay empty
  };
  enum Absent : std::uint32_t {
    absent_ready = 1,
    absent_in_flight = 2,
    absent_total = 4,
    absent_delayed = 8,
    absent_dead = 16,
    absent_consumers = 32,
    absent_oldest_age = 64,
    absent_published_n = 128,
    absent_acked_n = 256
  };
  virtual ~Faults() = default;
  virtual Before before(Op, std::string_view /*who*/) { return {}; }
  virtual After after(Op, std::string_view /*who*/) { return {}; }
  virtual Sampled sampled(std::string_view /*who*/) { return {}; }
};

// Where a copy of a message is.
enum class Place { ready, held, running, delayed, dead, done };
[[nodiscard]] std::string_view word(Place place);

// Everything the broker knows of one id. The sum of `copies` is at least 1, and exactly 1 while ids are sent once.
struct Trace {
  std::array<std::uint32_t, 6> copies{};  // by Place
  bool confirmed = false;                 // a publisher was told so
  std::uint32_t deliveries = 0;
  std::uint32_t attempts = 0;  // the largest count handed out so far
  Cause cause = Cause::none;   // of the last return or of the dead letter
  [[nodiscard]] std::uint32_t at(Place place) const { return copies[static_cast<std::size_t>(place)]; }
};

struct MemoryEvent {
  enum class Kind { published, delivered, begun, finished, acked, delayed, due, returned, dead };
  Kind kind;
  Time at;
  std::string_view id;
  std::string_view who;        // the Receiver's owner; empty for published and due
  std::uint32_t attempts = 0;  // after the event
  Cause cause = Cause::none;
};

struct MemoryDeadLetter {
  Message message;
  Cause cause = Cause::none;
  std::uint32_t attempts = 0;
  std::string why;
  std::string who;
  Time at;
};

class MemoryBroker {
 public:
  // All references outlive the broker. `random` draws latencies only.
  MemoryBroker(aio::Loop& loop, aio::Clock& clock, Random& random, MemoryOptions options = {});
  ~MemoryBroker();

  [[nodiscard]] std::unique_ptr<Publisher> publisher(std::string who);
  // A Receiver destroyed before close() has died: see kill().
  [[nodiscard]] std::unique_ptr<Receiver> receiver(std::string who);
  [[nodiscard]] std::unique_ptr<BacklogSource> source(std::string who);

  // The process of this Receiver, or of every Receiver of this owner, is dead: held comes back as requeued, running as
  // crash, finished as ack unknown. Its calls, waiting ones too, answer Code::gone from now on.
  void kill(Receiver& receiver);
  void kill(std::string_view who);
  // The connection of this Receiver is lost: what it held comes back as after a kill, it is told so, and goes on.
  void cut(Receiver& receiver);

  void set_faults(Faults* faults);  // null: none. Outlives its use here
  // Nothing is answered until then; what waits longer than its deadline fails undone.
  void freeze(Time until);
  void on_event(std::function<void(const MemoryEvent&)> callback);  // must not call back into the broker

  // Nullptr: no copy was ever stored.
  [[nodiscard]] const Trace* trace(const std::string& id);
  void for_each(const std::function<void(const std::string& id, const Trace&)>& look);
  [[nodiscard]] std::uint64_t count(Place place);  // copies; done: since the start
  [[nodiscard]] const std::vector<MemoryDeadLetter>& dead_letters() const;
  // Cheap self-check: every stored copy is somewhere, published = sum over the places. Bug (check) otherwise.
  void verify();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace sluice::queue
