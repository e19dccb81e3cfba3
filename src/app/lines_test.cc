// SPDX-License-Identifier: Apache-2.0
#include "app/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::app {
namespace {

using testing::ElementsAre;

// Every line of `text` when it arrives in pieces of `piece` bytes.
std::vector<std::string> split(std::string_view text, std::size_t piece, std::size_t length_max = 100) {
  LineSplitter splitter(length_max);
  std::vector<Line> lines;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    for (Line& line : splitter.feed(text.substr(at, piece))) {
      lines.push_back(std::move(line));
    }
  }
  if (std::optional<Line> last = splitter.finish()) {
    lines.push_back(std::move(*last));
  }
  std::vector<std::string> out;
  for (const Line& line : lines) {
    out.push_back(line.too_long ? "too long: " + std::to_string(line.length) : line.text);
  }
  return out;
}

TEST(LineSplitter, FindsTheSameLinesHoweverTheBytesArrive) {
  const std::string text = std::string("one\r\n\ntw\ro\r\r\n") + std::string("\0x", 2) + "\nlast";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    EXPECT_THAT(split(text, piece), ElementsAre("one", "", "tw\ro\r", std::string("\0x", 2), "last")) << piece;
  }
}

TEST(LineSplitter, CountsALineThatIsTooLongAndKeepsTheNext) {
  for (std::size_t piece = 1; piece <= 12; ++piece) {
    EXPECT_THAT(split("12345\n123456\r\n1\n", piece, 5), ElementsAre("12345", "too long: 6", "1")) << piece;
  }
}

TEST(LineSplitter, GivesNoLineForNoBytes) {
  EXPECT_THAT(split("", 1), ElementsAre());
  EXPECT_THAT(split("\n", 1), ElementsAre(""));
  EXPECT_THAT(split("a\r", 1), ElementsAre("a"));
}

}  // namespace
}  // namespace sluice::app
