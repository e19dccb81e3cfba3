// SPDX-License-Identifier: Apache-2.0
#include "kube/deployment_fleet.h"

#include <fmt/core.h>

#include <algorithm>

#include "aio/task_group.h"
#include "kube/deployment_turn.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;

// How often drained workers are looked at while there are some: a second is nothing beside the drain.
constexpr Duration take_away_each = 1s;
constexpr Duration take_away_max = 10s;

auto milestone(const DeploymentPod& pod) {
  return std::tuple(pod.node.empty(), pod.ready, pod.ended(), pod.meta.deleting.has_value(), pod.unscheduled_reason);
}

// Pools of a namespace are not asked for here: one Deployment by name, whatever else there is.
std::string one_deployment(const DeploymentFleetOptions& options) {
  std::string path = fmt::format("/apis/apps/v1/namespaces/{}/deployments", options.space);
  add_parameter(path, "fieldSelector", "metadata.name=" + options.deployment);
  return path;
}

}  // namespace

DeploymentFleet::DeploymentFleet(Cluster& cluster, Random& random, DeploymentFleetOptions options)
    : cluster_(cluster),
      clock_(cluster.clock()),
      random_(random),
      options_(std::move(options)),
      changed_(clock_),
      work_(clock_),
      turn_ended_(clock_),
      deployments_(cluster.api(), clock_, random_,
                   {.path = one_deployment(options_),
                    .read = read_deployment,
                    .read_event = read_deployment_event,
                    .on_change = [this](const Deployment*, const Deployment* now) {
                      if (now != nullptr) {
                        note_level(*now);
                      }
                      changed_.notify();
                    }}) {}

std::string DeploymentFleet::name(int slot) const {
  return fmt::format("{}-w{}", options_.pool, slot);
}

aio::Task<void> DeploymentFleet::run() {
  aio::TaskGroup group(cluster_.loop(), clock_);
  group.spawn(deployments_.run());
  group.spawn(follow_pods());
  group.spawn(take_away());
  co_await group.join();
}

// A Deployment's selector never changes, but one of the same name may be made anew with another.
aio::Task<void> DeploymentFleet::follow_pods() {
  while (true) {
    while (deployment() == nullptr) {
      co_await deployments_.changed().wait(aio::Deadline{});
    }
    const std::string selector = deployment()->selector;
    MirrorOptions<DeploymentPod> options{.path = fmt::format("/api/v1/namespaces/{}/pods", options_.space),
                                         .read = read_deployment_pod,
                                         .read_event = read_deployment_pod_event};
    add_parameter(options.path, "labelSelector", selector);
    options.on_change = [this](const DeploymentPod* before, const DeploymentPod* now) {
      if (before == nullptr || now == nullptr || milestone(*before) != milestone(*now)) {
        changed_.notify();
        work_.notify();
      }
    };
    pods_ = std::make_unique<Mirror<DeploymentPod>>(cluster_.api(), clock_, random_, std::move(options));
    aio::TaskGroup group(cluster_.loop(), clock_);
    group.spawn(pods_->run());
    group.spawn(until_selector_changes(&group, selector));
    co_await group.join();
  }
}

aio::Task<void> DeploymentFleet::until_selector_changes(aio::TaskGroup* group, std::string selector) {
  while (deployment() == nullptr || deployment()->selector == selector) {
    co_await deployments_.changed().wait(aio::Deadline{});
  }
  group->cancel();
}

aio::Task<Result<model::FleetView>> DeploymentFleet::view(aio::Deadline deadline) {
  if (const Result<Time> known = observed_at(); !known) {
    co_return known.error();
  }
  settle();
  co_await ask_workers(false, deadline);
  co_await read_autoscalers(deadline);
  co_await read_events(deadline);
  const Result<Time> observed = observed_at();  // again: a Deployment may have been made anew meanwhile
  if (!observed) {
    co_return observed.error();
  }
  model::FleetView view;
  view.observed_at = *observed;
  look(view);
  co_return view;
}

aio::Task<Result<void>> DeploymentFleet::start(int slot, bool /*stays_when_idle*/, aio::Deadline deadline) {
  if (slot < 0 || slot >= options_.max) {
    co_return Error{Code::invalid, fmt::format("slot {}: accepted is 0 to {}", slot, options_.max - 1)};
  }
  if (const Result<Time> known = observed_at(); !known) {
    co_return known.error();
  }
  settle();
  if (taken().contains(slot)) {
    co_return Result<void>{};
  }
  Asking mine{.slot = slot, .done = {}};
  asking_.push_back(&mine);
  const auto forget = [this](Asking* one) { std::erase(asking_, one); };
  const std::unique_ptr<Asking, decltype(forget)> listed(&mine, forget);
  const Turn turn = co_await take_turn();
  if (mine.done) {
    co_return *mine.done;
  }
  std::vector<Asking*> batch = asking_;
  std::erase_if(batch, [](const Asking* one) { return one->done.has_value(); });
  const int more = static_cast<int>(batch.size());
  const Result<void> done = co_await scale(more, {}, deadline);
  for (Asking* one : batch) {
    if (std::ranges::find(asking_, one) == asking_.end()) {
      continue;  // whoever asked was cancelled
    }
    one->done = done;
    if (done && !taken().contains(one->slot)) {
      requested_.push_back({.slot = one->slot, .id = fmt::format("asked-{}", ++asked_n_), .since = clock_.now()});
      ended_.erase(one->slot);
    }
  }
  co_return done;
}

