// SPDX-License-Identifier: Apache-2.0
#include "kube/verb_budget.h"

#include <algorithm>
#include <chrono>

namespace sluice::kube {
namespace {

Duration of(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

VerbBudget::Kind VerbBudget::kind(std::string_view method, std::string_view path) {
  const std::string_view collection = path.substr(0, path.find('?'));
  if (path.contains("dryRun=")) {
    return Kind::judge;
  }
  if (method == "POST") {
    return collection.ends_with("/events") ? Kind::tell : Kind::create;
  }
  if (method == "DELETE") {
    return Kind::remove;
  }
  return method == "PUT" || method == "PATCH" ? Kind::write : Kind::read;
}

Time VerbBudget::turn(Kind kind, Time now, Time deadline) {
  const Rate& rate = rates[static_cast<std::size_t>(kind)];
  Time& next = next_[static_cast<std::size_t>(kind)];
  const Time begin = std::max(next, now);
  const Time turn = std::max(now, begin - of((rate.burst - 1) / rate.a_second));
  if (turn < deadline) {
    next = begin + of(1 / rate.a_second);
  }
  return turn;
}

}  // namespace sluice::kube
