// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every arrow of the state diagram in queue/receiver.h. Part of queue/conformance.h, which includes it.
#include "queue/conformance_rig.h"

namespace sluice::queue::conformance {

TEST_P(QueueConformance, AMessageArrivesAsItWasPublished) {
  run([](Rig& rig) -> Task<void> {
    Message sent = message("id-1");
    for (int byte = 0; byte < 256; ++byte) {
      sent.body.push_back(static_cast<char>(byte));
    }
    sent.headers = {{"b", std::string("\0\xff\n", 3)}, {"a", ""}, {"b", "again"}, {"schl\xc3\xbcssel", "\xc3\xa4"}};
    sent.type = "order.created";
    const Message want = sent;
    const std::vector<Message> batch{sent, message("id-2", "")};
    co_await put(rig, batch);
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    std::vector<Delivery> got = co_await take(rig, *receiver, 2);
    in_order(rig, got, {"id-1", "id-2"});
    EXPECT_EQ(got[0].message.id, want.id);
    EXPECT_EQ(got[0].message.body, want.body);
    EXPECT_EQ(got[0].message.headers, want.headers);
    EXPECT_EQ(got[0].message.type, want.type);
    EXPECT_TRUE(got[0].message.published_at);
    EXPECT_EQ(got[0].attempts, 0U);
    EXPECT_EQ(got[0].cause, Cause::none);
    EXPECT_FALSE(got[0].redelivered());
    EXPECT_GE(got[0].waited.value_or(0s), 0s);
    EXPECT_EQ(got[1].message.body, "");
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, AcknowledgedIsGoneForGood) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"a"});
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    const std::vector<Delivery> got = co_await take(rig, *receiver, 1);
    co_await begin(rig, *receiver, got[0].tag);
    receiver->finished(got[0].tag);
    co_await ack(rig, *receiver, got[0].tag);
    co_await expect_counts(rig,
                           Counts{.ready = 0, .in_flight = 0, .delayed = 0, .dead = 0, .published = 1, .acked = 1});
    co_await close(rig, *receiver);
    const std::unique_ptr<Receiver> next = co_await opened(rig, "w1");
    co_await expect_nothing(rig, *next, 50ms);
    co_await close(rig, *next);
  });
}

