// SPDX-License-Identifier: Apache-2.0
// Looking into the in-memory broker: what invariants and tests ask of it.
#include <algorithm>

#include "base/check.h"
#include "queue/memory.h"
#include "queue/memory_state.h"

namespace sluice::queue {

const Trace* MemoryBroker::trace(const std::string& id) {
  state_->advance();
  const auto found = state_->known.find(id);
  return found == state_->known.end() ? nullptr : &found->second.trace;
}

void MemoryBroker::for_each(const std::function<void(const std::string& id, const Trace&)>& look) {
  state_->advance();
  for (const auto& [id, entry] : state_->known) {
    look(id, entry.trace);
  }
}

std::uint64_t MemoryBroker::count(Place place) {
  state_->advance();
  return state_->counts[static_cast<std::size_t>(place)];
}

const std::vector<MemoryDeadLetter>& MemoryBroker::dead_letters() const {
  return state_->dead;
}

void MemoryBroker::verify() {
  state_->advance();
  std::array<std::uint64_t, 6> sums{};
  for (const auto& [id, entry] : state_->known) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      sums[i] += entry.trace.copies[i];
    }
  }
  check(sums == state_->counts, "the traces and the counts of the broker differ");
  std::uint64_t all = 0;
  for (const std::uint64_t n : sums) {
    all += n;
  }
  check(all == state_->published_n, "a published message is nowhere");
}

}  // namespace sluice::queue
