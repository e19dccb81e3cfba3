// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::app {

struct Line {
  std::string text;        // without its end, LF or CR LF
  bool too_long = false;   // then `text` is empty
  std::size_t length = 0;  // bytes, also of one that is too long
};

// Cuts a stream of bytes into lines. A line may hold any bytes but LF. What is longer than the limit is counted, not
// kept.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t length_max) : length_max_(length_max) {}
  [[nodiscard]] std::vector<Line> feed(std::string_view bytes);
  // The last line, when it had no end.
  [[nodiscard]] std::optional<Line> finish();

 private:
  void take_in(std::string_view piece);
  void append(std::string_view bytes);
  [[nodiscard]] Line line();

  std::size_t length_max_;
  std::string text_;
  std::size_t length_ = 0;
  bool cr_ = false;  // a CR at the end of what came so far, which may belong to the line's end
};

}  // namespace sluice::app
