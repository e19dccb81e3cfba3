// SPDX-License-Identifier: Apache-2.0
#pragma once
// Publishing, waiting, order, cancellation, closing and counting. Part of queue/conformance.h, which includes it.
#include "queue/conformance_rig.h"

namespace sluice::queue::conformance {

TEST_P(QueueConformance, DeliversInTheOrderOfPublishingAndAtMostAsManyAsAsked) {
  run([](Rig& rig) -> Task<void> {
    std::vector<std::string> all;
    for (int batch = 0; batch < 4; ++batch) {
      std::vector<std::string> some;
      for (int i = 0; i < 50; ++i) {
        some.push_back("m" + std::to_string(batch * 50 + i));
      }
      all.insert(all.end(), some.begin(), some.end());
      co_await put(rig, some);
    }
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    const Deadline deadline = rig.clock().in(patience);
    const Result<std::vector<Delivery>> three = co_await receiver->receive(3, deadline);
    EXPECT_TRUE(three && !three->empty() && three->size() <= 3);
    std::vector<std::string> got = three ? ids(*three) : std::vector<std::string>{};
    const std::size_t rest = all.size() - got.size();
    const std::vector<Delivery> more = co_await take(rig, *receiver, rest);
    std::ranges::move(ids(more), std::back_inserter(got));
    if (!rig.abilities().ordered) {
      std::ranges::sort(got);
      std::ranges::sort(all);
    }
    EXPECT_EQ(got, all);
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, HigherPrioritiesGoFirst) {
  run([](Rig& rig) -> Task<void> {
    if (!rig.abilities().priorities) {
      co_return;
    }
    std::vector<Message> batch{message("low-1"), message("high-1"), message("low-2"), message("high-2")};
    batch[1].priority = 9;
    batch[3].priority = 9;
    co_await put(rig, batch);
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    const std::vector<Delivery> got = co_await take(rig, *receiver, 4);
    EXPECT_EQ(ids(got), (std::vector<std::string>{"high-1", "high-2", "low-1", "low-2"}));
    EXPECT_EQ(got[0].message.priority, 9);
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, AnEmptyQueueAnswersAtTheDeadlineAndAPollAtOnce) {
  run([](Rig& rig) -> Task<void> {
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    const Time before = rig.clock().now();
    co_await expect_nothing(rig, *receiver, 40ms);
    EXPECT_GE(rig.clock().now() - before, 40ms);
    EXPECT_LT(rig.clock().now() - before, patience / 2);
    co_await expect_nothing(rig, *receiver, 0ms);
    co_await put(rig, std::vector<std::string>{"a"});
    const std::vector<Delivery> got = co_await take(rig, *receiver, 1);
    EXPECT_EQ(got[0].message.id, "a");
    co_await close(rig, *receiver);
  });
}

inline Task<void> receive_into(Rig& rig, Receiver& receiver, std::vector<Delivery>& out) {
  const Deadline deadline = rig.clock().in(patience);
  Result<std::vector<Delivery>> got = co_await receiver.receive(10, deadline);
  EXPECT_TRUE(got) << (got ? "" : got.error().what);
  if (got) {
    std::ranges::move(*got, std::back_inserter(out));
  }
}

TEST_P(QueueConformance, AWaitingReceiverHearsOfANewMessage) {
  run([](Rig& rig) -> Task<void> {
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    std::vector<Delivery> got;
    aio::TaskGroup group(rig.loop(), rig.clock());
    group.spawn(receive_into(rig, *receiver, got));
    co_await rig.clock().sleep_for(20ms);
    co_await put(rig, std::vector<std::string>{"a"});
    const Time before = rig.clock().now();
    co_await group.join();
    EXPECT_EQ(ids(got), std::vector<std::string>{"a"});
    EXPECT_LT(rig.clock().now() - before, 5s);
    co_await close(rig, *receiver);
  });
}

// The cancellation falls before, at and after the moment the message comes: none of them may swallow it.
TEST_P(QueueConformance, ACancelledReceiveSwallowsNothing) {
  run([](Rig& rig) -> Task<void> {
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    for (int round = 0; round < 12; ++round) {
      std::vector<Delivery> got;
      aio::TaskGroup group(rig.loop(), rig.clock());
      group.spawn(receive_into(rig, *receiver, got));
      co_await rig.clock().sleep_for(round % 3 == 0 ? 0ms : 2ms);
      const std::string id = "m" + std::to_string(round);
      const std::vector<std::string> one{id};
      co_await put(rig, one);
      if (round % 2 == 1) {
        co_await rig.clock().sleep_for(std::chrono::microseconds{round * 100});
      }
      group.cancel();
      co_await group.join();
      if (got.empty()) {
        got = co_await take(rig, *receiver, 1);
      }
      EXPECT_EQ(ids(got), one);
      EXPECT_EQ(got[0].cause, Cause::none);
      co_await ack(rig, *receiver, got[0].tag);
    }
    co_await close(rig, *receiver);
    co_await expect_counts(rig,
                           Counts{.ready = 0, .in_flight = 0, .delayed = 0, .dead = 0, .published = 12, .acked = 12});
  });
}

TEST_P(QueueConformance, AfterCancelNothingNewArrivesAndWhatIsHeldCanStillBeSettled) {
  run([](Rig& rig) -> Task<void> {
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    co_await put(rig, std::vector<std::string>{"a"});
    const std::vector<Delivery> got = co_await take(rig, *receiver, 1);
    std::vector<Delivery> late;
    aio::TaskGroup group(rig.loop(), rig.clock());
    group.spawn(receive_into(rig, *receiver, late));
    co_await rig.clock().sleep_for(10ms);
    const Time before = rig.clock().now();
    const Deadline deadline = rig.clock().in(patience);
    expect_done(co_await receiver->cancel(deadline));
    expect_done(co_await receiver->cancel(deadline));
    co_await group.join();
    EXPECT_LT(rig.clock().now() - before, patience / 2) << "cancel() ends a waiting receive()";
    EXPECT_TRUE(late.empty());
    co_await put(rig, std::vector<std::string>{"b"});
    co_await expect_nothing(rig, *receiver, 5s);
    EXPECT_LT(rig.clock().now() - before, 5s) << "after cancel() there is nothing to wait for";
    co_await ack(rig, *receiver, got[0].tag);
    co_await close(rig, *receiver);
    const std::unique_ptr<Receiver> next = co_await opened(rig, "w1");
    const std::vector<Delivery> rest = co_await take(rig, *next, 1);
    EXPECT_EQ(rest[0].message.id, "b");
    if (rig.abilities().tells_others) {
      EXPECT_EQ(rest[0].cause, Cause::none);  // else it may have been on its way to the first one
    }
    co_await close(rig, *next);
  });
}

TEST_P(QueueConformance, CloseHandsBackWhatIsHeldAndMayBeCalledAgain) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"held", "running", "finished"});
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    std::vector<Delivery> got = co_await take(rig, *receiver, 3);
    in_order(rig, got, {"held", "running", "finished"});
    co_await begin(rig, *receiver, got[1].tag);
    co_await begin(rig, *receiver, got[2].tag);
    receiver->finished(got[2].tag);
    co_await close(rig, *receiver);
    co_await close(rig, *receiver);
    const Deadline deadline = rig.clock().in(patience);
    const Result<std::vector<Delivery>> after = co_await receiver->receive(1, deadline);
    EXPECT_FALSE(after);
    const Result<void> late = co_await receiver->ack(got[0].tag, deadline);
    EXPECT_FALSE(late);
    const std::unique_ptr<Receiver> next = co_await opened(rig, "w1");
    std::vector<Delivery> again = co_await take(rig, *next, 3);
    in_order(rig, again, {"held", "running", "finished"});
    EXPECT_EQ(again[0].cause, told(rig, Cause::requeued));
    EXPECT_EQ(again[1].cause, told(rig, Cause::requeued));
    EXPECT_EQ(again[1].attempts, rig.abilities().tells_others ? 0U : 1U);
    EXPECT_EQ(again[2].cause, told(rig, Cause::ack_unknown)) << "its work is done: a duplicate must say so";
    EXPECT_EQ(again[2].attempts, 1U);
    co_await close(rig, *next);
  });
}

