// SPDX-License-Identifier: Apache-2.0
#include "policy/lag_json.h"

#include <fmt/core.h>

#include "model/json_reader.h"
#include "policy/lag_bytes.h"

namespace sluice::policy {
namespace {

using boost::json::value;
using model::JsonReader;

constexpr std::int64_t time_most = std::int64_t{1} << 53;     // ms: what JSON numbers hold exactly
constexpr std::int64_t sum_most = 1'000'000'000'000'000'000;  // of squares and of server milliseconds
constexpr std::int64_t small_most = 1'000'000'000;            // workers, nodes

std::string numbers(const std::vector<std::int64_t>& all) {
  std::string out = "[";
  for (const std::int64_t n : all) {
    out += (out.size() == 1 ? "" : ",") + std::to_string(n);
  }
  return out + "]";
}

void append(std::string& out, std::string_view key, const LagWriter& bytes) {
  out += fmt::format(R"(,"{}":"{}")", key, bytes.base64());
}

LagWriter written(const std::vector<LagShadow>& shadows) {
  LagWriter out;
  out.number(static_cast<std::int64_t>(shadows.size()));
  for (const LagShadow& shadow : shadows) {
    for (const std::int64_t n : {shadow.waiting_milli, shadow.working_milli, std::int64_t{shadow.workers},
                                 std::int64_t{shadow.nodes}, shadow.cost_milli, shadow.late_milli}) {
      out.number(n);
    }
    out.list(shadow.pending.list);
    out.list(shadow.booting.list);
    out.list(shadow.spare.list);
    out.list(shadow.needs.list);
  }
  return out;
}

std::vector<LagShadow> shadows_of(LagBytes& in) {
  std::vector<LagShadow> out(static_cast<std::size_t>(in.number(0, 30)));
  for (LagShadow& shadow : out) {
    shadow.waiting_milli = in.number(0, sum_most);
    shadow.working_milli = in.number(0, sum_most);
    shadow.workers = static_cast<std::int32_t>(in.number(0, small_most));
    shadow.nodes = static_cast<std::int32_t>(in.number(0, small_most));
    shadow.cost_milli = in.number(0, sum_most);
    shadow.late_milli = in.number(0, sum_most);
    in.list(shadow.pending.list);
    in.list(shadow.booting.list);
    in.list(shadow.spare.list);
    in.list(shadow.needs.list);
  }
  return out;
}

void bytes(JsonReader& in, std::string_view key, const auto& read) {
  std::string text;
  in.text(key, text);
  LagBytes held(text);
  read(held);
  if (!held.good()) {
    in.fail(key, "other bytes", "what sluice has written there");
  }
}

void bounded(JsonReader& in, std::string_view key, std::int64_t& out, std::int64_t most, std::int64_t least = 0) {
  in.integer(key, out, least);
  if (out > most) {
    in.fail(key, std::to_string(out), fmt::format("at most {}", most));
    out = 0;
  }
}

std::vector<std::int64_t> delays(JsonReader& in, std::string_view key) {
  std::vector<std::int64_t> out;
  const value* list = in.get(key);
  const bool good = list != nullptr && list->is_array() && list->get_array().size() <= LagMemory::delays_most;
  if (!good) {
    in.fail(key, list == nullptr ? "nothing" : model::kind_of(*list), "up to 30 numbers of milliseconds");
    return out;
  }
  for (const value& one : list->get_array()) {
    const std::int64_t* n = one.if_int64();
    if (n == nullptr || *n < 0 || *n > time_most) {
      in.fail(key, model::kind_of(one), "milliseconds");
      return out;
    }
    out.push_back(*n);
  }
  return out;
}

std::vector<LagAsked> asked(JsonReader& in, std::optional<Error>& error) {
  std::vector<LagAsked> out;
  const value* list = in.get("asked");
  if (list == nullptr || !list->is_array() || list->get_array().size() > LagMemory::asked_most) {
    in.fail("asked", list == nullptr ? "nothing" : model::kind_of(*list), "an array of up to 24");
    return out;
  }
  for (const value& one : list->get_array()) {
    JsonReader entry(one, in.at("asked") + "[]", error);
    LagAsked read;
    bounded(entry, "at_ms", read.at_ms, time_most, -time_most);
    bounded(entry, "n", read.n, small_most, 1);
    entry.boolean("cold", read.cold);
    entry.end();
    out.push_back(read);
  }
  return out;
}

LagCounter counter(JsonReader& in) {
  std::string word = "none";
  in.text("counter", word);
  if (word != "none" && word != "published" && word != "conserved") {
    in.fail("counter", word, "none, published, conserved");
  }
  return word == "published" ? LagCounter::published : word == "conserved" ? LagCounter::conserved : LagCounter::none;
}

}  // namespace

void append_json(std::string& out, const LagMemory& memory) {
  constexpr const char* counters[] = {"none", "published", "conserved"};
  out += fmt::format(R"({{"step_ms":{},"grid_ms":{},"counter":"{}","counted":{},"done":{},"last":{},"waiting":{})",
                     memory.step_ms, memory.grid_ms, counters[static_cast<std::size_t>(memory.counter)], memory.counted,
                     memory.done, memory.last, memory.waiting);
  out += fmt::format(R"(,"dispersion_milli":{},"busy_ms":{},"done_milli":{})", memory.dispersion_milli, memory.busy_ms,
                     memory.done_milli);
  out += fmt::format(R"(,"ended_ms":{},"in_work_ms":{},"oldest_ms":{})", memory.ended_ms, memory.in_work_ms,
                     memory.oldest_ms);
  out += fmt::format(R"(,"predicted_realized":{},"predicted_squared":{},"predicted_milli":{})",
                     memory.predicted_realized, memory.predicted_squared, memory.predicted_milli);
  out += R"(,"asked":[)";
  for (const LagAsked& one : memory.asked) {
    out +=
        fmt::format(R"({}{{"at_ms":{},"n":{},"cold":{}}})", out.back() == '[' ? "" : ",", one.at_ms, one.n, one.cold);
  }
  out += fmt::format(
      R"(],"asked_for":{},"taken_back":{},"asked_ms":{},"ready_ms":{},"cold_ms":{},"warm_ms":{},"expert":{},"calm_ms":{})",
      memory.asked_for, memory.taken_back, memory.asked_ms, memory.ready_ms, numbers(memory.cold_ms),
      numbers(memory.warm_ms), memory.expert, memory.calm_ms);
  LagWriter arrivals;
  arrivals.curve(memory.arrivals);
  append(out, "arrivals", arrivals);
  LagWriter started;
  started.curve(memory.started);
  append(out, "started", started);
  LagWriter peaks;
  peaks.list(memory.needs.list);
  peaks.list(memory.placed.list);
  append(out, "peaks", peaks);
  append(out, "shadows", written(memory.shadows));
  out += '}';
}

Result<LagMemory> lag_memory_from_json(const value& json, const std::string& path) {
  std::optional<Error> error;
  JsonReader in(json, path, error);
  LagMemory out;
  bounded(in, "step_ms", out.step_ms, time_most);
  bounded(in, "grid_ms", out.grid_ms, time_most);
  out.counter = counter(in);
  bounded(in, "counted", out.counted, sum_most);
  bounded(in, "done", out.done, sum_most, -1);
  bounded(in, "last", out.last, sum_most);
  bounded(in, "waiting", out.waiting, sum_most);
  bounded(in, "dispersion_milli", out.dispersion_milli, sum_most, 1000);
  bounded(in, "busy_ms", out.busy_ms, sum_most);
  bounded(in, "done_milli", out.done_milli, sum_most);
  bounded(in, "ended_ms", out.ended_ms, sum_most);
  bounded(in, "in_work_ms", out.in_work_ms, sum_most);
  bounded(in, "oldest_ms", out.oldest_ms, time_most);
  bounded(in, "predicted_realized", out.predicted_realized, sum_most, -sum_most);
  bounded(in, "predicted_squared", out.predicted_squared, sum_most);
  bounded(in, "predicted_milli", out.predicted_milli, sum_most);
  out.asked = asked(in, error);
  bounded(in, "asked_for", out.asked_for, small_most);
  bounded(in, "asked_ms", out.asked_ms, time_most, -time_most);
  bounded(in, "taken_back", out.taken_back, small_most);
  bounded(in, "ready_ms", out.ready_ms, time_most, -time_most);
  out.cold_ms = delays(in, "cold_ms");
  out.warm_ms = delays(in, "warm_ms");
  bounded(in, "expert", out.expert, 29);
  bounded(in, "calm_ms", out.calm_ms, time_most);
  bytes(in, "arrivals", [&](LagBytes& held) { held.curve(out.arrivals); });
  bytes(in, "started", [&](LagBytes& held) { held.curve(out.started); });
  bytes(in, "peaks", [&](LagBytes& held) {
    held.list(out.needs.list);
    held.list(out.placed.list);
  });
  bytes(in, "shadows", [&](LagBytes& held) { out.shadows = shadows_of(held); });
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

}  // namespace sluice::policy
