// SPDX-License-Identifier: Apache-2.0
#pragma once
// The workers of a pool as Jobs, one Job a worker, one pod a Job.
//
// What is true is at the API server. A Job's name is its slot, and there is at most one object of a name, so that there
// are never more live workers than slots, whatever is stale, lost or done twice. This object remembers what nobody
// else can know: when it first saw something, and what the workers said.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet/ending.h"
#include "fleet/fleet.h"
#include "fleet/worker_words.h"
#include "kube/cluster.h"
#include "kube/job_body.h"
#include "kube/pod_worker.h"

namespace sluice::kube {

struct JobFleetOptions {
  JobTemplate job;
  int max = 1;  // slots 0..max-1; workers in higher ones, left from a higher max, stay in view
  // A pod that is ready takes messages: the user says so (`claim: readiness`), whatever its worker says or does not.
  bool readiness_is_claim = false;
  // Until when this process may write; every write's deadline lies before it. Judged when it is sent.
  std::function<Time()> may_write_until = [] { return Time::max(); };
};

class JobFleet final : public fleet::Fleet {
 public:
  // `cluster` outlives it.
  JobFleet(Cluster& cluster, JobFleetOptions options);

  // Has the API server judge the template by a create that is not kept. An Error (Code::invalid) only where it would
  // never take such a Job: what it cannot say now, the first create says.
  [[nodiscard]] aio::Task<Result<void>> judge(aio::Deadline deadline);

  aio::Task<Result<model::FleetView>> view(aio::Deadline deadline) override;
  aio::Task<Result<void>> start(int slot, bool stays_when_idle, aio::Deadline deadline) override;
  // Deletes the pod as it was read while it had no node; a Job without a pod is left: it would start on a full quota
  // only to find no work and leave.
  aio::Task<Result<void>> withdraw(int slot, std::string id, aio::Deadline deadline) override;
  // POST /drain to the worker. Code::invalid when it does not listen to that: it is left alone.
  aio::Task<Result<void>> drain(int slot, std::string id, aio::Deadline deadline) override;

  // Ends the pods whose worker has ended and whose other containers go on: the worker decides. Returns how many.
  [[nodiscard]] aio::Task<int> end_leftovers(aio::Deadline deadline);
  // Notified when a worker got its place, became ready or ended: a tick is due.
  [[nodiscard]] aio::Event& changed() { return *changed_; }

 private:
  // What is known of one start of a slot, by the uid of its Job.
  struct Known : PodWorker {
    bool withdrawn = false;
    std::uint64_t look = 0;  // the last one that showed it
  };
  // Why no worker gets a place.
  struct Wall {
    std::string why;
    Time until;
    Duration backoff{0};
  };

  [[nodiscard]] std::string key(int slot) const;
  [[nodiscard]] std::string key_prefix() const;
  [[nodiscard]] const Job* job_of(int slot) const;
  [[nodiscard]] const Pod* pod_of(const Job& job) const;
  [[nodiscard]] Known& know(const Job& job);
  [[nodiscard]] std::string name(int slot) const { return worker_name(options_.job.pool, slot); }

  // view()
  void look(model::FleetView& view);
  void look_at(const Job& job, int slot, model::FleetView& view);
  [[nodiscard]] model::EndedWorker ended(const Job& job, int slot, Known& known) const;
  [[nodiscard]] model::WorkerState state_of(const Job& job, const Pod* pod, Known& known, std::string& why) const;
  [[nodiscard]] model::Capacity capacity(const model::FleetView& view) const;
  [[nodiscard]] aio::Task<void> ask_workers(aio::Deadline deadline);
  [[nodiscard]] aio::Task<void> read_events(aio::Deadline deadline);

  // start(), withdraw(), drain()
  [[nodiscard]] Result<aio::Deadline> before(aio::Deadline deadline) const;
  [[nodiscard]] aio::Task<Result<void>> create(int slot, std::string body, aio::Deadline deadline);
  // What is there after a create that failed or may have: ours and alive is success.
  [[nodiscard]] aio::Task<Result<void>> look_up(int slot, Error refusal, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> remove(std::string path, Meta meta, aio::Deadline deadline);
  void meet_wall(const std::string& why);

  Cluster& cluster_;
  aio::Clock& clock_;
  const JobFleetOptions options_;
  const std::shared_ptr<aio::Event> changed_;
  std::map<std::string, Known, std::less<>> known_;
  std::uint64_t look_ = 0;
  std::optional<Wall> wall_;     // a create was refused
  std::map<int, Time> foreign_;  // slots whose name somebody else's Job has, and until when that is believed
  std::string event_;            // what the cluster says about workers that wait; empty: nothing that says "full"
  Time events_at_ = Time::min();
};

}  // namespace sluice::kube
