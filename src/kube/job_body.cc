// SPDX-License-Identifier: Apache-2.0
#include "kube/job_body.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/number.h"
#include "kube/objects.h"

namespace sluice::kube {
namespace {

namespace json = boost::json;

constexpr std::int64_t kept_s = 24 * 3600L;   // design, section 9: a Job that has ended is kept for a day
constexpr std::int64_t worker_port = 7172;    // contracts, SLUICE_WORKER_PORT
constexpr std::int64_t grace_default_s = 30;  // Kubernetes' own
constexpr const char* volume_name = "sluice-queue-credentials";

// More than is added to any object here, so that what was looked up in it stays where it is.
void make_room(json::object& object) {
  object.reserve(object.size() + 16);
}

// The object of that name, made where there is none; null where there is something else. Its parent has room.
json::object* object_at(json::object& parent, std::string_view key) {
  json::value& value = parent[key];
  if (value.is_null()) {
    value.emplace_object();
  }
  if (json::object* const object = value.if_object()) {
    make_room(*object);
  }
  return value.if_object();
}

json::array* list(json::object& parent, std::string_view key) {
  json::value& value = parent[key];
  if (value.is_null()) {
    value.emplace_array();
  }
  return value.if_array();
}

void set_default(json::object& object, std::string_view key, json::value value) {
  if (json::value& there = object[key]; there.is_null()) {
    there = std::move(value);
  }
}

std::string_view name_of(const json::value& value) {
  const json::object* object = value.if_object();
  const json::value* name = object != nullptr ? object->if_contains("name") : nullptr;
  return name != nullptr && name->is_string() ? std::string_view(name->get_string()) : std::string_view();
}

// The last of a name counts, as in a pod: what was there before goes.
void set_variable(json::array& env, const std::string& name, const std::string& value) {
  const auto same = [&](const json::value& one) { return name_of(one) == name; };
  env.erase(std::remove_if(env.begin(), env.end(), same), env.end());
  env.push_back({{"name", name}, {"value", value}});
}

std::string_view word(const json::object& container, std::string_view key) {
  const json::value* value = container.if_contains(key);
  const json::array* words = value != nullptr ? value->if_array() : nullptr;
  return words != nullptr && !words->empty() && words->front().is_string()
             ? std::string_view(words->front().get_string())
             : std::string_view();
}

// `sluice work`, by its command line: its readiness means that the broker has accepted its consumer.
bool is_ours(const json::object& container) {
  const std::string_view command = word(container, "command");
  const std::string_view argument = word(container, "args");
  return command.substr(command.rfind('/') + 1) == "sluice" || (command.empty() && argument == "work");
}

void label(json::object& meta, const JobTemplate& job, int slot) {
  if (json::object* const labels = object_at(meta, "labels")) {
    (*labels)[label_pool] = job.pool;
    (*labels)["sluice.dev/slot"] = fmt::format("{}", slot);
    (*labels)["app.kubernetes.io/managed-by"] = "sluice";
  }
}

void add_environment(json::object& container, const JobTemplate& job, int slot, bool stays) {
  json::array* const env = list(container, "env");
  if (env == nullptr) {
    return;
  }
  const Variables own{{"SLUICE_POOL", job.space + "/" + job.pool},
                      {"SLUICE_WORKER", worker_name(job.pool, slot)},
                      {"SLUICE_SLOT", fmt::format("{}", slot)},
                      {"SLUICE_WORKER_PORT", fmt::format("{}", worker_port)},
                      {"SLUICE_IDLE_EXIT", stays ? "never" : job.idle_exit}};
  for (const Variables* all : {&job.env, &job.environment, &own}) {
    for (const auto& [name, value] : *all) {
      set_variable(*env, name, value);
    }
  }
  if (!job.secret.empty()) {
    set_variable(*env, "SLUICE_SECRETS", secrets_folder);
  }
}

void mount_secret(json::object& pod, json::object& container, const std::string& secret) {
  json::array* const volumes = list(pod, "volumes");
  json::array* const mounts = list(container, "volumeMounts");
  if (secret.empty() || volumes == nullptr || mounts == nullptr) {
    return;
  }
  volumes->push_back({{"name", volume_name}, {"secret", {{"secretName", secret}}}});
  mounts->push_back(
      {{"name", volume_name}, {"mountPath", fmt::format("{}/{}", secrets_folder, secret)}, {"readOnly", true}});
}

void complete_container(json::object& pod, json::object& container, const JobTemplate& job, int slot, bool stays) {
  if (!job.image.empty()) {
    container["image"] = job.image;
  }
  if (!job.argv.empty()) {
    container["command"] = json::value_from(job.argv);
    container.erase("args");
  }
  add_environment(container, job, slot, stays);
  mount_secret(pod, container, job.secret);
  if (is_ours(container)) {
    set_default(container, "readinessProbe",
                {{"httpGet", {{"path", "/worker"}, {"port", worker_port}}}, {"periodSeconds", 1}});
  }
  set_default(container, "terminationMessagePolicy", "FallbackToLogsOnError");
}

void complete_pod(json::object& meta, json::object& pod, const JobTemplate& job, std::string_view container) {
  set_default(pod, "restartPolicy", "Never");
  // A Service called sluice-worker would give its address as SLUICE_WORKER_PORT.
  set_default(pod, "enableServiceLinks", false);
  if (json::object* const annotations = object_at(meta, "annotations")) {
    // A node that is to go is drained by evicting its pods: a worker is left until it leaves by itself.
    set_default(*annotations, "cluster-autoscaler.kubernetes.io/safe-to-evict", "false");
    set_default(*annotations, "karpenter.sh/do-not-disrupt", "true");
    (*annotations)[annotation_container] = container;
  }
  if (job.max_runtime) {
    json::value& grace = pod["terminationGracePeriodSeconds"];
    const std::int64_t there = grace.is_int64() ? grace.get_int64() : grace_default_s;
    grace = std::max(there, std::chrono::ceil<std::chrono::seconds>(*job.max_runtime).count());
  }
}

Result<json::object*> worker_of(json::object& pod, const JobTemplate& job) {
  json::array* const containers = list(pod, "containers");
  if (containers == nullptr) {
    return Error{Code::invalid, "job.template: spec.template.spec.containers is not a list"};
  }
  if (containers->empty()) {
    if (job.image.empty()) {
      return Error{Code::invalid, "neither job.template has a container nor is there run.image"};
    }
    containers->push_back({{"name", job.container.empty() ? "worker" : job.container}});
  }
  const auto found = job.container.empty() ? containers->begin()
                                           : std::ranges::find(*containers, std::string_view(job.container), name_of);
  json::object* const container = found != containers->end() ? found->if_object() : nullptr;
  if (container == nullptr) {
    return Error{Code::invalid, "job.template has no container " + job.container};
  }
  make_room(*container);
  return container;
}

}  // namespace

std::string worker_name(const std::string& pool, int slot) {
  return fmt::format("{}-w{}", pool, slot);
}

std::optional<int> slot_of(std::string_view pool, std::string_view job) {
  if (!job.starts_with(pool) || !job.substr(pool.size()).starts_with("-w")) {
    return std::nullopt;
  }
  const std::string_view digits = job.substr(pool.size() + 2);
  const std::optional<int> slot = parse_number<int>(digits);
  const bool plain = slot && *slot >= 0 && digits == fmt::format("{}", *slot);
  return plain ? slot : std::nullopt;
}

Result<std::string> job_json(const JobTemplate& job, int slot, bool stays_when_idle) {
  json::error_code failed;
  json::value root = job.json.empty() ? json::value(json::object()) : json::parse(job.json, failed);
  json::object* const object = failed ? nullptr : root.if_object();
  if (object != nullptr) {
    make_room(*object);
  }
  json::object* const meta = object != nullptr ? object_at(*object, "metadata") : nullptr;
  json::object* const spec = object != nullptr ? object_at(*object, "spec") : nullptr;
  json::object* const pod_template = spec != nullptr ? object_at(*spec, "template") : nullptr;
  json::object* const pod_meta = pod_template != nullptr ? object_at(*pod_template, "metadata") : nullptr;
  json::object* const pod = pod_template != nullptr ? object_at(*pod_template, "spec") : nullptr;
  if (meta == nullptr || pod_meta == nullptr || pod == nullptr) {
    return Error{Code::invalid, "job.template is no JobTemplateSpec"};
  }
  const Result<json::object*> container = worker_of(*pod, job);
  if (!container) {
    return container.error();
  }
  complete_container(*pod, **container, job, slot, stays_when_idle);
  complete_pod(*pod_meta, *pod, job, name_of(json::value(**container)));
  label(*meta, job, slot);
  label(*pod_meta, job, slot);
  (*object)["apiVersion"] = "batch/v1";
  (*object)["kind"] = "Job";
  (*meta)["name"] = worker_name(job.pool, slot);
  (*meta)["namespace"] = job.space;
  if (json::object* const annotations = object_at(*meta, "annotations"); annotations != nullptr && stays_when_idle) {
    (*annotations)[annotation_stays] = "true";
  }
  for (const char* name : {"ownerReferences", "generateName"}) {
    meta->erase(name);  // a pool that goes must not take its workers along, and the name is the fence
  }
  (*spec)["parallelism"] = 1;
  (*spec)["completions"] = 1;
  (*spec)["backoffLimit"] = 0;
  set_default(*spec, "podReplacementPolicy", "Failed");
  set_default(*spec, "ttlSecondsAfterFinished", kept_s);
  return json::serialize(root);
}

}  // namespace sluice::kube
