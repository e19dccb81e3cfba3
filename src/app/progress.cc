// SPDX-License-Identifier: Apache-2.0
#include "app/progress.h"

#include <algorithm>

#include "app/text.h"

namespace sluice::app {

std::string bar(std::int64_t done, std::int64_t all, int width) {
  const std::int64_t filled = all <= 0 ? 0 : std::clamp<std::int64_t>(done * width / all, 0, width);
  std::string out;
  for (int i = 0; i < width; ++i) {
    out += i < filled ? "█" : "░";
  }
  return out;
}

ProgressLine::ProgressLine(Context& context)
    : out_(context.err), shown_(context.err.terminal() && context.env("TERM") != "dumb") {}

void ProgressLine::show(const std::string& text) {
  if (!shown_ || text == last_) {
    return;
  }
  last_ = text;
  out_.write("\r\x1b[K" + cut(text, out_.columns() - 1));
}

void ProgressLine::clear() {
  if (!last_.empty()) {
    out_.write("\r\x1b[K");
    last_.clear();
  }
}

}  // namespace sluice::app
