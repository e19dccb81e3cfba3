// SPDX-License-Identifier: Apache-2.0
// Publisher and receiver against a Pub/Sub in memory, in virtual time: what a real one does only by accident.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "aio/faults.h"
#include "aio/stream.h"
#include "aio/task_group.h"
#include "aio/url.h"
#include "queue/pubsub/publisher.h"
#include "queue/pubsub/receiver.h"

namespace sluice::queue::pubsub {
namespace {

using namespace std::chrono_literals;
using aio::http::Request;
using aio::http::Response;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* subscription_json = R"({"topic":"projects/p/topics/t","ackDeadlineSeconds":10})";

std::string pulled(const std::vector<std::string>& ids) {
  std::string out = R"({"receivedMessages":[)";
  for (const std::string& id : ids) {
    out += out.back() == '[' ? "" : ",";
    out += fmt::format(R"({{"ackId":"ack-{0}","message":{{"messageId":"{0}"}}}})", id);
  }
  return out + "]}";
}

Message message(std::string id, std::string ordering_key = "") {
  return {.id = std::move(id),
          .body = "work",
          .headers = {},
          .type = {},
          .priority = 0,
          .published_at = {},
          .ordering_key = std::move(ordering_key)};
}

class PubsubExchange : public testing::Test {
 protected:
  void run(const std::function<aio::Task<void>()>& body) {
    const auto main = [&]() -> aio::Task<void> {
      service_ = std::make_shared<Service>(
          loop_, clock_, random_,
          ServiceOptions{.base = "http://pubsub:8085", .dial = [this](aio::Url, aio::Deadline) { return dial(); }});
      co_await body();
      co_await clock_.sleep_for(130s);  // pulls under way end
      service_.reset();
      group_.cancel();
      co_await group_.join();
    };
    clock_.run(main());
  }
  aio::Task<Result<std::unique_ptr<aio::Stream>>> dial() {
    if (down_) {
      co_return Error{Code::retry, "refused"};
    }
    aio::StreamPair pair = aio::stream_pair(clock_);
    group_.spawn(server_.serve(std::move(pair.second), ""));
    co_return std::move(pair.first);
  }
  // Long polls wait until something is there; everything else takes `takes_`.
  aio::Task<Response> handle(Request request) {
    const std::string verb = request.target.substr(request.target.find(':') + 1);
    asked_.push_back(verb + " " + request.body);
    if (request.method == "GET") {
      co_return Response{.status = 200, .headers = {}, .body = subscription_json};
    }
    if (verb == "pull" && pull_status_ != 200) {
      co_return Response{.status = pull_status_, .headers = {}, .body = ""};
    }
    if (verb == "pull") {
      const Time until = clock_.now() + 90s;
      while (pulls_.empty() && clock_.now() < until) {
        co_await clock_.sleep_for(50ms);
      }
      Response out{.status = 200, .headers = {}, .body = pulls_.empty() ? "{}" : pulls_.front()};
      if (!pulls_.empty()) {
        pulls_.pop_front();
      }
      co_return out;
    }
    co_await clock_.sleep_for(takes_);
    Response out = answers_.empty() ? Response{.status = 200, .headers = {}, .body = "{}"} : answers_.front();
    if (!answers_.empty()) {
      answers_.pop_front();
    }
    co_return out;
  }
  std::vector<std::string> asked(std::string_view verb) const {
    std::vector<std::string> out;
    for (const std::string& one : asked_) {
      if (one.starts_with(verb)) {
        out.push_back(one.substr(verb.size() + 1));
      }
    }
    return out;
  }
  std::unique_ptr<PubsubReceiver> receiver() {
    return std::make_unique<PubsubReceiver>(
        service_, ReceiverOptions{.subscription = "projects/p/subscriptions/s", .who = "w0", .dead_letter_topic = ""});
  }
  aio::Task<std::vector<Delivery>> take(PubsubReceiver& from, std::size_t max) {
    const Result<void> open = co_await from.open(clock_.in(10s));
    EXPECT_TRUE(open) << (open ? "" : open.error().what);
    const Result<std::vector<Delivery>> got = co_await from.receive(max, clock_.in(10s));
    EXPECT_TRUE(got) << (got ? "" : got.error().what);
    co_return got.value_or(std::vector<Delivery>{});
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Random random_{1};
  aio::TaskGroup group_{loop_, clock_};
  aio::http::Server server_{loop_, clock_, [this](Request r) { return handle(std::move(r)); },
                            aio::http::ServerLimits{.request_timeout = 200s, .body_max = 32U << 20U}};
  std::deque<Response> answers_;
  std::deque<std::string> pulls_;
  std::vector<std::string> asked_;
  Duration takes_{0};
  bool down_ = false;
  int pull_status_ = 200;
  std::shared_ptr<Service> service_;
};

Response answer(int status, std::string body = "{}") {
  return {.status = status, .headers = {}, .body = std::move(body)};
}

TEST_F(PubsubExchange, WhatGotNoAnswerGoesAgainWithTheSameIdAndIsUnknownUntilItHasOne) {
  run([this]() -> aio::Task<void> {
    answers_ = {answer(503), answer(200, R"({"messageIds":["1"]})")};
    PubsubPublisher publisher(service_, "projects/p/topics/t");
    std::vector<Published> done = co_await publisher.publish({message("a")}, clock_.in(60s));
    EXPECT_EQ(done[0].state, PublishState::confirmed) << done[0].why;
    const std::vector<std::string> sent = asked("publish");
    EXPECT_EQ(sent.size(), 2U);
    EXPECT_EQ(sent.front(), sent.back());
    answers_ = {answer(503), answer(403)};
    done = co_await publisher.publish({message("b")}, clock_.in(60s));
    EXPECT_EQ(done[0].state, PublishState::unknown) << "the first try may have arrived";
    EXPECT_THAT(done[0].why, HasSubstr("roles/pubsub.publisher"));
    takes_ = 1h;
    done = co_await publisher.publish({message("c")}, clock_.in(30s));
    EXPECT_EQ(done[0].state, PublishState::unknown);
  });
}

TEST_F(PubsubExchange, WhatWasNotSentOrRefusedIsCertainlyNotThere) {
  run([this]() -> aio::Task<void> {
    down_ = true;
    PubsubPublisher publisher(service_, "projects/p/topics/t");
    std::vector<Published> done = co_await publisher.publish({message("a")}, clock_.in(5s));
    EXPECT_EQ(done[0].state, PublishState::failed);
    EXPECT_THAT(done[0].why, HasSubstr("refused"));
    down_ = false;
    answers_ = {answer(429), answer(404)};
    done = co_await publisher.publish({message("b")}, clock_.in(60s));
    EXPECT_EQ(done[0].state, PublishState::failed);
    EXPECT_THAT(done[0].why, HasSubstr("gcloud pubsub topics create t --project=p"));
    PubsubPublisher nowhere(service_, "");
    done = co_await nowhere.publish({message("c")}, clock_.in(60s));
    EXPECT_EQ(done[0].state, PublishState::failed);
    EXPECT_THAT(done[0].why, HasSubstr("queue.pubsub.topic"));
  });
}

TEST_F(PubsubExchange, OneThatIsNotTakenDoesNotStopItsNeighbours) {
  run([this]() -> aio::Task<void> {
    const Response two = answer(200, R"({"messageIds":["1","2"]})");
    answers_ = {answer(400), two, answer(400), answer(400), answer(200, R"({"messageIds":["3"]})")};
    PubsubPublisher publisher(service_, "projects/p/topics/t");
    // One key, so that the answers above meet the requests in a known order; and with a key the first failure stops
    // what comes after.
    const std::vector<Published> done = co_await publisher.publish(
        {message("a", "k"), message("b", "k"), message("c", "k"), message("d", "k")}, clock_.in(60s));
    EXPECT_EQ(done[0].state, PublishState::confirmed);
    EXPECT_EQ(done[1].state, PublishState::confirmed);
    EXPECT_EQ(done[2].state, PublishState::failed);
    EXPECT_THAT(done[2].why, HasSubstr("400"));
    EXPECT_EQ(done[3].state, PublishState::failed);
    EXPECT_THAT(done[3].why, HasSubstr("one before it was not confirmed"));
  });
}

TEST_F(PubsubExchange, WhatIsSettledMeanwhileGoesTogether) {
  run([this]() -> aio::Task<void> {
    std::vector<std::string> ids;
    for (int i = 0; i < 50; ++i) {
      ids.push_back(std::to_string(i));
    }
    pulls_ = {pulled(ids)};
    const auto worker = receiver();
    const std::vector<Delivery> got = co_await take(*worker, 50);
    EXPECT_EQ(got.size(), 50U);
    takes_ = 100ms;
    aio::TaskGroup handlers(loop_, clock_);
    int acked = 0;
    const auto one = [](PubsubReceiver& on, Tag tag, aio::Deadline deadline, int& n) -> aio::Task<void> {
      const Result<void> done = co_await on.ack(tag, deadline);
      n += done ? 1 : 0;
    };
    for (const Delivery& delivery : got) {
      handlers.spawn(one(*worker, delivery.tag, clock_.in(5s), acked));
    }
    co_await handlers.join();
    EXPECT_EQ(acked, 50);
    EXPECT_LE(asked("acknowledge").size(), 4U);
    const Result<void> closed = co_await worker->close(clock_.in(5s));
    EXPECT_TRUE(closed);
  });
}

TEST_F(PubsubExchange, OneBadAckIdDoesNotFailItsNeighbours) {
  run([this]() -> aio::Task<void> {
    pulls_ = {pulled({"1", "2"})};
    const auto worker = receiver();
    const std::vector<Delivery> got = co_await take(*worker, 2);
    EXPECT_EQ(got.size(), 2U);
    answers_ = {answer(400), answer(400), answer(200)};
    const std::vector<Result<void>> done = co_await worker->ack_all({got[0].tag, got[1].tag}, clock_.in(5s));
    EXPECT_FALSE(done[0]);
    EXPECT_TRUE(done[1]);
    const Result<void> closed = co_await worker->close(clock_.in(5s));
    EXPECT_TRUE(closed);
  });
}

TEST_F(PubsubExchange, AnAcknowledgementThatExactlyOnceDoesNotConfirmIsSaidAgainOrLost) {
  run([this]() -> aio::Task<void> {
    pulls_ = {pulled({"1", "2"})};
    const auto worker = receiver();
    const std::vector<Delivery> got = co_await take(*worker, 2);
    const auto said = [](const std::string& id, const std::string& what) {
      return answer(400, R"({"error":{"status":"INVALID_ARGUMENT","details":[{"metadata":{")" + id + R"(":")" + what +
                             R"("}}]}})");
    };
    answers_ = {said("ack-1", "TRANSIENT_FAILURE_UNORDERED_ACK_ID"), answer(200),
                said("ack-2", "PERMANENT_FAILURE_INVALID_ACK_ID")};
    Result<void> done = co_await worker->ack(got[0].tag, clock_.in(5s));
    EXPECT_EQ(done ? Code::gone : done.error().code, Code::retry);
    done = co_await worker->ack(got[0].tag, clock_.in(5s));
    EXPECT_TRUE(done);
    done = co_await worker->ack(got[1].tag, clock_.in(5s));
    EXPECT_EQ(done ? Code::retry : done.error().code, Code::gone);
    const Result<void> closed = co_await worker->close(clock_.in(5s));
    EXPECT_TRUE(closed);
    EXPECT_THAT(asked("modifyAckDeadline"), testing::IsEmpty()) << "nothing is held any more";
  });
}

