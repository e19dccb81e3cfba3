// SPDX-License-Identifier: Apache-2.0
#include "app/screen.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "app/text.h"

namespace sluice::app {

void Screen::show(std::vector<std::string> lines) {
  std::string out;
  if (!open_) {
    out += "\x1b[?1049h\x1b[?25l";  // alternate screen, no cursor
    open_ = true;
  }
  const int columns = out_.columns();
  const int rows = out_.rows();
  if (columns != columns_ || rows != rows_) {
    out += "\x1b[2J";
    shown_.clear();
    columns_ = columns;
    rows_ = rows;
  }
  lines.resize(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    lines[i] = cut(lines[i], columns);
    if (i >= shown_.size() || shown_[i] != lines[i]) {
      out += fmt::format("\x1b[{};1H\x1b[K{}", i + 1, lines[i]);
    }
  }
  shown_ = std::move(lines);
  out_.write(out);
}

void Screen::close() {
  if (open_) {
    out_.write("\x1b[?25h\x1b[?1049l");
    open_ = false;
  }
}

void Spark::add(double value) {
  if (in_last_ == 0 || in_last_ == stride_) {
    values_.push_back(value);
    in_last_ = 0;
  }
  ++in_last_;
  values_.back() = std::max(values_.back(), value);
  if (values_.size() <= length_) {
    return;
  }
  // Two become one, and from now on twice as many additions: every block stays the same span of time.
  std::vector<double> half;
  for (std::size_t i = 0; i < values_.size(); i += 2) {
    half.push_back(i + 1 < values_.size() ? std::max(values_[i], values_[i + 1]) : values_[i]);
  }
  values_ = std::move(half);
  stride_ *= 2;
}

std::string Spark::text() const {
  constexpr std::array<std::string_view, 8> blocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const double most = values_.empty() ? 0 : *std::max_element(values_.begin(), values_.end());
  std::string out;
  for (const double value : values_) {
    const double share = most <= 0 ? 0 : value / most;
    out += blocks[static_cast<std::size_t>(std::clamp(share * 7.0 + 0.5, 0.0, 7.0))];
  }
  return out;
}

}  // namespace sluice::app
