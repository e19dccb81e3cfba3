// SPDX-License-Identifier: Apache-2.0
#include "app/lines.h"

#include <utility>

namespace sluice::app {

void LineSplitter::append(std::string_view bytes) {
  length_ += bytes.size();
  if (length_ <= length_max_) {
    text_ += bytes;
  } else {
    text_.clear();
  }
}

void LineSplitter::take_in(std::string_view piece) {
  if (piece.empty()) {
    return;
  }
  if (cr_) {
    append("\r");
  }
  cr_ = piece.back() == '\r';
  append(piece.substr(0, piece.size() - (cr_ ? 1 : 0)));
}

Line LineSplitter::line() {
  cr_ = false;
  const std::size_t length = std::exchange(length_, 0);
  return {.text = std::exchange(text_, {}), .too_long = length > length_max_, .length = length};
}

std::vector<Line> LineSplitter::feed(std::string_view bytes) {
  std::vector<Line> out;
  while (true) {
    const std::size_t end = bytes.find('\n');
    take_in(bytes.substr(0, end));
    if (end == std::string_view::npos) {
      return out;
    }
    out.push_back(line());
    bytes.remove_prefix(end + 1);
  }
}

std::optional<Line> LineSplitter::finish() {
  if (length_ == 0 && !cr_) {
    return std::nullopt;
  }
  return line();
}

}  // namespace sluice::app
