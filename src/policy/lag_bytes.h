// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whole numbers as few bytes: seven bits a byte, the small ones of either sign first, a run of zeros as one.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "policy/lag_arrivals.h"
#include "policy/lag_window.h"

namespace sluice::policy {

class LagWriter {
 public:
  void number(std::int64_t n);
  void curve(const LagArrivals& arrivals);
  template <std::size_t N>
  void list(const LagList<N>& list) {
    number(static_cast<std::int64_t>(list.size()));
    std::int32_t at = 0;
    for (const LagEntry& entry : list) {
      number(entry.at - at);
      number(entry.n);
      at = entry.at;
    }
  }
  [[nodiscard]] std::string base64() const;

 private:
  std::string bytes_;
};

// Reads the same back. What is too short, too long or out of bounds makes it bad, and everything read then is 0.
class LagBytes {
 public:
  explicit LagBytes(std::string_view base64);
  // Outside [least, most] is bad.
  std::int64_t number(std::int64_t least, std::int64_t most);
  void curve(LagArrivals& out);
  template <std::size_t N>
  void list(LagList<N>& out) {
    const std::int64_t size = number(0, static_cast<std::int64_t>(N));
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < size && !bad_; ++i) {
      at += number(-at_most, at_most);
      const std::int64_t n = number(1, n_most);
      bad_ = bad_ || at < 0 || at > at_most;
      out.push_back({static_cast<std::int32_t>(at), static_cast<std::int32_t>(n)});
    }
  }
  // All of it was read and all of it was good.
  [[nodiscard]] bool good() const { return !bad_ && next_ == bytes_.size(); }

 private:
  static constexpr std::int64_t at_most = 1'000'000'000;
  static constexpr std::int64_t n_most = 1'000'000'000;
  std::string bytes_;
  std::size_t next_ = 0;
  bool bad_ = false;
};

}  // namespace sluice::policy
