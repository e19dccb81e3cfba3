// SPDX-License-Identifier: Apache-2.0
#include "kube/cluster.h"

#include <fmt/core.h>

#include "aio/task_group.h"

namespace sluice::kube {
namespace {

// Of workers of sluice, whatever pool they are of.
std::string collection(std::string_view group, const std::string& space, std::string_view plural) {
  std::string path =
      space.empty() ? fmt::format("{}/{}", group, plural) : fmt::format("{}/namespaces/{}/{}", group, space, plural);
  add_parameter(path, "labelSelector", label_pool);
  return path;
}

// What a scaler waits for, in numbers that change then.
auto milestone(const Job& job) {
  return std::tuple(job.over(), job.suspended, job.meta.deleting.has_value());
}
auto milestone(const Pod& pod) {
  return std::tuple(pod.node.empty(), pod.ready, pod.ended(), pod.meta.deleting.has_value(), pod.unscheduled_reason);
}

template <class T, class Note>
auto on_change(const Note& note) {
  return [note](const T* before, const T* now) {
    if (before == nullptr || now == nullptr || milestone(*before) != milestone(*now)) {
      note(now != nullptr ? now->meta : before->meta);
    }
  };
}

}  // namespace

Cluster::Cluster(aio::Loop& loop, aio::Clock& clock, Random& random, Api& api, const std::string& space,
                 aio::http::Dial to_workers)
    : loop_(loop),
      clock_(clock),
      api_(api),
      workers_(loop, clock, aio::http::ClientOptions{.dial = std::move(to_workers)}),
      jobs_(api, clock, random,
            {.path = collection("/apis/batch/v1", space, "jobs"),
             .read = read_job,
             .read_event = read_job_event,
             .on_change = on_change<Job>([this](const Meta& meta) { note(meta); })}),
      pods_(api, clock, random,
            {.path = collection("/api/v1", space, "pods"),
             .read = read_pod,
             .read_event = read_pod_event,
             .on_change = on_change<Pod>([this](const Meta& meta) { note(meta); })}) {}

aio::Task<void> Cluster::run() {
  aio::TaskGroup group(loop_, clock_);
  group.spawn(jobs_.run());
  group.spawn(pods_.run());
  co_await group.join();
}

Result<Time> Cluster::observed_at() const {
  const Result<Time> jobs = observed(jobs_, clock_.now(), "Jobs");
  const Result<Time> pods = jobs ? observed(pods_, clock_.now(), "pods") : jobs;
  return jobs && pods ? Result<Time>(std::min(*jobs, *pods)) : pods;
}

std::shared_ptr<aio::Event> Cluster::changed(const std::string& space, const std::string& pool) {
  std::weak_ptr<aio::Event>& there = waiting_[space + "/" + pool];
  std::shared_ptr<aio::Event> event = there.lock();
  if (!event) {
    event = std::make_shared<aio::Event>(clock_);
    there = event;
  }
  return event;
}

void Cluster::note(const Meta& meta) {
  const auto at = waiting_.find(meta.space + "/" + meta.pool);
  if (at == waiting_.end()) {
    return;
  }
  if (const std::shared_ptr<aio::Event> event = at->second.lock()) {
    event->notify();
  } else {
    waiting_.erase(at);
  }
}

}  // namespace sluice::kube
