// SPDX-License-Identifier: Apache-2.0
// What a real broker does only by accident; everything else is in the conformance suite.
#include "queue/rabbit/receiver.h"

#include <gtest/gtest.h>

#include "queue/rabbit/testing_broker.h"

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;

class ReceiverTest : public testing::Test {
 protected:
  // `body` in virtual time, with a consumer of a queue that has one message.
  void run(const std::function<aio::Task<void>(RabbitReceiver&)>& body) {
    fake_.queues["q"] = {};
    fake_.delivers = true;
    BrokerOptions options{.address = parse_address("amqp://fake", {}, "/").value()};
    options.heartbeat = Duration{0};
    options.dial = fake_.dial();
    options.login = [] { return Result<Login>(Login{"u", "p"}); };
    const auto broker = std::make_shared<Broker>(loop_, clock_, random_, std::move(options));
    const auto main = [&]() -> aio::Task<void> {
      RabbitReceiver receiver(broker, nullptr, {.queue = "q", .who = "who", .prefetch = 2});
      const Result<void> open = co_await receiver.open(clock_.in(1s));
      EXPECT_TRUE(open);
      co_await body(receiver);
      const Result<void> closed = co_await receiver.close(clock_.in(1s));
      EXPECT_TRUE(closed);
      co_await broker->close(clock_.in(1s));
      co_await fake_.stop();
    };
    clock_.run(main());
  }
  aio::Task<void> alone(RabbitReceiver& receiver, Tag tag) { alone_ = co_await receiver.alone(tag, clock_.in(5s)); }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Random random_{1};
  FakeBroker fake_{loop_, clock_};
  Result<void> alone_;
};

TEST_F(ReceiverTest, TheConnectionMayGoWhileDeliveriesAreLetComeBeforeTheConsumerIsCancelled) {
  run([&](RabbitReceiver& receiver) -> aio::Task<void> {
    const Result<std::vector<Delivery>> held = co_await receiver.receive(1, clock_.in(1s));
    EXPECT_TRUE(held && held->size() == 1);
    aio::TaskGroup group(loop_, clock_);
    group.spawn(alone(receiver, held->front().tag));
    co_await clock_.sleep_for(1ms);
    fake_.down = true;
    fake_.cut();
    for (int i = 0; i < 2; ++i) {  // says why it ended, then begins anew
      const Result<std::vector<Delivery>> lost = co_await receiver.receive(1, clock_.in(1ms));
      EXPECT_FALSE(lost);
    }
    co_await group.join();
  });
  EXPECT_FALSE(alone_);
  EXPECT_EQ(fake_.consumers, 1);
}

}  // namespace
}  // namespace sluice::queue::rabbit
