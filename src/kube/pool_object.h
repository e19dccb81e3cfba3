// SPDX-License-Identifier: Apache-2.0
#pragma once
// WorkerPools as the API server keeps them. What is in a spec is read elsewhere: here it is text.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kube/objects.h"

namespace sluice::kube {

inline constexpr std::string_view pool_group = "/apis/sluice.dev/v1alpha1";

// metav1.Condition, as far as it must be written again as it was.
struct Condition {
  std::string type;
  std::string status;
  std::string since;  // lastTransitionTime, as written
};

struct PoolObject {
  Meta meta;
  std::int64_t generation = 0;  // changes with the spec alone
  std::string spec;             // JSON
  std::string controller;       // status.controller: which installation acts on it
  std::vector<Condition> conditions;
};
[[nodiscard]] Result<PoolObject> read_pool_object(std::string_view json);
[[nodiscard]] Result<Event<PoolObject>> read_pool_event(std::string_view json);

// The same as a pool file: its name, namespace and spec.
[[nodiscard]] std::string pool_file(const PoolObject& pool);

}  // namespace sluice::kube
