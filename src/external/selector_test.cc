// SPDX-License-Identifier: Apache-2.0
#include "external/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::external {
namespace {

using model::Selector;
using enum model::SelectorOperator;

// Input and canonical text.
std::string again(std::string_view text) {
  const Result<Selector> read = parse_selector(text);
  return read ? format_selector(*read) : read.error().what;
}

TEST(Selector, IsWhatTheTextSays) {
  const Result<Selector> read = parse_selector("z notin (b,a,b), a = 1 ,!d,c in (x),e,f!=,g>3,h<4");
  ASSERT_TRUE(read) << read.error().what;
  const Selector want = {{"a", equals, {"1"}},    {"c", in, {"x"}},         {"d", does_not_exist},
                         {"e", exists},           {"f", not_equals, {""}},  {"g", greater_than, {"3"}},
                         {"h", less_than, {"4"}}, {"z", not_in, {"a", "b"}}};
  EXPECT_EQ(*read, want);
}

TEST(Selector, PrintsCanonically) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {" \t\r\n", ""},
      {"a", "a"},
      {"! a", "!a"},
      {"a==b", "a=b"},
      {"a=", "a="},
      {"a=,b", "a=,b"},
      {"b,a", "a,b"},
      {"a!=b", "a!=b"},
      {"a in(b , c)", "a in (b,c)"},
      {"a in (c,b,c)", "a in (b,c)"},
      {"a in (,)", "a in (,)"},
      {"a in (b,)", "a in (,b)"},
      {"a\tnotin\n(b)", "a notin (b)"},
      {"a>10,a<20", "a>10,a<20"},
      {"in", "in"},
      {"in in (in,notin)", "in in (in,notin)"},
      {"notin=in", "notin=in"},
      {"resource.labels.subscription_id=my-subscription", "resource.labels.subscription_id=my-subscription"},
      {"example.com/a.b_c-d=E", "example.com/a.b_c-d=E"},
      {"a=b,a=c", "a=b,a=c"},
  };
  for (const auto& [text, want] : cases) {
    EXPECT_EQ(again(text), want) << text;
  }
}

TEST(Selector, NamesThePlaceOfWhatIsWrong) {
  const std::pair<std::string, const char*> cases[] = {
      {",", "column 1: found ',', expected a key or '!'"},
      {"a,", "column 3: found the end, expected a key or '!'"},
      {"a,,b", "column 3: found ',', expected a key or '!'"},
      {"!", "column 2: found the end, expected a key"},
      {"!!a", "column 2: found '!', expected a key"},
      {"!a=b", "column 3: found '=', expected ',' or the end"},
      {"a b", "column 3: found 'b', expected one of =, ==, !=, in, notin, >, <"},
      {"a!b", "column 2: found '!', expected one of"},
      {"a=b c", "column 5: found 'c', expected ',' or the end"},
      {"a==>b", "column 4: found '>', expected a value"},
      {"a===b", "column 4: found '=', expected a value"},
      {"a in b", "column 6: found 'b', expected '('"},
      {"a in", "column 5: found the end, expected '('"},
      {"a in ()", "column 6: found '()', expected at least one value"},
      {"a in (b", "column 8: found the end, expected ',' or ')'"},
      {"a in (b c)", "column 9: found 'c', expected ',' or ')'"},
      {"a in (b))", "column 9: found ')', expected ',' or the end"},
      {"a=b)", "column 4: found ')', expected ',' or the end"},
      {"a>", "column 3: found the end, expected a whole number"},
      {"a>b", "column 3: found 'b', expected a whole number"},
      {"a<9223372036854775808", "column 3: found '9223372036854775808', expected a whole number"},
      {"-a", "column 1: found '-a', expected a key:"},
      {"a.=b", "column 1: found 'a.', expected a key:"},
      {"a/b/c", "column 1: found 'a/b/c', expected a key:"},
      {"/a", "column 1: found '/a', expected a key:"},
      {"Example.com/a", "column 1: found 'Example.com/a', expected a key:"},
      {"a..b/c", "column 1: found 'a..b/c', expected a key:"},
      {"a=-b", "column 3: found '-b', expected a value:"},
      {"a=b/c", "column 3: found 'b/c', expected a value:"},
      {"a in (b,c%)", "column 9: found 'c%', expected a value:"},
      {"a=\xff", "column 3: found characters that no label has, expected a value:"},
      {std::string("a\0b", 3), "column 1: found characters that no label has, expected a key:"},
  };
  for (const auto& [text, want] : cases) {
    const Result<Selector> read = parse_selector(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, Code::invalid);
    EXPECT_THAT(read.error().what, testing::StartsWith(std::string("label selector, ") + want)) << text;
  }
}

TEST(Selector, TakesWhatALabelMayBeAndNoMore) {
  const std::string name(63, 'x');
  const std::string label(63, 'd');
  const std::string prefix = label + "." + label + "." + label + "." + std::string(61, 'd');
  ASSERT_EQ(prefix.size(), 253U);
  EXPECT_TRUE(parse_selector(prefix + "/" + name + "=" + name));
  EXPECT_FALSE(parse_selector(prefix + "d/" + name));
  EXPECT_FALSE(parse_selector(name + "x"));
  EXPECT_FALSE(parse_selector("a=" + name + "x"));
  EXPECT_FALSE(parse_selector(label + "d.example/a"));
  EXPECT_FALSE(parse_selector(std::string((8U << 10U) + 1, ' ')));
  EXPECT_TRUE(parse_selector(std::string(8U << 10U, ' ')));
}

TEST(Selector, Matches) {
  const Labels labels = {{"app", "a"}, {"empty", ""}, {"n", "7"}, {"text", "x7"}};
  const std::pair<const char*, bool> cases[] = {
      {"", true},
      {"app=a", true},
      {"app=b", false},
      {"none=a", false},
      {"none=", false},
      {"empty=", true},
      {"app!=a", false},
      {"app!=b", true},
      {"none!=a", true},
      {"app in (a,b)", true},
      {"app in (b,c)", false},
      {"none in (a)", false},
      {"app", true},
      {"app notin (a)", false},
      {"app notin (b)", true},
      {"none notin (a)", true},
      {"empty", true},
      {"none", false},
      {"!none", true},
      {"!empty", false},
      {"n>6", true},
      {"n>7", false},
      {"n<8", true},
      {"n<7", false},
      {"text>1", false},
      {"none<1", false},
      {"app=a,n>6,!none", true},
      {"app=a,n>7,!none", false},
  };
  for (const auto& [text, want] : cases) {
    const Result<Selector> read = parse_selector(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(matches(*read, labels), want) << text;
  }
}

}  // namespace
}  // namespace sluice::external
