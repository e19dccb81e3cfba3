// SPDX-License-Identifier: Apache-2.0
#include "kube/job_fleet.h"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "base/check.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

// Design, section 6: a full fleet is tried again with one worker, ever more rarely.
constexpr Duration wall_first = 30s;
constexpr Duration wall_last = 5min;
constexpr Duration foreign_for = 5min;
// Between the end of what may be written and the last moment at which a write is given up.
constexpr Duration margin = 1s;
// Chosen: what runs beside a worker has this long to notice that it has ended.
constexpr Duration leftovers_after = 10s;

// Without what every refusal begins with: `jobs.batch "orders-w3" is forbidden: `.
std::string cause(const std::string& words) {
  constexpr std::string_view forbidden = " is forbidden: ";
  const std::size_t at = words.find(forbidden);
  return at == std::string::npos ? words : words.substr(at + forbidden.size());
}

std::string delete_options(const Meta& meta, bool version, std::string_view propagation) {
  json::object conditions{{"uid", meta.uid}};
  if (version) {
    conditions["resourceVersion"] = meta.version;
  }
  json::object options{{"kind", "DeleteOptions"}, {"apiVersion", "v1"}, {"preconditions", std::move(conditions)}};
  if (!propagation.empty()) {
    options["propagationPolicy"] = std::string(propagation);
  }
  return json::serialize(options);
}

}  // namespace

JobFleet::JobFleet(Cluster& cluster, JobFleetOptions options)
    : cluster_(cluster),
      clock_(cluster.clock()),
      options_(std::move(options)),
      changed_(cluster.changed(options_.job.space, options_.job.pool)) {}

std::string JobFleet::key(int slot) const {
  return fmt::format("{}/{}", options_.job.space, name(slot));
}

const Job* JobFleet::job_of(int slot) const {
  const auto& all = cluster_.jobs().all();
  const auto at = all.find(key(slot));
  return at == all.end() ? nullptr : &at->second;
}

Result<aio::Deadline> JobFleet::before(aio::Deadline deadline) const {
  const Time until = options_.may_write_until();
  if (clock_.now() >= until - margin) {
    return Error{Code::retry, "this controller does not hold the lease"};
  }
  return deadline.earlier(aio::Deadline{until - margin});
}

aio::Task<Result<void>> JobFleet::judge(aio::Deadline deadline) {
  const Result<aio::Deadline> until = before(deadline);
  const Result<std::string> body = job_json(options_.job, 0, false);
  if (!until || !body) {
    co_return body ? Result<void>{} : body.error();
  }
  Call call{
      .method = "POST", .path = fmt::format("/apis/batch/v1/namespaces/{}/jobs", options_.job.space), .body = *body};
  add_parameter(call.path, "dryRun", "All");
  const Result<std::string> answer = co_await cluster_.api().ask(std::move(call), *until);
  // Somebody's admission webhook that cannot judge without effects says nothing of the template.
  const bool judged = answer || !answer.error().what.contains("dry run");
  if (!answer && judged && answer.error().code == Code::invalid) {
    co_return Error{Code::invalid, "the API server does not take its Job: " + answer.error().what};
  }
  co_return Result<void>{};
}

aio::Task<Result<void>> JobFleet::start(int slot, bool stays_when_idle, aio::Deadline deadline) {
  if (slot < 0 || slot >= options_.max) {
    co_return Error{Code::invalid, fmt::format("slot {}: accepted is 0 to {}", slot, options_.max - 1)};
  }
  const Job* const there = job_of(slot);
  if (there != nullptr && !there->over()) {
    co_return there->meta.deleting ? Error{Code::retry, name(slot) + " is still being deleted"} : Result<void>{};
  }
  const Result<std::string> body = job_json(options_.job, slot, stays_when_idle);
  if (!body) {
    co_return body.error();
  }
  if (there != nullptr) {
    std::string path = fmt::format("/apis/batch/v1/namespaces/{}/jobs/{}", options_.job.space, name(slot));
    const Result<void> removed = co_await remove(std::move(path), there->meta, deadline);
    if (!removed && removed.error().code != Code::gone) {
      co_return removed;
    }
  }
  const Result<void> created = co_await create(slot, *body, deadline);
  co_return created;
}

aio::Task<Result<void>> JobFleet::create(int slot, std::string body, aio::Deadline deadline) {
  const Result<aio::Deadline> until = before(deadline);
  if (!until) {
    co_return until.error();
  }
  Call call{.method = "POST",
            .path = fmt::format("/apis/batch/v1/namespaces/{}/jobs", options_.job.space),
            .body = std::move(body)};
  const Result<std::string> answer = co_await cluster_.api().ask(std::move(call), *until);
  if (answer) {
    Result<Job> job = read_job(*answer);
    if (!job) {
      co_return job.error();
    }
    wall_.reset();
    cluster_.put(std::move(*job));
    co_return Result<void>{};
  }
  Error refusal = answer.error();
  switch (refusal.code) {
    case Code::conflict:
    case Code::retry: {
      const Result<void> found = co_await look_up(slot, std::move(refusal), deadline);
      co_return found;
    }
    case Code::throttled:
      co_return Error{Code::retry, refusal.what};  // the server's own pace says nothing of the workers' room
    case Code::denied:
    case Code::gone:
    case Code::invalid:
      break;
  }
  meet_wall(cause(refusal.what));
  co_return Error{Code::throttled, wall_->why};
}

