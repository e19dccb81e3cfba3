// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is wrong with an input, where, and what would be right. All problems of a file are collected before any is
// shown.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::pool {

struct Problem {
  int line = 0;          // from 1
  int column = 0;        // from 1, in bytes
  std::string path;      // "$.spec.workers.max"
  std::string found;     // never holds a credential
  std::string accepted;  // the form that would be taken
  friend bool operator==(const Problem&, const Problem&) = default;
};

// "FILE:LINE:COL: $.path: found; accepted: form", one line without its end.
[[nodiscard]] std::string render(const Problem& problem, std::string_view file);

// Text from outside as it may be shown: control and direction-changing characters escaped, credentials of a URL as ***,
// at most 60 bytes, then "..".
[[nodiscard]] std::string shown(std::string_view text);

// True when some URL in the text carries a user with a password.
[[nodiscard]] bool holds_credentials(std::string_view text);

// Problems in the order of their places, bounded: a file of nothing but mistakes must not fill a terminal or the
// memory.
class Report {
 public:
  void add(Problem problem);
  // Whether rivals (Field::rivals_from) are taken: where policies are compared, not where a pool is scaled.
  bool rivals = false;
  // Whether some problem is at `path`, below it, or above it but below the first `base` bytes of it.
  [[nodiscard]] bool concerns(std::string_view path, std::size_t base) const;
  [[nodiscard]] bool empty() const { return problems_.empty(); }
  [[nodiscard]] std::size_t size() const { return problems_.size() + dropped_; }
  // Sorted by line and column; where the bound was reached the last one says how many more there are.
  [[nodiscard]] std::vector<Problem> take();

 private:
  std::vector<Problem> problems_;
  std::size_t dropped_ = 0;
};

}  // namespace sluice::pool
