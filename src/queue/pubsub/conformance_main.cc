// SPDX-License-Identifier: Apache-2.0
// pubsub_conformance: the suite that every queue passes, against an emulator of Pub/Sub whose address is in the
// environment: SLUICE_TEST_PUBSUB (http://127.0.0.1:8085). tests/integration starts both.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "queue/conformance.h"
#include "queue/pubsub/receiver.h"

namespace sluice::queue::pubsub {
namespace {

std::string variable(const char* name, const char* usual) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : usual;
}

// A topic and a subscription of its own, and both for dead letters.
class PubsubRig final : public conformance::Rig {
 public:
  PubsubRig() {
    name_ = fmt::format("conformance-{}-{}", ::getpid(), ++rigs_);
    loop_.run(make(clock_.in(conformance::patience)));
  }
  ~PubsubRig() override {
    loop_.run(remove(clock_.in(conformance::patience)));
    for (int turn = 0; turn < 100; ++turn) {
      loop_.poll();
    }
  }
  aio::Loop& loop() override { return loop_; }
  aio::Clock& clock() override { return clock_; }
  void run(aio::Task<void> main) override { loop_.run(std::move(main)); }
  conformance::Abilities abilities() const override {
    return {.dedupe = false,
            .priorities = false,
            .counts = false,
            .labels_unbegun = false,
            .labels_finished = false,
            .keeps_place = false,
            .ordered = false,
            .tells_others = false,
            .samples = false,
            .pushes = true,
            .lease = std::chrono::seconds{10}};
  }
  std::unique_ptr<Publisher> publisher() override { return std::make_unique<PubsubPublisher>(service(), topic()); }
  std::unique_ptr<Receiver> receiver(std::string who) override {
    return std::make_unique<PubsubReceiver>(
        service(),
        ReceiverOptions{.subscription = subscription(), .who = std::move(who), .dead_letter_topic = topic() + ".dead"});
  }
  std::unique_ptr<BacklogSource> source() override { return nullptr; }
  void kill(std::unique_ptr<Receiver> receiver) override { receiver.reset(); }
  aio::Task<std::vector<conformance::DeadLetter>> dead_letters() override {
    const aio::Deadline deadline = clock_.in(conformance::patience);
    std::vector<conformance::DeadLetter> out;
    while (out.size() < 2 && !deadline.passed(clock_.now())) {
      const auto body =
          co_await service()->ask("POST", target_of(subscription() + ".dead", ":pull"), pull_body(10), {}, deadline);
      const auto received = body ? parse_pulled(*body) : Result<std::vector<Received>>(body.error());
      EXPECT_TRUE(received) << (received ? "" : received.error().what);
      for (const Received& one : received.value_or(std::vector<Received>{})) {
        out.push_back(letter(one));
      }
    }
    co_return out;
  }

 private:
  static conformance::DeadLetter letter(const Received& one) {
    const std::string& cause = one.attributes.at(std::string(cause_attribute));
    EXPECT_EQ(one.attributes.at("sluice-origin-id").empty(), false);
    return {.id = from_attributes(one.attributes).id,
            .cause = cause == word(Cause::permanent)   ? Cause::permanent
                     : cause == word(Cause::too_large) ? Cause::too_large
                                                       : Cause::none,
            .attempts = static_cast<std::uint32_t>(std::stoul(one.attributes.at(std::string(attempts_attribute)))),
            .why = one.attributes.at(std::string(why_attribute))};
  }
  std::string topic() const { return topic_name("conformance", name_); }
  std::string subscription() const { return subscription_name("conformance", name_); }
  std::shared_ptr<Service> service() {
    return std::make_shared<Service>(loop_, clock_, random_,
                                     ServiceOptions{.base = variable("SLUICE_TEST_PUBSUB", "http://127.0.0.1:8085")});
  }
  aio::Task<void> tell(std::string method, std::string name, std::string body, aio::Deadline deadline) {
    const auto done = co_await service()->ask(std::move(method), target_of(name), std::move(body), {}, deadline);
    EXPECT_TRUE(done) << (done ? "" : done.error().what);
  }
  // A dead-letter policy is what makes deliveries count; its limit is one that no test reaches.
  aio::Task<void> make(aio::Deadline deadline) {
    co_await tell("PUT", topic(), "{}", deadline);
    co_await tell("PUT", topic() + ".dead", "{}", deadline);
    co_await tell("PUT", subscription() + ".dead", fmt::format(R"({{"topic":"{}.dead"}})", topic()), deadline);
    co_await tell("PUT", subscription(),
                  fmt::format(R"({{"topic":"{0}","ackDeadlineSeconds":10,"enableExactlyOnceDelivery":{1},)"
                              R"("deadLetterPolicy":{{"deadLetterTopic":"{0}.dead","maxDeliveryAttempts":100}}}})",
                              topic(), variable("SLUICE_TEST_EXACTLY_ONCE", "false")),
                  deadline);
  }
  aio::Task<void> remove(aio::Deadline deadline) {
    for (const std::string& name : {subscription(), subscription() + ".dead", topic(), topic() + ".dead"}) {
      co_await tell("DELETE", name, "", deadline);
    }
  }

  static inline int rigs_ = 0;
  aio::Loop loop_;
  aio::RealClock clock_{loop_};
  Random random_{1};
  std::string name_;
};

}  // namespace
}  // namespace sluice::queue::pubsub

namespace sluice::queue::conformance {

INSTANTIATE_TEST_SUITE_P(Pubsub, QueueConformance,
                         testing::Values(Maker{"pubsub", [] { return std::make_unique<pubsub::PubsubRig>(); }}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace sluice::queue::conformance

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
