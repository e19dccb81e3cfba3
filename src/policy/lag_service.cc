// SPDX-License-Identifier: Apache-2.0
#include "policy/lag_service.h"

#include <algorithm>
#include <cmath>

namespace sluice::policy {
namespace {

constexpr double half_life_service = 600;             // seconds, of what is learned
constexpr std::int64_t servers_most = 1'000'000'000;  // sums of server milliseconds fit into 64 bits

// Server time in those that are in work, each from the step in which it began, and in the one that began first.
struct InWork {
  std::int64_t all_ms = 0;
  std::int64_t oldest_ms = 0;
};
InWork in_work(const LagMemory& memory, std::int64_t n) {
  InWork out;
  const auto steps = static_cast<std::int64_t>(LagArrivals::steps);
  for (std::int64_t ago = 0; ago < steps && n > 0; ++ago) {
    const std::int64_t began = memory.started.at(ago) - memory.started.at(ago + 1);
    const std::int64_t still = ago + 1 == steps ? n : std::min(n, began);
    if (still > 0) {
      out.oldest_ms = (ago + 1) * memory.step_ms;
      out.all_ms += still * out.oldest_ms;
      n -= still;
    }
  }
  return out;
}

}  // namespace

double lag_fade(double step_s, double half_life_s) {
  // What exp2 gives in the last bit is not the same everywhere.
  return std::round(std::exp2(-step_s / half_life_s) * 1e9) / 1e9;
}

std::int64_t lag_faded(std::int64_t n, double factor) {
  return std::llround(static_cast<double>(n) * factor);
}

void lag_learn_service(LagMemory& memory, std::int64_t used, std::int64_t done) {
  used = std::min(used, servers_most);
  const InWork now = in_work(memory, used);
  if (done >= 0 && (used > 0 || done > 0)) {  // what was learned stays while there is nothing to learn from
    const double factor = lag_fade(static_cast<double>(memory.step_ms) / 1000, half_life_service);
    const std::int64_t ended = memory.in_work_ms + used * memory.step_ms - now.all_ms;
    memory.busy_ms = lag_faded(memory.busy_ms, factor) + used * memory.step_ms;
    memory.done_milli = lag_faded(memory.done_milli, factor) + done * 1000;
    memory.ended_ms = std::max<std::int64_t>(lag_faded(memory.ended_ms, factor) + ended, 0);
  }
  memory.in_work_ms = now.all_ms;
  memory.oldest_ms = now.oldest_ms;
}

double lag_service_time(const LagOptions& options, const LagMemory& memory) {
  const auto weight = static_cast<double>(options.service_weight);
  const double believed_ms = weight * static_cast<double>(options.service_us) / 1000;
  const double done = static_cast<double>(memory.done_milli) / 1000 + weight;
  const double used = (static_cast<double>(memory.busy_ms) + believed_ms) / done;
  const double ended = (static_cast<double>(memory.ended_ms) + believed_ms) / done;
  const double most = std::max(ended, static_cast<double>(memory.oldest_ms)) * (1 + 1 / std::sqrt(std::max(done, 1.0)));
  return std::max(std::min(used, most) / 1000, 1e-4);
}

}  // namespace sluice::policy
