// SPDX-License-Identifier: Apache-2.0
#pragma once
// Checks of a set-up, each with a code that has a page and, where something is wrong, what repairs it.
#include <span>
#include <string>
#include <vector>

#include "app/context.h"
#include "app/look.h"
#include "kube/api.h"

namespace sluice::app {

enum class Health { ok, warning, failed };

struct Finding {
  std::string group;  // pool, queue, workers, state, cluster
  Health health = Health::ok;
  std::string code;  // "D013"; empty when all is well
  std::string text;
  std::string fix;  // a command, or what to do; empty when all is well
};

// Every code there is: what it means and what repairs it.
struct DoctorCode {
  std::string_view code;
  std::string_view group;
  std::string_view means;
  std::string_view repair;
};
[[nodiscard]] std::span<const DoctorCode> doctor_codes();
// docs/reference/doctor.md.
[[nodiscard]] std::string doctor_page();

// The groups' checks; each appends what it found. `look` was taken just before.
void check_pool(std::vector<Finding>& out, const PoolLook& look);
void check_queue(std::vector<Finding>& out, const PoolLook& look);
// Of a queue on a broker: what is tried there.
[[nodiscard]] aio::Task<void> check_broker(std::vector<Finding>& out, Context& context, const Place& place,
                                           aio::Deadline deadline);
void check_workers(std::vector<Finding>& out, Context& context, const PoolLook& look, const std::string& folder);
void check_state(std::vector<Finding>& out, const PoolLook& look);
// Of no pool: who serves external metrics in the cluster.
[[nodiscard]] aio::Task<void> check_cluster(std::vector<Finding>& out, kube::Api& api, aio::Deadline deadline);

}  // namespace sluice::app
