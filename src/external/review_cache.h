// SPDX-License-Identifier: Apache-2.0
#pragma once
// Answers of reviews, kept for a short time: an HPA asks every 15 s for each of its metrics, and discovery asks five
// times at once. A right that is taken away ends with the entry, so the time is the API server's own, 10 s.
#include <cstddef>
#include <iterator>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/time.h"

namespace sluice::external {

struct ReviewCacheOptions {
  Duration ttl = std::chrono::seconds{10};
  std::size_t entries_max = 4096;   // chosen: 10 times the clients of a large cluster
  std::size_t key_max = 4U << 10U;  // bytes; longer ones are asked for each time, so that the whole is at most 16 MiB
};

// Yes and no alike; an error is not put here. The entry that was put first makes room for others.
template <class T>
class ReviewCache {
 public:
  explicit ReviewCache(ReviewCacheOptions options = {}) : options_(options) {}

  // Nothing from the instant on at which the entry is `ttl` old. The pointer is good until the next call of put().
  [[nodiscard]] const T* get(std::string_view key, Time now) const {
    const auto found = entries_.find(key);
    return found != entries_.end() && now - found->second->since < options_.ttl ? &found->second->value : nullptr;
  }

  // `asked` is when the review was sent: what changed since then is not in the answer.
  void put(std::string_view key, T value, Time asked) {
    if (key.size() > options_.key_max) {
      return;
    }
    if (const auto found = entries_.find(key); found != entries_.end()) {
      const auto old = found->second;
      entries_.erase(found);
      order_.erase(old);
    }
    order_.push_back({.key = std::string(key), .value = std::move(value), .since = asked});
    entries_.emplace(order_.back().key, std::prev(order_.end()));
    while (order_.size() > options_.entries_max || asked - order_.front().since >= options_.ttl) {
      entries_.erase(order_.front().key);
      order_.pop_front();
    }
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string key;
    T value;
    Time since;
  };

  ReviewCacheOptions options_;
  std::list<Entry> order_;                                                             // by when they were put
  std::unordered_map<std::string_view, typename std::list<Entry>::iterator> entries_;  // by the keys in order_
};

}  // namespace sluice::external
