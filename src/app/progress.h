// SPDX-License-Identifier: Apache-2.0
#pragma once
// One line at the bottom of a terminal that is drawn over and over, then wiped. Nothing when stderr is no terminal.
#include <cstdint>
#include <string>

#include "app/context.h"

namespace sluice::app {

// "████████░░░░": `done` of `all` in `width` columns; ASCII is not needed, terminals of this century draw blocks.
[[nodiscard]] std::string bar(std::int64_t done, std::int64_t all, int width);

class ProgressLine {
 public:
  explicit ProgressLine(Context& context);
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // False: nothing is ever drawn.
  [[nodiscard]] bool shown() const { return shown_; }
  // `text` has no control characters; what does not fit is cut.
  void show(const std::string& text);
  void clear();

 private:
  Out& out_;
  bool shown_;
  std::string last_;
};

}  // namespace sluice::app
