// SPDX-License-Identifier: Apache-2.0
#include "kube/mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kube/testing_api.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

// A mirror of the Jobs of an API server in memory, in virtual time.
struct World {
  explicit World(aio::Faults* faults = nullptr) : faults_(faults) {}

  void run(const std::function<aio::Task<void>()>& body) {
    Access access;
    access.server = "http://api:80";
    Api api(loop, clock, access, {}, {}, ApiOptions{.dial = fake.dial(faults_)});
    MirrorOptions<Job> options{.path = "/jobs", .read = read_job, .read_event = read_job_event};
    options.trouble = [this](const Error* why) { told.push_back(why != nullptr ? why->what : "goes on"); };
    Mirror<Job> mirror_(api, clock, random, std::move(options));
    mirror = &mirror_;
    const auto main = [&]() -> aio::Task<void> {
      aio::TaskGroup group(loop, clock);
      group.spawn(mirror_.run());
      co_await body();
      group.cancel();
      co_await group.join();
      co_await fake.stop();
    };
    clock.run(main());
  }
  [[nodiscard]] std::map<std::string, int> active() const {
    std::map<std::string, int> out;
    for (const auto& [name, job] : mirror->all()) {
      out[name.substr(1)] = job.active;  // without the "/" behind the namespace, which is none here
    }
    return out;
  }

  aio::Loop loop;
  aio::VirtualClock clock{loop};
  Random random{1};
  FakeApi fake{loop, clock};
  std::vector<std::string> told;
  Mirror<Job>* mirror = nullptr;

 private:
  aio::Faults* faults_;
};

TEST(Mirror, ListsOnceThenFollows) {
  World world;
  world.fake.set("a", 1);
  world.fake.set("b", 0);
  world.fake.set("c", 0);
  world.fake.page = 2;
  world.run([&]() -> aio::Task<void> {
    EXPECT_FALSE(world.mirror->listed());
    co_await world.clock.sleep_for(1ms);
    EXPECT_TRUE(world.mirror->listed());
    EXPECT_THAT(world.active(), ElementsAre(Pair("a", 1), Pair("b", 0), Pair("c", 0)));
    world.fake.set("b", 1);
    world.fake.remove("a");
    world.fake.set("d", 1);
    co_await world.clock.sleep_for(1ms);
    EXPECT_THAT(world.active(), ElementsAre(Pair("b", 1), Pair("c", 0), Pair("d", 1)));
    EXPECT_LE(world.clock.now() - world.mirror->heard_at(), 1ms);
  });
  EXPECT_EQ(world.fake.lists, 1);
  EXPECT_THAT(world.told, IsEmpty());
}

TEST(Mirror, GoesOnWhereAWatchEndedAndNotInALoop) {
  World world;
  world.fake.ends_watches = true;
  world.run([&]() -> aio::Task<void> {
    for (int i = 0; i < 100; ++i) {
      world.fake.set("a", i);
      co_await world.clock.sleep_for(100ms);
    }
    co_await world.clock.sleep_for(2s);
    EXPECT_THAT(world.active(), ElementsAre(Pair("a", 99)));
  });
  EXPECT_EQ(world.fake.lists, 1);
  EXPECT_LE(world.fake.watches, 13);
  EXPECT_THAT(world.told, IsEmpty());
}

TEST(Mirror, ListsAnewWhenTheServerHasForgotten) {
  World world;
  world.run([&]() -> aio::Task<void> {
    world.fake.set("a", 1);
    co_await world.clock.sleep_for(1s);
    world.fake.ends_watches = true;  // the one that runs ends with the next event
    world.fake.set("a", 2);
    co_await world.clock.sleep_for(1ms);
    world.fake.ends_watches = false;
    world.fake.set("b", 1);
    world.fake.remove("a");
    world.fake.forget();
    co_await world.clock.sleep_for(10s);
    EXPECT_THAT(world.active(), ElementsAre(Pair("b", 1)));
  });
  EXPECT_EQ(world.fake.lists, 2);
  EXPECT_THAT(world.told, ElementsAre("too old resource version", "goes on"));
}

TEST(Mirror, ABookmarkIsEnoughNotToListAnew) {
  World world;
  world.run([&]() -> aio::Task<void> {
    world.fake.set("a", 1);
    co_await world.clock.sleep_for(60s);
    world.fake.bookmark();
    co_await world.clock.sleep_for(1ms);
    world.fake.forget();
    co_await world.clock.sleep_for(59s);
    EXPECT_LE(world.clock.now() - world.mirror->heard_at(), 60s);
    co_await world.clock.sleep_for(100s);  // silence: watched anew, from the bookmark on
    world.fake.set("a", 2);
    co_await world.clock.sleep_for(1s);
    EXPECT_THAT(world.active(), ElementsAre(Pair("a", 2)));
  });
  EXPECT_EQ(world.fake.lists, 1);
  EXPECT_EQ(world.fake.watches, 2);
}

TEST(Mirror, AnEventThatComesTooLateChangesNothing) {
  World world;
  world.run([&]() -> aio::Task<void> {
    world.fake.set("b", 0);
    co_await world.clock.sleep_for(1ms);
    world.fake.set("a", 1);
    world.fake.set("a", 2);
    world.fake.swap();
    co_await world.clock.sleep_for(1ms);
    EXPECT_THAT(world.active(), ElementsAre(Pair("a", 2), Pair("b", 0)));
    world.fake.remove("a");
    world.fake.set("a", 7);
    world.fake.swap();
    co_await world.clock.sleep_for(1ms);
    EXPECT_THAT(world.active(), ElementsAre(Pair("a", 7), Pair("b", 0))) << "the new one goes with the old one";
    world.fake.set("b", 1);
    world.fake.remove("b");
    world.fake.swap();
    co_await world.clock.sleep_for(1ms);
    EXPECT_THAT(world.active(), ElementsAre(Pair("a", 7))) << "what is gone comes again";
    world.fake.set("b", 3);
    co_await world.clock.sleep_for(1ms);
    EXPECT_THAT(world.active(), ElementsAre(Pair("a", 7), Pair("b", 3)));
  });
  EXPECT_EQ(world.fake.lists, 1);
}

// Whatever fails on the way, it is never a part of a list, and in the end it is what the server has.
TEST(Mirror, IsRightInTheEndWhateverStepFails) {
  const std::size_t steps = aio::for_each_failure([](aio::Faults& faults) {
    SCOPED_TRACE(aio::fault_word(faults.fault()));
    World world(&faults);
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      world.fake.set(name, 1);
    }
    world.fake.page = 2;
    world.run([&]() -> aio::Task<void> {
      for (int i = 0; i < 6; ++i) {
        co_await world.clock.sleep_for(20s);
        EXPECT_TRUE(world.active().empty() || world.active().size() >= 5U) << "a part of a list";
        world.fake.set(fmt::format("n{}", i), i);
        if (i % 2 == 1) {
          world.fake.bookmark();
        }
      }
      for (int i = 0; i < 4; ++i) {
        co_await world.clock.sleep_for(60s);  // a stalled watch is noticed by its silence
        world.fake.bookmark();
      }
      co_await world.clock.sleep_for(10s);  // more than the longest rest after a first failure
      EXPECT_EQ(world.active(), world.fake.active());
      EXPECT_FALSE(world.mirror->why());
    });
  });
  EXPECT_GE(steps, 10U);
}

}  // namespace
}  // namespace sluice::kube
