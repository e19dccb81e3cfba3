// SPDX-License-Identifier: Apache-2.0
#include "control/age_ladder.h"

namespace sluice::control {
namespace {

constexpr std::size_t marks_max = 512;  // chosen: at a mark a second eight minutes fine, halved in density beyond

}  // namespace

std::optional<model::OldestAge> AgeLadder::estimate(const model::Reading& ready) const {
  if (marks_.empty()) {
    return std::nullopt;
  }
  if (estimated_at_ < ready.observed_at) {
    return std::nullopt;  // published messages that are not counted yet would make the oldest look older
  }
  // First in, first out: the oldest waiting message is number published_n - ready.n + 1. It came after the last mark
  // that had not seen it yet.
  const std::int64_t oldest = marks_.back().published_n - ready.n;
  const Mark* before = nullptr;
  for (const Mark& mark : marks_) {
    if (mark.published_n <= oldest) {
      before = &mark;
    }
  }
  if (before == nullptr) {
    return std::nullopt;
  }
  return model::OldestAge{ready.observed_at - before->at, model::AgeKind::estimate, ready.observed_at};
}

std::optional<model::OldestAge> AgeLadder::climb(const model::Sample& sample) {
  estimated_at_ = sample.published_n ? sample.published_n->observed_at : Time::min();
  if (sample.published_n && (marks_.empty() || marks_.back().published_n != sample.published_n->n)) {
    if (!marks_.empty() && sample.published_n->n < marks_.back().published_n) {
      marks_.clear();  // the counter began anew: the broker restarted
    }
    marks_.push_back({sample.published_n->observed_at, sample.published_n->n});
    if (marks_.size() > marks_max) {
      for (std::size_t i = 1; i < marks_.size() / 2; ++i) {
        marks_.erase(marks_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  } else if (sample.published_n && !marks_.empty()) {
    marks_.back().at = sample.published_n->observed_at;  // still the same count: the next message came after now
  }
  if (!sample.ready) {
    return sample.oldest_age;
  }
  if (sample.ready->n == 0 || !not_empty_since_) {
    not_empty_since_ = sample.ready->observed_at;  // of a first look a lower limit of what is known
  }
  if (sample.oldest_age) {
    told_before_ = true;
    return sample.oldest_age;
  }
  if (sample.ready->n == 0) {
    return model::OldestAge{Duration{0}, model::AgeKind::exact, sample.ready->observed_at};
  }
  // Redelivered messages are out of order, so no estimate is made for them. The bound counts while nobody consumes,
  // which keeps them from waiting for ever below a threshold, and keeps a poison message from growing a busy pool.
  if (const auto estimated = told_before_ ? std::nullopt : estimate(*sample.ready)) {
    return estimated;
  }
  return model::OldestAge{sample.ready->observed_at - *not_empty_since_, model::AgeKind::bound,
                          sample.ready->observed_at};
}

}  // namespace sluice::control
