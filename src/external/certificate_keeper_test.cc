// SPDX-License-Identifier: Apache-2.0
#include "external/certificate_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "aio/task_group.h"
#include "external/testing_trust_world.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class Keeper : public testing::Test {
 protected:
  [[nodiscard]] KeyedCertificate authority(Duration age = 0s) const {
    const WallTime then = world_.clock.wall() - std::chrono::duration_cast<std::chrono::milliseconds>(age);
    return make_authority(world_.service_name, then).value();
  }
  void run(aio::Task<void> body) {
    world_.clock.run([](aio::Task<void> inner, TrustWorld& world) -> aio::Task<void> {
      co_await std::move(inner);
      co_await world.fake.stop();
    }(std::move(body), world_));
  }

  TrustWorld world_;
};

TEST_F(Keeper, FillsTheSecretAndTheBundleAndServes) {
  run([](TrustWorld& world) -> aio::Task<void> {
    const auto a = world.replica();
    const Result<void> looked = co_await world.look(*a);
    EXPECT_TRUE(looked) << looked.error().what;
    EXPECT_THAT(a->certificates, SizeIs(1));
    EXPECT_EQ(world.trust(*a), "trusted");
    EXPECT_EQ(world.bundle(), world.data("ca.crt"));
    EXPECT_EQ(world.secret.at("metadata").at("labels"), (boost::json::value{{"a", "b"}})) << "the rest of it stays";
    EXPECT_EQ(world.secret.at("type"), "Opaque");
    const Result<void> again = co_await world.look(*a);
    EXPECT_TRUE(again);
    EXPECT_THAT(a->certificates, SizeIs(1));
    EXPECT_EQ(world.count(std::string("PUT ") + secret_path), 1);
    EXPECT_EQ(world.count(std::string("PATCH ") + api_service_path), 1);
    EXPECT_THAT(a->told, ElementsAre());
  }(world_));
}

TEST_F(Keeper, ReplicasThatBeginTogetherAgree) {
  run([](TrustWorld& world) -> aio::Task<void> {
    const auto a = world.replica();
    const auto b = world.replica();
    const auto look = [](TrustWorld& in, TrustWorld::Replica& replica) -> aio::Task<void> {
      const Result<void> looked = co_await in.look(replica);
      EXPECT_TRUE(looked) << looked.error().what;
    };
    aio::TaskGroup group(world.loop, world.clock);
    group.spawn(look(world, *a));
    group.spawn(look(world, *b));
    co_await group.join();
    EXPECT_GE(world.conflicts, 1) << "they did not meet";
    EXPECT_EQ(world.trust(*a), "trusted");
    EXPECT_EQ(world.trust(*b), "trusted");
    EXPECT_EQ(world.bundle(), world.data("ca.crt")) << "one authority";
  }(world_));
}

TEST_F(Keeper, TurnsVerificationOnAndRepairsTheBundle) {
  world_.service["spec"].as_object()["insecureSkipTLSVerify"] = true;
  run([](TrustWorld& world) -> aio::Task<void> {
    const auto a = world.replica();
    const Result<void> looked = co_await world.look(*a);
    EXPECT_TRUE(looked) << looked.error().what;
    EXPECT_FALSE(world.service.at("spec").as_object().contains("insecureSkipTLSVerify"));
    world.put_bundle("someone's own");
    const Result<void> again = co_await world.look(*a);
    EXPECT_TRUE(again);
    EXPECT_EQ(world.trust(*a), "trusted");
    EXPECT_THAT(a->certificates, SizeIs(1)) << "the certificate was good";
  }(world_));
}

