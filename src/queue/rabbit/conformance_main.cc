// SPDX-License-Identifier: Apache-2.0
// rabbit_conformance: the suite that every queue passes, against a real RabbitMQ whose address is in the environment:
// SLUICE_TEST_AMQP (amqp://127.0.0.1:5672), SLUICE_TEST_CA (for amqps, a file) and SLUICE_TEST_QUEUE_TYPE (classic or
// quorum). tests/integration starts both.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "queue/conformance.h"
#include "queue/rabbit/conformance_sweep.h"
#include "queue/rabbit/receiver.h"
#include "queue/rabbit/source.h"

namespace sluice::queue::rabbit {
namespace {

std::string variable(const char* name, const char* usual) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : usual;
}

Result<aio::TlsOptions> tls() {
  std::ifstream ca(variable("SLUICE_TEST_CA", ""));
  return aio::TlsOptions{.ca_pem = std::string(std::istreambuf_iterator<char>(ca), {})};
}

bool quorum_queues() {
  return variable("SLUICE_TEST_QUEUE_TYPE", "classic") == "quorum";
}

// The broker of the environment.
BrokerOptions broker_options() {
  const Result<Address> address = parse_address(variable("SLUICE_TEST_AMQP", "amqp://127.0.0.1:5672"), {}, "/");
  return BrokerOptions{.address = address.value(), .tls = tls};
}

// A table that is built on the spot.
class Arguments {
 public:
  void text(const char* key, const char* value) {
    entries_.push_back({.key = ::amqp_cstring_bytes(key), .value = {}});
    entries_.back().value.kind = AMQP_FIELD_KIND_UTF8;
    entries_.back().value.value.bytes = ::amqp_cstring_bytes(value);
  }
  void number(const char* key, std::int32_t value) {
    entries_.push_back({.key = ::amqp_cstring_bytes(key), .value = {}});
    entries_.back().value.kind = AMQP_FIELD_KIND_I32;
    entries_.back().value.value.i32 = value;
  }
  [[nodiscard]] amqp_table_t table() { return {static_cast<int>(entries_.size()), entries_.data()}; }

 private:
  std::vector<amqp_table_entry_t> entries_;
};

// Keeps what it is given.
class Collector final : public ChannelListener {
 public:
  void delivered(const amqp_basic_deliver_t&, Content content) override {
    const Told told = read_properties(content.properties, content.body);
    std::string why;
    for (int i = 0; i < content.properties.headers.num_entries; ++i) {
      const amqp_table_entry_t& entry = content.properties.headers.entries[i];
      why = to_view(entry.key) == why_header ? std::string(to_view(entry.value.value.bytes)) : why;
    }
    letters.push_back({.id = told.message.id, .cause = told.cause, .attempts = told.attempts, .why = why});
  }
  std::vector<conformance::DeadLetter> letters;
};

// A queue of its own on the broker, with a queue for dead letters and one for retries. Each receiver has a connection
// of its own, as a worker has.
class RabbitRig final : public conformance::Rig {
 public:
  RabbitRig() {
    name_ = fmt::format("conformance-{}-{}", ::getpid(), ++rigs_);
    loop_.run(declare(clock_.in(conformance::patience)));
  }
  ~RabbitRig() override {
    loop_.run(remove(clock_.in(conformance::patience)));
    for (int turn = 0; turn < 100; ++turn) {  // those of receivers that died end with their sockets
      loop_.poll();
    }
  }
  aio::Loop& loop() override { return loop_; }
  aio::Clock& clock() override { return clock_; }
  void run(aio::Task<void> main) override { loop_.run(std::move(main)); }
  conformance::Abilities abilities() const override {
    return {.dedupe = false,
            .priorities = !quorum_queues(),
            .counts = false,
            .labels_unbegun = false,
            .labels_finished = false,
            .keeps_place = false,
            .pushes = true};
  }
  std::unique_ptr<Publisher> publisher() override {
    return std::make_unique<RabbitPublisher>(broker(), PublisherOptions{.exchange = "", .key = name_});
  }
  std::unique_ptr<Receiver> receiver(std::string who) override {
    const std::shared_ptr<Broker> own = broker();
    return std::make_unique<RabbitReceiver>(own, std::make_shared<RabbitPublisher>(own, PublisherOptions{}),
                                            ReceiverOptions{.queue = name_,
                                                            .who = std::move(who),
                                                            .prefetch = 1000,
                                                            .dead_letter_queue = name_ + ".dead",
                                                            .retry_queues = {{conformance::delay, name_ + ".retry"}}});
  }
  std::unique_ptr<BacklogSource> source() override { return std::make_unique<RabbitSource>(broker(), name_); }
  void kill(std::unique_ptr<Receiver> receiver) override { receiver.reset(); }
  aio::Task<std::vector<conformance::DeadLetter>> dead_letters() override {
    const aio::Deadline deadline = clock_.in(conformance::patience);
    const auto connection = co_await broker()->connection(deadline);
    Collector collector;
    auto channel = co_await (*connection)->channel(collector, 1U << 20U, deadline);
    const std::string name = name_ + ".dead";
    amqp_queue_declare_t look{};
    look.queue = to_bytes(name);
    look.passive = 1;
    const auto answer =
        co_await (*channel)->call(AMQP_QUEUE_DECLARE_METHOD, &look, AMQP_QUEUE_DECLARE_OK_METHOD, deadline);
    Pool pool;
    const std::size_t n = (*answer->as<amqp_queue_declare_ok_t>(pool))->message_count;
    amqp_basic_consume_t consume{};
    consume.queue = to_bytes(name);
    const auto consuming =
        co_await (*channel)->call(AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD, deadline);
    EXPECT_TRUE(consuming);
    while (collector.letters.size() < n && !deadline.passed(clock_.now())) {
      co_await clock_.sleep_for(std::chrono::milliseconds{5});
    }
    co_return collector.letters;
  }

