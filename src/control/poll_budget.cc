// SPDX-License-Identifier: Apache-2.0
#include "control/poll_budget.h"

#include <algorithm>

namespace sluice::control {
namespace {

double rate_of(Duration period) {
  return 1 / to_s(period);
}

Duration period_of(double rate) {
  return std::chrono::round<std::chrono::microseconds>(std::chrono::duration<double>(1 / rate));
}

}  // namespace

Duration PollBudget::Share::head_start() const {
  return place_ * period_of(polls_a_second);
}

Duration PollBudget::Share::period(std::optional<Duration> fixed, bool is_busy) {
  if (fixed && as_ == As::fixed && rate_ == rate_of(*fixed)) {
    return *fixed;
  }
  leave();
  if (fixed) {
    as_ = As::fixed;
    rate_ = rate_of(*fixed);
    budget_.fixed_rate_ += rate_;
    return *fixed;
  }
  as_ = is_busy ? As::busy : As::idle;
  ++(is_busy ? budget_.busy_ : budget_.idle_);
  return budget_.stretched(is_busy);
}

void PollBudget::Share::leave() {
  switch (as_) {
    case As::nobody:
      break;
    case As::fixed:
      budget_.fixed_rate_ -= rate_;
      break;
    case As::busy:
      --budget_.busy_;
      break;
    case As::idle:
      --budget_.idle_;
      break;
  }
  as_ = As::nobody;
}

Duration PollBudget::stretched(bool is_busy) const {
  const double left = std::max(polls_a_second - fixed_rate_, adaptive_least);
  const auto busy_n = static_cast<double>(busy_);
  const auto idle_n = static_cast<double>(idle_);
  const double least = rate_of(idle_stretched);
  if (left <= (busy_n + idle_n) * least) {
    return period_of(left / (busy_n + idle_n));
  }
  const double for_idle = left - busy_n * rate_of(busy);
  const double idle_rate = idle_n == 0 ? 0 : std::clamp(for_idle / idle_n, least, rate_of(idle));
  if (!is_busy) {
    return period_of(idle_rate);
  }
  return period_of(std::min(rate_of(busy), (left - idle_n * idle_rate) / busy_n));
}

std::shared_ptr<PollBudget> PollBudgets::of(const std::string& broker) {
  if (broker.empty()) {
    return std::make_shared<PollBudget>();
  }
  std::shared_ptr<PollBudget> budget = budgets_[broker].lock();
  if (!budget) {
    budget = std::make_shared<PollBudget>();
    budgets_[broker] = budget;
  }
  return budget;
}

}  // namespace sluice::control
