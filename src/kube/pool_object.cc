// SPDX-License-Identifier: Apache-2.0
#include "kube/pool_object.h"

#include "kube/fields.h"

namespace sluice::kube {
namespace {

namespace json = boost::json;

PoolObject pool_of(const Fields& object) {
  const json::value* spec = object.get("spec");
  const Fields status = object.in("status");
  PoolObject out{.meta = meta_of(object),
                 .generation = object.in("metadata").number("generation"),
                 .spec = spec != nullptr ? json::serialize(*spec) : "null",
                 .controller = status.text("controller"),
                 .conditions = {}};
  status.conditions([&](const std::string& type, const std::string& is, const Fields& condition) {
    out.conditions.push_back({.type = type, .status = is, .since = condition.text("lastTransitionTime")});
  });
  return out;
}

}  // namespace

Result<PoolObject> read_pool_object(std::string_view json) {
  return read_object<PoolObject>(json, "workerpool", pool_of);
}

Result<Event<PoolObject>> read_pool_event(std::string_view json) {
  return read_event<PoolObject>(json, "workerpool", pool_of);
}

std::string pool_file(const PoolObject& pool) {
  return fmt::format(
      R"({{"apiVersion":"sluice.dev/v1alpha1","kind":"WorkerPool","metadata":{{"name":{},"namespace":{}}},"spec":{}}})",
      json::serialize(json::string(pool.meta.name)), json::serialize(json::string(pool.meta.space)), pool.spec);
}

}  // namespace sluice::kube
