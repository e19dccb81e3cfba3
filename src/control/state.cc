// SPDX-License-Identifier: Apache-2.0
#include "control/state.h"

#include <fmt/core.h>

#include "model/json_reader.h"

namespace sluice::control {
namespace {

std::string number(const std::optional<std::int64_t>& n) {
  return n ? std::to_string(*n) : "null";
}

}  // namespace

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
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

}  // namespace sluice::control
