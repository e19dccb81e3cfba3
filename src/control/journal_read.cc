// SPDX-License-Identifier: Apache-2.0
#include "control/journal_read.h"

#include <fmt/core.h>

#include "model/json.h"
#include "model/json_reader.h"

namespace sluice::control {
namespace {

using model::JsonReader;

std::vector<std::string> names(JsonReader& in, std::string_view key) {
  std::vector<std::string> out;
  const boost::json::value* list = in.get(key);
  if (list == nullptr) {
    return out;
  }
  if (!list->is_array()) {
    in.fail(key, model::kind_of(*list), "an array of strings");
    return out;
  }
  for (const boost::json::value& entry : list->get_array()) {
    if (!entry.is_string()) {
      in.fail(key, model::kind_of(entry), "an array of strings");
      return out;
    }
    out.emplace_back(entry.get_string());
  }
  return out;
}

// A member that a function of model/json.h or state.h reads; absent is an empty object.
template <class Read>
auto member(JsonReader& in, std::string_view key, std::optional<Error>& error, Read read) {
  const boost::json::value* value = in.get(key);
  auto out = read(value == nullptr ? boost::json::value(boost::json::object()) : *value, in.at(key));
  if (!out && !error) {
    error = out.error();
  }
  return out ? std::move(*out) : typename decltype(out)::value_type{};
}

// One past the end of the string that begins at `i`.
std::size_t after_string(std::string_view json, std::size_t i) {
  for (++i; i < json.size() && json[i] != '"'; ++i) {
    i += json[i] == '\\' ? 1 : 0;
  }
  return i + 1;
}

// The text of a member of an object that is known to be JSON, as it was written: read and written again a number of 0.1
// would be 1E-1, which no pool has. Empty where its key is written with escapes.
std::string_view member_text(std::string_view json, std::string_view quoted_key) {
  std::size_t depth = 0;
  std::optional<std::size_t> begin;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (begin && depth == 1 && (c == ',' || c == '}')) {
      return json.substr(*begin, i - *begin);
    }
    if (c == '"') {
      const std::size_t end = after_string(json, i);
      const std::size_t colon = json.find_first_not_of(" \t\r\n", end);
      const bool is_key = depth == 1 && !begin && colon != std::string_view::npos && json[colon] == ':';
      if (is_key && json.substr(i, end - i) == quoted_key) {
        begin = colon + 1;
      }
      i = end - 1;
    } else {
      depth += c == '{' || c == '[' ? 1 : 0;
      depth -= c == '}' || c == ']' ? 1 : 0;
    }
  }
  return {};
}

PoolLine pool_line(JsonReader& in, std::string_view line) {
  PoolLine out;
  std::int64_t version = 0;
  in.integer("v", version);
  if (version != 1) {
    in.fail("v", std::to_string(version), "1; the journal is from another version of sluice");
  }
  in.text("at", out.at);
  in.text("pool", out.pool);
  in.text("spec_hash", out.spec_hash);
  if (const boost::json::value* spec = in.get("spec"); spec != nullptr) {
    const std::string_view text = member_text(line, "\"spec\"");
    out.spec_json = text.empty() ? boost::json::serialize(*spec) : text;
  } else {
    in.fail("spec", "nothing", "the pool's spec");
  }
  return out;
}

TickLine tick_line(JsonReader& in, std::optional<Error>& error) {
  TickLine out;
  std::optional<std::int64_t> at_ms;
  in.text("tick", out.tick);
  in.text("at", out.at);
  in.integer("at_ms", at_ms);
  in.text("pool", out.pool);
  in.text("spec_hash", out.spec_hash);
  out.seen = member(in, "seen", error, model::observation_from_json);
  out.seen.at_ms = at_ms.value_or(0);
  out.decision = member(in, "decision", error, model::decision_from_json);
  out.plan = member(in, "plan", error, model::plan_from_json);
  if (out.tick.empty() || !at_ms) {
    in.fail(out.tick.empty() ? "tick" : "at_ms", "nothing", "every tick has one");
  }
  return out;
}

ActLine act_line(JsonReader& in) {
  ActLine out;
  in.text("tick", out.tick);
  if (auto did = in.object("did")) {
    out.did.started = names(*did, "started");
    out.did.withdrawn = names(*did, "withdrawn");
    out.did.drained = names(*did, "drained");
    did->end();
  }
  out.did.errors = names(in, "errors");
  return out;
}

StateLine state_line(JsonReader& in, std::optional<Error>& error) {
  StateLine out;
  in.text("tick", out.tick);
  in.text("pool", out.pool);
  out.state = member(in, "state", error, state_from_json);
  return out;
}

SteadyLine steady_line(JsonReader& in) {
  SteadyLine out;
  in.text("pool", out.pool);
  in.text("from", out.from);
  in.text("to", out.to);
  in.integer("ticks", out.ticks);
  if (auto ready = in.object("ready")) {
    ready->integer("min", out.ready_min);
    ready->integer("max", out.ready_max);
    ready->end();
  }
  return out;
}

}  // namespace

Result<JournalLine> parse_journal_line(std::string_view line) {
  boost::system::error_code ec;
  boost::json::parse_options options;
  options.max_depth = 32;
  const boost::json::value json = boost::json::parse(line, ec, {}, options);
  if (ec) {
    return Error{Code::invalid, fmt::format("$: not JSON ({}); accepted: one whole journal line", ec.message())};
  }
  std::optional<Error> error;
  JsonReader in(json, "$", error);
  std::string event;
  in.text("event", event);
  JournalLine out;
  if (event == "pool") {
    out = pool_line(in, line);
  } else if (event == "tick") {
    out = tick_line(in, error);
  } else if (event == "act") {
    out = act_line(in);
  } else if (event == "state") {
    out = state_line(in, error);
  } else if (event == "steady") {
    out = steady_line(in);
  } else {
    in.fail("event", fmt::format("\"{}\"", event.substr(0, 40)), "pool, tick, act, state, steady");
  }
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

Result<std::optional<Replayed>> Replay::feed(const JournalLine& line) {
  if (const auto* pool = std::get_if<PoolLine>(&line)) {
    Result<pool::PoolSpec> spec = read_spec_(pool->spec_json);
    if (!spec) {
      return spec.error().in("$.spec");
    }
    if (const Result<void> known = decidable(*spec); !known) {
      return known.error();
    }
    spec_ = std::move(*spec);
    return std::optional<Replayed>{};
  }
  if (const auto* state = std::get_if<StateLine>(&line)) {
    state_ = state->state;
    return std::optional<Replayed>{};
  }
  const auto* tick = std::get_if<TickLine>(&line);
  if (tick == nullptr) {
    return std::optional<Replayed>{};
  }
  if (!spec_ || !state_) {
    return Error{Code::invalid, fmt::format("tick {}: no {} line before it", tick->tick, spec_ ? "state" : "pool")};
  }
  const Step step = decide(*spec_, *state_, tick->seen);
  state_ = step.next;
  return std::optional<Replayed>(Replayed{tick->tick, step.decision == tick->decision, step.decision});
}

}  // namespace sluice::control
