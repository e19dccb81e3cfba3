// SPDX-License-Identifier: Apache-2.0
#pragma once
// What we tell about an object as an event of the cluster: the lines at the end of `kubectl describe`.
#include <string>

#include "kube/api.h"

namespace sluice::kube {

struct Telling {
  Meta about;  // a WorkerPool
  bool warning = false;
  std::string reason;   // one word: "Full"
  std::string message;  // at most 1024 bytes of it are told: the API server's own limit
};

// core/v1 Event, as JSON. `name` is its own.
[[nodiscard]] std::string event_json(const Telling& telling, const std::string& name, WallTime at);
// Creates it. Errors as of Api::ask().
[[nodiscard]] aio::Task<Result<void>> tell_event(Api& api, Telling telling, std::string name, WallTime at,
                                                 aio::Deadline deadline);

}  // namespace sluice::kube
