// SPDX-License-Identifier: Apache-2.0
#include "serve/face.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "control/journal.h"
#include "pool/pool.h"
#include "serve/metrics.h"

namespace sluice::serve {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

pool::PoolSpec spec() {
  pool::PoolSpec out;
  out.queue = pool::LocalQueue{"orders.db"};
  out.policy = pool::ThresholdPolicy{.messages = 20};
  out.workers.max = 5;
  return out;
}

class NoFile final : public control::JournalSink {
 public:
  Result<void> write(std::string_view) override { return {}; }
  bool at_start_of_file() override { return std::exchange(start_, false); }

 private:
  bool start_ = true;
};

model::SaidTally said(std::int64_t done, std::int64_t wait_ms) {
  model::Tally tally{.done = done, .requeued = 1};
  tally.wait.count = tally.work.count = done;
  tally.wait.sum_ms = done * wait_ms;
  for (std::size_t i = 0; i < tally.wait.at_most.size(); ++i) {
    tally.wait.at_most[i] = model::Durations::bounds_ms[i] >= wait_ms ? done : 0;
    tally.work.at_most[i] = done;
  }
  return std::make_shared<const model::Tally>(tally);
}

class FaceTest : public testing::Test {
 protected:
  // A tick of a pool as its controller would record and show it; blind without a number.
  void tick(const std::string& id, std::optional<std::int64_t> ready, model::FleetView view = {}) {
    Pool& pool = pools_[id];
    if (!pool.journal) {
      pool.sink = std::make_unique<control::PoolSink>(shared_, &board_.ring(), id);
      pool.journal = std::make_unique<control::Journal>(*pool.sink, id, pool::to_json(spec()), "b00t");
      pool.watch = &board_.take_on(id, 5);
    }
    model::Observation seen;
    seen.at_ms = to_ms(clock_.now());
    seen.fleet.age_ms = 0;
    for (const model::Worker& worker : view.workers) {
      ++seen.workers[static_cast<std::size_t>(worker.state)];
    }
    if (ready) {
      seen.queue.ready = model::SeenCount{*ready, 5};
    } else {
      seen.queue.error = "connection refused";
    }
    const control::Step step = control::decide(spec(), {}, seen);
    const Result<std::string> written = pool.journal->tick({clock_.wall(), seen, {}, step.next, step.decision, {}});
    pool.last = {.tick = written.value_or(""),
                 .at = clock_.wall(),
                 .took = 7ms,
                 .seen = seen,
                 .decision = step.decision,
                 .plan = {},
                 .did = {},
                 .view = std::move(view)};
    ticked(board_, *pool.watch, pool.last);
  }
  aio::http::Response ask(const std::string& target, const std::string& method = "GET") {
    std::optional<aio::http::Response> out;
    const auto main = [&]() -> aio::Task<void> {
      aio::http::Request request{.method = method, .target = target};
      out = co_await face_.answer(std::move(request));
    };
    clock_.run(main());
    return *out;
  }
  std::string metrics() { return ask("/metrics").body; }

