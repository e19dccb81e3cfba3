// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Jobs and pods of sluice's workers in one namespace, or in all of them, kept here for every pool that has a fleet
// there: two lists and two watches, however many pools there are.
#include <map>
#include <memory>
#include <string>

#include "aio/http.h"
#include "kube/mirror.h"

namespace sluice::kube {

class Cluster {
 public:
  // All references outlive it. An empty `space` means all namespaces. `to_workers`: tests.
  Cluster(aio::Loop& loop, aio::Clock& clock, Random& random, Api& api, const std::string& space,
          aio::http::Dial to_workers = {});

  // Follows Jobs and pods until cancelled. Its owner spawns it once.
  [[nodiscard]] aio::Task<void> run();

  // Of when what is kept is: everything up to then is in it, but for what was on its way. An Error where that is too
  // long ago to decide on, or was never.
  [[nodiscard]] Result<Time> observed_at() const;
  // The workers of a pool by the names of their Jobs, others among them: "orders-w" begins more names than ours.
  [[nodiscard]] const Mirror<Job>& jobs() const { return jobs_; }
  [[nodiscard]] const Mirror<Pod>& pods() const { return pods_; }
  // What a create returned.
  void put(Job job) { jobs_.put(std::move(job)); }
  // Notified when a worker of this pool got its place, became ready or ended; lives as long as somebody holds it.
  [[nodiscard]] std::shared_ptr<aio::Event> changed(const std::string& space, const std::string& pool);

  [[nodiscard]] aio::Loop& loop() { return loop_; }
  [[nodiscard]] aio::Clock& clock() { return clock_; }
  [[nodiscard]] Api& api() { return api_; }
  // To the workers themselves, by the addresses of their pods.
  [[nodiscard]] aio::http::Client& workers() { return workers_; }

 private:
  void note(const Meta& meta);

  aio::Loop& loop_;
  aio::Clock& clock_;
  Api& api_;
  aio::http::Client workers_;
  std::map<std::string, std::weak_ptr<aio::Event>, std::less<>> waiting_;  // by "namespace/pool"
  Mirror<Job> jobs_;
  Mirror<Pod> pods_;
};

}  // namespace sluice::kube
