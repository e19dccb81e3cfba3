// SPDX-License-Identifier: Apache-2.0
#include "lab/agenda.h"

#include <algorithm>

namespace sluice::lab {

void Agenda::enter(Us at, Happens what, std::uint16_t pool, std::uint32_t subject, std::uint32_t generation) {
  const Event event{.at = std::max(at, now_),
                    .order = order_++,
                    .subject = subject,
                    .generation = generation,
                    .pool = pool,
                    .what = what};
  heap_.push_back(event);
  std::size_t hole = heap_.size() - 1;
  while (hole > 0) {
    const std::size_t parent = (hole - 1) / 4;
    if (!before(event, heap_[parent])) {
      break;
    }
    heap_[hole] = heap_[parent];
    hole = parent;
  }
  heap_[hole] = event;
}

Event Agenda::take() {
  const Event first = heap_.front();
  const Event last = heap_.back();
  heap_.pop_back();
  if (const std::size_t size = heap_.size(); size > 0) {
    std::size_t hole = 0;
    for (std::size_t child = 1; child < size; child = 4 * hole + 1) {
      std::size_t least = child;
      for (std::size_t other = child + 1; other < std::min(child + 4, size); ++other) {
        least = before(heap_[other], heap_[least]) ? other : least;
      }
      if (!before(heap_[least], last)) {
        break;
      }
      heap_[hole] = heap_[least];
      hole = least;
    }
    heap_[hole] = last;
  }
  now_ = first.at;
  ++taken_;
  return first;
}

}  // namespace sluice::lab