TEST_F(PubsubExchange, ALeaseThatWasNotExtendedIsOverAndNothingIsSaidAboutIt) {
  run([this]() -> aio::Task<void> {
    pulls_ = {pulled({"1", "2"})};
    const auto worker = receiver();
    const std::vector<Delivery> got = co_await take(*worker, 2);
    EXPECT_EQ(worker->lease(), Duration{10s});
    co_await clock_.sleep_for(9s);
    const Result<void> extended = co_await worker->extend(got[0].tag, clock_.in(1s));
    EXPECT_TRUE(extended);
    co_await clock_.sleep_for(2s);
    Result<void> done = co_await worker->ack(got[1].tag, clock_.in(5s));
    EXPECT_EQ(done ? Code::retry : done.error().code, Code::gone);
    done = co_await worker->ack(got[0].tag, clock_.in(5s));
    EXPECT_TRUE(done);
    EXPECT_THAT(asked("acknowledge"), ElementsAre(R"({"ackIds":["ack-1"]})"));
    const Result<void> closed = co_await worker->close(clock_.in(5s));
    EXPECT_TRUE(closed);
  });
}

TEST_F(PubsubExchange, ASettlingWaitsForTheExtensionThatWouldUndoIt) {
  run([this]() -> aio::Task<void> {
    pulls_ = {pulled({"1"})};
    const auto worker = receiver();
    const std::vector<Delivery> got = co_await take(*worker, 1);
    takes_ = 500ms;
    aio::TaskGroup beside(loop_, clock_);
    const auto extend = [](PubsubReceiver& on, Tag tag, aio::Deadline deadline) -> aio::Task<void> {
      const Result<void> done = co_await on.extend(tag, deadline);
      EXPECT_TRUE(done);
    };
    beside.spawn(extend(*worker, got[0].tag, clock_.in(3s)));
    co_await clock_.sleep_for(100ms);
    const Time before = clock_.now();
    const Result<void> back = co_await worker->retry(got[0].tag, 1500ms, Cause::failed, "", clock_.in(5s));
    EXPECT_TRUE(back);
    EXPECT_EQ(clock_.now() - before, 900ms) << "400 ms for the extension, then 500 ms";
    co_await beside.join();
    EXPECT_THAT(asked("modifyAckDeadline"), ElementsAre(R"({"ackIds":["ack-1"],"ackDeadlineSeconds":10})",
                                                        R"({"ackIds":["ack-1"],"ackDeadlineSeconds":2})"));
    const Result<void> closed = co_await worker->close(clock_.in(5s));
    EXPECT_TRUE(closed);
  });
}