 private:
  std::shared_ptr<Broker> broker() { return std::make_shared<Broker>(loop_, clock_, random_, broker_options()); }
  aio::Task<void> declare_one(Channel& channel, std::string name, Arguments arguments, aio::Deadline deadline) {
    amqp_queue_declare_t declare{};
    declare.queue = to_bytes(name);
    declare.durable = 1;
    declare.arguments = arguments.table();
    const auto answer =
        co_await channel.call(AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD, deadline);
    EXPECT_TRUE(answer) << (answer ? "" : answer.error().what);
  }
  aio::Task<void> declare(aio::Deadline deadline) {
    keeper_ = broker();
    const auto connection = co_await keeper_->connection(deadline);
    EXPECT_TRUE(connection) << (connection ? "" : connection.error().what);
    auto channel = co_await (*connection)->channel(nobody_, 0, deadline);
    Arguments of_queue;
    of_queue.text("x-queue-type", quorum_queues() ? "quorum" : "classic");
    if (!quorum_queues()) {
      of_queue.number("x-max-priority", 10);
    }
    co_await declare_one(**channel, name_, of_queue, deadline);
    co_await declare_one(**channel, name_ + ".dead", Arguments{}, deadline);
    Arguments of_retry;
    of_retry.number("x-message-ttl", static_cast<std::int32_t>(to_ms(conformance::delay)));
    of_retry.text("x-dead-letter-exchange", "");
    of_retry.text("x-dead-letter-routing-key", name_.c_str());
    co_await declare_one(**channel, name_ + ".retry", of_retry, deadline);
  }
  aio::Task<void> remove(aio::Deadline deadline) {
    const auto connection = co_await keeper_->connection(deadline);
    auto channel = co_await (*connection)->channel(nobody_, 0, deadline);
    for (const std::string& name : {name_, name_ + ".dead", name_ + ".retry"}) {
      amqp_queue_delete_t gone{};
      gone.queue = to_bytes(name);
      const auto answer =
          co_await (*channel)->call(AMQP_QUEUE_DELETE_METHOD, &gone, AMQP_QUEUE_DELETE_OK_METHOD, deadline);
      EXPECT_TRUE(answer);
    }
    channel->reset();
    co_await keeper_->close(deadline);
  }

  static inline int rigs_ = 0;
  aio::Loop loop_;
  aio::RealClock clock_{loop_};
  Random random_{1};
  std::string name_;
  ChannelListener nobody_;
  std::shared_ptr<Broker> keeper_;
};

TEST(RabbitExchange, SurvivesAFailureAtEachOfItsSteps) {
  const std::size_t stride = variable("SLUICE_SOAK", "") == "1" ? 1 : 10;  // all of them take minutes
  std::size_t run = 0;
  std::size_t played = 0;
  Duration longest{0};
  const std::size_t steps = aio::for_each_failure([&](aio::Faults& faults) {
    if (run++ % stride != 0) {
      return;
    }
    Exchange exchange(broker_options(), quorum_queues(), faults);
    SCOPED_TRACE(fmt::format("run {}, {}", run, aio::fault_word(faults.fault())));
    longest = std::max(longest, exchange.run(fmt::format("sweep-{}", ::getpid())));
    ++played;
    judge(exchange);
    if (exchange.sound()) {
      EXPECT_EQ(exchange.confirmed.size(), 3U);
      EXPECT_EQ(exchange.acked, (std::set<std::string>{"a", "b"}));
      EXPECT_EQ(exchange.buried, (std::set<std::string>{"c"}));
    }
  });
  EXPECT_GE(steps, 20U);
  EXPECT_LE(longest, std::chrono::seconds{30}) << "each wait in it has a deadline of 3 s";
  fmt::print(stderr, "{} steps of an exchange, {} failures played, the longest took {} ms\n", steps, played,
             std::chrono::round<std::chrono::milliseconds>(longest).count());
}

}  // namespace
}  // namespace sluice::queue::rabbit

namespace sluice::queue::conformance {

INSTANTIATE_TEST_SUITE_P(Rabbit, QueueConformance,
                         testing::Values(Maker{"rabbit", [] { return std::make_unique<rabbit::RabbitRig>(); }}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace sluice::queue::conformance

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