aio::Task<Result<void>> DeploymentFleet::withdraw(int slot, std::string id, aio::Deadline deadline) {
  const Turn turn = co_await take_turn();
  const auto asked = std::ranges::find(requested_, id, &Requested::id);
  if (asked != requested_.end()) {
    const Result<void> fewer = co_await scale(-1, {}, deadline);
    co_return fewer;
  }
  const DeploymentPod* const pod = pod_of(id);
  const auto known = known_.find(id);
  if (pod == nullptr || known == known_.end() || known->second.leaves || known->second.over || pod->meta.deleting) {
    co_return Error{Code::gone, name(slot) + " is not there"};
  }
  if (!pod->node.empty()) {
    co_return Error{Code::conflict, name(slot) + " got its place"};
  }
  const Result<void> marked = co_await mark(id, true, true, deadline);
  if (!marked) {
    co_return marked;
  }
  std::vector<std::string> leaving{id};
  const Result<void> fewer = co_await scale(-1, std::move(leaving), deadline);
  if (const auto still = known_.find(id); fewer && still != known_.end()) {
    still->second.leaves = true;
  }
  work_.notify();  // one that stays is not to keep its mark
  co_return fewer;
}

aio::Task<Result<void>> DeploymentFleet::drain(int slot, std::string id, aio::Deadline deadline) {
  const DeploymentPod* const pod = pod_of(id);
  const auto known = known_.find(id);
  if (pod == nullptr || known == known_.end() || known->second.over || pod->meta.deleting) {
    co_return Error{Code::gone, name(slot) + " is not there"};
  }
  if (pod->ip.empty() || !pod->ready) {
    co_return Error{Code::conflict, name(slot) + " does not run yet"};
  }
  const Deployment* const is = deployment();
  if (const std::string why = is != nullptr ? hold(*is) : ""; !why.empty()) {
    co_return Error{Code::retry, why};
  }
  const Result<aio::Deadline> until = before(deadline);
  if (!until) {
    co_return until.error();
  }
  const std::string url = worker_url(*pod);
  const std::string whom = pod->meta.name;
  aio::http::Request request{.method = "POST",
                             .target = "/drain",
                             .headers = {{"Content-Type", "application/json"}},
                             .body = R"({"leave":false})"};
  const Result<aio::http::Response> answer = co_await cluster_.workers().send(url, std::move(request), *until);
  const auto still = known_.find(id);
  if (still == known_.end()) {
    co_return Error{Code::gone, name(slot) + " left"};
  }
  if (!answer) {
    co_return answer.error();  // what it says of itself tells whether it took it
  }
  if (answer->status != 202) {
    still->second.deaf = true;
    co_return Error{
        Code::invalid,
        fmt::format("{} is idle and stays: its image does not take POST /drain (it answers {})", whom, answer->status)};
  }
  still->second.asked = true;
  still->second.asked_at = clock_.now();
  work_.notify();
  co_return Result<void>{};
}

std::vector<std::string> DeploymentFleet::asked() const {
  std::vector<std::string> out;
  for (const auto& [uid, known] : known_) {
    if (known.asked && !known.leaves && !known.over) {
      out.push_back(uid);
    }
  }
  return out;
}

aio::Task<void> DeploymentFleet::take_away() {
  while (true) {
    const bool something = std::ranges::any_of(
        known_, [](const auto& entry) { return (entry.second.asked || entry.second.marked) && !entry.second.leaves; });
    const aio::Deadline look = something ? clock_.in(take_away_each) : aio::Deadline{};
    co_await work_.wait(look);
    if (observed_at() && deployment() != nullptr && hold(*deployment()).empty()) {
      const aio::Deadline deadline = clock_.in(take_away_max);
      co_await take_away_once(deadline);
    }
  }
}

// Nothing that has drained, or does not answer any more because it ended, has work. One that does not say how it is
// shows by not being ready that it is done.
bool DeploymentFleet::drained(const DeploymentPod& pod, const Known& known) const {
  const Container* const container = pod.worker();
  if (container != nullptr && container->state != Container::State::running) {
    return true;
  }
  if (!known.words || known.words_at < known.asked_at) {
    return !pod.ready;
  }
  const bool done = known.words->state == model::WorkerState::terminating;
  const bool rests = known.words->state == model::WorkerState::draining && !pod.ready;
  return (done || rests) && known.words->handling == 0;
}

aio::Task<void> DeploymentFleet::take_away_once(aio::Deadline deadline) {
  co_await ask_workers(true, deadline);
  const Turn turn = co_await take_turn();
  std::vector<std::string> leaving;
  std::vector<std::string> freed;
  for (const auto& [uid, known] : known_) {
    const DeploymentPod* const pod = known.leaves || known.over ? nullptr : pod_of(uid);
    if (pod == nullptr || pod->meta.deleting) {
      continue;
    }
    if (known.asked && drained(*pod, known)) {
      leaving.push_back(uid);
    } else if (known.marked && !known.asked) {
      freed.push_back(uid);
    }
  }
  for (const std::string& uid : freed) {
    const Result<void> unmarked = co_await mark(uid, false, false, deadline);
    if (!unmarked) {
      co_return;
    }
  }
  for (const std::string& uid : leaving) {
    const auto known = known_.find(uid);
    if (known == known_.end() || known->second.marked) {
      continue;
    }
    const Result<void> marked = co_await mark(uid, true, false, deadline);
    if (!marked) {
      co_return;  // the next look shows what there is
    }
  }
  if (leaving.empty()) {
    co_return;
  }
  const int fewer = -static_cast<int>(leaving.size());
  const Result<void> done = co_await scale(fewer, leaving, deadline);
  for (const std::string& uid : leaving) {
    if (const auto known = known_.find(uid); known != known_.end()) {
      known->second.leaves = done.has_value();
      known->second.end_why = done ? "" : done.error().what;
    }
  }
}

}  // namespace sluice::kube
