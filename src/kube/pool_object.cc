// SPDX-License-Identifier: Apache-2.0
#include "kube/pool_object.h"

#include "kube/fields.h"
#include "kube/json_members.h"

namespace sluice::kube {
namespace {

namespace json = boost::json;

PoolObject pool_of(const Fields& object) {
  return {.meta = meta_of(object),
          .generation = object.in("metadata").number("generation"),
          .spec = "null",
          .controller = {},
          .conditions = {}};
}

struct PoolStatus {
  std::string controller;
  std::vector<Condition> conditions;
};

PoolStatus status_fields(const Fields& status) {
  PoolStatus out{.controller = status.text("controller"), .conditions = {}};
  status.conditions([&](const std::string& type, const std::string& is, const Fields& condition) {
    out.conditions.push_back({.type = type, .status = is, .since = condition.text("lastTransitionTime")});
  });
  return out;
}

// {"key":value,..} of some of the members.
std::string object_of(const std::vector<JsonMember>& members, const auto& chosen) {
  std::string out = "{";
  for (const JsonMember& one : members) {
    if (chosen(one)) {
      out += fmt::format("{}{}:{}", out.size() > 1 ? "," : "", one.key, one.value);
    }
  }
  return out + "}";
}

// An object in two: its metadata without the managed fields, which are as deep as the spec, to be parsed like that of
// any object; and what users may fill as they like where the schema lets them, as text.
struct Parts {
  std::string head;
  std::string_view spec = "null";
  std::string_view status = "null";
};

std::optional<Parts> cut(std::string_view object) {
  const std::optional<std::vector<JsonMember>> members = json_members(object);
  if (!members) {
    return std::nullopt;
  }
  Parts out;
  std::string metadata = "null";
  for (const JsonMember& one : *members) {
    if (one.key == R"("spec")") {
      out.spec = one.value;
    } else if (one.key == R"("status")") {
      out.status = one.value;
    } else if (one.key == R"("metadata")") {
      const std::optional<std::vector<JsonMember>> fields = json_members(one.value);
      metadata = fields ? object_of(*fields, [](const JsonMember& m) { return m.key != R"("managedFields")"; })
                        : std::string(one.value);
    }
  }
  out.head = fmt::format(R"({{"metadata":{}}})", metadata);
  return out;
}

// A status that somebody else filled with something else is none: the next write of ours puts it right, and one pool's
// must not keep the others from being read.
void fill(PoolObject& pool, const Parts& parts) {
  pool.spec = parts.spec;
  if (Result<PoolStatus> status = read_object<PoolStatus>(parts.status, "status", status_fields)) {
    pool.controller = std::move(status->controller);
    pool.conditions = std::move(status->conditions);
  }
}

}  // namespace

Result<PoolObject> read_pool_object(std::string_view json) {
  const std::optional<Parts> parts = cut(json);
  if (!parts) {
    return Error{Code::invalid, "workerpool: no JSON object that can be read"};
  }
  Result<PoolObject> pool = read_object<PoolObject>(parts->head, "workerpool", pool_of);
  if (pool) {
    fill(*pool, *parts);
  }
  return pool;
}

Result<Event<PoolObject>> read_pool_event(std::string_view json) {
  const std::optional<std::vector<JsonMember>> members = json_members(json);
  std::optional<Parts> parts;
  std::string line(json);
  for (const JsonMember& one : members.value_or(std::vector<JsonMember>())) {
    const auto is_error = [](const JsonMember& m) { return m.key == R"("type")" && m.value == R"("ERROR")"; };
    if (one.key == R"("object")" && std::ranges::none_of(*members, is_error)) {
      parts = cut(one.value);
      line = object_of(*members, [](const JsonMember& m) { return m.key != R"("object")"; });
      line.back() = ',';
      line += fmt::format(R"("object":{}}})", parts ? parts->head : "null");
    }
  }
  Result<Event<PoolObject>> event = read_event<PoolObject>(line, "workerpool", pool_of);
  if (event && parts) {
    fill(event->object, *parts);
  }
  return event;
}

std::string pool_file(const PoolObject& pool) {
  return fmt::format(
      R"({{"apiVersion":"sluice.dev/v1alpha1","kind":"WorkerPool","metadata":{{"name":{},"namespace":{}}},"spec":{}}})",
      json::serialize(json::string(pool.meta.name)), json::serialize(json::string(pool.meta.space)), pool.spec);
}

}  // namespace sluice::kube