TEST_P(QueueConformance, HandedBackItReturnsToItsOldPlaceAndIsNoAttempt) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"a", "b", "c"});
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    const std::vector<Delivery> got = co_await take(rig, *receiver, 2);
    co_await begin(rig, *receiver, got[1].tag);
    const Deadline deadline = rig.clock().in(patience);
    expect_done(co_await receiver->requeue(got[1].tag, deadline));
    expect_done(co_await receiver->requeue(got[0].tag, deadline));
    std::vector<Delivery> again = co_await take(rig, *receiver, 3);
    if (!rig.abilities().keeps_place) {
      std::ranges::sort(again, {}, [](const Delivery& d) { return d.message.id; });
    }
    EXPECT_EQ(ids(again), (std::vector<std::string>{"a", "b", "c"}));
    for (const Delivery& one : again) {
      const bool before = one.message.id == got[0].message.id || one.message.id == got[1].message.id;
      EXPECT_EQ(one.cause, before ? Cause::requeued : Cause::none) << one.message.id;
    }
    EXPECT_EQ(again[0].attempts + again[1].attempts + again[2].attempts, 0U);
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, ARetryComesBackAfterItsDelayAndCountsAsAnAttempt) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"a", "b"});
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    std::vector<Delivery> got = co_await take(rig, *receiver, 2);
    in_order(rig, got, {"a", "b"});
    co_await begin(rig, *receiver, got[0].tag);
    co_await begin(rig, *receiver, got[1].tag);
    const Deadline deadline = rig.clock().in(patience);
    const Time before = rig.clock().now();
    expect_done(co_await receiver->retry(got[0].tag, delay, Cause::retried, "busy", deadline));
    co_await expect_counts(rig,
                           Counts{.ready = 0, .in_flight = 1, .delayed = 1, .dead = 0, .published = 2, .acked = 0});
    const std::vector<Delivery> later = co_await take(rig, *receiver, 1);
    // A millisecond of grace: brokers keep due times in whole ones.
    EXPECT_GE(rig.clock().now() - before, delay - 1ms);
    EXPECT_EQ(later[0].message.id, "a");
    EXPECT_EQ(later[0].attempts, 1U);
    EXPECT_EQ(later[0].cause, Cause::retried);
    EXPECT_LT(later[0].waited.value_or(0s), patience / 2) << "the delay itself is no waiting";
    expect_done(co_await receiver->retry(got[1].tag, 0s, Cause::failed, "exit 1", deadline));
    const std::vector<Delivery> failed = co_await take(rig, *receiver, 1);
    EXPECT_EQ(failed[0].cause, Cause::failed);
    EXPECT_EQ(failed[0].attempts, 1U);
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, ADeadLetterKeepsItsCauseAttemptsAndReason) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"a", "b"});
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    std::vector<Delivery> got = co_await take(rig, *receiver, 2);
    in_order(rig, got, {"a", "b"});
    co_await begin(rig, *receiver, got[0].tag);
    const Deadline deadline = rig.clock().in(patience);
    expect_done(co_await receiver->dead_letter(got[0].tag, Cause::permanent, "no such customer", deadline));
    expect_done(co_await receiver->dead_letter(got[1].tag, Cause::too_large, "17 MiB", deadline));
    co_await expect_counts(rig,
                           Counts{.ready = 0, .in_flight = 0, .delayed = 0, .dead = 2, .published = 2, .acked = 0});
    std::vector<DeadLetter> dead = co_await rig.dead_letters();
    if (!rig.abilities().ordered) {
      std::ranges::sort(dead, {}, &DeadLetter::id);
    }
    EXPECT_EQ(dead.size(), 2U);
    if (dead.size() == 2) {
      EXPECT_EQ(dead[0].id, "a");
      EXPECT_EQ(dead[0].cause, Cause::permanent);
      EXPECT_EQ(dead[0].attempts, 1U);
      EXPECT_EQ(dead[0].why, "no such customer");
      EXPECT_EQ(dead[1].cause, Cause::too_large);
      EXPECT_EQ(dead[1].attempts, 0U) << "its handler never began";
    }
    co_await expect_nothing(rig, *receiver, 50ms);
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, ADeadReceiverGivesBackEachMessageWithItsOwnCause) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"finished", "running", "held", "untouched"});
    std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    std::vector<Delivery> got = co_await take(rig, *receiver, rig.abilities().ordered ? 3 : 4);
    in_order(rig, got, {"finished", "running", "held", "untouched"});
    co_await begin(rig, *receiver, got[0].tag);
    co_await begin(rig, *receiver, got[1].tag);
    receiver->finished(got[0].tag);
    rig.kill(std::move(receiver));
    const std::unique_ptr<Receiver> next = co_await opened(rig, "w1");
    std::vector<Delivery> again = co_await take(rig, *next, 4);
    std::ranges::sort(again, {}, [](const Delivery& d) { return d.message.id; });
    EXPECT_EQ(ids(again), (std::vector<std::string>{"finished", "held", "running", "untouched"}));
    EXPECT_EQ(again[0].cause, told(rig, rig.abilities().labels_finished ? Cause::ack_unknown : Cause::crash));
    EXPECT_EQ(again[0].attempts, 1U);
    EXPECT_EQ(again[2].cause, told(rig, Cause::crash));
    EXPECT_EQ(again[2].attempts, 1U);
    if (rig.abilities().labels_unbegun) {
      EXPECT_EQ(again[3].cause, Cause::none);
      EXPECT_EQ(again[1].cause, Cause::requeued);
      EXPECT_EQ(again[1].attempts, 0U);
    }
    co_await close(rig, *next);
  });
}

TEST_P(QueueConformance, AMessageThatIsHandledAloneIsTheOnlyOneItsDeathCountsFor) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"a", "b", "c", "killer"});
    std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    std::vector<Delivery> got = co_await take(rig, *receiver, 2);
    const Deadline deadline = rig.clock().in(patience);
    const Result<void> alone = co_await receiver->alone(got[0].tag, deadline);
    EXPECT_TRUE(alone) << (alone ? "" : alone.error().what);
    const Result<void> back = co_await receiver->requeue(got[1].tag, deadline);
    EXPECT_TRUE(back);
    co_await begin(rig, *receiver, got[0].tag);
    rig.kill(std::move(receiver));
    const std::unique_ptr<Receiver> next = co_await opened(rig, "w1");
    const std::vector<Delivery> again = co_await take(rig, *next, 4);
    EXPECT_EQ(again.size(), 4U);
    for (const Delivery& one : again) {
      const bool killer = one.message.id == got[0].message.id;
      if (!rig.abilities().tells_others) {  // nothing is handed back for nothing: nobody is kept from counting
        EXPECT_EQ(one.attempts, killer || one.message.id == got[1].message.id ? 1U : 0U) << one.message.id;
        continue;
      }
      EXPECT_EQ(one.attempts, killer ? 1U : 0U) << one.message.id;
      EXPECT_EQ(one.cause == Cause::crash, killer) << one.message.id << ": " << word(one.cause);
    }
    co_await close(rig, *next);
  });
}