// With an older Secret in hand, when another replica has already published the next authority.
TEST_F(Keeper, WhoIsLateDoesNotTakeANewAuthorityOutOfTheBundle) {
  const KeyedCertificate old = authority(24h);
  const KeyedCertificate next = authority();
  world_.put_authorities({old});
  world_.before = [&, done = false](const std::string& method, const std::string&) mutable {
    if (method == "PATCH" && !std::exchange(done, true)) {
      world_.put_authorities({next, old});
      world_.put_bundle(next.cert_pem + old.cert_pem);
    }
  };
  run([](TrustWorld& world, const std::string& both) -> aio::Task<void> {
    const auto a = world.replica();
    const Result<void> looked = co_await world.look(*a);
    EXPECT_TRUE(looked) << looked.error().what;
    EXPECT_EQ(world.conflicts, 1);
    EXPECT_EQ(world.bundle(), both);
    EXPECT_EQ(world.trust(*a), "trusted");
  }(world_, next.cert_pem + old.cert_pem));
}

TEST_F(Keeper, SignsByANewAuthorityWhenTheBundleHasHeldItForAWhile) {
  const KeyedCertificate old = authority(authority_life / 3 * 2);
  world_.put_authorities({old});
  world_.put_bundle(old.cert_pem);
  run([](TrustWorld& world, std::string was) -> aio::Task<void> {
    const auto signed_by = [&](const TrustWorld::Replica& replica, const std::string& authority) {
      return trust_in(authority, replica.certificates.back().cert_pem, world.service_name.host(), world.clock.wall());
    };
    const auto a = world.replica();
    const Result<void> first = co_await world.look(*a);
    EXPECT_TRUE(first) << first.error().what;
    EXPECT_EQ(world.data("previous.crt"), was);
    const std::string next = world.data("ca.crt");
    EXPECT_EQ(world.bundle(), next + was);
    EXPECT_EQ(signed_by(*a, was), "trusted");
    co_await world.clock.sleep_for(59s);
    const Result<void> second = co_await world.look(*a);
    EXPECT_TRUE(second);
    EXPECT_EQ(signed_by(*a, was), "trusted");
    co_await world.clock.sleep_for(2s);
    const Result<void> third = co_await world.look(*a);
    EXPECT_TRUE(third);
    EXPECT_EQ(signed_by(*a, next), "trusted");
    EXPECT_EQ(world.bundle(), next + was) << "the other replica may still serve by it";
  }(world_, old.cert_pem));
}

TEST_F(Keeper, ServesOnByTheOldOneWhileTheBundleCannotBeChanged) {
  const KeyedCertificate old = authority(authority_life / 3 * 2);
  world_.put_authorities({old});
  world_.put_bundle(old.cert_pem);
  world_.refuse = [](const std::string& method, const std::string&) { return method == "PATCH" ? 403 : 0; };
  run([](TrustWorld& world) -> aio::Task<void> {
    const auto a = world.replica();
    for (int i = 0; i < 5; ++i) {
      const Result<void> looked = co_await world.look(*a);
      EXPECT_FALSE(looked);
      EXPECT_EQ(world.trust(*a), "trusted");
      co_await world.clock.sleep_for(1min);
    }
    EXPECT_THAT(a->told, ElementsAre(AllOf(HasSubstr("APIService v1beta1.external.metrics.k8s.io: "),
                                           HasSubstr("cannot do that; the adapter's service account needs the right "
                                                     "to patch it"))));
    world.refuse = nullptr;
    const Result<void> looked = co_await world.look(*a);
    EXPECT_TRUE(looked) << looked.error().what;
    EXPECT_THAT(a->told, ElementsAre(testing::_, ""));
  }(world_));
}

TEST_F(Keeper, RenewsWhatServesWhileTheSecretCannotBeChanged) {
  const KeyedCertificate old = authority(authority_life / 3 * 2);
  world_.put_authorities({old});
  world_.refuse = [](const std::string& method, const std::string&) { return method == "PUT" ? 403 : 0; };
  run([](TrustWorld& world) -> aio::Task<void> {
    const auto a = world.replica();
    for (int i = 0; i < 3; ++i) {
      const Result<void> looked = co_await world.look(*a);
      EXPECT_FALSE(looked);
      EXPECT_EQ(world.trust(*a), "trusted");
      co_await world.clock.sleep_for(24h * 20);
    }
    EXPECT_THAT(a->certificates, SizeIs(3));
    EXPECT_THAT(a->told, ElementsAre(HasSubstr("Secret ops/sluice-adapter-ca: ")));
  }(world_));
}

