// SPDX-License-Identifier: Apache-2.0
#pragma once
// How often the pools of one broker look at it. A fixed `every` is what its user asked for and is kept. Adaptive pools
// share what is left of the broker's budget: when it is used up, the idle ones look less often first, and the busy ones
// only when that is not enough.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/time.h"

namespace sluice::control {

class PollBudget {
 public:
  static constexpr double polls_a_second = 500;  // design, section 4
  static constexpr double adaptive_least = 50;   // chosen: what fixed periods cannot take away from them
  static constexpr Duration busy{std::chrono::milliseconds{100}};  // design, section 4
  static constexpr Duration idle{std::chrono::seconds{1}};
  // Chosen: as rarely as a fixed `every` looks by default. Only when idle pools are that rare, busy ones give way; when
  // those are as rare too, all of them do alike.
  static constexpr Duration idle_stretched{std::chrono::seconds{10}};

  // One pool's part in it, as long as this lives; the budget outlives it.
  class Share {
   public:
    explicit Share(PollBudget& budget) : budget_(budget), place_(budget.joined_++) {}
    ~Share() { leave(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    // Until its first look: many pools that begin together do not all look at once.
    [[nodiscard]] Duration head_start() const;
    // From one look to the next. `fixed` is the pool's own period where it has one.
    [[nodiscard]] Duration period(std::optional<Duration> fixed, bool is_busy);

   private:
    enum class As { nobody, fixed, busy, idle };
    void leave();
    PollBudget& budget_;
    std::int64_t place_;  // how many were there before it
    As as_ = As::nobody;
    double rate_ = 0;  // of a fixed one
  };

 private:
  // Of all busy and all idle ones, as of now.
  [[nodiscard]] Duration stretched(bool is_busy) const;
  std::int64_t joined_ = 0;
  double fixed_rate_ = 0;
  std::size_t busy_ = 0;
  std::size_t idle_ = 0;
};

// One for each broker of a process, made when it is first asked for; an empty name is nobody else's.
class PollBudgets {
 public:
  [[nodiscard]] std::shared_ptr<PollBudget> of(const std::string& broker);

 private:
  std::map<std::string, std::weak_ptr<PollBudget>> budgets_;
};

}  // namespace sluice::control
