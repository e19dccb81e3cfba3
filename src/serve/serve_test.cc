// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "serve/asking.h"
#include "serve/exposition.h"
#include "serve/pool_status.h"
#include "serve/query.h"

namespace sluice::serve {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Exposition, EscapesWhatALabelAndAHelpTextMustNotHold) {
  Exposition out;
  out.family("a_total", "counter", "one\\two\nthree \"quoted\"");
  out.value({{"pool", "a\"b\\c\nd"}, {"kind", "é"}}, 3);
  out.value({}, -1);
  EXPECT_EQ(out.take(),
            "# HELP a_total one\\\\two\\nthree \"quoted\"\n# TYPE a_total counter\n"
            "a_total{pool=\"a\\\"b\\\\c\\nd\",kind=\"é\"} 3\na_total -1\n");
}

TEST(Exposition, WritesMillisecondsAsSeconds) {
  EXPECT_EQ(seconds_text(0), "0");
  EXPECT_EQ(seconds_text(250), "0.25");
  EXPECT_EQ(seconds_text(60'000), "60");
  EXPECT_EQ(seconds_text(1'001), "1.001");
  EXPECT_EQ(seconds_text(-5), "-0.005");
}

TEST(Exposition, WritesAHistogramWithItsInfiniteBucketSumAndCount) {
  constexpr std::array<std::int64_t, 2> bounds{100, 1'000};
  Histogram h(bounds);
  h.add(50ms);
  h.add(100ms);
  h.add(700ms);
  h.add(5s);
  Exposition out;
  out.family("t", "histogram", "h");
  out.histogram({{"pool", "p"}}, h);
  EXPECT_THAT(out.take(), testing::EndsWith("t_bucket{pool=\"p\",le=\"0.1\"} 2\n"
                                            "t_bucket{pool=\"p\",le=\"1\"} 3\n"
                                            "t_bucket{pool=\"p\",le=\"+Inf\"} 4\n"
                                            "t_sum{pool=\"p\"} 5.85\n"
                                            "t_count{pool=\"p\"} 4\n"));
}

TEST(Query, IsTakenApartAndDecoded) {
  const Result<Query> query = parse_target("/api/v1/explain?pool=shop%2Forders&at=14%3a02&&last=3&x=");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->path, "/api/v1/explain");
  EXPECT_EQ(query->get("pool"), "shop/orders");
  EXPECT_EQ(query->get("at"), "14:02");
  EXPECT_EQ(query->get("last"), "3");
  EXPECT_EQ(query->get("nothing"), "");
  EXPECT_EQ(parse_target("/x?a=b+c")->get("a"), "b c");
  EXPECT_TRUE(parse_target("/x?")->parameters.empty());
  EXPECT_EQ(parse_target("*")->path, "*");
}

TEST(Query, RefusesWhatTwoReadersCouldTakeForTwoThings) {
  for (const char* const bad :
       {"/x?a=%", "/x?a=%2", "/x?a=%zz", "/x?a=%00", "/x?a=%0a", "/x?%7f=1", "/x?a=1&a=2", "/x?a=1&b&b"}) {
    const Result<Query> query = parse_target(bad);
    ASSERT_FALSE(query) << bad;
    EXPECT_EQ(query.error().code, Code::invalid);
    EXPECT_THAT(query.error().what, HasSubstr("accepted:")) << bad;
  }
  std::string many = "/x?";
  for (int i = 0; i < 17; ++i) {
    many += fmt::format("p{}=1&", i);
  }
  EXPECT_FALSE(parse_target(many));
}

TEST(Query, NamesTheParametersThatThereAre) {
  const Result<void> good = only(*parse_target("/x?pool=a"), {"pool", "at"});
  EXPECT_TRUE(good);
  const Result<void> bad = only(*parse_target("/x?pol=a"), {"pool", "at"});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().what, "no parameter pol; accepted: pool, at");
}

PoolStatus full_status() {
  PoolStatus out{.pool = "shop/orders",
                 .at = *parse_wall("2026-01-31T14:02:40.123Z"),
                 .state = "grow",
                 .ready = PoolStatus::Count{.n = 37},
                 .in_flight = PoolStatus::Count{.n = 4},
                 .total = PoolStatus::Count{.n = 41},
                 .sample_age_ms = 44,
                 .stale_after_ms = 30'000,
                 .oldest_age_ms = 12'100,
                 .oldest_kind = "exact",
                 .published_n = 200,
                 .in_per_s = 4.25,
                 .desired = 5,
                 .max = 20,
                 .why = "37 messages wait, \"more\" than 20",
                 .tick = "ab-7",
                 .decided_ms_ago = 40,
                 .scaler = PoolStatus::Scaler{.pid = 12, .since = *parse_wall("2026-01-31T14:00:00.000Z")},
                 .errors = {"one\ntwo"}};
  out.workers.emplace();
  (*out.workers)[static_cast<std::size_t>(model::WorkerState::busy)] = 4;
  return out;
}

TEST(PoolStatusJson, IsReadAsItWasWritten) {
  const PoolStatus is = full_status();
  const std::string text = to_json(Answer{.role = "scale", .version = "1", .installation = "", .pools = {is}}, is.at);
  EXPECT_THAT(text, StartsWith(R"({"v":1,"at":"2026-01-31T14:02:40.123Z","role":"scale","version":"1",)"
                               R"("installation":null,"pools":[{"event":"pool","pool":"shop/orders",)"));
  const Result<Answer> read = parse_answer(text);
  ASSERT_TRUE(read) << read.error().what;
  ASSERT_EQ(read->pools.size(), 1U);
  EXPECT_EQ(to_json(read->pools[0]), to_json(is));
}

TEST(PoolStatusJson, KeepsTheUnknownUnknown) {
  const PoolStatus nothing{.pool = "a/b", .at = *parse_wall("2026-01-31T14:02:40.123Z"), .state = "new"};
  const std::string text = to_json(nothing);
  for (const char* const key : {"ready", "in_flight", "oldest_age_s", "workers", "desired", "max", "tick", "scaler"}) {
    EXPECT_THAT(text, HasSubstr(fmt::format("\"{}\":null", key)));
  }
  const Result<Answer> read = parse_answer(to_json(Answer{.pools = {nothing}}, nothing.at));
  ASSERT_TRUE(read);
  EXPECT_EQ(to_json(read->pools[0]), text);
}

TEST(PoolStatusJson, RefusesWhatIsNotAnAnswerAndNamesTheField) {
  const std::string good = to_json(Answer{.pools = {full_status()}}, full_status().at);
  const auto with = [&](const std::string& a, const std::string& b) {
    std::string text = good;
    text.replace(text.find(a), a.size(), b);
    return parse_answer(text);
  };
  EXPECT_THAT(with(R"("ready":37)", R"("ready":-1)").error().what, HasSubstr("$.pools[0].ready"));
  EXPECT_THAT(with(R"("ready":37)", R"("ready":"37")").error().what, HasSubstr("$.pools[0].ready"));
  EXPECT_THAT(with(R"("since":"2026)", R"("since":"x2026)").error().what, HasSubstr("$.pools[0].scaler.since"));
  EXPECT_THAT(with(R"("v":1)", R"("v":2)").error().what, HasSubstr("$.v"));
  EXPECT_THAT(with(R"("in_per_s":4.250)", R"("in_per_s":1e300)").error().what, HasSubstr("in_per_s"));
  EXPECT_TRUE(with(R"("max":20)", R"("max":20,"later":[1])"));  // another version's key
  for (const char* const text : {"", "[]", "null", "{", R"({"v":1,"pools":[1]})", R"({"v":1,"pools":{}})"}) {
    EXPECT_FALSE(parse_answer(text)) << text;
  }
}

TEST(Asking, TakesATimeOfDayAsTheLatestOneThatWas) {
  const WallTime now = *parse_wall("2026-01-31T14:02:40.500Z");
  EXPECT_EQ(time_of("14:02", now), parse_wall("2026-01-31T14:02:00.999Z"));
  EXPECT_EQ(time_of("14:03", now), parse_wall("2026-01-30T14:03:00.999Z"));
  EXPECT_EQ(time_of("2026-01-01T00:00:00.000Z", now), parse_wall("2026-01-01T00:00:00.000Z"));
  EXPECT_FALSE(time_of("yesterday", now));
}

TEST(Asking, SaysWhatIsAccepted) {
  const AskNames names{.at = "at", .tick = "tick", .last = "last"};
  EXPECT_THAT(ask_of("x", "", 1, {}, names).error().what, StartsWith("at x: not a time; accepted:"));
  EXPECT_THAT(ask_of("14:02", "a-1", 1, {}, names).error().what, HasSubstr("one is enough"));
  for (const std::int64_t last : {std::int64_t{0}, last_max + 1, std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_THAT(ask_of("", "", last, {}, names).error().what, HasSubstr("accepted: 1 to 1000"));
  }
  EXPECT_EQ(ask_of("", "a-1", 3, {}, names)->tick, "a-1");
}

}  // namespace
}  // namespace sluice::serve
