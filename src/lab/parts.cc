// SPDX-License-Identifier: Apache-2.0
#include "lab/parts.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace sluice::lab {
namespace {

constexpr std::array<std::pair<std::string_view, bool policy::LagParts::*>, 5> parts = {
    {{"choice", &policy::LagParts::choice},
     {"credibility", &policy::LagParts::credibility},
     {"feasible", &policy::LagParts::feasible},
     {"floor", &policy::LagParts::floor},
     {"keep", &policy::LagParts::keep}}};

}  // namespace

std::string part_names() {
  std::string out;
  for (const auto& part : parts) {
    out += (out.empty() ? "" : ", ") + std::string(part.first);
  }
  return out;
}

Result<policy::LagParts> parts_of(const Contender& contender) {
  policy::LagParts out;
  if (!contender.without.empty() && !std::holds_alternative<pool::LagPolicy>(contender.policy)) {
    return Error{Code::invalid, "a policy without such parts; accepted: with lag alone"};
  }
  for (const std::string& name : contender.without) {
    const auto* const part =
        std::ranges::find(parts, std::string_view(name), [](const auto& one) { return one.first; });
    if (part == parts.end()) {
      return Error{Code::invalid, fmt::format("\"{}\"; accepted: {}", name, part_names())};
    }
    out.*(part->second) = false;
  }
  return out;
}

}  // namespace sluice::lab
