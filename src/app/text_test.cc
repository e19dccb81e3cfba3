// SPDX-License-Identifier: Apache-2.0
#include "app/text.h"

#include <gtest/gtest.h>

#include "app/progress.h"
#include "app/screen.h"

namespace sluice::app {
namespace {

TEST(TerminalText, CountsColumnsAndNotBytes) {
  EXPECT_EQ(width("abc"), 3);
  EXPECT_EQ(width("▁▃█"), 3);
  EXPECT_EQ(width(coloured("■■", Colour::green, true)), 2);
  EXPECT_EQ(padded("▁", 3), "▁  ");
  EXPECT_EQ(padded("long", 3), "long");
}

TEST(TerminalText, CutsWhatIsTooWideAndEndsItsColour) {
  EXPECT_EQ(cut("abcdef", 6), "abcdef");
  EXPECT_EQ(cut("abcdef", 4), "abc…");
  EXPECT_EQ(cut(coloured("abcdef", Colour::red, true), 4), "\x1b[31mabc…\x1b[0m");
  EXPECT_EQ(cut("ab", 0), "");
}

TEST(TerminalText, DrawsABarThatIsNeverOutOfItsBounds) {
  EXPECT_EQ(bar(0, 10, 4), "░░░░");
  EXPECT_EQ(bar(5, 10, 4), "██░░");
  EXPECT_EQ(bar(20, 10, 4), "████");
  EXPECT_EQ(bar(1, 0, 4), "░░░░");
}

TEST(Spark, KeepsTheWholeCourseInItsLength) {
  Spark spark(4);
  EXPECT_EQ(spark.text(), "");
  for (const double value : {0.0, 7.0, 0.0, 0.0}) {
    spark.add(value);
  }
  EXPECT_EQ(spark.text(), "▁█▁▁");
  for (int i = 0; i < 1000; ++i) {
    spark.add(0);
    EXPECT_LE(width(spark.text()), 4);
  }
  EXPECT_TRUE(spark.text().starts_with("█")) << spark.text();
}

}  // namespace
}  // namespace sluice::app