TEST_F(PubsubExchange, WhatComesAfterCancelGoesBackAtOnce) {
  run([this]() -> aio::Task<void> {
    const auto worker = receiver();
    const std::vector<Delivery> none = co_await take(*worker, 5);  // leaves a pull behind: this server does not end it
    EXPECT_TRUE(none.empty());
    const Result<void> cancelled = co_await worker->cancel(clock_.in(1s));
    EXPECT_TRUE(cancelled);
    pulls_ = {pulled({"1", "2"})};
    co_await clock_.sleep_for(1s);
    EXPECT_THAT(asked("modifyAckDeadline"), ElementsAre(R"({"ackIds":["ack-1","ack-2"],"ackDeadlineSeconds":0})"));
    const Result<void> closed = co_await worker->close(clock_.in(5s));
    EXPECT_TRUE(closed);
  });
}

TEST_F(PubsubExchange, ARefusedPullIsToldWithWhatIsMissing) {
  run([this]() -> aio::Task<void> {
    const auto worker = receiver();
    const Result<void> open = co_await worker->open(clock_.in(10s));
    EXPECT_TRUE(open);
    pull_status_ = 403;
    const Result<std::vector<Delivery>> got = co_await worker->receive(1, clock_.in(10s));
    EXPECT_EQ(got ? Code::retry : got.error().code, Code::denied);
    EXPECT_THAT(got ? "" : got.error().what, HasSubstr("needs roles/pubsub.subscriber"));
    const Result<void> closed = co_await worker->close(clock_.in(5s));
    EXPECT_TRUE(closed);
  });
}

}  // namespace
}  // namespace sluice::queue::pubsub
