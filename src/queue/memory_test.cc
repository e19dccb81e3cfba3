// SPDX-License-Identifier: Apache-2.0
#include "queue/memory.h"

#include <gtest/gtest.h>

#include "queue/conformance.h"

namespace sluice::queue {
namespace {

using conformance::Abilities;
using conformance::DeadLetter;
using conformance::message;
using namespace std::chrono_literals;

class MemoryRig final : public conformance::Rig {
 public:
  explicit MemoryRig(MemoryOptions options) : broker_(loop_, clock_, random_, options), options_(options) {}
  ~MemoryRig() override { broker_.verify(); }
  aio::Loop& loop() override { return loop_; }
  aio::Clock& clock() override { return clock_; }
  void run(aio::Task<void> main) override { clock_.run(std::move(main)); }
  Abilities abilities() const override { return Abilities{.dedupe = options_.dedupe, .lease = options_.lease}; }
  std::unique_ptr<Publisher> publisher() override { return broker_.publisher("p"); }
  std::unique_ptr<Receiver> receiver(std::string who) override { return broker_.receiver(std::move(who)); }
  std::unique_ptr<BacklogSource> source() override { return broker_.source("s"); }
  void kill(std::unique_ptr<Receiver> receiver) override { broker_.kill(*receiver); }
  aio::Task<std::vector<DeadLetter>> dead_letters() override {
    std::vector<DeadLetter> out;
    for (const MemoryDeadLetter& d : broker_.dead_letters()) {
      out.push_back(DeadLetter{.id = d.message.id, .cause = d.cause, .attempts = d.attempts, .why = d.why});
    }
    co_return out;
  }
  MemoryBroker& broker() { return broker_; }

