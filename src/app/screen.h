// SPDX-License-Identifier: Apache-2.0
#pragma once
// A terminal that shows one picture at a time, drawn anew only where it differs.
//
// On the alternate screen, so that a resize or an interruption never leaves half a picture: what should stay is printed
// after close().
#include <string>
#include <vector>

#include "app/context.h"

namespace sluice::app {

class Screen {
 public:
  // Nothing happens before the first show().
  explicit Screen(Out& out) : out_(out) {}
  ~Screen() { close(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Makes the picture these lines. They may hold colour sequences, no other control characters; what does not fit is
  // cut.
  void show(std::vector<std::string> lines);
  // Back to the terminal as it was.
  void close();
  [[nodiscard]] int columns() const { return out_.columns(); }
  [[nodiscard]] int rows() const { return out_.rows(); }

 private:
  Out& out_;
  bool open_ = false;
  int columns_ = 0;
  int rows_ = 0;
  std::vector<std::string> shown_;
};

// The whole course of a number as one line of blocks, ever coarser: "▁▃▅▇█".
class Spark {
 public:
  explicit Spark(std::size_t length) : length_(length) {}
  void add(double value);
  [[nodiscard]] std::string text() const;

 private:
  std::size_t length_;
  std::vector<double> values_;  // each the most of `stride_` additions
  std::size_t stride_ = 1;
  std::size_t in_last_ = 0;
};

}  // namespace sluice::app
