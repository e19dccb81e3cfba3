// SPDX-License-Identifier: Apache-2.0
#pragma once
// Text in Prometheus' format, version 0.0.4: families one after the other, each with its help, its type and its series.
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace sluice::serve {

using Label = std::pair<std::string_view, std::string_view>;
using Labels = std::vector<Label>;

// Durations by upper bound. The bounds are whole milliseconds and outlive it.
class Histogram {
 public:
  explicit Histogram(std::span<const std::int64_t> bounds_ms) : bounds_ms_(bounds_ms), at_most_(bounds_ms.size()) {}
  void add(Duration d);
  // How many more there are in each bucket, cumulative; `at_most` has as many entries as there are bounds.
  void add(std::span<const std::int64_t> at_most, std::int64_t count, std::int64_t sum_ms);
  [[nodiscard]] std::span<const std::int64_t> bounds_ms() const { return bounds_ms_; }
  [[nodiscard]] std::int64_t at_most(std::size_t i) const { return at_most_[i]; }
  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] std::int64_t sum_ms() const { return sum_ms_; }

 private:
  std::span<const std::int64_t> bounds_ms_;
  std::vector<std::int64_t> at_most_;  // cumulative
  std::int64_t count_ = 0;
  std::int64_t sum_ms_ = 0;
};

class Exposition {
 public:
  // The series that follow are of this family.
  void family(std::string_view name, std::string_view type, std::string_view help);
  void value(const Labels& labels, std::int64_t n);
  // Milliseconds, written as seconds.
  void seconds(const Labels& labels, std::int64_t ms);
  void histogram(const Labels& labels, const Histogram& h);
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void series(std::string_view suffix, const Labels& labels, std::string_view value);
  std::string out_;
  std::string name_;
};

// Milliseconds as seconds, without zeros behind: "0.25", "60".
[[nodiscard]] std::string seconds_text(std::int64_t ms);

}  // namespace sluice::serve
