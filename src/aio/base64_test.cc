// SPDX-License-Identifier: Apache-2.0
#include "aio/base64.h"

#include <gtest/gtest.h>

namespace sluice::aio {
namespace {

TEST(Base64, IsThatOfRfc4648) {
  // Section 10.
  for (const auto& [bytes, text] : {std::pair{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(to_base64(bytes), text);
    EXPECT_EQ(from_base64(text).value_or("?"), bytes);
  }
  const std::string all("\0\xff\x80/", 4);
  EXPECT_EQ(from_base64(to_base64(all)).value_or("?"), all);
  EXPECT_EQ(from_base64("Zm9v\r\n  YmFy\n").value_or("?"), "foobar");
}

TEST(Base64, RefusesWhatIsNot) {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "=Zg=", "Zg==Zg==", "Zm9v!A==", "Zm-_", "\xc3\xa4==="}) {
    EXPECT_EQ(from_base64(text).error().what, "not base64") << text;
  }
}

}  // namespace
}  // namespace sluice::aio
