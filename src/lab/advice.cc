// SPDX-License-Identifier: Apache-2.0
#include "lab/advice.h"

#include <algorithm>
#include <cmath>

#include "control/decide.h"
#include "lab/scenario_read.h"
#include "pool/pool.h"

namespace sluice::lab {

double Advice::saves() const {
  const double had = candidates.front().means.cost;
  return present && had > 0 ? 1 - candidates[best].means.cost / had : 0;
}

Advice advice_of(std::vector<Candidate> candidates, bool present) {
  Advice out{.candidates = std::move(candidates), .present = present};
  const std::vector<Candidate>& all = out.candidates;
  if (present) {
    out.late_limit = std::max(all.front().means.late_share, late_share_least);
  }
  const auto better = [&out](const Means& one, const Means& other) {
    const bool fits = one.late_share <= out.late_limit;
    const bool other_fits = other.late_share <= out.late_limit;
    return fits != other_fits ? fits : fits ? one.cost < other.cost : one.late_share < other.late_share;
  };
  for (std::size_t i = 1; i < all.size(); ++i) {
    out.best = better(all[i].means, all[out.best].means) ? i : out.best;
  }
  out.met = all[out.best].means.late_share <= out.late_limit;
  if (present && out.saves() < saves_least) {
    out.best = 0;
  }
  return out;
}

std::vector<Candidate> untuned_candidates(const Scenario& scenario, const std::optional<Means>& present) {
  pool::Every every;
  for (const Contender& one : scenario.policies) {  // as often as the others of this scenario look
    if (const auto* lag = std::get_if<pool::LagPolicy>(&one.policy)) {
      every = lag->every;
      break;
    }
  }
  std::vector<Candidate> out;
  const auto add = [&](Duration max, std::string note) {
    out.push_back({.contender = {.name = {}, .policy = pool::LagPolicy{.max = max, .every = every}, .workers = {}},
                   .means = {},
                   .note = std::move(note)});
  };
  add(scenario.late, "what is late");
  if (present) {
    const auto waited = std::chrono::seconds{std::max<std::int64_t>(1, std::llround(std::ceil(present->p99_s)))};
    if (waited != scenario.late) {
      add(waited, "what 99 % wait at present");
    }
  }
  return out;
}

bool can_have(const pool::PoolSpec& spec, const pool::Policy& policy) {
  pool::Pool pool{.name = "pool", .spec = spec};
  pool.spec.policy = policy;
  return control::decidable(pool.spec) && pool::parse_pool(pool::to_json(pool)).pool.has_value();
}

}  // namespace sluice::lab