aio::Task<Result<void>> JobFleet::look_up(int slot, Error refusal, aio::Deadline deadline) {
  Call call{.path = fmt::format("/apis/batch/v1/namespaces/{}/jobs/{}", options_.job.space, name(slot))};
  const Result<std::string> answer = co_await cluster_.api().ask(std::move(call), deadline);
  Result<Job> job = answer ? read_job(*answer) : answer.error();
  if (!job) {
    co_return refusal.code == Code::conflict ? Error{Code::retry, refusal.what} : refusal;
  }
  if (job->meta.pool != options_.job.pool) {
    foreign_[slot] = clock_.now() + foreign_for;
    co_return Error{Code::conflict, fmt::format("the Job {} is not of this pool (it has no label {}={}); its slot is "
                                                "left out",
                                                name(slot), label_pool, options_.job.pool)};
  }
  const bool lives = !job->over() && !job->meta.deleting;
  if (lives) {
    cluster_.put(std::move(*job));
  }
  co_return lives ? Result<void>{} : Error{Code::retry, name(slot) + ": its last Job is still there"};
}

aio::Task<Result<void>> JobFleet::remove(std::string path, Meta meta, aio::Deadline deadline) {
  const Result<aio::Deadline> until = before(deadline);
  if (!until) {
    co_return until.error();
  }
  const bool job = path.starts_with("/apis/");
  Call call{.method = "DELETE", .path = std::move(path), .body = delete_options(meta, true, job ? "Background" : "")};
  const Result<std::string> answer = co_await cluster_.api().ask(std::move(call), *until);
  co_return answer ? Result<void>{} : answer.error();
}

void JobFleet::meet_wall(const std::string& why) {
  const Duration backoff = wall_ ? std::min<Duration>(wall_last, wall_->backoff * 2) : wall_first;
  wall_ = Wall{.why = why, .until = clock_.now() + backoff, .backoff = backoff};
}

aio::Task<Result<void>> JobFleet::withdraw(int slot, std::string id, aio::Deadline deadline) {
  const Job* const job = job_of(slot);
  if (job == nullptr || job->meta.uid != id || job->over()) {
    co_return Error{Code::gone, name(slot) + " is not there"};
  }
  const Pod* const pod = pod_of(*job);
  if (const auto known = known_.find(id); known != known_.end() && known->second.withdrawn) {
    co_return Error{Code::gone, name(slot) + " was taken back"};
  }
  if (pod == nullptr || !pod->node.empty() || pod->ended()) {
    co_return Error{Code::conflict, name(slot) + (pod == nullptr ? " has no pod to take back" : " got its place")};
  }
  if (pod->meta.deleting) {
    co_return Error{Code::gone, name(slot) + " is being deleted"};
  }
  std::string path = fmt::format("/api/v1/namespaces/{}/pods/{}", options_.job.space, pod->meta.name);
  const Result<void> removed = co_await remove(std::move(path), pod->meta, deadline);
  if (removed || removed.error().code == Code::retry) {
    // It may have been done: then it ends as a failed Job that never ran.
    known_[id].withdrawn = true;
  }
  co_return removed;
}

aio::Task<Result<void>> JobFleet::drain(int slot, std::string id, aio::Deadline deadline) {
  const Job* const job = job_of(slot);
  if (job == nullptr || job->meta.uid != id || job->over()) {
    co_return Error{Code::gone, name(slot) + " is not there"};
  }
  const Pod* const pod = pod_of(*job);
  if (pod == nullptr || pod->ip.empty() || !pod->ready) {
    co_return Error{Code::conflict, name(slot) + " does not run yet"};
  }
  const Result<aio::Deadline> until = before(deadline);
  if (!until) {
    co_return until.error();
  }
  aio::http::Request request{.method = "POST", .target = "/drain"};
  const std::string url = worker_url(*pod);
  const Result<aio::http::Response> answer = co_await cluster_.workers().send(url, std::move(request), *until);
  if (answer && answer->status == 202) {
    co_return Result<void>{};
  }
  co_return Error{Code::invalid,
                  fmt::format("{} is idle and stays: its image does not take POST /drain ({})", name(slot),
                              answer ? fmt::format("it answers {}", answer->status) : answer.error().what)};
}

aio::Task<int> JobFleet::end_leftovers(aio::Deadline deadline) {
  std::vector<Meta> over;
  for (const auto& [where, job] : cluster_.jobs().with(key_prefix())) {
    const auto known = known_.find(job.meta.uid);
    const Pod* const pod = job.over() || known == known_.end() ? nullptr : pod_of(job);
    const bool left = pod != nullptr && !pod->ended() && !pod->meta.deleting && known->second.ended_at &&
                      clock_.now() - *known->second.ended_at >= leftovers_after;
    if (left && slot_of(options_.job.pool, job.meta.name)) {
      over.push_back(pod->meta);
    }
  }
  int ended = 0;
  for (const Meta& meta : over) {
    const Result<aio::Deadline> until = before(deadline);
    if (!until) {
      break;
    }
    Call call{.method = "DELETE",
              .path = fmt::format("/api/v1/namespaces/{}/pods/{}", meta.space, meta.name),
              .body = delete_options(meta, false, "")};
    const Result<std::string> answer = co_await cluster_.api().ask(std::move(call), *until);
    ended += answer ? 1 : 0;
  }
  co_return ended;
}

}  // namespace sluice::kube