TEST_P(QueueConformance, AttemptsAddUpOverCrashesAndRetries) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"a"});
    for (std::uint32_t attempt = 0; attempt < 3; ++attempt) {
      std::unique_ptr<Receiver> receiver = co_await opened(rig, "w" + std::to_string(attempt));
      const std::vector<Delivery> got = co_await take(rig, *receiver, 1);
      EXPECT_EQ(got[0].attempts, attempt);
      co_await begin(rig, *receiver, got[0].tag);
      if (attempt != 1) {
        rig.kill(std::move(receiver));
        continue;
      }
      const Deadline deadline = rig.clock().in(patience);
      expect_done(co_await receiver->retry(got[0].tag, 0s, Cause::failed, "exit 1", deadline));
      co_await close(rig, *receiver);
    }
    const std::unique_ptr<Receiver> last = co_await opened(rig, "last");
    const std::vector<Delivery> got = co_await take(rig, *last, 1);
    EXPECT_EQ(got[0].attempts, 3U);
    EXPECT_EQ(got[0].cause, told(rig, Cause::crash));
    co_await close(rig, *last);
  });
}

TEST_P(QueueConformance, ATagIsSettledAtMostOnce) {
  run([](Rig& rig) -> Task<void> {
    co_await put(rig, std::vector<std::string>{"a", "b"});
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    const std::vector<Delivery> got = co_await take(rig, *receiver, 2);
    const Deadline deadline = rig.clock().in(patience);
    co_await ack(rig, *receiver, got[0].tag);
    const Result<void> second = co_await receiver->ack(got[0].tag, deadline);
    EXPECT_FALSE(second);
    const Result<void> late = co_await receiver->requeue(got[0].tag, deadline);
    EXPECT_FALSE(late);
    expect_done(co_await receiver->requeue(got[1].tag, deadline));
    const std::vector<Delivery> again = co_await take(rig, *receiver, 1);
    EXPECT_EQ(again[0].message.id, got[1].message.id);
    const Result<void> old = co_await receiver->ack(got[1].tag, deadline);
    EXPECT_FALSE(old) << "an old tag must not settle the new delivery";
    const std::vector<Tag> tags{again[0].tag, got[0].tag};
    const std::vector<Result<void>> both = co_await receiver->ack_all(tags, deadline);
    EXPECT_EQ(both.size(), 2U);
    EXPECT_TRUE(both.size() == 2 && both[0] && !both[1]);
    const Result<void> foreign = co_await receiver->ack(Tag{0xdeadbeef}, deadline);
    EXPECT_FALSE(foreign);
    co_await expect_counts(rig,
                           Counts{.ready = 0, .in_flight = 0, .delayed = 0, .dead = 0, .published = 2, .acked = 2});
    co_await close(rig, *receiver);
  });
}

TEST_P(QueueConformance, ASilentReceiverLosesItsLeaseAndAnExtendedOneKeepsIt) {
  run([](Rig& rig) -> Task<void> {
    const std::optional<Duration> lease = rig.abilities().lease;
    const std::unique_ptr<Receiver> receiver = co_await opened(rig, "w0");
    co_await put(rig, std::vector<std::string>{"silent", "kept"});
    std::vector<Delivery> got = co_await take(rig, *receiver, 2);
    in_order(rig, got, {"silent", "kept"});
    co_await begin(rig, *receiver, got[0].tag);
    co_await begin(rig, *receiver, got[1].tag);
    const Deadline deadline = rig.clock().in(patience);
    expect_done(co_await receiver->extend(got[1].tag, deadline));
    if (!lease) {
      co_await close(rig, *receiver);  // extend() does nothing, and says so without an error
      co_return;
    }
    for (int third = 0; third < 4; ++third) {
      co_await rig.clock().sleep_for(*lease / 3);
      const Deadline soon = rig.clock().in(patience);
      expect_done(co_await receiver->extend(got[1].tag, soon));
    }
    const std::unique_ptr<Receiver> next = co_await opened(rig, "w1");
    const std::vector<Delivery> lost = co_await take(rig, *next, 1);
    EXPECT_EQ(lost[0].message.id, "silent");
    EXPECT_EQ(lost[0].cause, told(rig, Cause::lost_lease));
    EXPECT_EQ(lost[0].attempts, 1U);
    const Deadline later = rig.clock().in(patience);
    const Result<void> late = co_await receiver->ack(got[0].tag, later);
    EXPECT_FALSE(late);
    EXPECT_EQ(late ? Code::retry : late.error().code, Code::gone);
    co_await ack(rig, *receiver, got[1].tag);
    co_await close(rig, *receiver);
    co_await close(rig, *next);
  });
}

}  // namespace sluice::queue::conformance
