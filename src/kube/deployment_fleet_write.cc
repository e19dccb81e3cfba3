// SPDX-License-Identifier: Apache-2.0
// What a fleet of a Deployment writes, and when it may not: its replicas, and the cost of its pods.
#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "kube/deployment_turn.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

// Between the end of what may be written and the last moment at which a write is given up.
constexpr Duration margin = 1s;
// The status of a Deployment changes with each of its pods, and each change refuses a write that began before it.
constexpr int writes_max = 5;
// Design, section 6: a full fleet is tried again with one worker, ever more rarely.
constexpr Duration wall_first = 30s;
constexpr Duration wall_last = 5min;
// Design, section 9: so many foreign writes in a row are a conflict. In a row: no longer apart than this, which is also
// how long it must be calm again. Chosen: longer than what resets a Deployment to its manifest takes to come again.
constexpr int foreign_max = 3;
constexpr Duration foreign_for = 10min;
constexpr Duration autoscalers_each = 30s;

// Without what every refusal begins with: `deployments.apps "orders" is forbidden: `.
std::string cause(const std::string& words) {
  constexpr std::string_view forbidden = " is forbidden: ";
  const std::size_t at = words.find(forbidden);
  return at == std::string::npos ? words : words.substr(at + forbidden.size());
}

}  // namespace

std::string DeploymentFleet::path(std::string_view more) const {
  return fmt::format("/apis/apps/v1/namespaces/{}/deployments/{}{}", options_.space, options_.deployment, more);
}

Result<aio::Deadline> DeploymentFleet::before(aio::Deadline deadline) const {
  const Time until = options_.may_write_until();
  if (clock_.now() >= until - margin) {
    return Error{Code::retry, "this controller does not hold the lease"};
  }
  return deadline.earlier(aio::Deadline{until - margin});
}

aio::Task<DeploymentFleet::Turn> DeploymentFleet::take_turn() {
  while (writing_) {
    co_await turn_ended_.wait(aio::Deadline{});
  }
  co_return Turn(*this);
}

void DeploymentFleet::note_level(const Deployment& seen) {
  if (seen.meta.uid != level_.uid) {
    level_ = Level{.uid = seen.meta.uid, .generation = seen.generation, .replicas = seen.replicas};
    return;
  }
  if (seen.generation <= level_.generation) {
    return;
  }
  level_.generation = seen.generation;
  if (seen.replicas == level_.replicas) {
    return;
  }
  const bool ours = level_.ours == seen.replicas;
  level_.replicas = seen.replicas;
  level_.ours.reset();
  if (ours) {
    level_.written = seen.generation;
    return;
  }
  const bool in_a_row = level_.foreign_n > 0 && clock_.now() - level_.foreign_at < foreign_for;
  level_.foreign_n = in_a_row ? level_.foreign_n + 1 : 1;
  level_.foreign_at = clock_.now();
}

std::string DeploymentFleet::hold(const Deployment& is) const {
  if (autoscalers_unread_) {
    return fmt::format("whether an autoscaler scales the Deployment {} is not known: {}", options_.deployment,
                       autoscalers_unread_->what);
  }
  if (!autoscaler_.empty()) {
    return fmt::format(
        "conflict with the HorizontalPodAutoscaler {}, which scales the Deployment {} too; one of the two "
        "has to go",
        autoscaler_, options_.deployment);
  }
  if (level_.foreign_n >= foreign_max && clock_.now() - level_.foreign_at < foreign_for) {
    return fmt::format(
        "conflict with somebody who has set the replicas of the Deployment {} {} times in a row, last to "
        "{}; nothing is written until 10 min have passed without that",
        options_.deployment, level_.foreign_n, level_.replicas);
  }
  const bool unseen = is.observed < is.generation && is.generation != level_.written;
  std::string hash;
  bool mixed = false;
  for (const DeploymentPod* pod : active_pods()) {
    mixed = mixed || (!hash.empty() && pod->hash != hash);
    hash = pod->hash;
  }
  if (unseen || is.updated != is.pods || mixed) {
    return fmt::format("a rollout of the Deployment {} is under way", options_.deployment);
  }
  return "";
}

aio::Task<void> DeploymentFleet::read_autoscalers(aio::Deadline deadline) {
  if (clock_.now() < autoscalers_at_) {
    co_return;
  }
  std::string found;
  TakeItem take = [this, &found](std::string_view item) {
    const Result<Autoscaler> one = read_autoscaler(item);
    if (one && one->kind == "Deployment" && one->target == options_.deployment) {
      found = one->name;
    }
    return one ? Result<void>{} : Result<void>(one.error());
  };
  std::string all = fmt::format("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers", options_.space);
  const Result<ListHead> head = co_await cluster_.api().list(std::move(all), std::move(take), deadline);
  if (head) {
    autoscaler_ = found;
    autoscalers_at_ = clock_.now() + autoscalers_each;
    autoscalers_unread_.reset();
  } else if (clock_.now() >= autoscalers_at_ + autoscalers_each) {
    autoscalers_unread_ = head.error();  // what was read holds for as long again
  }
}

aio::Task<Result<Deployment>> DeploymentFleet::read(aio::Deadline deadline) {
  Call call{.path = path()};
  const Result<std::string> answer = co_await cluster_.api().ask(std::move(call), deadline);
  Result<Deployment> is = answer ? read_deployment(*answer) : answer.error();
  if (is) {
    note_level(*is);
    looked_ = *is;
  }
  co_return is;
}

