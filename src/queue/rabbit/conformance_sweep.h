// SPDX-License-Identifier: Apache-2.0
#pragma once
// For conformance_main.cc: every step of an exchange with the real broker fails once, in every way a network has.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "aio/dial.h"
#include "aio/faults.h"
#include "queue/rabbit/receiver.h"
#include "queue/rabbit/source.h"
#include "queue/rabbit/topology.h"

namespace sluice::queue::rabbit {

// One exchange: a sample, three messages published, taken, one settled in each way; its connections have the plan's
// fault. A second, healthy one looks at what is left then.
class Exchange {
 public:
  Exchange(BrokerOptions options, bool quorum, aio::Faults& faults)
      : options_(std::move(options)),
        quorum_(quorum),
        faults_(faults),
        sound_(faults.fault() == aio::Fault::none || faults.fault() == aio::Fault::one_byte),
        patience_(sound_ ? std::chrono::seconds{20} : std::chrono::seconds{3}),
        heartbeat_(sound_ ? std::chrono::seconds{10} : std::chrono::seconds{1}) {}

  // Everything; leaves the queues empty, and they expire. Returns how long the part with the fault took.
  Duration run(const std::string& name) {
    name_ = name;
    Duration took{0};
    loop_.run(all(&took));
    return took;
  }

  std::set<std::string> confirmed, acked, buried, left, dead;
  [[nodiscard]] bool sound() const { return sound_; }

 private:
  using Stream = Result<std::unique_ptr<aio::Stream>>;
  aio::Task<Stream> dial(Node node, aio::Deadline deadline) {
    const Result<void> step = co_await aio::connect_step(faults_, clock_, deadline);
    if (!step) {
      co_return step.error();
    }
    Stream stream = co_await aio::dial(loop_, clock_, resolver_, node.host, node.port, deadline);
    if (!stream) {
      co_return stream;
    }
    co_return aio::with_faults(std::move(*stream), faults_, clock_);
  }

  std::shared_ptr<Broker> broker(bool faulty) {
    BrokerOptions options = options_;
    options.heartbeat = heartbeat_;
    if (faulty) {
      options.dial = [this](Node node, aio::Deadline deadline) { return dial(std::move(node), deadline); };
    }
    return std::make_shared<Broker>(loop_, clock_, random_, std::move(options));
  }

  aio::Task<void> all(Duration* took) {
    const std::shared_ptr<Broker> sound = broker(false);
    const aio::Deadline enough = clock_.in(std::chrono::seconds{60});
    // The same queues for every run: what one leaves there is taken out at its end.
    Topology topology{.quorum = quorum_,
                      .queue = name_,
                      .dead_letter_queue = name_ + ".dead",
                      .retry_queues = {{std::chrono::milliseconds{1}, name_ + ".retry"}},
                      .expires = std::chrono::minutes{2}};
    const auto made = co_await declare(sound, std::move(topology), enough);
    EXPECT_TRUE(made) << (made ? "" : made.error().what);
    const Time begun = clock_.now();
    co_await faulty();
    *took = clock_.now() - begun;
    co_await look(sound, name_, left, enough);
    co_await look(sound, name_ + ".dead", dead, enough);
    co_await sound->close(enough);
  }

  aio::Task<void> faulty() {
    const std::shared_ptr<Broker> working = broker(true);
    const std::shared_ptr<Broker> publishing = broker(true);
    {
      RabbitSource source(working, name_);
      const aio::Deadline deadline = clock_.in(patience_);
      const Result<model::Sample> sample = co_await source.sample(deadline);
      if (sample && sample->ready) {
        EXPECT_EQ(sample->ready->n, 0);
      }
      co_await publish(publishing);
      co_await work(working, publishing);
    }
    const aio::Deadline deadline = clock_.in(patience_);
    co_await publishing->close(deadline);
    co_await working->close(deadline);
  }

