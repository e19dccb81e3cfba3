// SPDX-License-Identifier: Apache-2.0
#pragma once
// What queue/conformance.h's tests stand on: the rig an implementation brings, and the steps most tests share.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/loop.h"
#include "aio/task_group.h"
#include "queue/backlog_source.h"
#include "queue/publisher.h"
#include "queue/receiver.h"

namespace sluice::queue::conformance {

using aio::Deadline;
using aio::Task;
using namespace std::chrono_literals;

// What a broker can do beyond the seam's minimum.
struct Abilities {
  bool dedupe = true;  // knows an id that is waiting or running
  bool priorities = true;
  bool counts = true;           // published_n, acked_n, delayed and dead are sampled
  bool labels_unbegun = true;   // tells a held message of a dead Receiver from a running one
  bool labels_finished = true;  // and one whose handler had succeeded
  bool keeps_place = true;      // of a message that is handed back
  bool ordered = true;          // delivers in the order of publishing
  bool tells_others = true;     // why a message comes again, to another Receiver; else it says "redelivered", and
                                // each delivery that was not acknowledged counts as an attempt
  bool samples = true;          // can be asked for its backlog; else source() is null
  bool pushes = false;          // sends ahead of receive(), so that one Receiver may hold all there is
  std::optional<Duration> lease = {};  // of a Receiver that says nothing
};

struct DeadLetter {
  std::string id;
  Cause cause = Cause::none;
  std::uint32_t attempts = 0;
  std::string why;
};

// One fresh, empty queue and the time it lives in.
class Rig {
 public:
  virtual ~Rig() = default;
  virtual aio::Loop& loop() = 0;
  virtual aio::Clock& clock() = 0;
  virtual void run(Task<void> main) = 0;
  virtual Abilities abilities() const = 0;
  virtual std::unique_ptr<Publisher> publisher() = 0;
  virtual std::unique_ptr<Receiver> receiver(std::string who) = 0;
  virtual std::unique_ptr<BacklogSource> source() = 0;
  // The process of this Receiver dies here and now.
  virtual void kill(std::unique_ptr<Receiver> receiver) = 0;
  virtual Task<std::vector<DeadLetter>> dead_letters() = 0;
};

struct Maker {
  std::string name;
  std::function<std::unique_ptr<Rig>()> make;
};

// Short for people, long against a slow machine: nothing here waits this long unless it fails.
inline constexpr Duration patience = 20s;
// A retry delay that a real clock can afford and a poll cannot miss.
inline constexpr Duration delay = 60ms;

class QueueConformance : public testing::TestWithParam<Maker> {
 protected:
  // `body` captures nothing: everything it needs is in the rig.
  void run(Task<void> (*body)(Rig&)) {
    const std::unique_ptr<Rig> rig = GetParam().make();
    rig->run(body(*rig));
  }
};

inline Message message(std::string id, std::string body = "work") {
  return Message{
      .id = std::move(id), .body = std::move(body), .headers = {}, .type = {}, .priority = 0, .published_at = {}};
}

// Publishes and expects every message confirmed.
inline Task<void> put(Rig& rig, std::vector<Message> batch) {
  const std::size_t n = batch.size();
  const std::unique_ptr<Publisher> publisher = rig.publisher();
  const Deadline deadline = rig.clock().in(patience);
  const std::vector<Published> answers = co_await publisher->publish(std::move(batch), deadline);
  EXPECT_EQ(answers.size(), n);
  for (const Published& answer : answers) {
    EXPECT_EQ(answer.state, PublishState::confirmed) << answer.why;
  }
}

inline Task<void> put(Rig& rig, std::vector<std::string> ids) {
  std::vector<Message> batch;
  for (std::string& id : ids) {
    batch.push_back(message(std::move(id)));
  }
  co_await put(rig, std::move(batch));
}

inline Task<std::unique_ptr<Receiver>> opened(Rig& rig, std::string who) {
  std::unique_ptr<Receiver> receiver = rig.receiver(who);
  const Deadline deadline = rig.clock().in(patience);
  const Result<void> open = co_await receiver->open(deadline);
  EXPECT_TRUE(open) << (open ? "" : open.error().what);
  co_return receiver;
}

inline void expect_done(const Result<void>& result) {
  EXPECT_TRUE(result) << (result ? "" : result.error().what);
}

// Up to n deliveries within the patience; fewer fail the test.
inline Task<std::vector<Delivery>> take(Rig& rig, Receiver& receiver, std::size_t n) {
  std::vector<Delivery> all;
  const Deadline deadline = rig.clock().in(patience);
  while (all.size() < n && !deadline.passed(rig.clock().now())) {
    const std::size_t rest = n - all.size();
    Result<std::vector<Delivery>> some = co_await receiver.receive(rest, deadline);
    EXPECT_TRUE(some) << (some ? "" : some.error().what);
    if (!some) {
      break;
    }
    std::ranges::move(*some, std::back_inserter(all));
  }
  EXPECT_EQ(all.size(), n);
  all.resize(n);  // a failed test goes on with blanks instead of reading past the end
  co_return all;
}

inline Task<void> expect_nothing(Rig& rig, Receiver& receiver, Duration for_long) {
  const Deadline deadline = rig.clock().in(for_long);
  const Result<std::vector<Delivery>> none = co_await receiver.receive(10, deadline);
  EXPECT_TRUE(none) << (none ? "" : none.error().what);
  if (none) {
    EXPECT_EQ(none->size(), 0U);
  }
}

inline Task<void> begin(Rig& rig, Receiver& receiver, Tag tag) {
  const Deadline deadline = rig.clock().in(patience);
  expect_done(co_await receiver.begin(tag, deadline));
}
inline Task<void> ack(Rig& rig, Receiver& receiver, Tag tag) {
  const Deadline deadline = rig.clock().in(patience);
  expect_done(co_await receiver.ack(tag, deadline));
}
inline Task<void> close(Rig& rig, Receiver& receiver) {
  const Deadline deadline = rig.clock().in(patience);
  expect_done(co_await receiver.close(deadline));
}
inline Task<model::Sample> sample(Rig& rig) {
  const std::unique_ptr<BacklogSource> source = rig.source();
  const Deadline deadline = rig.clock().in(patience);
  const Result<model::Sample> seen = co_await source->sample(deadline);
  EXPECT_TRUE(seen) << (seen ? "" : seen.error().what);
  co_return seen.value_or(model::Sample{});
}

// The counts a broker gives; -1 for unknown.
struct Counts {
  std::int64_t ready = -1, in_flight = -1, delayed = -1, dead = -1, published = -1, acked = -1;
  friend bool operator==(const Counts&, const Counts&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Counts& c) {
    return out << "ready " << c.ready << ", in flight " << c.in_flight << ", delayed " << c.delayed << ", dead "
               << c.dead << ", published " << c.published << ", acked " << c.acked;
  }
};
inline Task<Counts> counts(Rig& rig) {
  const model::Sample seen = co_await sample(rig);
  const auto n = [](const std::optional<model::Reading>& reading) { return reading ? reading->n : -1; };
  co_return Counts{.ready = n(seen.ready),
                   .in_flight = n(seen.in_flight),
                   .delayed = n(seen.delayed),
                   .dead = n(seen.dead),
                   .published = n(seen.published_n),
                   .acked = n(seen.acked_n)};
}
inline Task<void> expect_counts(Rig& rig, Counts want) {
  if (!rig.abilities().counts) {
    co_return;
  }
  const Counts seen = co_await counts(rig);
  EXPECT_EQ(seen, want);
}

// What another Receiver is told of a message that comes again for this reason.
inline Cause told(Rig& rig, Cause cause) {
  return rig.abilities().tells_others ? cause : Cause::redelivered;
}
// Where the broker gives no order, the tests' own: by id.
inline void in_order(Rig& rig, std::vector<Delivery>& deliveries, std::vector<std::string> published) {
  if (!rig.abilities().ordered) {
    std::ranges::sort(deliveries, {}, [&](const Delivery& d) { return std::ranges::find(published, d.message.id); });
  }
}

inline std::vector<std::string> ids(const std::vector<Delivery>& deliveries) {
  std::vector<std::string> out;
  for (const Delivery& delivery : deliveries) {
    out.push_back(delivery.message.id);
  }
  return out;
}

}  // namespace sluice::queue::conformance
