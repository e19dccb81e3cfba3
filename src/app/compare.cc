// SPDX-License-Identifier: Apache-2.0
#include "app/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/nearest.h"
#include "base/text.h"
#include "control/lag.h"
#include "lab/scenario.h"
#include "lab/scenario_read.h"
#include "policy/lag_service.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

// Those whose decision is about the workers there are. The other rivals go by a size that they have set themselves, and
// here they set none.
constexpr std::array<const char*, 5> accepted{"lag", "threshold", "backlogPerWorker", "hpa", "kedaScaledJob"};
// Chosen, as `simulate --from-journal` does: what people begin with.
constexpr Duration usual_late = 60s;
constexpr Duration usual_service = 1s;
constexpr std::int64_t usual_messages = 20;

std::string accepted_text() {
  std::string out;
  for (const char* const one : accepted) {
    out += (out.empty() ? "" : ", ") + std::string(one);
  }
  return out;
}

// What the pool is told by its own policy, then by who asks, then nothing but the usual.
struct Known {
  Duration late = usual_late;
  Duration service = usual_service;
  bool late_assumed = false;
  bool service_assumed = false;
};

std::optional<Duration> own_late(const pool::Policy& policy) {
  if (const auto* lag = std::get_if<pool::LagPolicy>(&policy)) {
    return lag->max;
  }
  const auto* threshold = std::get_if<pool::ThresholdPolicy>(&policy);
  return threshold != nullptr ? threshold->age : std::nullopt;
}

std::optional<Duration> learned_service(const pool::PoolSpec& spec, const control::ControlState& own) {
  const auto* lag = std::get_if<pool::LagPolicy>(&spec.policy);
  if (lag == nullptr || own.lag.empty() || own.lag.get().done_milli < 1000) {
    return std::nullopt;
  }
  const double s = policy::lag_service_time(control::lag_options(spec, *lag), own.lag.get());
  return std::chrono::milliseconds{static_cast<std::int64_t>(s * 1000)};
}

Known known_of(const pool::PoolSpec& spec, const CompareOptions& options, const control::ControlState& own) {
  Known out;
  const std::optional<Duration> late = options.late ? options.late : own_late(spec.policy);
  const std::optional<Duration> service = options.service ? options.service : learned_service(spec, own);
  out.late = late.value_or(usual_late);
  out.service = service.value_or(usual_service);
  out.late_assumed = !late;
  out.service_assumed = !service;
  return out;
}

// Half of what a worker does within `late`, as `simulate --from-journal` gives the policies that go by a number.
std::int64_t messages_each(const pool::PoolSpec& spec, const Known& known) {
  return std::clamp<std::int64_t>(
      to_ms(known.late) * spec.workers.concurrency / 2 / std::max<std::int64_t>(to_ms(known.service), 1), 1, 100'000);
}

pool::Policy policy_of(const std::string& word, const pool::PoolSpec& spec, const Known& known) {
  const pool::Every every = pool::every(spec.policy);
  if (word == pool::policy_word(spec.policy)) {
    return spec.policy;
  }
  if (word == "lag") {
    return pool::LagPolicy{.max = known.late, .every = every};
  }
  if (word == "threshold") {
    return pool::ThresholdPolicy{.messages = usual_messages, .age = {}, .every = every};
  }
  const std::int64_t each = messages_each(spec, known);
  if (word == "backlogPerWorker") {
    return pool::BacklogPerWorkerPolicy{.messages = each, .every = every};
  }
  if (word == "hpa") {
    return pool::HpaPolicy{.target = {.value = fmt::format("{}", each)}, .behavior = {}};
  }
  pool::KedaScaledJobPolicy keda;
  keda.target.millionths = each * 1'000'000;
  return keda;
}

// The HPA goes by the size that it set, and here nobody obeys: it finds what is there, and what it did before does not
// count against its limits. Between two syncs it says what it said.
void put_right(control::ControlState& state, const pool::PoolSpec& spec, const model::Observation& seen) {
  const auto* hpa = std::get_if<pool::HpaPolicy>(&spec.policy);
  if (hpa == nullptr || !state.hpa || seen.at_ms - state.hpa->synced_ms < to_ms(hpa->every.period.value_or(1s))) {
    return;
  }
  state.hpa->wanted = static_cast<std::int32_t>(seen.useful() + seen.count(model::WorkerState::failing));
  state.hpa->controller.up_events.clear();
  state.hpa->controller.down_events.clear();
}

}  // namespace

Result<std::vector<std::string>> parse_compare(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    const std::string word(trimmed(std::string_view(text).substr(begin, comma - begin)));
    begin = comma + 1;
    if (std::ranges::find(accepted, word) == accepted.end()) {
      const std::vector<std::string> all(accepted.begin(), accepted.end());
      const std::optional<std::string> near = nearest(word, all);
      return Error{Code::invalid, fmt::format("--compare: no policy \"{}\" to compare{}; accepted: {}", word,
                                              near ? fmt::format(", did you mean {}?", *near) : "", accepted_text())};
    }
    if (std::ranges::find(out, word) == out.end()) {
      out.push_back(word);
    }
  }
  return out;
}

Result<void> comparable(const pool::Pool& pool, const CompareOptions& options) {
  for (const std::string& word : options.policies) {
    pool::PoolSpec spec = pool.spec;
    spec.policy = policy_of(word, pool.spec, Known{});
    if (const Result<void> can = control::decidable(spec); !can) {
      return can.error().in(fmt::format("pool {}: --compare {}", pool.name, word));
    }
  }
  return {};
}

Comparison::Comparison(const pool::Pool& pool, const CompareOptions& options, const control::ControlState& own)
    : pool_(pool.id()), name_(pool.name) {
  const Known known = known_of(pool.spec, options, own);
  bool uses_late = false;
  bool uses_service = false;
  for (const std::string& word : options.policies) {
    add(policy_of(word, pool.spec, known), pool, own);
    const bool by_number = word != "lag" && word != "threshold" && !all_.back().own;
    uses_late = uses_late || by_number || (word == "lag" && !all_.back().own);
    uses_service = uses_service || by_number;
  }
  if (uses_late && known.late_assumed) {
    assumed_.push_back(
        fmt::format("a message that waits longer than {} is late (--late TIME)", humane_duration(known.late)));
  }
  if (uses_service && known.service_assumed) {
    assumed_.push_back(fmt::format("a message takes {} (--service TIME)", humane_duration(known.service)));
  }
}

void Comparison::add(const pool::Policy& policy, const pool::Pool& pool, const control::ControlState& own) {
  Compared one{.name = lab::name_of({.name = {}, .policy = policy, .workers = {}}),
               .own = policy == pool.spec.policy,
               .spec = pool.spec,
               .state = {},
               .step = {},
               .plan = {}};
  one.spec.policy = policy;
  one.state = one.own ? own : control::ControlState{};
  one.state.fresh = false;  // nobody acts, so nobody has to look once more first
  all_.push_back(std::move(one));
}

void Comparison::look(const control::Snapshot& snapshot) {
  last_ = snapshot;
  for (Compared& one : all_) {
    put_right(one.state, one.spec, snapshot.seen);
    one.step = control::decide(one.spec, one.state, snapshot.seen);
    one.state = one.step.next;
    one.plan =
        snapshot.view ? control::plan(one.spec, one.step.decision, *snapshot.view, one.step.spare) : model::Plan{};
  }
}

std::string Comparison::names() const {
  std::string out;
  for (const Compared& one : all_) {
    out += (out.empty() ? "" : ", ") + one.name;
  }
  return out;
}

}  // namespace sluice::app
