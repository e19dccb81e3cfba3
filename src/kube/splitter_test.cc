// SPDX-License-Identifier: Apache-2.0
#include "kube/splitter.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sluice::kube {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Read {
  std::vector<std::string> items;
  std::string rest;
  std::string error;
};

// `text` in pieces of `step` bytes.
Read read_list(std::string_view text, std::size_t step) {
  Read out;
  ListSplitter splitter([&](std::string_view item) {
    out.items.emplace_back(item);
    return Result<void>{};
  });
  for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) {
    if (const Result<void> fed = splitter.feed(text.substr(0, step)); !fed) {
      out.error = fed.error().what;
      return out;
    }
  }
  Result<std::string> rest = splitter.finish();
  out.rest = rest.value_or("");
  out.error = rest ? "" : rest.error().what;
  return out;
}

TEST(ListSplitter, CutsTheItemsOutWhateverTheOrderOfTheKeysAndThePiecesThatCome) {
  const std::string a = R"({"kind":"Job","n":[1,{"x":2}],"s":"]}{\"\\"})";
  const std::string b = "{}";
  for (const std::size_t step : {1U, 2U, 7U, 1000U}) {
    Read read =
        read_list(fmt::format("{{\"kind\":\"JobList\", \"items\" : [ {} ,\n{}],\"metadata\":{{}}}}\n", a, b), step);
    EXPECT_THAT(read.items, ElementsAre(a, b));
    EXPECT_EQ(read.rest, "{\"kind\":\"JobList\", \"items\" : [],\"metadata\":{}}");
    read = read_list(R"({"metadata":{"items":[1,2],"continue":"items"},"items":[]})", step);
    EXPECT_THAT(read.items, IsEmpty());
    EXPECT_EQ(read.rest, R"({"metadata":{"items":[1,2],"continue":"items"},"items":[]})");
  }
}

TEST(ListSplitter, AListWithoutItemsHasNone) {
  EXPECT_EQ(read_list(R"({"kind":"Status","items":null})", 3).rest, R"({"kind":"Status","items":null})");
  EXPECT_EQ(read_list("{}", 3).error, "");
}

TEST(ListSplitter, SaysWhatIsNoList) {
  EXPECT_EQ(read_list(R"({"items":[{}],"meta)", 5).error, "the list was cut off");
  EXPECT_EQ(read_list("", 5).error, "the list was cut off");
  EXPECT_THAT(read_list("<html>", 5).error, HasSubstr("does not begin with a brace"));
  EXPECT_THAT(read_list("}", 5).error, HasSubstr("does not begin with a brace"));
  EXPECT_THAT(read_list("{}{}", 5).error, HasSubstr("more behind it"));
  EXPECT_THAT(read_list(R"({"items":[7]})", 5).error, HasSubstr("an item is no object"));
  EXPECT_THAT(read_list(R"({"items":["{"]})", 5).error, HasSubstr("an item is no object"));
  EXPECT_THAT(read_list("{\"a\":\"" + std::string(70'000, 'a'), 1000).error, HasSubstr("64 KiB"));
  EXPECT_THAT(read_list("{\"items\":[{\"a\":\"" + std::string(item_max, 'a'), 1000).error, HasSubstr("2 MiB"));
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

Read read_lines(std::string_view text, std::size_t step) {
  Read out;
  LineSplitter splitter([&](std::string_view item) {
    out.items.emplace_back(item);
    return Result<void>{};
  });
  for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) {
    if (const Result<void> fed = splitter.feed(text.substr(0, step)); !fed) {
      out.error = fed.error().what;
      return out;
    }
  }
  const Result<void> end = splitter.finish();
  out.error = end ? "" : end.error().what;
  return out;
}

TEST(LineSplitter, CutsAtLineEnds) {
  for (const std::size_t step : {1U, 2U, 7U, 1000U}) {
    const Read read = read_lines("{\"type\":\"ADDED\"}\n\n{\"type\":\"BOOKMARK\"}\r\n \n", step);
    EXPECT_THAT(read.items, ElementsAre("{\"type\":\"ADDED\"}", "{\"type\":\"BOOKMARK\"}\r"));
    EXPECT_EQ(read.error, "");
  }
}

TEST(LineSplitter, KnowsWhenItWasCutOffAndHasALimit) {
  EXPECT_EQ(read_lines("{}\n{\"type\"", 4).error, "the watch was cut off within an event");
  EXPECT_THAT(read_lines(std::string(item_max + 1, 'a'), 1U << 20U).error, HasSubstr("2 MiB"));
}

}  // namespace
}  // namespace sluice::kube
