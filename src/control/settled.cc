// SPDX-License-Identifier: Apache-2.0
#include "control/settled.h"

#include <algorithm>

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kept = 15min;  // chosen: three times the age at which any count is stale

}  // namespace

void Settled::see(const model::FleetView& view) {
  const Time now = view.observed_at;
  for (const model::Worker& worker : view.workers) {
    take(worker.id, worker.tally, now);
  }
  for (const model::EndedWorker& ended : view.ended) {
    take(ended.id, ended.tally, now);
  }
  begun_ = true;
  if (history_.empty() || history_.back().second != sum_) {
    history_.emplace_back(now, sum_);
  }
  // The last entry of the time before is what the sum was at its end.
  while (history_.size() > 1 && now - history_[1].first > kept) {
    history_.pop_front();
  }
  std::erase_if(lives_, [now](const auto& one) { return now - one.second.seen > kept; });
}

void Settled::take(const std::string& id, const model::SaidTally& tally, Time now) {
  if (tally == nullptr) {
    return;
  }
  const std::int64_t n = tally->done + tally->dead_lettered;
  // When it did what it had done before anybody looked is not known.
  const auto [life, fresh] = lives_.try_emplace(id, Life{.told = begun_ ? 0 : n, .seen = now});
  sum_ += std::max<std::int64_t>(0, n - life->second.told);
  life->second.told = std::max(life->second.told, n);
  life->second.seen = now;
}

std::int64_t Settled::since(Time at) const {
  std::int64_t before = history_.empty() ? sum_ : history_.front().second;
  for (const auto& [time, sum] : history_) {
    if (time > at) {
      break;
    }
    before = sum;
  }
  return sum_ - before;
}

std::int64_t brought_up(std::int64_t total, std::int64_t settled_since, const model::FleetView* view) {
  std::int64_t in_work = 0;
  if (view != nullptr) {
    for (const model::Worker& worker : view->workers) {
      in_work += std::max(0, worker.handling);
    }
  }
  return std::max(in_work, total - settled_since);
}

}  // namespace sluice::control
