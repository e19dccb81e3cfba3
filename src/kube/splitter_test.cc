// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kube/testing_splitter.h"

namespace sluice::kube {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ListSplitter, CutsTheItemsOutWhateverTheOrderOfTheKeysAndThePiecesThatCome) {
  const std::string a = R"({"kind":"Job","n":[1,{"x":2}],"s":"]}{\"\\"})";
  const std::string b = "{}";
  for (const std::size_t step : {1U, 2U, 7U, 1000U}) {
    Cut read = cut<ListSplitter>(
        fmt::format("{{\"kind\":\"JobList\", \"items\" : [ {} ,\n{}],\"metadata\":{{}}}}\n", a, b), step);
    EXPECT_THAT(read.items, ElementsAre(a, b));
    EXPECT_EQ(read.rest, "{\"kind\":\"JobList\", \"items\" : [],\"metadata\":{}}");
    read = cut<ListSplitter>(R"({"metadata":{"items":[1,2],"continue":"items"},"items":[]})", step);
    EXPECT_THAT(read.items, IsEmpty());
    EXPECT_EQ(read.rest, R"({"metadata":{"items":[1,2],"continue":"items"},"items":[]})");
  }
}

TEST(ListSplitter, AListWithoutItemsHasNone) {
  EXPECT_EQ(cut<ListSplitter>(R"({"kind":"Status","items":null})", 3).rest, R"({"kind":"Status","items":null})");
  EXPECT_EQ(cut<ListSplitter>("{}", 3).error, "");
}

TEST(ListSplitter, SaysWhatIsNoList) {
  EXPECT_EQ(cut<ListSplitter>(R"({"items":[{}],"meta)", 5).error, "the list was cut off");
  EXPECT_EQ(cut<ListSplitter>("", 5).error, "the list was cut off");
  EXPECT_THAT(cut<ListSplitter>("<html>", 5).error, HasSubstr("does not begin with a brace"));
  EXPECT_THAT(cut<ListSplitter>("}", 5).error, HasSubstr("does not begin with a brace"));
  EXPECT_THAT(cut<ListSplitter>("{}{}", 5).error, HasSubstr("more behind it"));
  EXPECT_THAT(cut<ListSplitter>(R"({"items":[7]})", 5).error, HasSubstr("an item is no object"));
  EXPECT_THAT(cut<ListSplitter>(R"({"items":["{"]})", 5).error, HasSubstr("an item is no object"));
  EXPECT_THAT(cut<ListSplitter>("{\"a\":\"" + std::string(70'000, 'a'), 1000).error, HasSubstr("64 KiB"));
  EXPECT_THAT(cut<ListSplitter>("{\"items\":[{\"a\":\"" + std::string(item_max, 'a'), 1000).error, HasSubstr("2 MiB"));
}

TEST(ListSplitter, StopsAtTheFirstItemThatIsRefused) {
  int taken = 0;
  ListSplitter splitter([&](std::string_view) {
    ++taken;
    return Result<void>(Error{Code::invalid, "no such Job"});
  });
  const Result<void> fed = splitter.feed(R"({"items":[{},{}]})");
  EXPECT_EQ(fed.error().what, "no such Job");
  EXPECT_EQ(taken, 1);
}

TEST(LineSplitter, CutsAtLineEnds) {
  for (const std::size_t step : {1U, 2U, 7U, 1000U}) {
    const Cut read = cut<LineSplitter>("{\"type\":\"ADDED\"}\n\n{\"type\":\"BOOKMARK\"}\r\n \n", step);
    EXPECT_THAT(read.items, ElementsAre("{\"type\":\"ADDED\"}", "{\"type\":\"BOOKMARK\"}\r"));
    EXPECT_EQ(read.error, "");
  }
}

TEST(LineSplitter, KnowsWhenItWasCutOffAndHasALimit) {
  EXPECT_EQ(cut<LineSplitter>("{}\n{\"type\"", 4).error, "the watch was cut off within an event");
  EXPECT_THAT(cut<LineSplitter>(std::string(item_max + 1, 'a'), 1U << 20U).error, HasSubstr("2 MiB"));
}

}  // namespace
}  // namespace sluice::kube
