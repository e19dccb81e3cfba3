// SPDX-License-Identifier: Apache-2.0
#pragma once
// One pool of a cluster under the controller: its queue, its workers, its loop and its status.
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "aio/task_group.h"
#include "app/cluster_secrets.h"
#include "app/context.h"
#include "app/event_pace.h"
#include "control/controller.h"
#include "control/journal.h"
#include "kube/deployment_fleet.h"
#include "kube/job_fleet.h"
#include "kube/pool_object.h"
#include "pool/types.h"
#include "wiring/queues.h"

namespace sluice::app {

struct ClusterPoolOptions {
  std::string secrets;  // the folder in which a Secret NAME of the pool's namespace is the folder NAME, if mounted
  ClusterSecrets* read_secrets = nullptr;  // reads those that are not; outlives it
  std::string installation;                // who we are, for status.controller
  std::function<Time()> may_write_until;
  std::shared_ptr<control::JournalSink> journal;
  std::function<void(const control::Snapshot&)> ticked;  // after each tick
};

class ClusterPool {
 public:
  // An Error names what is wrong with the pool, for its status. `cluster` and `context` outlive it.
  static aio::Task<Result<std::unique_ptr<ClusterPool>>> open(Context& context, kube::Cluster& cluster,
                                                              kube::PoolObject object, pool::Pool pool,
                                                              ClusterPoolOptions options, aio::Deadline deadline);
  // Ticks and tells its status until cancelled, or until it is known what is wrong with the pool: its Error.
  [[nodiscard]] aio::Task<Error> run();
  // The object changed in other ways than its spec.
  void update(kube::PoolObject object) { object_ = std::move(object); }

  [[nodiscard]] const pool::Pool& pool() const { return pool_; }
  [[nodiscard]] const kube::PoolObject& object() const { return object_; }
  [[nodiscard]] const control::Snapshot& snapshot() const { return controller_->snapshot(); }
  [[nodiscard]] std::uint64_t ticks() const { return ticks_; }
  // Says what is still folded.
  void close();

 private:
  ClusterPool(Context& context, kube::Cluster& cluster, kube::PoolObject object, pool::Pool pool,
              ClusterPoolOptions options);
  [[nodiscard]] fleet::Fleet& fleet();
  void make_fleet();
  [[nodiscard]] aio::Task<void> judge(aio::TaskGroup* group);
  [[nodiscard]] aio::Task<void> tell_status();
  [[nodiscard]] aio::Task<void> tell_events();
  [[nodiscard]] aio::Task<void> end_leftovers();

  Context& context_;
  kube::Cluster& cluster_;
  kube::PoolObject object_;
  const pool::Pool pool_;
  const ClusterPoolOptions options_;
  std::unique_ptr<wiring::QueueClient> queue_;
  std::unique_ptr<queue::BacklogSource> source_;
  // One of the two.
  std::unique_ptr<kube::JobFleet> jobs_;
  std::unique_ptr<kube::DeploymentFleet> deployment_;
  std::unique_ptr<control::Journal> journal_;
  std::unique_ptr<control::Controller> controller_;
  aio::Event ticked_;   // for tell_status()
  aio::Event decided_;  // for tell_events()
  std::uint64_t ticks_ = 0;
  std::optional<Error> refused_;
};

// The status of a pool as it is written: of one that ticks, and of one that cannot be taken on. `with_time`: with the
// time of the sample.
[[nodiscard]] std::string status_json(const pool::Pool& pool, const kube::PoolObject& object,
                                      const control::Snapshot& snapshot, const std::string& installation,
                                      bool with_time);
[[nodiscard]] std::string refusal_json(const kube::PoolObject& object, const std::string& why,
                                       const std::string& installation, WallTime at);
// The first word of a decision's reason as a condition and an event have it: "Grow".
[[nodiscard]] std::string reason_word(std::string_view word);
// Writes it by server-side apply. Errors as of kube::Api::ask().
[[nodiscard]] aio::Task<Result<void>> write_status(kube::Api& api, kube::Meta meta, std::string status,
                                                   aio::Deadline deadline);

}  // namespace sluice::app