TEST_F(Keeper, LeavesAnApiServiceOfSomebodyElseAlone) {
  world_.service["spec"] = {{"service", {{"namespace", "keda"}, {"name", "keda-operator-metrics-apiserver"}}}};
  run([](TrustWorld& world) -> aio::Task<void> {
    const auto a = world.replica();
    const Result<void> looked = co_await world.look(*a);
    EXPECT_THAT(looked.error().what, HasSubstr("belongs to KEDA (Service keda/keda-operator-metrics-apiserver), not "
                                               "to Service ops/sluice-adapter"));
    EXPECT_EQ(world.count(std::string("PATCH ") + api_service_path), 0);
    EXPECT_THAT(a->certificates, SizeIs(1)) << "for its probes, and for when it gets the name";
  }(world_));
}

TEST_F(Keeper, SaysWhichRightOrObjectIsMissing) {
  struct Case {
    std::string request;
    int status;
    std::string words;
  };
  const std::vector<Case> cases{
      {std::string("GET ") + secret_path, 403,
       "Secret ops/sluice-adapter-ca: User \"ops:sluice-adapter\" cannot do that; the adapter's service account needs "
       "the right to get it"},
      {std::string("PUT ") + secret_path, 403, "needs the right to update it"},
      {std::string("GET ") + secret_path, 404, "Secret ops/sluice-adapter-ca: it is not there; the chart makes it"},
      {std::string("GET ") + api_service_path, 403, "needs the right to get it"},
      {std::string("GET ") + api_service_path, 404, "APIService v1beta1.external.metrics.k8s.io: "}};
  for (const Case& each : cases) {
    TrustWorld world;
    world.refuse = [&](const std::string& method, const std::string& path) {
      return fmt::format("{} {}", method, path) == each.request ? each.status : 0;
    };
    world.clock.run([](TrustWorld& in, const Case& want) -> aio::Task<void> {
      const auto a = in.replica();
      const Result<void> looked = co_await in.look(*a);
      const Result<void> again = co_await in.look(*a);
      EXPECT_FALSE(again);
      EXPECT_THAT(looked.error().what, HasSubstr(want.words)) << want.request;
      EXPECT_THAT(a->told, SizeIs(1)) << "once";
      co_await in.fake.stop();
    }(world, each));
  }
}

TEST_F(Keeper, ASecretThatHoldsNoAuthorityIsFilledAnew) {
  const KeyedCertificate good = authority();
  for (const KeyedCertificate& bad :
       {KeyedCertificate{.cert_pem = "CANARY", .key_pem = good.key_pem},
        KeyedCertificate{.cert_pem = good.cert_pem, .key_pem = authority().key_pem},
        make_serving(good, world_.service_name, world_.clock.wall()).value(), authority(authority_life)}) {
    TrustWorld world;
    world.put_authorities({bad});
    world.put_bundle(bad.cert_pem);
    world.clock.run([](TrustWorld& in) -> aio::Task<void> {
      const auto a = in.replica();
      const Result<void> looked = co_await in.look(*a);
      EXPECT_TRUE(looked) << looked.error().what;
      EXPECT_EQ(in.trust(*a), "trusted");
      EXPECT_EQ(in.bundle(), in.data("ca.crt"));
      co_await in.fake.stop();
    }(world));
  }
}

