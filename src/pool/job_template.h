// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one opaque part of a pool: a Kubernetes JobTemplateSpec. Only what would break the promise of one worker a Job is
// looked at; the API server judges the rest by a dry run when the pool is loaded.
#include <string>
#include <string_view>

#include "pool/node.h"
#include "pool/types.h"

namespace sluice::pool {

// Empty after problems. Unquoted scalars are read as Kubernetes' YAML reader and ours agree on: true, false, decimal
// numbers, null; whatever they would read differently (yes, 0o17, 1_000, .inf) must be quoted.
[[nodiscard]] std::optional<JobTemplate> read_job_template(const Node& node, const std::string& path, Report& report);

[[nodiscard]] bool has_containers(const JobTemplate& job);
[[nodiscard]] bool has_container(const JobTemplate& job, std::string_view name);

}  // namespace sluice::pool
