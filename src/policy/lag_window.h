// SPDX-License-Identifier: Apache-2.0
#pragma once
// The small lists of the lag policy's memory: of a fixed capacity, in whole numbers, equal when they hold the same.
//
// Not std::vector: a pool remembers a hundred of them, copies them at every step, and its memory has a bound. A list
// that is full joins the two neighbours that are closest together, so that it loses fineness and never an entry.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace sluice::policy {

// Things of one kind at one point of time. `at` counts steps; in which direction is the list's own business.
struct LagEntry {
  std::int32_t at = 0;
  std::int32_t n = 0;
  friend bool operator==(const LagEntry&, const LagEntry&) = default;
};

template <std::size_t N>
class LagList {
 public:
  static constexpr std::size_t capacity = N;
  [[nodiscard]] const LagEntry* begin() const { return all_.data(); }
  [[nodiscard]] const LagEntry* end() const { return all_.data() + size_; }
  [[nodiscard]] LagEntry* begin() { return all_.data(); }
  [[nodiscard]] LagEntry* end() { return all_.data() + size_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == N; }
  [[nodiscard]] LagEntry& front() { return all_[0]; }
  [[nodiscard]] LagEntry& back() { return all_[size_ - 1]; }
  [[nodiscard]] const LagEntry& back() const { return all_[size_ - 1]; }

  // Requires: !full().
  void insert(std::size_t i, LagEntry entry) {
    std::copy_backward(begin() + i, end(), end() + 1);
    all_[i] = entry;
    ++size_;
  }
  void push_back(LagEntry entry) { insert(size_, entry); }
  void erase(std::size_t i) {
    std::copy(begin() + i + 1, end(), begin() + i);
    --size_;
    all_[size_] = {};
  }
  void pop_back() { erase(size_ - 1); }
  // The first of the two neighbours whose `at` are closest. Requires: at least two.
  [[nodiscard]] std::size_t closest() const {
    std::size_t out = 0;
    std::int32_t least = std::numeric_limits<std::int32_t>::max();
    for (std::size_t i = 0; i + 1 < size_; ++i) {
      const std::int32_t gap = std::abs(all_[i + 1].at - all_[i].at);
      if (gap < least) {
        least = gap;
        out = i;
      }
    }
    return out;
  }
  friend bool operator==(const LagList&, const LagList&) = default;

 private:
  std::array<LagEntry, N> all_{};
  std::uint32_t size_ = 0;
};

// What comes at a time: `at` is the number of steps until then, ascending.
class LagComing {
 public:
  void add(std::int32_t in_steps, std::int32_t n) {
    if (n <= 0) {
      return;
    }
    std::size_t i = list.size();
    while (i > 0 && list.begin()[i - 1].at > in_steps) {
      --i;
    }
    if (i > 0 && list.begin()[i - 1].at == in_steps) {
      list.begin()[i - 1].n += n;
      return;
    }
    if (list.full()) {
      join();
      add(in_steps, n);
      return;
    }
    list.insert(i, {in_steps, n});
  }
  // One step passes; returns how many have come.
  std::int32_t pass() {
    std::int32_t out = 0;
    for (LagEntry& entry : list) {
      --entry.at;
    }
    while (!list.empty() && list.front().at <= 0) {
      out += list.front().n;
      list.erase(0);
    }
    return out;
  }
  // Takes back at most `n`, those that come last first; returns how many.
  std::int32_t take_last(std::int32_t n) {
    std::int32_t out = 0;
    while (out < n && !list.empty()) {
      const std::int32_t some = std::min(list.back().n, n - out);
      out += some;
      list.back().n -= some;
      if (list.back().n == 0) {
        list.pop_back();
      }
    }
    return out;
  }
  [[nodiscard]] std::int32_t count() const {
    std::int32_t out = 0;
    for (const LagEntry& entry : list) {
      out += entry.n;
    }
    return out;
  }
  // How many come after more than `steps`.
  [[nodiscard]] std::int32_t later_than(std::int32_t steps) const {
    std::int32_t out = 0;
    for (const LagEntry& entry : list) {
      out += entry.at > steps ? entry.n : 0;
    }
    return out;
  }
  // A node that 120 steps boot takes 24 entries: the joined ones are off by less than a twentieth of that.
  LagList<24> list;
  friend bool operator==(const LagComing&, const LagComing&) = default;

 private:
  void join() {
    const std::size_t i = list.closest();
    LagEntry& later = list.begin()[i + 1];
    later.n += list.begin()[i].n;
    list.erase(i);
  }
};

// The largest number of the last `window` steps, which is the same at every call: `at` is the age in steps, descending,
// and so is `n`. A number less than a grain younger than a larger one is not kept: the larger one stands for it, and
// stays up to a grain longer.
class LagPeaks {
 public:
  // One step passes.
  void pass(std::int32_t window) {
    for (LagEntry& entry : list) {
      ++entry.at;
    }
    while (!list.empty() && list.front().at >= window + grain(window) - 1) {
      list.erase(0);
    }
  }
  void see(std::int32_t n, std::int32_t window) {
    while (!list.empty() && list.back().n <= n) {
      list.pop_back();
    }
    const bool stood_for = !list.empty() && list.back().at < grain(window);
    if (n > 0 && !stood_for && !list.full()) {
      list.push_back({0, n});
    }
  }
  // Of those that are younger than `last` <= window steps; 0 when there is none.
  [[nodiscard]] std::int32_t most(std::int32_t last, std::int32_t window) const {
    for (const LagEntry& entry : list) {
      if (entry.at < last + grain(window) - 1) {
        return entry.n;
      }
    }
    return 0;
  }
  LagList<32> list;
  friend bool operator==(const LagPeaks&, const LagPeaks&) = default;

 private:
  // 24 grains fit into the list's 32 entries, with room for those that stay longer.
  static std::int32_t grain(std::int32_t window) { return 1 + window / 24; }
};

}  // namespace sluice::policy
