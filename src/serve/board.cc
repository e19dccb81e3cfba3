// SPDX-License-Identifier: Apache-2.0
#include "serve/board.h"

#include <algorithm>

namespace sluice::serve {
namespace {

// 250 ms is the bound that a loop must keep.
constexpr std::array<std::int64_t, 5> stall_bounds_ms{10, 50, 250, 1'000, 5'000};
// A stall is seen when it is longer than what is left of this. Chosen: ten wakes a second cost nothing to speak of.
constexpr Duration stall_look_each = std::chrono::milliseconds{100};
// Statuses of HTTP are few; whatever else a server invents is counted as one.
constexpr std::size_t requests_max = 100;

}  // namespace

Board::Board(BoardOptions options) : options_(std::move(options)), stalls_(stall_bounds_ms), ring_(options_.ring) {}

PoolWatch& Board::take_on(const std::string& pool, std::int64_t max) {
  forget(pool);
  return *(pools_[pool] = std::make_unique<PoolWatch>(pool, max, options_.scaler));
}

void Board::refuse(const std::string& pool, std::string why) {
  take_on(pool, 0).refused(std::move(why));
}

void Board::forget(const std::string& pool) {
  pools_.erase(pool);
  ring_.forget(pool);
}

void Board::answered(std::string_view target, std::string_view code) {
  std::pair<std::string, std::string> key(target, code);
  if (requests_.size() >= requests_max && !requests_.contains(key)) {
    key.second = "other";
  }
  ++requests_[std::move(key)];
}

void ticked(Board& board, PoolWatch& watch, const control::Snapshot& snapshot) {
  watch.ticked(snapshot);
  board.answered("queue", snapshot.seen.queue.ready || snapshot.seen.queue.total ? "ok" : "error");
}

aio::Task<void> watch_stalls(aio::Clock& clock, Board& board) {
  Time due = clock.now() + stall_look_each;
  while (true) {
    co_await clock.sleep_until(due);
    const Time now = clock.now();
    board.stalled(std::max(Duration{0}, now - due));
    due = now + stall_look_each;
  }
}

}  // namespace sluice::serve