  aio::Task<void> publish(std::shared_ptr<Broker> broker) {
    RabbitPublisher publisher(broker, {.exchange = "", .key = name_});
    std::vector<Message> batch;
    for (const char* id : {"a", "b", "c"}) {
      batch.push_back(Message{.id = id, .body = "work"});
    }
    const aio::Deadline deadline = clock_.in(patience_);
    const std::vector<Published> answers = co_await publisher.publish(std::move(batch), deadline);
    EXPECT_EQ(answers.size(), 3U);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].state == PublishState::confirmed) {
        confirmed.insert(std::string(1, static_cast<char>('a' + i)));
      }
    }
  }

  aio::Task<void> work(std::shared_ptr<Broker> broker, std::shared_ptr<Broker> publishing) {
    RabbitReceiver receiver(broker, std::make_shared<RabbitPublisher>(publishing, PublisherOptions{}),
                            {.queue = name_,
                             .who = "sweep",
                             .prefetch = 3,
                             .dead_letter_queue = name_ + ".dead",
                             .retry_queues = {{std::chrono::milliseconds{1}, name_ + ".retry"}}});
    const aio::Deadline opening = clock_.in(patience_);
    const Result<void> open = co_await receiver.open(opening);
    const aio::Deadline receiving = clock_.in(patience_);
    while (open && !confirmed.empty() && ended_.size() < 3 && !receiving.passed(clock_.now())) {
      Result<std::vector<Delivery>> got = co_await receiver.receive(3, receiving);
      if (!got) {
        break;
      }
      for (const Delivery& one : *got) {
        co_await settle(receiver, one);
      }
    }
    const aio::Deadline closing = clock_.in(patience_);
    const Result<void> closed = co_await receiver.close(closing);
    (void)closed;  // the end of its connection closes it as well
  }

  aio::Task<void> settle(RabbitReceiver& receiver, Delivery one) {
    const aio::Deadline deadline = clock_.in(patience_);
    const std::string& id = one.message.id;
    const bool later = id == "b" && one.attempts == 0;
    if (later) {
      const Result<void> done =
          co_await receiver.retry(one.tag, std::chrono::milliseconds{1}, Cause::retried, "later", deadline);
      (void)done;  // heard or not, it comes again
      co_return;
    }
    ended_.insert(id);
    if (id == "c") {
      const Result<void> done = co_await receiver.dead_letter(one.tag, Cause::failed, "no good", deadline);
      if (done) {
        buried.insert(id);
      }
    } else {
      const Result<void> begun = co_await receiver.begin(one.tag, deadline);
      receiver.finished(one.tag);
      const Result<void> done = begun ? co_await receiver.ack(one.tag, deadline) : begun;
      if (done) {
        acked.insert(id);
      }
    }
  }

  // All that is in the queue, once its consumers and retries are gone.
  aio::Task<void> look(std::shared_ptr<Broker> sound, std::string queue, std::set<std::string>& into,
                       aio::Deadline enough) {
    RabbitReceiver receiver(sound, std::make_shared<RabbitPublisher>(sound, PublisherOptions{}),
                            {.queue = queue, .who = "look", .prefetch = 100});
    const Result<void> open = co_await receiver.open(enough);
    EXPECT_TRUE(open) << (open ? "" : open.error().what);
    RabbitSource count(sound, queue);
    int quiet = 0;
    while (open && quiet < 3 && !enough.passed(clock_.now())) {
      const aio::Deadline soon = clock_.in(std::chrono::milliseconds{30});
      const Result<std::vector<Delivery>> got = co_await receiver.receive(100, soon);
      for (const Delivery& one : got ? *got : std::vector<Delivery>{}) {
        into.insert(one.message.id);
        const Result<void> done = co_await receiver.ack(one.tag, enough);
        EXPECT_TRUE(done);
      }
      const Result<model::Sample> sample = co_await count.sample(enough);
      // A consumer that the broker has not missed yet may still give something back.
      const bool alone = sample && sample->consumers && sample->consumers->n == 1 && sample->ready->n == 0;
      quiet = got && got->empty() && alone ? quiet + 1 : 0;
    }
    EXPECT_EQ(quiet, 3) << queue << " did not come to rest";
    const Result<void> closed = co_await receiver.close(enough);
    EXPECT_TRUE(closed);
  }

  BrokerOptions options_;
  bool quorum_;
  aio::Faults& faults_;
  // Nothing fails, so that all must be done in the end, however slow the machine is.
  const bool sound_;
  // Of each call in the faulty part, where a connection that is stalled ends after two heartbeats.
  const Duration patience_;
  const Duration heartbeat_;
  std::string name_;
  std::set<std::string> ended_;  // dead-lettered or acknowledged, heard or not
  aio::Loop loop_;
  aio::RealClock clock_{loop_};
  Random random_{1};
  aio::Resolver resolver_{loop_, clock_};
};

inline void judge(const Exchange& one) {
  const std::set<std::string> known{"a", "b", "c"};
  for (const std::string& id : one.confirmed) {
    EXPECT_TRUE(one.acked.contains(id) || one.left.contains(id) || one.dead.contains(id)) << id << " is lost";
  }
  for (const std::set<std::string>* found : {&one.left, &one.dead}) {
    EXPECT_TRUE(std::ranges::includes(known, *found)) << "something came from nowhere";
  }
  for (const std::string& id : one.buried) {
    EXPECT_TRUE(one.dead.contains(id)) << id << " was said to be a dead letter";
  }
}

}  // namespace sluice::queue::rabbit
