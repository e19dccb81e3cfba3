// SPDX-License-Identifier: Apache-2.0
#pragma once
// The workers of a pool as the pods of a Deployment that its user made. It grows by its replicas; it shrinks by asking
// idle workers to finish and taking exactly those away:
//
//   idle --drain()--> asked --takes no more, has nothing--> drained --deletion cost, then replicas - n--> gone
//
// The Deployment is the user's: nothing of it is written but its scale, each time with the resourceVersion of a fresh
// look, so that a rollout or another scaler that begins meanwhile refuses the write. Not by deleting pods, which its
// ReplicaSet would make again. Which pod has which slot is remembered here alone: a slot fences nothing in a
// Deployment, replicas do.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "aio/task_group.h"
#include "fleet/fleet.h"
#include "kube/deployment.h"
#include "kube/pod_worker.h"

namespace sluice::kube {

struct DeploymentFleetOptions {
  std::string space;
  std::string pool;
  std::string deployment;  // its name
  int max = 1;
  bool readiness_is_claim = false;  // as of JobFleetOptions
  std::function<Time()> may_write_until = [] { return Time::max(); };
  // Told in a sentence what a person would want to know: that other pods left than those asked to.
  std::function<void(const std::string&)> trouble = [](const std::string&) {};
};

class DeploymentFleet final : public fleet::Fleet {
 public:
  // The references outlive it.
  DeploymentFleet(Cluster& cluster, Random& random, DeploymentFleetOptions options);

  // Follows the Deployment and its pods, and takes those away that have drained, until cancelled. Its owner spawns it
  // once.
  [[nodiscard]] aio::Task<void> run();

  aio::Task<Result<model::FleetView>> view(aio::Deadline deadline) override;
  // Starts asked for while one is written go into one write together.
  aio::Task<Result<void>> start(int slot, bool stays_when_idle, aio::Deadline deadline) override;
  // Marks the pod, as it was read while it had no node, as the one to go first, and then asks for one less. Between the
  // two it may get a node after all; then it still goes, being the one that starts, before it has taken anything: a
  // ReplicaSet prefers what has no node, then what is pending, then what is not ready. Only one that becomes ready
  // within that moment is asked to end as every pod that is deleted is: with its grace period.
  aio::Task<Result<void>> withdraw(int slot, std::string id, aio::Deadline deadline) override;
  // POST /drain, with a body that asks it to stay: one that ended would be started again. Success when it has taken
  // that; run() does the rest. Code::invalid when it does not listen to that: it stays.
  aio::Task<Result<void>> drain(int slot, std::string id, aio::Deadline deadline) override;

  // Notified when a worker got its place, became ready or ended: a tick is due.
  [[nodiscard]] aio::Event& changed() { return changed_; }

 private:
  struct Known : PodWorker {
    int slot = -1;
    std::string name;  // of the pod
    int restarts = 0;
    bool asked = false;  // it takes no more: it took a request to drain, or says so
    Time asked_at;
    bool deaf = false;       // it did not
    bool marked = false;     // it has the lowest cost, by a write of ours
    bool leaves = false;     // replicas were lowered for it
    bool placed = false;     // it had a node
    bool doomed = false;     // its pod was deleted
    bool over = false;       // its end is in ended_
    std::uint64_t look = 0;  // the last one that showed it
  };
  // Asked for by replicas, and not there yet.
  struct Requested {
    int slot = 0;
    std::string id;
    Time since;
  };
  struct Asking {
    int slot = 0;
    std::optional<Result<void>> done;
  };
  // What `replicas` was when last read, and who set them so.
  struct Level {
    std::string uid;  // of the Deployment
    std::int64_t generation = -1;
    int replicas = 0;
    std::optional<int> ours = {};  // a write that may have been done
    std::int64_t written = -1;     // the generation that our last write made
    int foreign_n = 0;             // writes of others, each within foreign_for of the one before
    Time foreign_at = Time::min();
  };
  struct Wall {
    std::string why;
    Time until;
    Duration backoff{0};
  };
  // One write at a time.
  class Turn;

