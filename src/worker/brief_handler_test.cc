// SPDX-License-Identifier: Apache-2.0
#include "worker/brief_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>
#include <vector>

namespace sluice::worker {
namespace {

using namespace std::chrono_literals;
using Kind = Outcome::Kind;
using testing::ElementsAre;
using testing::HasSubstr;

// In virtual time, which stands still unless a function moves it on.
class BriefTest : public testing::Test {
 protected:
  BriefHandler handler(Function function) {
    return {loop_, clock_, std::move(function), [this](std::string_view what) { warned_.emplace_back(what); }};
  }
  static std::shared_ptr<const queue::Delivery> delivery(std::string body) {
    auto out = std::make_shared<queue::Delivery>();
    out->message.body = std::move(body);
    return out;
  }
  std::unique_ptr<worker::Run> start(BriefHandler& handler, const std::string& body) {
    return handler.start_at_once(delivery(body), 7, [this, body](const Outcome& outcome) {
      told_.push_back(body + " " + (outcome.kind == Kind::done ? "done" : outcome.why));
    });
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  std::vector<std::string> warned_;
  std::vector<std::string> told_;
};

TEST_F(BriefTest, RunsOnTheLoopsThreadAfterTheCallThatStartedIt) {
  BriefHandler brief = handler([](const queue::Delivery& d, std::uint32_t attempt, const std::atomic<bool>&) {
    return d.message.body == "no" ? throw std::runtime_error("bad body")
                                  : Outcome::failed(attempt == 7 ? "7" : "which attempt?");
  });
  const auto main = [&]() -> aio::Task<void> {
    const std::unique_ptr<worker::Run> one = start(brief, "one");
    const std::unique_ptr<worker::Run> no = start(brief, "no");
    brief.started();
    EXPECT_TRUE(told_.empty());
    co_await clock_.sleep_for(1ms);
    EXPECT_THAT(told_, ElementsAre("one 7", "no the handler threw: bad body"));
    const std::unique_ptr<worker::Run> two = start(brief, "two");
    brief.started();
    co_await clock_.sleep_for(1ms);
  };
  clock_.run(main());
  EXPECT_THAT(told_, ElementsAre("one 7", "no the handler threw: bad body", "two 7"));
}

TEST_F(BriefTest, WhatIsCancelledOrForgottenBeforeItsTurnDoesNotRun) {
  int ran = 0;
  BriefHandler brief = handler([&](const queue::Delivery&, std::uint32_t, const std::atomic<bool>&) {
    ++ran;
    return Outcome::done();
  });
  const auto main = [&]() -> aio::Task<void> {
    const std::unique_ptr<worker::Run> cancelled = start(brief, "cancelled");
    std::unique_ptr<worker::Run> forgotten = start(brief, "forgotten");
    const std::unique_ptr<worker::Run> other = start(brief, "other");
    brief.started();
    forgotten.reset();
    const std::optional<Outcome> end = co_await cancelled->cancel();
    EXPECT_FALSE(end);
    co_await clock_.sleep_for(1ms);
  };
  clock_.run(main());
  EXPECT_THAT(told_, ElementsAre("other done"));
  EXPECT_EQ(ran, 1);
}

TEST_F(BriefTest, AMessageThatNeedsACoroutineIsDoneAllTheSame) {
  BriefHandler brief = handler([](const queue::Delivery& d, std::uint32_t attempt, const std::atomic<bool>&) {
    return Outcome::failed(d.message.body + std::to_string(attempt));
  });
  std::string why;
  const auto main = [&]() -> aio::Task<void> {
    const std::shared_ptr<const queue::Delivery> one = delivery("x");
    const Outcome outcome = co_await brief.handle(*one, 3, aio::Deadline{});
    why = outcome.why;
  };
  clock_.run(main());
  EXPECT_EQ(why, "x3");
}

TEST_F(BriefTest, NothingRunsAfterTheHandlerIsGone) {
  const auto main = [&]() -> aio::Task<void> {
    {
      BriefHandler brief = handler([](const queue::Delivery&, std::uint32_t, const std::atomic<bool>&) {
        ADD_FAILURE();
        return Outcome::done();
      });
      const std::unique_ptr<worker::Run> one = start(brief, "one");
      brief.started();
    }
    co_await clock_.sleep_for(1ms);
  };
  clock_.run(main());
  EXPECT_TRUE(told_.empty());
}

// In real time: what a function takes is what is measured.
class BriefTimeTest : public testing::Test {
 protected:
  void spin(Duration d) {
    const Time until = clock_.now() + d;
    while (clock_.now() < until) {
      std::this_thread::yield();
    }
  }
  void run(int messages, Duration each) {
    const auto function = [this, each](const queue::Delivery&, std::uint32_t, const std::atomic<bool>&) {
      spin(each);
      return Outcome::done();
    };
    BriefHandler brief(loop_, clock_, function, [this](std::string_view what) { warned_.emplace_back(what); });
    std::vector<std::unique_ptr<worker::Run>> runs;
    const auto main = [&]() -> aio::Task<void> {
      for (int i = 0; i < messages; ++i) {
        runs.push_back(
            brief.start_at_once(std::make_shared<const queue::Delivery>(), 1, [this](const Outcome&) { ++ended_; }));
      }
      brief.started();
      while (ended_ < messages) {
        ++turns_;
        co_await clock_.sleep_for(1us);
      }
    };
    loop_.run(main());
  }

  aio::Loop loop_;
  aio::RealClock clock_{loop_};
  std::vector<std::string> warned_;
  int ended_ = 0;
  int turns_ = 0;
};

TEST_F(BriefTimeTest, OneThatIsNotBriefIsSaidOnce) {
  run(3, BriefHandler::brief_max + 1ms);
  ASSERT_EQ(warned_.size(), 1U);
  EXPECT_THAT(warned_[0], HasSubstr("without `brief`"));
}

TEST_F(BriefTimeTest, TheLoopDoesOtherThingsBetweenMany) {
  run(100, 1ms);
  EXPECT_GT(turns_, 5) << "in 100 ms";
}

}  // namespace
}  // namespace sluice::worker