 private:
  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Random random_{1};
  MemoryBroker broker_;
  MemoryOptions options_;
};

conformance::Maker memory(std::string name, MemoryOptions options) {
  return conformance::Maker{.name = std::move(name),
                            .make = [options] { return std::make_unique<MemoryRig>(options); }};
}

}  // namespace

namespace conformance {
INSTANTIATE_TEST_SUITE_P(Memory, QueueConformance,
                         testing::Values(memory("instant", {}), memory("leases", {.lease = 3s}),
                                         memory("slow", {.notice_death = 1s, .latency_low = 1ms, .latency_high = 4ms}),
                                         memory("copies", {.dedupe = false})),
                         [](const auto& info) { return info.param.name; });
}  // namespace conformance

namespace {

struct Script final : Faults {
  std::vector<std::pair<Op, Before>> befores;
  std::vector<std::pair<Op, After>> afters;
  Sampled sample;
  Before before(Op op, std::string_view) override { return pop(befores, op); }
  After after(Op op, std::string_view) override { return pop(afters, op); }
  Sampled sampled(std::string_view) override { return sample; }
  template <class T>
  static T pop(std::vector<std::pair<Op, T>>& from, Op op) {
    for (auto it = from.begin(); it != from.end(); ++it) {
      if (it->first == op) {
        const T fault = it->second;
        from.erase(it);
        return fault;
      }
    }
    return {};
  }
};

struct MemoryFaults : testing::Test {
  MemoryRig rig{MemoryOptions{}};
  Script faults;
  MemoryFaults() { rig.broker().set_faults(&faults); }
};

TEST_F(MemoryFaults, AFailureBeforeDidNothingAndALostReplyDidIt) {
  faults.befores = {{Op::publish, {.fail = true}}};
  faults.afters = {{Op::publish, {}}, {Op::publish, {.lose = true}}, {Op::ack, {.lose = true}}};
  const auto main = [](MemoryRig& r) -> aio::Task<void> {
    const auto publisher = r.publisher();
    const aio::Deadline deadline = r.clock().in(1s);
    const std::vector<Message> a{message("a")};
    const auto refused = co_await publisher->publish(a, deadline);
    EXPECT_EQ(refused[0].state, PublishState::failed);
    EXPECT_EQ(r.broker().trace("a"), nullptr);
    const auto fine = co_await publisher->publish(a, deadline);
    EXPECT_EQ(fine[0].state, PublishState::confirmed);
    EXPECT_TRUE(r.broker().trace("a")->confirmed);
    const std::vector<Message> b{message("b")};
    const auto unknown = co_await publisher->publish(b, deadline);
    EXPECT_EQ(unknown[0].state, PublishState::unknown);
    EXPECT_EQ(r.broker().trace("b")->at(Place::ready), 1U);
    EXPECT_FALSE(r.broker().trace("b")->confirmed);
    const auto again = co_await publisher->publish(b, deadline);
    EXPECT_EQ(again[0].state, PublishState::confirmed);
    EXPECT_EQ(r.broker().trace("b")->at(Place::ready), 1U) << "re-sent, not doubled";
    const auto receiver = co_await conformance::opened(r, "w0");
    const auto got = co_await conformance::take(r, *receiver, 2);
    const aio::Deadline later = r.clock().in(1s);
    const Result<void> lost = co_await receiver->ack(got[0].tag, later);
    EXPECT_FALSE(lost);
    EXPECT_EQ(r.broker().trace("a")->at(Place::done), 1U);
    co_await conformance::close(r, *receiver);
    EXPECT_EQ(r.broker().trace("b")->at(Place::ready), 1U);
  };
  rig.run(main(rig));
}

TEST_F(MemoryFaults, DeliveriesOfALostReplyAreHandedOutByTheNextReceive) {
  faults.afters = {{Op::receive, {.lose = true}}};
  const auto main = [](MemoryRig& r) -> aio::Task<void> {
    const auto receiver = co_await conformance::opened(r, "w0");
    co_await conformance::put(r, std::vector<std::string>{"a"});
    const aio::Deadline deadline = r.clock().in(1s);
    const auto lost = co_await receiver->receive(1, deadline);
    EXPECT_FALSE(lost);
    const auto got = co_await conformance::take(r, *receiver, 1);
    EXPECT_EQ(got[0].cause, Cause::none);
    EXPECT_EQ(r.broker().trace("a")->deliveries, 1U);
  };
  rig.run(main(rig));
  EXPECT_EQ(rig.broker().count(Place::ready), 1U) << "the destroyed receiver has died";
  EXPECT_EQ(rig.broker().trace("a")->cause, Cause::requeued);
}

TEST_F(MemoryFaults, AStaleSampleCarriesItsOldTimesAndAbsentFieldsStayEmpty) {
  const auto main = [](MemoryRig& r, Script& script) -> aio::Task<void> {
    const Time first = r.clock().now();
    co_await conformance::sample(r);
    co_await conformance::put(r, std::vector<std::string>{"a"});
    co_await r.clock().sleep_for(10s);
    script.sample = {.stale = 5s, .absent = Faults::absent_in_flight | Faults::absent_oldest_age};
    const model::Sample old = co_await conformance::sample(r);
    EXPECT_EQ(old.ready->n, 0);
    EXPECT_EQ(old.ready->observed_at, first);
    EXPECT_FALSE(old.in_flight);
    EXPECT_FALSE(old.oldest_age);
    script.sample = {};
    const model::Sample fresh = co_await conformance::sample(r);
    EXPECT_EQ(fresh.ready->n, 1);
    EXPECT_EQ(fresh.oldest_age->age, 10s);
  };
  rig.run(main(rig, faults));
}

TEST_F(MemoryFaults, AFrozenBrokerAnswersAfterTheFrostOrNotAtAll) {
  const auto main = [](MemoryRig& r) -> aio::Task<void> {
    r.broker().freeze(r.clock().now() + 10s);
    const auto source = r.source();
    const aio::Deadline soon = r.clock().in(3s);
    const auto silent = co_await source->sample(soon);
    EXPECT_FALSE(silent);
    EXPECT_EQ(r.clock().now(), soon.at);
    const aio::Deadline later = r.clock().in(30s);
    const auto answered = co_await source->sample(later);
    EXPECT_TRUE(answered);
    EXPECT_EQ(r.clock().now(), soon.at + 7s);
  };
  rig.run(main(rig));
}

TEST(MemoryBroker, KilledByNameItsCallsEndAndEveryEventIsSeen) {
  MemoryRig rig{MemoryOptions{.notice_death = 2s}};
  std::vector<std::string> events;
  rig.broker().on_event([&](const MemoryEvent& e) {
    static constexpr const char* names[] = {"published", "delivered", "begun",    "finished", "acked",
                                            "delayed",   "due",       "returned", "dead"};
    events.push_back(std::string(names[static_cast<int>(e.kind)]) + " " + std::string(e.id) + " by " +
                     std::string(e.who) + ", attempts " + std::to_string(e.attempts) + ", " +
                     std::string(word(e.cause)));
  });
  const auto main = [](MemoryRig& r) -> aio::Task<void> {
    co_await conformance::put(r, std::vector<std::string>{"a"});
    const auto receiver = co_await conformance::opened(r, "w0");
    const auto got = co_await conformance::take(r, *receiver, 1);
    co_await conformance::begin(r, *receiver, got[0].tag);
    r.broker().kill("w0");
    const aio::Deadline deadline = r.clock().in(1s);
    const Result<void> dead = co_await receiver->ack(got[0].tag, deadline);
    EXPECT_FALSE(dead);
    EXPECT_EQ(dead.error().code, Code::gone);
    EXPECT_EQ(r.broker().count(Place::running), 1U) << "its death is not noticed yet";
    const auto next = co_await conformance::opened(r, "w1");
    const Time before = r.clock().now();
    const auto again = co_await conformance::take(r, *next, 1);
    EXPECT_EQ(r.clock().now() - before, 2s);
    co_await conformance::begin(r, *next, again[0].tag);
    next->finished(again[0].tag);
    co_await conformance::ack(r, *next, again[0].tag);
    co_await conformance::close(r, *next);
  };
  rig.run(main(rig));
  EXPECT_EQ(events,
            (std::vector<std::string>{"published a by , attempts 0, none", "delivered a by w0, attempts 0, none",
                                      "begun a by w0, attempts 0, none", "returned a by w0, attempts 1, crash",
                                      "delivered a by w1, attempts 1, crash", "begun a by w1, attempts 1, crash",
                                      "finished a by w1, attempts 1, crash", "acked a by w1, attempts 1, none"}));
}

}  // namespace
}  // namespace sluice::queue
