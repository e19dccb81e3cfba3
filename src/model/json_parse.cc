// SPDX-License-Identifier: Apache-2.0
// The reading half of model/json.h.
#include <fmt/core.h>

#include "model/json.h"
#include "model/json_reader.h"

namespace sluice::model {
namespace {

constexpr std::int64_t any_number = std::numeric_limits<std::int64_t>::min();

// A word of a closed vocabulary; `last` is its last value.
template <class E>
void vocabulary(JsonReader& in, std::string_view key, E& out, E last) {
  std::optional<std::string> text;
  in.text(key, text);
  if (!text) {
    return;
  }
  std::string accepted;
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    const E value = static_cast<E>(i);
    if (word(value) == *text) {
      out = value;
      return;
    }
    accepted += (i == 0 ? "" : ", ") + std::string(word(value));
  }
  in.fail(key, fmt::format("\"{}\"", text->substr(0, 40)), accepted);
}

void count(JsonReader& in, std::string_view key, std::optional<SeenCount>& out) {
  auto member = in.object(key);
  if (!member) {
    return;
  }
  SeenCount value;
  std::optional<std::int64_t> n;
  member->integer("n", n);
  member->integer("age_ms", value.age_ms);
  member->end();
  if (!n) {
    in.fail(key, "no n", "{\"n\":3,\"age_ms\":0} or null");
    return;
  }
  value.n = *n;
  out = value;
}

void read_queue(JsonReader& in, SeenQueue& out) {
  count(in, "ready", out.ready);
  count(in, "in_flight", out.in_flight);
  count(in, "total", out.total);
  count(in, "delayed", out.delayed);
  count(in, "dead", out.dead);
  count(in, "consumers", out.consumers);
  if (auto age = in.object("oldest_age")) {
    SeenAge value;
    age->integer("ms", value.ms);
    vocabulary(*age, "kind", value.kind, AgeKind::bound);
    age->integer("age_ms", value.age_ms);
    age->end();
    out.oldest_age = value;
  }
  count(in, "published_n", out.published_n);
  count(in, "acked_n", out.acked_n);
  in.integer("workers_max", out.workers_max);
  in.text("error", out.error);
  in.end();
}

void read_waiting(JsonReader& in, std::vector<SeenWaiting>& out, std::optional<Error>& error) {
  const boost::json::value* list = in.get("waiting");
  if (list == nullptr) {
    return;
  }
  if (!list->is_array() || list->get_array().size() > 10) {
    in.fail("waiting", kind_of(*list), "an array of at most 10");
    return;
  }
  for (const boost::json::value& entry : list->get_array()) {
    JsonReader member(entry, fmt::format("{}[{}]", in.at("waiting"), out.size()), error);
    SeenWaiting value;
    member.text("worker", value.worker);
    vocabulary(member, "state", value.state, WorkerState::unknown);
    member.text("why", value.why);
    member.integer("for_ms", value.for_ms);
    member.end();
    out.push_back(std::move(value));
  }
}

void read_slots(JsonReader& in, std::string_view key, std::vector<int>& out) {
  const boost::json::value* list = in.get(key);
  if (list == nullptr) {
    return;
  }
  if (!list->is_array()) {
    in.fail(key, kind_of(*list), "an array of slots");
    return;
  }
  for (const boost::json::value& entry : list->get_array()) {
    const std::int64_t* n = entry.if_int64();
    if (n == nullptr || *n < 0 || *n > 10'000) {
      in.fail(key, kind_of(entry), "a slot, 0 to 10000");
      return;
    }
    out.push_back(static_cast<int>(*n));
  }
}

}  // namespace

Result<Observation> observation_from_json(const boost::json::value& json, const std::string& path) {
  std::optional<Error> error;
  Observation out;
  JsonReader in(json, path, error);
  if (auto queue = in.object("queue")) {
    read_queue(*queue, out.queue);
  }
  if (auto workers = in.object("workers")) {
    for (std::size_t i = 0; i < worker_states; ++i) {
      workers->integer(word(static_cast<WorkerState>(i)), out.workers[i]);
      if (out.workers[i] > 1'000'000) {
        workers->fail(word(static_cast<WorkerState>(i)), std::to_string(out.workers[i]), "at most 1000000 workers");
      }
    }
    workers->end();
  }
  if (auto fleet = in.object("fleet")) {
    fleet->integer("age_ms", out.fleet.age_ms);
    fleet->text("error", out.fleet.error);
    vocabulary(*fleet, "capacity", out.fleet.capacity, Room::full);
    fleet->text("why", out.fleet.why);
    vocabulary(*fleet, "claim", out.fleet.claim, ClaimRung::after);
    fleet->text("hold", out.fleet.hold);
    fleet->integer("deaf", out.fleet.deaf);
    fleet->end();
  }
  read_waiting(in, out.waiting, error);
  if (auto starts = in.object("starts")) {
    starts->integer("last_ms_ago", out.starts.last_ms_ago);
    starts->integer("ready_ms_ago", out.starts.ready_ms_ago);
    starts->integer("failed_in_a_row", out.starts.failed_in_a_row);
    starts->integer("ended", out.starts.ended);
    starts->integer("failed", out.starts.failed);
    starts->text("why", out.starts.why);
    starts->end();
  }
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

Result<Decision> decision_from_json(const boost::json::value& json, const std::string& path) {
  std::optional<Error> error;
  Decision out;
  JsonReader in(json, path, error);
  in.integer("workers", out.workers);
  in.integer("change", out.change, any_number);
  in.text("reason", out.reason);
  const boost::json::value* clamps = in.get("clamps");
  if (clamps != nullptr && !clamps->is_array()) {
    in.fail("clamps", kind_of(*clamps), "an array");
  } else if (clamps != nullptr) {
    for (const boost::json::value& entry : clamps->get_array()) {
      JsonReader member(entry, fmt::format("{}[{}]", in.at("clamps"), out.clamps.size()), error);
      Clamp clamp;
      member.text("by", clamp.by);
      member.integer("from", clamp.from);
      member.integer("to", clamp.to);
      member.end();
      out.clamps.push_back(std::move(clamp));
    }
  }
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

Result<Plan> plan_from_json(const boost::json::value& json, const std::string& path) {
  std::optional<Error> error;
  Plan out;
  JsonReader in(json, path, error);
  read_slots(in, "start", out.start);
  read_slots(in, "withdraw", out.withdraw);
  read_slots(in, "drain", out.drain);
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

}  // namespace sluice::model