  [[nodiscard]] std::string path(std::string_view more = "") const;
  [[nodiscard]] std::string name(int slot) const;
  // As far as it is known: by the mirror, or by a later look of our own. Null: it is not there, or never was read.
  [[nodiscard]] const Deployment* deployment() const;
  [[nodiscard]] std::vector<const DeploymentPod*> own_pods() const;
  [[nodiscard]] const DeploymentPod* pod_of(std::string_view uid) const;
  // Those a ReplicaSet counts.
  [[nodiscard]] std::vector<const DeploymentPod*> active_pods() const;
  [[nodiscard]] int terminating() const;
  [[nodiscard]] Result<Time> observed_at() const;

  // Following.
  [[nodiscard]] aio::Task<void> follow_pods();
  [[nodiscard]] aio::Task<void> until_selector_changes(aio::TaskGroup* group, std::string selector);
  void note_level(const Deployment& seen);
  [[nodiscard]] aio::Task<void> read_autoscalers(aio::Deadline deadline);
  [[nodiscard]] aio::Task<void> read_events(aio::Deadline deadline);
  // Why nothing may be written; empty: it may.
  [[nodiscard]] std::string hold(const Deployment& is) const;

  // Looking.
  void settle();  // gives every pod and everything asked for its slot
  void settle_pod(const DeploymentPod& pod);
  void settle_requested();
  void end(const std::string& uid, Known& known);
  void stood_in(Known& known);
  [[nodiscard]] std::vector<int> free_slots() const;
  [[nodiscard]] int next_slot() const;
  [[nodiscard]] std::set<int> taken() const;
  void look(model::FleetView& view);
  [[nodiscard]] model::Worker worker_of(const DeploymentPod& pod, Known& known) const;
  [[nodiscard]] model::Capacity capacity(const model::FleetView& view) const;
  [[nodiscard]] aio::Task<void> ask_workers(bool only_asked, aio::Deadline deadline);

  // Writing.
  [[nodiscard]] Result<aio::Deadline> before(aio::Deadline deadline) const;
  [[nodiscard]] aio::Task<Turn> take_turn();
  [[nodiscard]] aio::Task<Result<Deployment>> read(aio::Deadline deadline);
  // Replicas by `change` more, as a fresh look shows them. `leaving`: the uids that a lower level is meant for; it is
  // written only while Kubernetes' own order would choose exactly these.
  [[nodiscard]] aio::Task<Result<void>> scale(int change, std::vector<std::string> leaving, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> write(Deployment fresh, int replicas, aio::Deadline deadline);
  [[nodiscard]] Result<int> target(const Deployment& fresh, int change, const std::vector<std::string>& leaving) const;
  [[nodiscard]] bool would_choose(const std::vector<std::string>& leaving) const;
  // The pod's deletion cost: the lowest, or as if never set. With `version` only while it is as it was read.
  [[nodiscard]] aio::Task<Result<void>> mark(std::string uid, bool lowest, bool version, aio::Deadline deadline);

  // Taking away those that have drained.
  [[nodiscard]] aio::Task<void> take_away();
  [[nodiscard]] aio::Task<void> take_away_once(aio::Deadline deadline);
  [[nodiscard]] std::vector<std::string> asked() const;
  [[nodiscard]] bool drained(const DeploymentPod& pod, const Known& known) const;

  Cluster& cluster_;
  aio::Clock& clock_;
  Random& random_;
  const DeploymentFleetOptions options_;
  aio::Event changed_;
  aio::Event work_;  // something to take away, perhaps
  aio::Event turn_ended_;
  Mirror<Deployment> deployments_;
  std::unique_ptr<Mirror<DeploymentPod>> pods_;  // by its selector, when that is known
  std::optional<Deployment> looked_;             // by ourselves, after the mirror's
  Level level_;
  bool writing_ = false;
  std::vector<Asking*> asking_;
  std::map<std::string, Known, std::less<>> known_;  // by the uid of the pod
  std::vector<Requested> requested_;
  std::map<int, model::EndedWorker> ended_;  // by slot, until that is used again
  std::uint64_t look_ = 0;
  std::uint64_t asked_n_ = 0;
  std::optional<Wall> wall_;
  std::optional<Error> autoscalers_unread_ = Error{Code::retry, "not looked yet"};
  std::string autoscaler_;  // that scales this Deployment; empty: none
  Time autoscalers_at_ = Time::min();
  std::string event_;  // what the cluster says about workers that wait; empty: nothing that says "full"
  Time events_at_ = Time::min();
};

}  // namespace sluice::kube
