// SPDX-License-Identifier: Apache-2.0
#include "kube/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Kind = LeaseMachine::Step::Kind;

constexpr Time t0{1h};
constexpr WallTime wall0 = std::chrono::sys_days{std::chrono::year{2026} / 3 / 1};

LeaseMachine machine(const std::string& me) {
  return LeaseMachine({.space = "shop", .name = "sluice", .me = me});
}

TEST(ReadLease, KeepsWhoAndSinceWhen) {
  const Result<LeaseRecord> lease = read_lease(R"({"metadata":{"resourceVersion":"7"},"spec":{"holderIdentity":"a",
    "leaseTransitions":3,"acquireTime":"2026-03-01T00:00:00.000000Z"}})");
  ASSERT_TRUE(lease) << lease.error().what;
  EXPECT_EQ(lease->version + lease->holder, "7a");
  EXPECT_EQ(lease->transitions, 3);
  EXPECT_EQ(lease->acquired, wall0);
  EXPECT_EQ(read_lease("{}")->holder, "");
  EXPECT_EQ(read_lease(R"({"spec":{"holderIdentity":7}})").error().what, "lease.spec.holderIdentity: not a string");
}

TEST(Lease, IsCreatedWhereThereIsNoneAndCountsFromWhenItWasSent) {
  LeaseMachine a = machine("a");
  EXPECT_EQ(a.step(t0, wall0).kind, Kind::get);
  a.missing(t0);
  const LeaseMachine::Step create = a.step(t0, wall0);
  EXPECT_EQ(create.kind, Kind::create);
  EXPECT_EQ(create.body,
            R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"namespace":"shop","name":"sluice"},)"
            R"("spec":{"holderIdentity":"a","leaseDurationSeconds":15,"acquireTime":"2026-03-01T00:00:00.000000Z",)"
            R"("renewTime":"2026-03-01T00:00:00.000000Z","leaseTransitions":0}})");
  EXPECT_FALSE(a.leads(t0));
  a.granted({.version = "1", .holder = "a", .transitions = 0, .acquired = wall0}, t0, t0 + 1s);
  EXPECT_EQ(a.held_until(), t0 + 13500ms) << "from t0, when it was sent, and a tenth less";
  EXPECT_EQ(a.step(t0 + 1s, wall0).kind, Kind::wait);
  EXPECT_EQ(a.step(t0 + 1s, wall0).until, t0 + 2s);
  const LeaseMachine::Step renew = a.step(t0 + 2s, wall0 + 2s);
  EXPECT_EQ(renew.kind, Kind::update);
  EXPECT_THAT(renew.body, HasSubstr(R"("resourceVersion":"1")"));
  EXPECT_THAT(renew.body, HasSubstr(R"("acquireTime":"2026-03-01T00:00:00.000000Z")"));
}

TEST(Lease, OfAnotherIsTakenWhenItWasNotRenewedForAllItsTimeHere) {
  LeaseMachine b = machine("b");
  Time now = t0;
  std::string version = "1";
  for (int i = 0; i < 20; ++i) {
    const LeaseMachine::Step step = b.step(now, wall0 + 1000h);  // wall clocks do not matter
    ASSERT_EQ(step.kind, Kind::get) << i;
    version = i < 10 ? std::to_string(i) : version;  // renewed ten times, for the last time at t0 + 18 s
    b.granted({.version = version, .holder = "a", .transitions = 4, .acquired = wall0}, now, now);
    EXPECT_FALSE(b.leads(now));
    now = b.step(now, wall0).until;
    if (now >= t0 + 33s) {
      break;
    }
  }
  const LeaseMachine::Step take = b.step(now, wall0);
  EXPECT_EQ(take.kind, Kind::update);
  EXPECT_THAT(take.body, HasSubstr(R"("holderIdentity":"b")"));
  EXPECT_THAT(take.body, HasSubstr(R"("leaseTransitions":5)"));
  EXPECT_THAT(take.body, HasSubstr(R"("resourceVersion":"9")"));
}

TEST(Lease, ThatWasReleasedIsTakenAtOnce) {
  LeaseMachine b = machine("b");
  EXPECT_EQ(b.step(t0, wall0).kind, Kind::get);
  b.granted({.version = "7", .holder = "", .transitions = 1, .acquired = {}}, t0, t0);
  EXPECT_EQ(b.step(t0, wall0).kind, Kind::update);
}

TEST(Lease, ThatCannotBeRenewedIsHeldForWhatIsLeftOfItsTime) {
  LeaseMachine a = machine("a");
  EXPECT_EQ(a.step(t0, wall0).kind, Kind::get);
  a.granted({.version = "1", .holder = "a", .transitions = 0, .acquired = wall0}, t0, t0);
  EXPECT_FALSE(a.leads(t0)) << "its name alone may be of an earlier life";
  EXPECT_EQ(a.step(t0 + 2s, wall0).kind, Kind::update);
  a.granted({.version = "2", .holder = "a", .transitions = 0, .acquired = wall0}, t0 + 2s, t0 + 2s);
  const Time until = a.held_until();
  Time now = t0 + 4s;
  EXPECT_EQ(a.step(now, wall0).kind, Kind::update);
  a.failed(Error{Code::retry, "cut off"}, now);
  EXPECT_TRUE(a.leads(now));
  now += 2s;
  EXPECT_EQ(a.step(now, wall0).kind, Kind::get) << "what became of the last write?";
  a.granted({.version = "2", .holder = "b", .transitions = 1, .acquired = wall0}, now, now);
  EXPECT_FALSE(a.leads(now)) << "somebody else has it";
  EXPECT_LT(now, until);
}