TEST_P(QueueConformance, AReceiverThatIsNotOpenGetsAnError) {
  run([](Rig& rig) -> Task<void> {
    const std::unique_ptr<Receiver> receiver = rig.receiver("w0");
    const Deadline deadline = rig.clock().in(patience);
    const Result<std::vector<Delivery>> got = co_await receiver->receive(1, deadline);
    EXPECT_FALSE(got);
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, TwoReceiversShareAndNoMessageGoesToBoth) {
  run([](Rig& rig) -> Task<void> {
    std::vector<std::string> all;
    for (int i = 0; i < 100; ++i) {
      all.push_back("m" + std::to_string(1000 + i));
    }
    co_await put(rig, all);
    const std::unique_ptr<Receiver> one = co_await opened(rig, "w0");
    const std::unique_ptr<Receiver> two = co_await opened(rig, "w1");
    const bool pushes = rig.abilities().pushes;
    const Deadline limit = rig.clock().in(patience);
    std::vector<std::string> got;
    while (got.size() < all.size() && !limit.passed(rig.clock().now())) {
      for (Receiver* receiver : {one.get(), two.get()}) {
        const Deadline soon = rig.clock().in(pushes ? 10ms : 300ms);
        const Result<std::vector<Delivery>> some = co_await receiver->receive(7, soon);
        EXPECT_TRUE(some && (!some->empty() || got.size() == all.size() || pushes));
        if (!some || (some->empty() && got.size() < all.size() && !pushes)) {
          co_return;
        }
        for (const Delivery& delivery : *some) {
          got.push_back(delivery.message.id);
          co_await ack(rig, *receiver, delivery.tag);
        }
      }
    }
    if (pushes) {
      std::ranges::sort(got);
    }
    EXPECT_EQ(got, all);
    co_await close(rig, *one);
    co_await close(rig, *two);
  });
}

TEST_P(QueueConformance, AResentIdThatIsStillThereMakesNoSecondCopy) {
  run([](Rig& rig) -> Task<void> {
    if (!rig.abilities().dedupe) {
      co_return;
    }
    co_await put(rig, std::vector<std::string>{"a", "a"});
    co_await put(rig, std::vector<std::string>{"a"});
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    std::vector<Delivery> got = co_await take(rig, *receiver, 1);
    co_await put(rig, std::vector<std::string>{"a"});
    co_await begin(rig, *receiver, got[0].tag);
    co_await put(rig, std::vector<std::string>{"a"});
    const Deadline deadline = rig.clock().in(patience);
    expect_done(co_await receiver->retry(got[0].tag, delay, Cause::retried, "busy", deadline));
    co_await put(rig, std::vector<std::string>{"a"});
    got = co_await take(rig, *receiver, 1);
    EXPECT_EQ(got[0].attempts, 1U);
    co_await ack(rig, *receiver, got[0].tag);
    co_await expect_counts(rig,
                           Counts{.ready = 0, .in_flight = 0, .delayed = 0, .dead = 0, .published = 1, .acked = 1});
    co_await put(rig, std::vector<std::string>{"a"});  // done is forgotten: this is new work
    got = co_await take(rig, *receiver, 1);
    EXPECT_EQ(got[0].cause, Cause::none);
    EXPECT_EQ(got[0].attempts, 0U);
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, ARefusedMessageDoesNotStopItsNeighboursAndSaysWhy) {
  run([](Rig& rig) -> Task<void> {
    const std::unique_ptr<Publisher> publisher = rig.publisher();
    const std::string huge((16U << 20U) + 1, 'x');
    const std::vector<Message> batch{message("a"), message(""), message("big", huge), message("b")};
    const Deadline deadline = rig.clock().in(patience);
    const std::vector<Published> answers = co_await publisher->publish(batch, deadline);
    EXPECT_EQ(answers.size(), 4U);
    if (answers.size() == 4) {
      EXPECT_EQ(answers[0].state, PublishState::confirmed);
      EXPECT_EQ(answers[1].state, PublishState::failed);
      EXPECT_NE(answers[1].why.find("id"), std::string::npos) << answers[1].why;
      EXPECT_EQ(answers[2].state, PublishState::failed);
      EXPECT_NE(answers[2].why.find("16777217"), std::string::npos) << answers[2].why;
      EXPECT_EQ(answers[3].state, PublishState::confirmed);
    }
    const Deadline passed{rig.clock().now()};
    const std::vector<Message> last{message("late")};
    const std::vector<Published> late = co_await publisher->publish(last, passed);
    EXPECT_EQ(late.size(), 1U);
    EXPECT_EQ(late.empty() ? PublishState::unknown : late[0].state, PublishState::failed) << "certainly not sent";
    const std::vector<Published> none = co_await publisher->publish({}, deadline);
    EXPECT_TRUE(none.empty());
    co_await expect_counts(rig,
                           Counts{.ready = 2, .in_flight = 0, .delayed = 0, .dead = 0, .published = 2, .acked = 0});
  });
}

TEST_P(QueueConformance, ASampleTellsUnknownFromZeroAndWhenItWasTrue) {
  run([](Rig& rig) -> Task<void> {
    if (!rig.abilities().samples) {
      EXPECT_EQ(rig.source(), nullptr);
      co_return;
    }
    const Time before = rig.clock().now();
    const model::Sample empty = co_await sample(rig);
    EXPECT_TRUE(empty.ready);
    for (const std::optional<model::Reading>& reading :
         {empty.ready, empty.in_flight, empty.total, empty.delayed, empty.dead, empty.published_n, empty.acked_n}) {
      if (reading) {
        EXPECT_EQ(reading->n, 0);
        EXPECT_LE(reading->observed_at, rig.clock().now());
      }
    }
    if (empty.ready) {
      EXPECT_GE(empty.ready->observed_at, before);
    }
    co_await put(rig, std::vector<std::string>{"a", "b"});
    co_await rig.clock().sleep_for(30ms);
    const model::Sample two = co_await sample(rig);
    EXPECT_EQ(two.ready ? two.ready->n : -1, 2);
    if (two.oldest_age) {
      EXPECT_GE(two.oldest_age->age, 25ms);
      EXPECT_LT(two.oldest_age->age, patience);
    }
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    const model::Sample open = co_await sample(rig);
    if (open.consumers) {
      EXPECT_EQ(open.consumers->n, 1);
    }
    const std::vector<Delivery> got = co_await take(rig, *receiver, 2);
    co_await close(rig, *receiver);
    const model::Sample back = co_await sample(rig);
    EXPECT_EQ(back.ready ? back.ready->n : -1, 2);
    EXPECT_FALSE(back.oldest_age && back.oldest_age->kind == model::AgeKind::exact)
        << "what was delivered before does not count, and 0 would say that nothing waits";
    if (back.consumers) {
      EXPECT_EQ(back.consumers->n, 0);
    }
  });
}

}  // namespace sluice::queue::conformance
