// SPDX-License-Identifier: Apache-2.0
#include "app/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<Verb>& some_verbs() {
  static const std::vector<Verb> all{
      {.name = "work",
       .summary = "take messages",
       .flags = {file_flag("the pool"),
                 {.name = "exec", .kind = Kind::text, .value = "PROGRAM"},
                 {.name = "count", .kind = Kind::count, .value = "N"},
                 {.name = "idle-exit", .kind = Kind::duration, .value = "10s"},
                 {.name = "header", .kind = Kind::text, .value = "K=V", .many = true},
                 {.name = "once"}},
       .rest = "ARGUMENT"},
      {.name = "explain", .summary = "why", .positionals = {{.name = "POOL", .help = "which", .required = true}}},
  };
  return all;
}

Invocation parsed(const std::vector<std::string>& argv) {
  return parse(some_verbs(), argv);
}

TEST(CommandLine, GivesAVerbItsFlagsAndWhatComesAfterTheDashes) {
  const Invocation call = parsed({"work", "-f", "a.yaml", "--exec=./h", "--count", "3", "--idle-exit", "1m30s",
                                  "--header", "a=1", "--header", "b=2", "--once", "-o", "json", "--", "--count", "x"});
  ASSERT_NE(call.verb, nullptr) << call.err;
  EXPECT_EQ(call.verb->name, "work");
  EXPECT_EQ(call.args.text("file"), "a.yaml");
  EXPECT_EQ(call.args.text("exec"), "./h");
  EXPECT_EQ(call.args.count("count"), 3);
  EXPECT_EQ(call.args.duration("idle-exit"), std::chrono::seconds{90});
  EXPECT_THAT(call.args.texts("header"), ElementsAre("a=1", "b=2"));
  EXPECT_TRUE(call.args.has("once"));
  EXPECT_EQ(call.args.text("output"), "json");
  EXPECT_THAT(call.args.rest, ElementsAre("--count", "x"));
  EXPECT_FALSE(call.args.has("no-color"));
}

TEST(CommandLine, RefusesWhatItDoesNotKnowAndNamesTheNearest) {
  struct Case {
    std::vector<std::string> argv;
    std::string says;
  };
  const std::vector<Case> cases{
      {{"wrok"}, "no verb \"wrok\"; did you mean work?"},
      {{"fly"}, "no verb \"fly\"\n"},
      {{"--quiet"}, "flags come after"},
      {{"work", "--idel-exit", "3s"}, "no flag --idel-exit; did you mean --idle-exit?"},
      {{"work", "--count"}, "--count"},
      {{"work", "--count", "-1"}, "a whole number"},
      {{"work", "--count", "9223372036854775808"}, "a whole number"},
      {{"work", "--idle-exit", "10"}, "a duration such as"},
      {{"work", "-o", "yaml"}, "one of text, json"},
      {{"work", "--once", "--count", "1", "--count", "2"}, "2 times"},
      {{"work", "word"}, "one word too many"},
      {{"explain"}, "POOL is missing"},
      {{"explain", "a", "b"}, "\"b\" is one word too many"},
      {{"explain", "a", "--", "b"}, "\"b\" is one word too many"},
      {{"work", "-x"}, "no flag -x"},
  };
  for (const Case& one : cases) {
    const Invocation call = parsed(one.argv);
    EXPECT_EQ(call.verb, nullptr);
    EXPECT_EQ(call.exit, exit_usage);
    EXPECT_THAT(call.err, HasSubstr(one.says));
    EXPECT_EQ(call.out, "");
  }
}

TEST(CommandLine, PrintsHelpOnStdoutEvenBesideMistakes) {
  for (const std::vector<std::string>& argv :
       std::vector<std::vector<std::string>>{{"work", "--help"}, {"help", "work"}, {"work", "-h", "--nonsense"}}) {
    const Invocation call = parsed(argv);
    EXPECT_EQ(call.exit, exit_done);
    EXPECT_THAT(call.out, HasSubstr("usage: sluice work [-f FILE] [--exec PROGRAM]"));
    EXPECT_THAT(call.out, HasSubstr("[-- ARGUMENT..]"));
  }
  EXPECT_THAT(parsed({"--help"}).out, HasSubstr("explain  why"));
  EXPECT_THAT(parsed({"--version"}).out, HasSubstr("sluice 0."));
  EXPECT_EQ(parsed({}).exit, exit_usage);
}

}  // namespace
}  // namespace sluice::app