TEST(Lease, IsReleasedOnceAndNotAskedForAgain) {
  LeaseMachine a = machine("a");
  EXPECT_EQ(a.step(t0, wall0).kind, Kind::get);
  a.missing(t0);
  EXPECT_EQ(a.step(t0, wall0).kind, Kind::create);
  a.granted({.version = "1", .holder = "a", .transitions = 0, .acquired = wall0}, t0, t0);
  a.release(t0 + 1s);
  EXPECT_FALSE(a.leads(t0 + 1s));
  EXPECT_FALSE(a.released());
  const LeaseMachine::Step step = a.step(t0 + 1s, wall0);
  EXPECT_EQ(step.kind, Kind::update);
  EXPECT_THAT(step.body, HasSubstr(R"("holderIdentity":"")"));
  a.failed(Error{Code::retry, "cut off"}, t0 + 2s);
  EXPECT_TRUE(a.released()) << "it expires";
  EXPECT_EQ(a.step(t0 + 100s, wall0).kind, Kind::wait);
  LeaseMachine b = machine("b");
  b.release(t0);
  EXPECT_TRUE(b.released()) << "it never had it";
}

// A server and three that want the lease: replies get lost before and after they are carried out, are late, clocks run
// at other speeds; some die and some are stopped for a while.
class Crowd {
 public:
  explicit Crowd(std::uint64_t seed) : random_(seed) {
    for (int i = 0; i < 3; ++i) {
      ones_.push_back({.machine = std::make_unique<LeaseMachine>(machine(std::string(1, static_cast<char>('a' + i)))),
                       .speed = 0.95 + 0.05 * i});
    }
  }
  void run() {
    for (now_ = 0ms; now_ < 600s; now_ += 50ms) {
      for (One& one : ones_) {
        advance(one);
      }
      const auto leaders = std::ranges::count_if(ones_, [this](const One& one) { return leads(one); });
      ASSERT_LE(leaders, 1) << to_s(now_) << " s";
      led_ += leaders > 0 ? 1 : 0;
    }
    EXPECT_GT(led_, 600 * 20 / 3) << "most of the time somebody leads";
  }

 private:
  struct Reply {
    Duration at;
    bool lost = false;
    std::optional<LeaseRecord> record;
    Code code = Code::retry;
    Time sent_at;
  };
  struct One {
    std::unique_ptr<LeaseMachine> machine;
    double speed = 1;
    std::optional<Reply> reply = {};
    Duration stopped_until{0};
  };

  [[nodiscard]] Time local(const One& one) const { return t0 + std::chrono::duration_cast<Duration>(now_ * one.speed); }
  // A stopped one does nothing, but may think that it leads when it goes on: that is when it looks at its clock.
  [[nodiscard]] bool leads(const One& one) const { return now_ >= one.stopped_until && one.machine->leads(local(one)); }

  void advance(One& one) {
    if (now_ < one.stopped_until) {
      return;
    }
    if (random_.chance(0.0005)) {
      one.stopped_until = now_ + random_.between(1s, 40s);
      return;
    }
    const Time at = local(one);
    if (!one.reply) {
      const LeaseMachine::Step step = one.machine->step(at, wall0);
      if (step.kind != Kind::wait) {
        one.reply = carry_out(step, at);
      }
    } else if (now_ >= one.reply->at) {
      const Reply reply = *std::exchange(one.reply, std::nullopt);
      if (!reply.lost && reply.record) {
        one.machine->granted(*reply.record, reply.sent_at, at);
      } else if (!reply.lost && reply.code == Code::gone) {
        one.machine->missing(at);
      } else {
        one.machine->failed(Error{reply.lost ? Code::retry : reply.code, "as it happens"}, at);
      }
    }
  }

  Reply carry_out(const LeaseMachine::Step& step, Time at) {
    Reply reply{.at = now_ + random_.between(0ms, 3s), .lost = random_.chance(0.2), .record = {}, .sent_at = at};
    if (random_.chance(0.1)) {
      reply.lost = true;
      return reply;  // never arrived
    }
    if (step.kind == Kind::get) {
      reply.record = lease_;
      reply.code = Code::gone;
      return reply;
    }
    const LeaseRecord wanted = *read_lease(step.body);
    const bool create = step.kind == Kind::create;
    if (create != !lease_ || (lease_ && wanted.version != lease_->version)) {
      reply.code = lease_ ? Code::conflict : Code::gone;
      return reply;
    }
    lease_ = wanted;
    lease_->version = std::to_string(++version_);
    reply.record = lease_;
    return reply;
  }

  Random random_;
  std::vector<One> ones_;
  Duration now_{0};
  std::optional<LeaseRecord> lease_;
  int version_ = 0;
  int led_ = 0;
};

TEST(Lease, HasOneLeaderAtATimeWhateverIsLostLateOrStopped) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Crowd crowd(seed);
    crowd.run();
  }
}

}  // namespace
}  // namespace sluice::kube