  struct Pool {
    std::unique_ptr<control::PoolSink> sink;
    std::unique_ptr<control::Journal> journal;
    PoolWatch* watch = nullptr;
    control::Snapshot last;
  };
  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Board board_{{.role = "controller", .version = "1.2", .installation = "shop/sluice", .scaler = {}}};
  bool ready_ = true;
  Face face_{clock_, board_, [this] { return ready_; }};
  NoFile file_;
  control::SharedSink shared_{file_};
  std::map<std::string, Pool> pools_;
};

TEST_F(FaceTest, HealthAnswersAreOkOrNotOkAndNoWordMore) {
  EXPECT_EQ(ask("/healthz").body, "ok\n");
  EXPECT_EQ(ask("/readyz").body, "ok\n");
  ready_ = false;
  EXPECT_EQ(ask("/readyz").status, 503);
  EXPECT_EQ(ask("/readyz").body, "not ok\n");
  EXPECT_EQ(ask("/healthz").status, 200);
}

TEST_F(FaceTest, SaysWhatIsAccepted) {
  tick("shop/orders", 3);
  const std::tuple<const char*, const char*, int, const char*> cases[] = {
      {"POST", "/metrics", 405, "accepted: GET, HEAD"},
      {"DELETE", "/", 405, "accepted: GET, HEAD"},
      {"GET", "/", 404, "accepted: /metrics, /healthz, /readyz, /api/v1/status, /api/v1/explain"},
      {"GET", "/metrics/", 404, "accepted: /metrics"},
      {"GET", "/api/v1/status?pol=x", 400, "no parameter pol; accepted: pool"},
      {"GET", "/api/v1/status?pool=x", 404, "no pool x; there is: shop/orders"},
      {"GET", "/api/v1/explain?pool=x", 404, "no pool x; there is: shop/orders"},
      {"GET", "/api/v1/explain?last=0", 400, "last 0: accepted: 1 to 1000"},
      {"GET", "/api/v1/explain?last=many", 400, "accepted: 1 to 1000"},
      {"GET", "/api/v1/explain?at=soon", 400, "at soon: not a time; accepted:"},
      {"GET", "/api/v1/explain?at=14:02&tick=a-1", 400, "one is enough"},
      {"GET", "/api/v1/explain?tick=a-1", 404, "no tick a-1 in the journal"},
      {"GET", "/api/v1/explain?format=html", 400, "accepted: json, text"},
      {"GET", "/api/v1/explain?format=text&columns=9", 400, "columns: accepted: 40 to 400"},
      {"GET", "/api/v1/explain?a=%zz", 400, "accepted:"},
  };
  for (const auto& [method, target, status, sentence] : cases) {
    const aio::http::Response response = ask(target, method);
    EXPECT_EQ(response.status, status) << target;
    EXPECT_THAT(response.body, HasSubstr(sentence)) << target;
  }
  EXPECT_EQ(ask("/healthz", "HEAD").status, 200);
}

TEST_F(FaceTest, ShowsAPoolsNumbersAndForgetsThemWithThePool) {
  tick("shop/orders", 37);
  clock_.run([](aio::Clock& clock) -> aio::Task<void> { co_await clock.sleep_for(2s); }(clock_));
  const std::string text = metrics();
  for (const char* const line : {R"(sluice_queue_messages{namespace="shop",pool="orders",kind="ready"} 37)",
                                 R"(sluice_queue_sample_age_seconds{namespace="shop",pool="orders"} 2.005)",
                                 R"(sluice_decisions_total{namespace="shop",pool="orders",word="grow"} 1)",
                                 R"(sluice_pool_desired_workers{namespace="shop",pool="orders"} 1)",
                                 R"(sluice_ticks_total{namespace="shop",pool="orders"} 1)",
                                 R"(sluice_tick_duration_seconds_bucket{namespace="shop",pool="orders",le="0.025"} 1)",
                                 R"(sluice_requests_total{target="queue",code="ok"} 1)",
                                 R"(sluice_build_info{version="1.2",role="controller"} 1)", "sluice_leader 1"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
  // Nobody has said how many are in flight, what was done, or how old the oldest is.
  for (const char* const absent :
       {"kind=\"in_flight\"", "sluice_messages_total{", "message_age_seconds{", "consumers{"}) {
    EXPECT_THAT(text, Not(HasSubstr(absent)));
  }
  EXPECT_THAT(ask("/api/v1/status").body, HasSubstr(R"("pool":"shop/orders")"));
  board_.forget("shop/orders");
  EXPECT_THAT(metrics(), Not(HasSubstr("orders")));
  EXPECT_THAT(ask("/api/v1/status").body, HasSubstr(R"("pools":[])"));
  EXPECT_EQ(ask("/api/v1/explain?pool=orders").status, 404);
}

TEST_F(FaceTest, ABlindTickLeavesNoNumberOfTheQueue) {
  tick("shop/orders", 37);
  tick("shop/orders", std::nullopt);
  EXPECT_THAT(metrics(), Not(HasSubstr("sluice_queue_messages{")));
  EXPECT_THAT(metrics(), HasSubstr(R"(word="blind"} 1)"));
  EXPECT_THAT(metrics(), HasSubstr(R"(sluice_requests_total{target="queue",code="error"} 1)"));
  const std::string status = ask("/api/v1/status").body;
  EXPECT_THAT(status, HasSubstr(R"("ready":null)"));
  EXPECT_THAT(status, HasSubstr(R"("needs_you":true,"errors":["connection refused"])"));
}

TEST_F(FaceTest, ARefusedPoolSaysWhyAndHasNoNumbers) {
  board_.refuse("shop/orders", "spec.workers.max: 0; accepted: 1 to 10000");
  EXPECT_THAT(metrics(), HasSubstr(R"(sluice_pool_accepted{namespace="shop",pool="orders"} 0)"));
  EXPECT_THAT(metrics(), Not(HasSubstr("sluice_pool_max_workers{")));
  EXPECT_THAT(ask("/api/v1/status").body, HasSubstr(R"("state":"broken")"));
}

TEST_F(FaceTest, WhoStandsByTellsOfItselfAndSendsTheOthersAway) {
  board_.stands_by("this one stands by");
  for (const char* const path : {"/api/v1/status", "/api/v1/explain"}) {
    const aio::http::Response response = ask(path);
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response.body, "this one stands by\n");
    EXPECT_EQ(aio::http::header(response.headers, "retry-after"), "1");
  }
  EXPECT_THAT(metrics(), HasSubstr("sluice_leader 0\n"));
}

TEST_F(FaceTest, ExplainsWhatThatPoolDecided) {
  tick("shop/orders", 37);
  tick("shop/invoices", 0);
  EXPECT_EQ(ask("/api/v1/explain").status, 400) << "which of the two?";
  EXPECT_THAT(ask("/api/v1/explain?pool=orders").body, HasSubstr("37 messages wait"));
  const aio::http::Response text = ask("/api/v1/explain?pool=shop%2Forders&format=text&columns=80");
  EXPECT_EQ(aio::http::header(text.headers, "content-type"), "text/plain; charset=utf-8");
  EXPECT_THAT(text.body, StartsWith("shop/orders grows from 0 to 1"));
  board_.take_on("other/orders", 5);
  EXPECT_THAT(ask("/api/v1/explain?pool=orders").body, HasSubstr("accepted: pool=NAMESPACE/NAME"));
}

TEST_F(FaceTest, CountsStartsAndWhatWorkersSayOnce) {
  const auto worker = [&](const char* id, WorkerState state, model::SaidTally tally) {
    return model::Worker{.slot = 0,
                         .name = id,
                         .id = id,
                         .state = state,
                         .since = clock_.now(),
                         .created_at = clock_.now() - 3s,
                         .tally = std::move(tally)};
  };
  // Found at the first look: what it did before is not ours to count.
  tick("shop/orders", 1, {.workers = {worker("old", WorkerState::busy, said(100, 400))}});
  EXPECT_THAT(metrics(), HasSubstr(R"(sluice_messages_total{namespace="shop",pool="orders",outcome="done"} 0)"));
  tick("shop/orders", 1,
       {.workers = {worker("old", WorkerState::busy, said(102, 400)), worker("new", WorkerState::starting, nullptr)}});
  tick("shop/orders", 1,
       {.workers = {worker("old", WorkerState::busy, said(102, 400)), worker("new", WorkerState::ready, said(0, 0))}});
  const auto ended = [&](const char* id, bool started, model::SaidTally tally) {
    return model::EndedWorker{.name = id, .id = id, .started = started, .tally = std::move(tally)};
  };
  const model::FleetView over{.workers = {}, .ended = {ended("new", true, said(5, 30)), ended("bad", false, nullptr)}};
  tick("shop/orders", 1, over);
  tick("shop/orders", 1, over);  // the same ends, shown again
  const std::string text = metrics();
  for (const char* const line : {R"(sluice_messages_total{namespace="shop",pool="orders",outcome="done"} 7)",
                                 R"(sluice_worker_starts_total{namespace="shop",pool="orders",outcome="started"} 1)",
                                 R"(sluice_worker_starts_total{namespace="shop",pool="orders",outcome="failed"} 1)",
                                 R"(sluice_worker_startup_seconds_sum{namespace="shop",pool="orders"} 3)",
                                 R"(sluice_message_wait_seconds_bucket{namespace="shop",pool="orders",le="0.05"} 5)",
                                 R"(sluice_message_wait_seconds_bucket{namespace="shop",pool="orders",le="0.5"} 7)",
                                 R"(sluice_message_wait_seconds_sum{namespace="shop",pool="orders"} 0.95)"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
}

TEST_F(FaceTest, ATickThatCouldNotBeRecordedIsLookedAtAndNotDecided) {
  tick("shop/orders", 37);
  Pool& pool = pools_["shop/orders"];
  pool.last.recorded = false;
  pool.last.seen.queue.ready->n = 50;
  pool.last.decision = {.workers = 0, .reason = "hold: the journal cannot be written: no space"};
  ticked(board_, *pool.watch, pool.last);
  const std::string text = metrics();
  EXPECT_THAT(text, HasSubstr(R"(kind="ready"} 50)"));
  EXPECT_THAT(text, HasSubstr(R"(word="hold"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(sluice_decisions_unrecorded_total{namespace="shop",pool="orders"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(sluice_ticks_total{namespace="shop",pool="orders"} 2)"));
}

TEST_F(FaceTest, EveryFamilyIsOnThePageWithItsTypeAndLabels) {
  const std::string page = metrics_page();
  tick("shop/orders", 1, {.ended = {{.id = "x", .tally = said(1, 10)}}});
  std::string text = metrics();
  std::set<std::string> families;
  for (std::size_t at = text.find("# TYPE "); at != std::string::npos; at = text.find("# TYPE ", at + 1)) {
    const std::string line = text.substr(at + 7, text.find('\n', at) - at - 7);
    const std::string name = line.substr(0, line.find(' '));
    EXPECT_TRUE(families.insert(name).second) << name << " twice";
    EXPECT_THAT(page, HasSubstr(fmt::format("| `{}` | {} |", name, line.substr(line.find(' ') + 1))));
  }
  // The contract's, word for word.
  for (const char* const name :
       {"queue_messages", "queue_sample_age_seconds", "queue_oldest_message_age_seconds", "pool_workers",
        "pool_desired_workers", "pool_capacity_full", "decisions_total", "ticks_total", "tick_duration_seconds",
        "loop_stall_seconds", "worker_starts_total", "worker_startup_seconds", "messages_total", "message_wait_seconds",
        "message_work_seconds", "requests_total", "leader", "build_info"}) {
    EXPECT_TRUE(families.contains(fmt::format("sluice_{}", name))) << name;
  }
}

}  // namespace
}  // namespace sluice::serve
