// SPDX-License-Identifier: Apache-2.0
#include "control/state.h"

#include <fmt/core.h>

#include <limits>

#include "model/json_reader.h"
#include "policy/hpa_json.h"
#include "policy/lag_json.h"

namespace sluice::control {
namespace {

std::string number(const std::optional<std::int64_t>& n) {
  return n ? std::to_string(*n) : "null";
}

HpaMemory hpa_from_json(model::JsonReader& in, std::optional<Error>& error) {
  HpaMemory out;
  std::int64_t wanted = 0;
  in.integer("wanted", wanted);
  if (wanted > std::numeric_limits<std::int32_t>::max()) {
    in.fail("wanted", std::to_string(wanted), "a number of workers");
  }
  out.wanted = static_cast<std::int32_t>(wanted);
  in.integer("synced_ms", out.synced_ms);
  if (const boost::json::value* controller = in.get("controller")) {
    const Result<policy::HpaState> read = policy::hpa_state_from_json(*controller, in.at("controller"));
    if (!read && !error) {
      error = read.error();
    }
    out.controller = read.value_or(policy::HpaState{});
  }
  in.end();
  return out;
}

}  // namespace

const policy::LagMemory& LagHeld::get() const {
  static const policy::LagMemory nothing;
  return memory_ ? *memory_ : nothing;
}

void LagHeld::set(policy::LagMemory next) {
  if (next != get()) {
    memory_ = std::make_shared<const policy::LagMemory>(std::move(next));
  }
}

void append_json(std::string& out, const ControlState& state) {
  out += fmt::format(R"({{"fresh":{},"hold_until_ms":{},"blind_since_ms":{},"broken":)", state.fresh,
                     number(state.hold_until_ms), number(state.blind_since_ms));
  out += state.broken ? fmt::format(R"({{"since_ms":{},"next_probe_ms":{},"probes":{}}}}})", state.broken->since_ms,
                                    state.broken->next_probe_ms, state.broken->probes)
                      : "null}";
  if (state.spare_since_ms) {
    out.back() = ',';
    out += fmt::format(R"("spare_since_ms":{}}})", *state.spare_since_ms);
  }
  if (state.hpa) {
    out.back() = ',';
    out += fmt::format(R"("hpa":{{"wanted":{},"synced_ms":{},"controller":)", state.hpa->wanted, state.hpa->synced_ms);
    policy::append_json(out, state.hpa->controller);
    out += "}}";
  }
  if (!state.lag.empty()) {
    out.back() = ',';
    out += "\"lag\":";
    policy::append_json(out, state.lag.get());
    out += '}';
  }
  if (state.rival) {
    out.back() = ',';
    out += "\"rival\":";
    rivals::append_json(out, *state.rival);
    out += '}';
  }
}

Result<ControlState> state_from_json(const boost::json::value& json, const std::string& path) {
  ControlState out;
  if (json.is_null()) {
    return out;
  }
  std::optional<Error> error;
  model::JsonReader in(json, path, error);
  in.boolean("fresh", out.fresh);
  in.integer("hold_until_ms", out.hold_until_ms);
  in.integer("blind_since_ms", out.blind_since_ms);
  if (auto broken = in.object("broken")) {
    BrokenState value;
    broken->integer("since_ms", value.since_ms);
    broken->integer("next_probe_ms", value.next_probe_ms);
    broken->integer("probes", value.probes);
    broken->end();
    out.broken = value;
  }
  in.integer("spare_since_ms", out.spare_since_ms);
  if (auto hpa = in.object("hpa")) {
    out.hpa = hpa_from_json(*hpa, error);
  }
  if (const boost::json::value* lag = in.get("lag")) {
    Result<policy::LagMemory> memory = policy::lag_memory_from_json(*lag, in.at("lag"));
    if (memory) {
      out.lag.set(std::move(*memory));
    } else if (!error) {
      error = memory.error();
    }
  }
  if (const boost::json::value* rival = in.get("rival")) {
    Result<rivals::RivalState> state = rivals::state_from_json(*rival, in.at("rival"));
    if (state) {
      out.rival = std::move(*state);
    } else if (!error) {
      error = state.error();
    }
  }
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

}  // namespace sluice::control
