// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Job of a worker, as it is sent to the API server: the user's template and what sluice adds to it (design,
// section 9).
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace sluice::kube {

// Where the credentials of a queue are in the worker's container: the folder of their Secret's name is below it.
inline constexpr const char* secrets_folder = "/var/run/secrets/sluice.dev";

using Variables = std::vector<std::pair<std::string, std::string>>;

struct JobTemplate {
  std::string space;                         // namespace
  std::string pool;                          // workers are named <pool>-w<slot>
  std::string json = {};                     // a JobTemplateSpec; empty: made from `image`
  std::string container = {};                // the worker in it; empty: the first
  std::string image = {};                    // empty: the template's
  std::vector<std::string> argv = {};        // empty: the template's, or the image's own
  Variables env = {};                        // the user's, over what the template says
  Variables environment = {};                // ours: SLUICE_POOL, SLUICE_QUEUE .., over everything
  std::string idle_exit = "never";           // "10s"; of slots that do not stay when idle
  std::string secret = {};                   // of the queue's credentials, in the same namespace; empty: none
  std::optional<Duration> max_runtime = {};  // a worker has at least so long to finish when it is asked to end
};

// The name of the worker in `slot`, and of its Job.
[[nodiscard]] std::string worker_name(const std::string& pool, int slot);
// The slot that a Job of this pool has by its name; empty for any other name.
[[nodiscard]] std::optional<int> slot_of(std::string_view pool, std::string_view job);

// The body of a create. Code::invalid, with a sentence, for a template that is no Job or has no container.
[[nodiscard]] Result<std::string> job_json(const JobTemplate& job, int slot, bool stays_when_idle);

}  // namespace sluice::kube
