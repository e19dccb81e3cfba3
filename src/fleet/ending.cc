// SPDX-License-Identifier: Apache-2.0
#include "fleet/ending.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

namespace sluice::fleet {
namespace {

constexpr std::array own_faults{SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP, SIGPIPE, SIGXCPU, SIGXFSZ};

}  // namespace

model::EndKind end_kind(const EndFacts& facts) {
  if (facts.exit_code == 0 && !facts.from_outside) {
    return model::EndKind::succeeded;
  }
  const bool killed = facts.signal != 0 && std::ranges::find(own_faults, facts.signal) == own_faults.end();
  return facts.from_outside || killed || facts.settled > 0 ? model::EndKind::lost : model::EndKind::failed;
}

bool has_started(const EndFacts& facts) {
  return facts.was_ready || end_kind(facts) == model::EndKind::succeeded || facts.ran >= std::chrono::seconds{10};
}

std::vector<int> in_order_of_use(std::vector<FreeSlot> free) {
  std::ranges::sort(free, [](const FreeSlot& a, const FreeSlot& b) {
    return std::pair(a.last_end.value_or(Time::min()), a.slot) < std::pair(b.last_end.value_or(Time::min()), b.slot);
  });
  std::vector<int> slots;
  for (const FreeSlot& one : free) {
    slots.push_back(one.slot);
  }
  return slots;
}

}  // namespace sluice::fleet
