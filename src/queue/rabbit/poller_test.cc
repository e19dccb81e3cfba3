// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/poller.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "queue/rabbit/source.h"
#include "queue/rabbit/testing_broker.h"

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class PollerTest : public testing::Test {
 protected:
  // `body` in virtual time, with a broker that knows queues q0, q1, .. with as many messages as their number.
  void run(int queues, const std::function<aio::Task<void>()>& body) {
    for (int i = 0; i < queues; ++i) {
      fake_.queues[fmt::format("q{}", i)] = {.ready = static_cast<std::uint32_t>(i), .consumers = 1};
    }
    broker_ = make_broker();
    poller_ = Poller::of(broker_);
    const auto main = [&]() -> aio::Task<void> {
      co_await body();
      co_await broker_->close(clock_.in(1s));
      co_await fake_.stop();
    };
    clock_.run(main());
  }
  std::shared_ptr<Broker> make_broker() {
    BrokerOptions options{.address = parse_address("amqp://fake", {}, "/").value()};
    options.heartbeat = Duration{0};
    options.dial = fake_.dial();
    options.login = [this] { return Result<Login>(login_); };
    return std::make_shared<Broker>(loop_, clock_, random_, std::move(options));
  }
  aio::Task<void> ask_one(std::string queue, Duration patience) {
    const Result<Poller::Counts> counts = co_await poller_->counts(queue, clock_.in(patience));
    answers_[queue] = counts ? fmt::format("{} {}", counts->ready, counts->consumers) : counts.error().what;
    codes_[queue] = counts ? std::nullopt : std::optional(counts.error().code);
  }
  // All at once; returns when all are answered.
  aio::Task<void> ask(std::vector<std::string> names, Duration patience) {
    aio::TaskGroup group(loop_, clock_);
    for (const std::string& name : names) {
      group.spawn(ask_one(name, patience));
    }
    co_await group.join();
  }
  static std::vector<std::string> names(int n) {
    std::vector<std::string> out;
    for (int i = 0; i < n; ++i) {
      out.push_back(fmt::format("q{}", i));
    }
    return out;
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Random random_{1};
  Login login_;
  FakeBroker fake_{loop_, clock_};
  std::shared_ptr<Broker> broker_;
  std::shared_ptr<Poller> poller_;
  std::map<std::string, std::string> answers_;
  std::map<std::string, std::optional<Code>> codes_;
};

TEST_F(PollerTest, AsksFiveThousandQueuesOverOneConnectionAndOneChannel) {
  run(5000, [&]() -> aio::Task<void> {
    co_await ask(names(5000), 5s);
    for (int i = 0; i < 5000; ++i) {
      EXPECT_EQ(answers_[fmt::format("q{}", i)], fmt::format("{} 1", i));
    }
    EXPECT_EQ(fake_.connections, 1);
    EXPECT_EQ(fake_.channels, 1);
    EXPECT_EQ(fake_.declares, 5000U);
  });
}

TEST_F(PollerTest, IsSharedByAllSourcesOfABroker) {
  run(3, [&]() -> aio::Task<void> {
    for (int i = 0; i < 3; ++i) {
      RabbitSource source(broker_, fmt::format("q{}", i));
      const Result<model::Sample> sample = co_await source.sample(clock_.in(1s));
      EXPECT_EQ(sample->ready->n, i);
      EXPECT_EQ(sample->consumers->n, 1);
      EXPECT_FALSE(sample->in_flight);
    }
    EXPECT_EQ(fake_.channels, 1);
  });
}

TEST_F(PollerTest, GivesARefusalToTheQueueItIsAboutAndAsksTheOthersAgain) {
  run(200, [&]() -> aio::Task<void> {
    fake_.queues["q7"].refusal = 404;
    fake_.queues["q8"].refusal = 403;
    fake_.queues["q150"].refusal = 405;
    co_await ask(names(200), 5s);
    for (int i = 0; i < 200; ++i) {
      const std::string name = fmt::format("q{}", i);
      if (fake_.queues[name].refusal == 0) {
        EXPECT_EQ(answers_[name], fmt::format("{} 1", i));
      }
    }
    EXPECT_EQ(codes_["q7"], Code::gone);
    EXPECT_EQ(answers_["q7"], "queue q7 on amqp://fake:5672, virtual host /: REFUSED - as told (AMQP 404)");
    EXPECT_EQ(codes_["q8"], Code::denied);
    EXPECT_EQ(codes_["q150"], Code::denied);
    EXPECT_THAT(answers_["q150"], HasSubstr("exclusive queue"));
    EXPECT_EQ(fake_.connections, 1);
    EXPECT_EQ(fake_.channels, 4);
  });
}

TEST_F(PollerTest, FindsAQueueAgainASecondAfterItWasMade) {
  run(1, [&]() -> aio::Task<void> {
    co_await ask({"new"}, 1s);
    EXPECT_EQ(codes_["new"], Code::gone);
    fake_.queues["new"] = {.ready = 9};
    co_await clock_.sleep_for(500ms);
    co_await ask({"new", "q0"}, 1s);
    EXPECT_EQ(codes_["new"], Code::gone);  // from memory
    EXPECT_EQ(answers_["q0"], "0 1");
    co_await clock_.sleep_for(500ms);
    co_await ask({"new"}, 1s);
    EXPECT_EQ(answers_["new"], "9 0");
  });
}

TEST_F(PollerTest, AsksManyMissingQueuesTwentyTimesASecondInAllAndEachInItsTurn) {
  run(1, [&]() -> aio::Task<void> {
    std::vector<std::string> missing;
    for (int i = 0; i < 500; ++i) {
      missing.push_back(fmt::format("missing{}", i));
    }
    std::vector<std::string> all = missing;
    all.emplace_back("q0");
    co_await ask(all, 5s);
    const int first = fake_.channels;
    EXPECT_LE(first, 502);
    fake_.declared.clear();
    for (int second = 0; second < 60; ++second) {
      co_await ask(all, 5s);
      EXPECT_EQ(answers_["q0"], "0 1");
      EXPECT_EQ(codes_["missing3"], Code::gone);
      co_await clock_.sleep_for(1s);
    }
    EXPECT_LE(fake_.channels - first, 60 * 20 + 500);
    for (const std::string& name : missing) {
      EXPECT_GE(std::ranges::count(fake_.declared, name), 1) << name;
    }
  });
}

TEST_F(PollerTest, LetsASlowQueueHoldUpTheOthersOnlyOnce) {
  run(20, [&]() -> aio::Task<void> {
    fake_.queues["q0"].takes = 2s;
    co_await ask(names(20), 5s);
    EXPECT_EQ(answers_["q19"], "19 1");
    const Time before = clock_.now();
    co_await ask({"q1", "q2"}, 5s);
    EXPECT_LT(clock_.now() - before, 10ms);
  });
}

TEST_F(PollerTest, DoesNotTakeTheZeroOfAQueueWithoutALeaderForAnEmptyQueue) {
  run(1, [&]() -> aio::Task<void> {
    fake_.queues["lost"] = {.ready = 0, .consumers = 0, .takes = 250ms};
    co_await ask({"lost"}, 5s);
    EXPECT_EQ(codes_["lost"], Code::retry);
    EXPECT_THAT(answers_["lost"], HasSubstr("without a leader"));
    fake_.queues["lost"].takes = Duration{0};
    co_await ask({"lost"}, 5s);
    EXPECT_EQ(answers_["lost"], "0 0");
  });
}

TEST_F(PollerTest, ABusyMomentIsNoExcuseForAQueueWithoutALeader) {
  run(1, [&]() -> aio::Task<void> {
    fake_.trip = 400ms;  // while the channel is opened
    co_await ask({"q0"}, 5s);
    fake_.trip = Duration{0};
    fake_.queues["lost"] = {.ready = 0, .consumers = 0, .takes = 250ms};
    co_await ask({"lost"}, 5s);
    EXPECT_EQ(codes_["lost"], Code::retry);
    co_await ask({"lost"}, 5s);
    EXPECT_EQ(codes_["lost"], Code::retry);
  });
}

TEST_F(PollerTest, DoesNotTakeAFarBrokerForASlowOne) {
  run(1, [&]() -> aio::Task<void> {
    fake_.trip = 300ms;
    co_await ask({"q0"}, 5s);
    co_await ask({"q0"}, 5s);
    EXPECT_EQ(answers_["q0"], "0 1");
    fake_.queues["q0"].consumers = 0;
    co_await ask({"q0"}, 5s);
    EXPECT_EQ(answers_["q0"], "0 0");
  });
}

TEST_F(PollerTest, EndsAtItsDeadlineAndKeepsTheOrderOfWhatComesLater) {
  run(3, [&]() -> aio::Task<void> {
    fake_.queues["q0"].takes = 400ms;
    const Time before = clock_.now();
    co_await ask({"q0", "q1"}, 100ms);
    EXPECT_EQ(clock_.now() - before, Duration{100ms});
    EXPECT_EQ(answers_["q0"], "the broker did not answer in time");
    EXPECT_EQ(answers_["q1"], "the broker did not answer in time");
    co_await ask({"q2", "q1"}, 5s);
    EXPECT_EQ(answers_["q1"], "1 1");
    EXPECT_EQ(answers_["q2"], "2 1");
    EXPECT_EQ(fake_.connections, 1);
  });
}

TEST_F(PollerTest, ComesBackWhenTheBrokerDoes) {
  run(50, [&]() -> aio::Task<void> {
    fake_.down = true;
    co_await ask(names(50), 1s);
    EXPECT_THAT(answers_["q49"], HasSubstr("refused"));
    fake_.down = false;
    co_await clock_.sleep_for(3s);
    co_await ask(names(50), 1s);
    EXPECT_EQ(answers_["q49"], "49 1");
  });
}

TEST_F(PollerTest, AsksAgainOnceWhenTheConnectionIsCut) {
  run(10, [&]() -> aio::Task<void> {
    co_await ask(names(10), 1s);
    fake_.queues["q5"].ends_connection = true;
    co_await ask(names(10), 5s);
    EXPECT_EQ(answers_["q0"], "0 1");
    EXPECT_THAT(answers_["q5"], HasSubstr("closed the connection"));
    EXPECT_LE(fake_.connections, 4);
    fake_.queues["q5"].ends_connection = false;
    co_await ask(names(10), 5s);
    EXPECT_EQ(answers_["q5"], "5 1");
  });
}

TEST_F(PollerTest, MovesToTheConnectionWithANewLoginSoThatTheOldOneCanEnd) {
  run(10, [&]() -> aio::Task<void> {
    fake_.queues["q9"].refusal = 404;
    co_await ask(names(10), 1s);
    login_.password = "another";
    for (int second = 0; second < 15; ++second) {
      co_await ask(names(10), 1s);
      EXPECT_EQ(answers_["q8"], "8 1");
      co_await clock_.sleep_for(1s);
    }
    EXPECT_EQ(fake_.connections, 2);
    EXPECT_EQ(fake_.goodbyes, 1);
  });
}

TEST_F(PollerTest, AnIdleOneKeepsNoOldConnectionOpen) {
  run(1, [&]() -> aio::Task<void> {
    co_await ask({"q0"}, 1s);
    login_.password = "another";
    for (int second = 0; second < 15; ++second) {  // others use the broker
      const Result<std::shared_ptr<Connection>> current = co_await broker_->connection(clock_.in(1s));
      EXPECT_TRUE(current);
      co_await clock_.sleep_for(1s);
    }
    EXPECT_EQ(fake_.connections, 2);
    EXPECT_EQ(fake_.goodbyes, 1);
    co_await ask({"q0"}, 1s);
    EXPECT_EQ(answers_["q0"], "0 1");
    EXPECT_EQ(fake_.connections, 2);
  });
}

TEST_F(PollerTest, TriesARefusedLoginRarelyAndAnotherOneSoon) {
  run(1, [&]() -> aio::Task<void> {
    fake_.refused_password = login_.password = "wrong";
    for (int tenths = 0; tenths < 99; ++tenths) {
      co_await ask({"q0"}, 1s);
      co_await clock_.sleep_for(100ms);
    }
    EXPECT_THAT(answers_["q0"], HasSubstr("wrong user name, password or certificate"));
    EXPECT_EQ(fake_.connections, 1);
    login_.password = "another";
    co_await clock_.sleep_for(100ms);
    co_await ask({"q0"}, 1s);
    EXPECT_EQ(answers_["q0"], "0 1");
    EXPECT_EQ(fake_.connections, 2);
  });
}

TEST_F(PollerTest, TakesARepairedLoginWhoseNextTryIsFarAway) {
  run(1, [&]() -> aio::Task<void> {
    fake_.refused_password = login_.password = "wrong";
    for (int minute = 0; minute < 20; ++minute) {
      co_await ask({"q0"}, 1s);
      co_await clock_.sleep_for(1min);
    }
    EXPECT_LT(fake_.connections, 15);
    co_await ask({"q0"}, 1s);
    login_.password = "another";
    co_await clock_.sleep_for(5s);
    co_await ask({"q0"}, 1s);
    EXPECT_EQ(answers_["q0"], "0 1");
  });
}

TEST_F(PollerTest, TakesNoCountOfAnotherQueue) {
  run(2, [&]() -> aio::Task<void> {
    fake_.queues["q0"].answers_as = "q1";
    co_await ask({"q0"}, 1s);
    EXPECT_THAT(answers_["q0"], HasSubstr("breaks the protocol"));
  });
}

TEST_F(PollerTest, LosesNobodyWhenTheOneThatOpensTheChannelIsCancelled) {
  run(2, [&]() -> aio::Task<void> {
    aio::TaskGroup first(loop_, clock_);
    aio::TaskGroup second(loop_, clock_);
    fake_.dial_takes = 100ms;
    first.spawn(ask_one("q0", 1s));
    second.spawn(ask_one("q1", 1s));
    co_await clock_.sleep_for(50ms);
    first.cancel();
    co_await first.join();
    co_await second.join();
    EXPECT_EQ(answers_["q1"], "1 1");
    EXPECT_FALSE(answers_.contains("q0"));
  });
}

}  // namespace
}  // namespace sluice::queue::rabbit
