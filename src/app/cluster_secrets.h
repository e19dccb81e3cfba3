// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Secrets of a cluster's pools, read by name from the API server and read again while a pool uses them.
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "aio/clock.h"
#include "base/log.h"
#include "kube/secret.h"
#include "wiring/secret.h"

namespace sluice::app {

class ClusterSecrets {
 public:
  // References outlive it.
  ClusterSecrets(aio::Clock& clock, kube::Api& api, const Log& log) : clock_(clock), api_(api), log_(log) {}

  // The Secret `name` of namespace `space`, read by `deadline` when nobody followed it before, and kept up to date by
  // run() as long as somebody has what is returned. One that cannot be read is no error here: who reads from it is
  // told.
  [[nodiscard]] aio::Task<std::shared_ptr<const wiring::SecretSource>> follow(std::string space, std::string name,
                                                                              aio::Deadline deadline);
  // Until cancelled.
  [[nodiscard]] aio::Task<void> run();

 private:
  class Followed;
  [[nodiscard]] aio::Task<void> refresh(std::shared_ptr<Followed> one, aio::Deadline deadline);

  aio::Clock& clock_;
  kube::Api& api_;
  const Log& log_;
  std::map<std::pair<std::string, std::string>, std::weak_ptr<Followed>> followed_;
};

}  // namespace sluice::app
