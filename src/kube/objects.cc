// SPDX-License-Identifier: Apache-2.0
#include "kube/objects.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kube/fields.h"

namespace sluice::kube {

Meta meta_of(const Fields& object) {
  const Fields fields = object.in("metadata");
  Meta out{.space = fields.text("namespace"),
           .name = fields.text("name"),
           .uid = fields.text("uid"),
           .version = fields.text("resourceVersion"),
           .pool = fields.in("labels").text(label_pool),
           .owner = {},
           .created = fields.time("creationTimestamp"),
           .deleting = fields.time("deletionTimestamp")};
  fields.each("ownerReferences", [&](const Fields& owner) {
    if (owner.truth("controller")) {
      out.owner = owner.text("uid");
    }
  });
  return out;
}

Status status_of(const Fields& status) {
  Status out{.code = status.small("code"),
             .reason = status.text("reason"),
             .message = status.text("message"),
             .retry_after_s = {}};
  const Fields details = status.in("details");
  if (details.get("retryAfterSeconds") != nullptr) {
    out.retry_after_s = details.number("retryAfterSeconds");
  }
  return out;
}

namespace {

// The conditions come in pairs, and only the second of each means that all pods have ended.
std::optional<Job::End> end_of(std::string_view condition) {
  constexpr std::array<std::pair<std::string_view, Job::End>, 4> words{{{"SuccessCriteriaMet", Job::End::succeeding},
                                                                        {"FailureTarget", Job::End::failing},
                                                                        {"Complete", Job::End::complete},
                                                                        {"Failed", Job::End::failed}}};
  const auto* const known = std::ranges::find(words, condition, &decltype(words)::value_type::first);
  return known != words.end() ? std::optional(known->second) : std::nullopt;
}

Job job_of(const Fields& object) {
  const Fields status = object.in("status");
  Job out{.meta = meta_of(object),
          .stays_when_idle = object.in("metadata").in("annotations").text(annotation_stays) == "true",
          .suspended = object.in("spec").truth("suspend"),
          .active = status.small("active"),
          .ready = status.small("ready"),
          .terminating = status.small("terminating"),
          .succeeded_n = status.small("succeeded"),
          .failed_n = status.small("failed"),
          .end = Job::End::none,
          .end_reason = {},
          .end_message = {},
          .ended = status.time("completionTime")};
  status.conditions([&](const std::string& type, const std::string& is, const Fields& condition) {
    const std::optional<Job::End> end = end_of(type);
    if (is == "True" && end && *end > out.end) {
      out.end = *end;
      out.end_reason = condition.text("reason");
      out.end_message = condition.text("message");
      if (!out.ended) {
        out.ended = condition.time("lastTransitionTime");
      }
    }
  });
  return out;
}

Container container_of(const Fields& fields) {
  Container out{.name = fields.text("name"),
                .state = Container::State::none,
                .ready = fields.truth("ready"),
                .restarts = fields.small("restartCount"),
                .exit_code = 0,
                .reason = {},
                .message = {},
                .started = {},
                .finished = {}};
  const Fields state = fields.in("state");
  constexpr std::array<std::pair<std::string_view, Container::State>, 3> words{
      {{"waiting", Container::State::waiting},
       {"running", Container::State::running},
       {"terminated", Container::State::terminated}}};
  for (const auto& [word, is] : words) {
    if (state.get(word) != nullptr) {
      const Fields how = state.in(word);
      out.state = is;
      out.reason = how.text("reason");
      out.message = how.text("message");
      out.exit_code = how.small("exitCode");
      out.started = how.time("startedAt");
      out.finished = how.time("finishedAt");
    }
  }
  return out;
}

Pod::Phase phase_of(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, Pod::Phase>, 4> words{{{"Pending", Pod::Phase::pending},
                                                                          {"Running", Pod::Phase::running},
                                                                          {"Succeeded", Pod::Phase::succeeded},
                                                                          {"Failed", Pod::Phase::failed}}};
  const auto* const known = std::ranges::find(words, word, &decltype(words)::value_type::first);
  if (known == words.end()) {
    return word.empty() ? Pod::Phase::pending : Pod::Phase::unknown;
  }
  return known->second;
}

}  // namespace

Pod pod_of(const Fields& object) {
  const Fields status = object.in("status");
  Pod out{.meta = meta_of(object),
          .phase = phase_of(status.text("phase")),
          .reason = status.text("reason"),
          .message = status.text("message"),
          .node = object.in("spec").text("nodeName"),
          .ip = status.text("podIP"),
          .worker_container = object.in("metadata").in("annotations").text(annotation_container),
          .unscheduled_reason = {},
          .unscheduled_message = {},
          .ready = false,
          .disrupted = {},
          .containers = {}};
  status.conditions([&](const std::string& type, const std::string& is, const Fields& condition) {
    if (type == "Ready") {
      out.ready = is == "True";
    } else if (type == "PodScheduled" && is == "False") {
      out.unscheduled_reason = condition.text("reason");
      out.unscheduled_message = condition.text("message");
    } else if (type == "DisruptionTarget" && is == "True") {
      out.disrupted = condition.text("reason");
    }
  });
  status.each("containerStatuses", [&](const Fields& one) { out.containers.push_back(container_of(one)); });
  return out;
}

const Container* Pod::worker() const {
  const auto named = std::ranges::find(containers, worker_container, &Container::name);
  if (named != containers.end()) {
    return &*named;
  }
  return containers.empty() || !worker_container.empty() ? nullptr : &containers.front();
}

Result<Job> read_job(std::string_view json) {
  return read_object<Job>(json, "job", job_of);
}

Result<Pod> read_pod(std::string_view json) {
  return read_object<Pod>(json, "pod", pod_of);
}

Result<ListHead> read_list_head(std::string_view json) {
  return read_object<ListHead>(json, "list", [](const Fields& list) {
    const Fields fields = list.in("metadata");
    return ListHead{.version = fields.text("resourceVersion"), .more = fields.text("continue")};
  });
}

Result<Status> read_status(std::string_view json) {
  return read_object<Status>(json, "status", status_of);
}

Result<Note> read_note(std::string_view json) {
  return read_object<Note>(json, "event", [](const Fields& event) {
    Note out{.reason = event.text("reason"), .message = event.text("message"), .at = event.time("lastTimestamp")};
    if (!out.at) {
      out.at = event.in("metadata").time("creationTimestamp");
    }
    return out;
  });
}

Result<Event<Job>> read_job_event(std::string_view json) {
  return read_event<Job>(json, "job", job_of);
}

Result<Event<Pod>> read_pod_event(std::string_view json) {
  return read_event<Pod>(json, "pod", pod_of);
}

}  // namespace sluice::kube