// Every 5th request fails in one way or another, and the certificate comes and stays.
TEST_F(Keeper, GetsThereThroughFailures) {
  int n = 0;
  int status = 0;
  world_.before = [&](const std::string&, const std::string&) {
    status = ++n % 5 == 0 ? std::vector{500, 503, 409, 403}[static_cast<std::size_t>(n / 5) % 4] : 0;
  };
  world_.refuse = [&](const std::string&, const std::string&) { return status; };
  run([](TrustWorld& world) -> aio::Task<void> {
    const auto a = world.replica({.service = {}, .secret = {}, .look_each = 1h});
    aio::TaskGroup group(world.loop, world.clock);
    group.spawn(a->keeper->run());
    co_await world.clock.sleep_for(24h * 21);
    EXPECT_EQ(world.trust(*a), "trusted");
    EXPECT_THAT(a->certificates, SizeIs(2)) << "the second after two thirds of its life";
    group.cancel();
    co_await group.join();
  }(world_));
}

// Replicas with an authority that is six and a half years old. What API servers know of the bundle is up to `lag` old.
class Rotation {
 public:
  Rotation(Duration settle, Duration lag) : settle_(settle), lag_(lag) {
    const WallTime made = world_.clock.wall() - std::chrono::hours{24 * 2373};
    const KeyedCertificate first = make_authority(world_.service_name, made).value();
    world_.put_authorities({first});
    world_.put_bundle(first.cert_pem);
    world_.changed = [this] { judge(); };
  }
  // Two replicas, one of which is restarted `lives` times, each 203 days. Returns how many times a request could have
  // failed.
  int run(int lives) {
    world_.clock.run(live(lives));
    return failures_;
  }
  [[nodiscard]] const std::vector<std::string>& bundles() const { return bundles_; }

 private:
  static constexpr Duration day = 24h;

  aio::Task<void> live(int lives) {
    const KeeperOptions options{.service = {}, .secret = {}, .look_each = 8 * day, .settle = settle_};
    const auto a = world_.replica(options);
    aio::TaskGroup group(world_.loop, world_.clock);
    group.spawn(a->keeper->run());
    for (int i = 0; i < lives; ++i) {
      const auto b = world_.replica(options);
      replicas_ = {a.get(), b.get()};
      aio::TaskGroup life(world_.loop, world_.clock);
      life.spawn(b->keeper->run());
      co_await world_.clock.sleep_for(203 * day);
      judge();
      life.cancel();
      co_await life.join();
    }
    group.cancel();
    co_await group.join();
    co_await world_.fake.stop();
  }

  void judge() {
    const Time now = world_.clock.now();
    if (known_.empty() || known_.back().second != world_.bundle()) {
      known_.emplace_back(now, world_.bundle());
      if (!world_.bundle().empty()) {
        bundles_.push_back(world_.bundle());
      }
    }
    // The oldest that may still be believed is the last one from before the lag.
    while (known_.size() > 1 && known_[1].first <= now - lag_) {
      known_.pop_front();
    }
    for (const TrustWorld::Replica* replica : replicas_) {
      for (const auto& [since, bundle] : known_) {
        const bool counts = !replica->certificates.empty() && !bundle.empty();
        failures_ += counts && trust_in(bundle, replica->certificates.back().cert_pem, world_.service_name.host(),
                                        world_.clock.wall()) != "trusted"
                         ? 1
                         : 0;
      }
    }
  }

  TrustWorld world_;
  const Duration settle_;
  const Duration lag_;
  std::vector<const TrustWorld::Replica*> replicas_;
  std::deque<std::pair<Time, std::string>> known_;
  std::vector<std::string> bundles_;
  int failures_ = 0;
};

TEST(KeeperRotation, NoRequestFailsInSevenYears) {
  Rotation rotation(/*settle=*/8 * 24h, /*lag=*/5 * 24h);
  EXPECT_EQ(rotation.run(13), 0);
  // The first, the second beside it, the second alone after the first has ended, the third beside it.
  EXPECT_THAT(rotation.bundles(), SizeIs(4));
}

TEST(KeeperRotation, WithoutTheWaitRequestsFail) {
  Rotation hasty(/*settle=*/0h, /*lag=*/5 * 24h);
  EXPECT_GT(hasty.run(1), 0);
}

}  // namespace
}  // namespace sluice::external
