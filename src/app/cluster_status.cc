// SPDX-License-Identifier: Apache-2.0
// The status of a WorkerPool, as kubectl shows it.
#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "app/cluster_pool.h"
#include "model/fleet_view.h"
#include "wiring/queues.h"

namespace sluice::app {
namespace {

namespace json = boost::json;

// metav1.Condition's limit, which the resource definition has too: beyond it the whole status would be refused.
constexpr std::size_t message_max = 32768;

// Whole lines of `message` as far as they fit, then how many more there are.
std::string fitting(std::string message) {
  if (message.size() <= message_max) {
    return message;
  }
  constexpr std::size_t last_line = 64;
  std::size_t end = message.rfind('\n', message_max - last_line);
  if (end == std::string::npos) {
    for (end = message_max - last_line; (static_cast<unsigned char>(message[end]) & 0xc0U) == 0x80; --end) {
    }
  }
  const auto more = std::count(message.begin() + static_cast<std::ptrdiff_t>(end) + 1, message.end(), '\n') + 1;
  message.resize(end);
  return message + fmt::format("\n.. and {} more", more);
}

// metav1.Condition. Its time is when the condition last came to be what it is: kept from the object where that is so.
json::object condition(const kube::PoolObject& object, std::string_view type, bool is, std::string_view reason,
                       const std::string& message, WallTime at) {
  const std::string status = is ? "True" : "False";
  std::string since = format_wall(at);
  for (const kube::Condition& known : object.conditions) {
    since = known.type == type && known.status == status && !known.since.empty() ? known.since : since;
  }
  return {{"type", type},
          {"status", status},
          {"reason", reason},
          {"message", fitting(message)},
          {"lastTransitionTime", since},
          {"observedGeneration", object.generation}};
}

json::array waiting(const model::Observation& seen) {
  json::array out;
  for (const model::SeenWaiting& one : seen.waiting) {
    out.push_back({{"worker", one.worker}, {"state", model::word(one.state)}, {"why", one.why}});
  }
  return out;
}

}  // namespace

std::string reason_word(std::string_view word) {
  std::string out(word);
  out.front() = static_cast<char>(out.front() - 'a' + 'A');
  return out;
}

std::string status_json(const pool::Pool& pool, const kube::PoolObject& object, const control::Snapshot& snapshot,
                        const std::string& installation, bool with_time) {
  const model::Observation& seen = snapshot.seen;
  const std::string& reason = snapshot.decision.reason;
  const std::string word = reason.substr(0, reason.find(':'));
  const std::string why = reason.size() > word.size() + 2 ? reason.substr(word.size() + 2) : "";
  const bool conflict = seen.fleet.hold && seen.fleet.hold->starts_with("conflict ");
  const std::string scaling = conflict ? "Conflict" : reason_word(word);
  const bool works = word != "blind" && word != "broken";
  json::object status{{"observedGeneration", object.generation},
                      {"controller", installation},
                      {"state", word},
                      {"why", why},
                      {"policy", pool::policy_word(pool.spec.policy)},
                      {"queue", wiring::text_of(pool.spec.queue)},
                      {"max", pool.spec.workers.max},
                      {"desired", snapshot.decision.workers},
                      {"claim", model::word(seen.fleet.claim)}};
  if (const auto& backlog = seen.queue.ready ? seen.queue.ready : seen.queue.total) {
    status["backlog"] = backlog->n;
    if (with_time) {
      status["sampledAt"] = format_wall(snapshot.at - std::chrono::milliseconds{backlog->age_ms});
    }
  }
  if (seen.queue.oldest_age) {
    status["oldest"] = humane_duration(std::chrono::milliseconds{seen.queue.oldest_age->ms});
  }
  if (seen.fleet.age_ms) {
    status["workers"] = seen.live();
    status["ready"] = seen.count(model::WorkerState::ready) + seen.claimed();
  }
  status["waiting"] = waiting(seen);
  status["conditions"] =
      json::array{condition(object, "Accepted", true, "Accepted", "the pool can be scaled", snapshot.at),
                  condition(object, "Ready", works, reason_word(word), reason, snapshot.at),
                  condition(object, "Scaling", works && word != "paused" && word != "full" && !seen.fleet.hold, scaling,
                            reason, snapshot.at)};
  return json::serialize(status);
}

std::string refusal_json(const kube::PoolObject& object, const std::string& why, const std::string& installation,
                         WallTime at) {
  const json::object status{
      {"observedGeneration", object.generation},
      {"controller", installation},
      {"state", "broken"},
      {"why", why.substr(0, why.find('\n'))},
      {"conditions", json::array{condition(object, "Accepted", false, "Invalid", why, at),
                                 condition(object, "Ready", false, "Broken", "the pool is not accepted", at),
                                 condition(object, "Scaling", false, "Broken", "the pool is not accepted", at)}}};
  return json::serialize(status);
}

aio::Task<Result<void>> write_status(kube::Api& api, kube::Meta meta, std::string status, aio::Deadline deadline) {
  kube::Call call{
      .method = "PATCH",
      .path = fmt::format("{}/namespaces/{}/workerpools/{}/status", kube::pool_group, meta.space, meta.name),
      .body = fmt::format(
          R"({{"apiVersion":"sluice.dev/v1alpha1","kind":"WorkerPool","metadata":{{"name":"{}"}},"status":{}}})",
          meta.name, status),
      .content_type = "application/apply-patch+yaml"};
  kube::add_parameter(call.path, "fieldManager", "sluice");
  kube::add_parameter(call.path, "force", "true");
  const Result<std::string> answer = co_await api.ask(std::move(call), deadline);
  co_return answer ? Result<void>{} : answer.error();
}

}  // namespace sluice::app
