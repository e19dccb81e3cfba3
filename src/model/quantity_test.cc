// SPDX-License-Identifier: Apache-2.0
#include "model/quantity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"

namespace sluice::model {
namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();

struct Row {
  const char* text;
  std::int64_t milli;
  const char* canonical;
};

TEST(Quantity, ReadsEveryFormAndPrintsTheCanonicalOne) {
  const Row rows[] = {
      {"0", 0, "0"},
      {"-0", 0, "0"},
      {"100", 100'000, "100"},
      {"+100", 100'000, "100"},
      {"8600m", 8600, "8600m"},
      {"1234500m", 1'234'500, "1234500m"},
      {"1234000m", 1'234'000, "1234"},
      {"0.5", 500, "500m"},
      {".5", 500, "500m"},
      {"5.", 5000, "5"},
      {"007", 7000, "7"},
      {"2000", 2'000'000, "2k"},
      {"1k", 1'000'000, "1k"},
      {"1.5k", 1'500'000, "1500"},
      {"3M", 3'000'000'000, "3M"},
      {"1E", most, "1E"},
      {"1Ki", 1'024'000, "1Ki"},
      {"1.5Ki", 1'536'000, "1536"},
      {"2048Ki", 2'097'152'000, "2Mi"},
      {"0.5Ki", 512'000, "512"},
      {"62.5Ki", 64'000'000, "64000"},  // and not 64k, which "64000" is printed as
      {"1Ei", most, "1Ei"},
      {"1e3", 1'000'000, "1e3"},
      {"15e2", 1'500'000, "1500"},
      {"1E3", 1'000'000, "1e3"},
      {"1e+3", 1'000'000, "1e3"},
      {"1e-3", 1, "1e-3"},
      {"1e30", most, "1e30"},
      {"1000E", most, "1000E"},
      {"-1.5", -1500, "-1500m"},
      {"-1e30", least, "-1e30"},
      {"9223372036854775807m", most, "9223372036854775807m"},
      {"-9223372036854775808m", least, "-9223372036854775808m"},
  };
  for (const Row& row : rows) {
    const Result<Quantity> quantity = parse_quantity(row.text);
    ASSERT_TRUE(quantity) << row.text << ": " << quantity.error().what;
    EXPECT_EQ(milli_value(*quantity), row.milli) << row.text;
    EXPECT_EQ(format_quantity(*quantity), row.canonical) << row.text;
  }
}

TEST(Quantity, RoundsPartsAwayFromZeroAndCountsPartsOfANanoUnitAsOne) {
  EXPECT_EQ(milli_value(*parse_quantity("1u")), 1);
  EXPECT_EQ(milli_value(*parse_quantity("1n")), 1);
  EXPECT_EQ(milli_value(*parse_quantity("1000001n")), 2);
  EXPECT_EQ(milli_value(*parse_quantity("999.9999u")), 1);
  EXPECT_EQ(milli_value(*parse_quantity("-1500u")), -2);
  EXPECT_EQ(milli_value(*parse_quantity("9.9999")), 10'000);
  EXPECT_EQ(format_quantity(*parse_quantity("0.1n")), "1n");
  EXPECT_EQ(format_quantity(*parse_quantity("1e-300")), "1e-9");
  EXPECT_EQ(format_quantity(*parse_quantity("1.0000000001")), "1000000001n");
}

TEST(Quantity, ABinaryOneIsAtMostAnInt64AndBelowOneItIsDecimal) {
  EXPECT_EQ(format_quantity(*parse_quantity("9999Ei")), "9223372036854775807");
  EXPECT_EQ(format_quantity(*parse_quantity("0.0005Ki")), "512m");
  EXPECT_EQ(parse_quantity("0.0005Ki")->form, QuantityForm::decimal);
  EXPECT_EQ(format_quantity(*parse_quantity("1.1Ki")), "1126400m");
}

TEST(Quantity, RefusesWhatIsNone) {
  for (const char* text : {"",     "-",     "+",    ".",   "k",    "Ki",  "1i", "1.1.M", "1+1.0M", "0.1mi",
                           "aoeu", ".5i",   "1e",   "1e-", "1ee3", "1kk", " 1", "1 ",    "1e301",  "1e99999999999",
                           "--1",  "1e+-3", "0x10", "1m3", "nan",  "inf"}) {
    EXPECT_FALSE(parse_quantity(text)) << text;
  }
  EXPECT_FALSE(parse_quantity(std::string(65, '1')));
  EXPECT_THAT(parse_quantity("1 worker").error().what, testing::StartsWith("\"1 worker\"; accepted: a Kubernetes"));
}

TEST(Quantity, PrintsAMilliValueAsKubernetesDoes) {
  EXPECT_EQ(format_milli(0), "0");
  EXPECT_EQ(format_milli(92'000), "92");
  EXPECT_EQ(format_milli(8600), "8600m");
  EXPECT_EQ(format_milli(2'000'000), "2k");
  EXPECT_EQ(format_milli(1'010'000), "1010");
  EXPECT_EQ(format_milli(-2867), "-2867m");
  EXPECT_EQ(format_milli(most), "9223372036854775807m");
  EXPECT_EQ(format_milli(least), "-9223372036854775808m");
}

TEST(Quantity, WhatIsPrintedReadsBackEqual) {
  Random random(20260824);
  const std::string_view ends[] = {"", "m", "u", "n", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e3", "e-2", "E7"};
  for (int i = 0; i < 5'000; ++i) {
    const auto milli = static_cast<std::int64_t>(random.below(most)) >> random.below(63);
    const std::int64_t value = random.chance(0.3) ? -milli : milli;
    const Result<Quantity> back = parse_quantity(format_milli(value));
    ASSERT_TRUE(back);
    EXPECT_EQ(milli_value(*back), value);
    EXPECT_EQ(*back, quantity_of_milli(value));

    std::string text = std::to_string(random.below(1'000'000));
    if (random.chance(0.5)) {
      text += "." + std::to_string(random.below(100'000));
    }
    text += ends[random.below(std::size(ends))];
    const Result<Quantity> first = parse_quantity(text);
    ASSERT_TRUE(first) << text;
    const std::string canonical = format_quantity(*first);
    const Result<Quantity> second = parse_quantity(canonical);
    ASSERT_TRUE(second) << text << " " << canonical;
    EXPECT_EQ(first->digits, second->digits) << text << " " << canonical;
    EXPECT_EQ(first->exponent, second->exponent) << text << " " << canonical;
    const bool suffix_lost = first->form == QuantityForm::binary && second->form == QuantityForm::decimal;
    EXPECT_TRUE(suffix_lost || format_quantity(*second) == canonical) << text;
    EXPECT_EQ(milli_value(*second), milli_value(*first)) << text;
  }
}

// A tolerance reaches the controller as the API server stores it: "0.3" as 300m, which is 300 * (1 / 1e3).
TEST(Quantity, TheApproximateDoubleIsThatOfTheCanonicalForm) {
  EXPECT_EQ(approximate(*parse_quantity("0.3")), 300 * 0.001);
  EXPECT_EQ(approximate(*parse_quantity("300m")), 300 * 0.001);
  EXPECT_EQ(approximate(*parse_quantity("0.05")), 50 * 0.001);
  EXPECT_EQ(approximate(*parse_quantity("1")), 1.0);
  EXPECT_EQ(approximate(*parse_quantity("0")), 0.0);
  EXPECT_EQ(approximate(*parse_quantity("2k")), 2000.0);
  EXPECT_EQ(approximate(*parse_quantity("1Ki")), 1024.0);
  EXPECT_EQ(approximate(*parse_quantity("-1500m")), -1.5);
  EXPECT_EQ(approximate(*parse_quantity("1u")), 1e-6);
}

}  // namespace
}  // namespace sluice::model