aio::Task<Result<void>> DeploymentFleet::scale(int change, std::vector<std::string> leaving, aio::Deadline deadline) {
  co_await read_autoscalers(deadline);
  Result<void> done;
  for (int i = 0; i < writes_max; ++i) {
    const Result<Deployment> fresh = co_await read(deadline);
    if (!fresh) {
      co_return fresh.error();
    }
    const Result<int> replicas = target(*fresh, change, leaving);
    if (!replicas) {
      co_return replicas.error();
    }
    done = co_await write(*fresh, *replicas, deadline);
    if (done || done.error().code != Code::conflict) {
      co_return done;
    }
  }
  co_return Error{Code::retry, done.error().what};
}

Result<int> DeploymentFleet::target(const Deployment& fresh, int change,
                                    const std::vector<std::string>& leaving) const {
  if (const std::string why = hold(fresh); !why.empty()) {
    return Error{Code::retry, why};
  }
  const int active = static_cast<int>(active_pods().size());
  if (change > 0) {
    // One that ends counts until it is gone.
    const int live = std::max(fresh.replicas, active) + terminating();
    if (live + change > options_.max) {
      return Error{Code::retry, fmt::format("{} more would be more than workers.max: there are {}", change, live)};
    }
    return fresh.replicas + change;
  }
  if (leaving.empty()) {
    return fresh.replicas > active ? Result<int>(fresh.replicas + change)
                                   : Error{Code::conflict, "all that were asked for are there"};
  }
  if (fresh.replicas != active) {
    return Error{Code::retry,
                 fmt::format("the Deployment has {} of {} pods: it is not settled", active, fresh.replicas)};
  }
  if (!would_choose(leaving)) {
    return Error{Code::retry, "others that are not ready would go in its stead"};
  }
  return fresh.replicas + change;
}

bool DeploymentFleet::would_choose(const std::vector<std::string>& leaving) const {
  const std::vector<const DeploymentPod*> active = active_pods();
  std::size_t there = 0;
  for (const std::string& uid : leaving) {
    const DeploymentPod* const at = pod_of(uid);
    if (at == nullptr || at->meta.deleting || at->ended()) {
      return false;
    }
    DeploymentPod pod = *at;
    pod.cost = lowest_cost;  // written, and perhaps not told of by the server yet
    ++there;
    const bool first = std::ranges::all_of(active, [&](const DeploymentPod* other) {
      return std::ranges::find(leaving, other->meta.uid) != leaving.end() || goes_before(pod, *other);
    });
    if (!first) {
      return false;
    }
  }
  return there == leaving.size();
}

aio::Task<Result<void>> DeploymentFleet::write(Deployment fresh, int replicas, aio::Deadline deadline) {
  const Result<aio::Deadline> until = before(deadline);
  if (!until) {
    co_return until.error();
  }
  const json::object scale{
      {"apiVersion", "autoscaling/v1"},
      {"kind", "Scale"},
      {"metadata",
       {{"name", options_.deployment}, {"namespace", options_.space}, {"resourceVersion", fresh.meta.version}}},
      {"spec", {{"replicas", replicas}}}};
  level_.ours = replicas;
  Call call{.method = "PUT", .path = path("/scale"), .body = json::serialize(scale)};
  const Result<std::string> answer = co_await cluster_.api().ask(std::move(call), *until);
  if (answer) {
    const int before_it = fresh.replicas;
    fresh.replicas = replicas;
    ++fresh.generation;  // by the resourceVersion nobody wrote in between
    note_level(fresh);
    looked_ = fresh;
    if (replicas > before_it) {
      wall_.reset();
    }
    co_return Result<void>{};
  }
  const Error& refusal = answer.error();
  if (refusal.code == Code::retry) {
    // It may have been done, and may still be: only a look tells, and a write after one refuses this.
    const Result<Deployment> now = co_await read(deadline);
    const bool done = now && now->generation == fresh.generation + 1 && now->replicas == replicas;
    co_return done ? Result<void>{} : Result<void>(refusal);
  }
  level_.ours.reset();
  if (refusal.code == Code::conflict || refusal.code == Code::throttled || replicas < fresh.replicas) {
    co_return refusal.code == Code::throttled ? Error{Code::retry, refusal.what} : refusal;
  }
  const Duration backoff = wall_ ? std::min<Duration>(wall_last, wall_->backoff * 2) : wall_first;
  wall_ = Wall{.why = cause(refusal.what), .until = clock_.now() + backoff, .backoff = backoff};
  co_return Error{Code::throttled, wall_->why};
}

aio::Task<Result<void>> DeploymentFleet::mark(std::string uid, bool lowest, bool version, aio::Deadline deadline) {
  const DeploymentPod* const pod = pod_of(uid);
  const Result<aio::Deadline> until = before(deadline);
  if (pod == nullptr || !until) {
    co_return pod == nullptr ? Error{Code::gone, "its pod is gone"} : until.error();
  }
  json::value cost = nullptr;
  if (lowest) {
    cost = std::to_string(lowest_cost);
  }
  json::object meta{{"uid", uid}, {"annotations", {{annotation_cost, std::move(cost)}}}};
  if (version) {
    meta["resourceVersion"] = pod->meta.version;
  }
  Call call{.method = "PATCH",
            .path = fmt::format("/api/v1/namespaces/{}/pods/{}", options_.space, pod->meta.name),
            .body = json::serialize(json::object{{"metadata", std::move(meta)}}),
            .content_type = "application/merge-patch+json"};
  const Result<std::string> answer = co_await cluster_.api().ask(std::move(call), *until);
  const auto known = known_.find(uid);
  if (known != known_.end() && (answer || answer.error().code == Code::retry)) {
    known->second.marked = lowest || !answer;  // after a lost answer it may be either: what may be there is taken away
  }
  co_return answer ? Result<void>{} : answer.error();
}

}  // namespace sluice::kube
