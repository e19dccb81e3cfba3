// SPDX-License-Identifier: Apache-2.0
#include "kube/objects.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <limits>
#include <utility>

namespace sluice::kube {
namespace {

namespace json = boost::json;

// Reads what it is asked for and remembers the first field that was of another kind.
class Fields {
 public:
  Fields(const json::value* value, std::string path, std::optional<Error>& error)
      : object_(value != nullptr ? value->if_object() : nullptr), path_(std::move(path)), error_(error) {
    if (value != nullptr && object_ == nullptr && !value->is_null()) {
      fail("", "an object");
    }
  }
  [[nodiscard]] const json::value* get(std::string_view key) const {
    const json::value* value = object_ != nullptr ? object_->if_contains({key.data(), key.size()}) : nullptr;
    return value != nullptr && !value->is_null() ? value : nullptr;
  }
  [[nodiscard]] Fields in(std::string_view key) const { return {get(key), path_ + "." + std::string(key), error_}; }
  void fail(std::string_view key, std::string_view accepted) const {
    if (!error_) {
      error_ = Error{Code::invalid, fmt::format("{}{}{}: not {}", path_, key.empty() ? "" : ".", key, accepted)};
    }
  }
  // The same, called by this name in errors.
  [[nodiscard]] Fields named(std::string_view key, std::string_view name) const {
    return {get(key), std::string(name), error_};
  }
  [[nodiscard]] std::string text(std::string_view key) const {
    const json::value* value = get(key);
    if (value != nullptr && !value->is_string()) {
      fail(key, "a string");
    }
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  }
  [[nodiscard]] std::int64_t number(std::string_view key) const {
    const json::value* value = get(key);
    if (value != nullptr && !value->is_int64()) {
      fail(key, "a whole number");
    }
    return value != nullptr && value->is_int64() ? value->get_int64() : 0;
  }
  // Counts and codes of the API are int32.
  [[nodiscard]] int small(std::string_view key) const {
    const std::int64_t n = number(key);
    if (n < std::numeric_limits<std::int32_t>::min() || n > std::numeric_limits<std::int32_t>::max()) {
      fail(key, "a number of 32 bits");
      return 0;
    }
    return static_cast<int>(n);
  }
  [[nodiscard]] bool truth(std::string_view key) const {
    const json::value* value = get(key);
    if (value != nullptr && !value->is_bool()) {
      fail(key, "true or false");
    }
    return value != nullptr && value->is_bool() && value->get_bool();
  }
  [[nodiscard]] std::optional<WallTime> time(std::string_view key) const {
    const std::string written = text(key);
    const std::optional<WallTime> at = written.empty() ? std::nullopt : parse_wall(written);
    if (!written.empty() && !at) {
      fail(key, "a time as in RFC 3339");
    }
    return at;
  }
  template <class Each>
  void each(std::string_view key, const Each& take) const {
    const json::value* value = get(key);
    if (value == nullptr) {
      return;
    }
    if (!value->is_array()) {
      fail(key, "an array");
      return;
    }
    for (std::size_t i = 0; i < value->get_array().size(); ++i) {
      take(Fields(&value->get_array()[i], fmt::format("{}.{}[{}]", path_, key, i), error_));
    }
  }
  // Calls take(type, status, its fields) for each.
  template <class Take>
  void conditions(const Take& take) const {
    each("conditions", [&](const Fields& one) { take(one.text("type"), one.text("status"), one); });
  }

 private:
  const json::object* object_;
  std::string path_;
  std::optional<Error>& error_;
};

// The API server's depth limit for what it stores is of this order; a Job's is about 20.
constexpr std::size_t depth_max = 64;

// What `read` makes of the object.
template <class T, class Read>
Result<T> of_text(std::string_view text, std::string_view name, const Read& read) {
  json::error_code failed;
  json::parse_options options;
  options.max_depth = depth_max;
  json::monotonic_resource memory;
  const json::value value = json::parse({text.data(), text.size()}, failed, &memory, options);
  if (failed) {
    return Error{Code::invalid, fmt::format("{}: no JSON that can be read: {}", name, failed.message())};
  }
  std::optional<Error> error;
  T out = read(Fields(&value, std::string(name), error));
  return error ? Result<T>(*error) : Result<T>(std::move(out));
}

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
                .started = {}};
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

Pod pod_of(const Fields& object) {
  const Fields status = object.in("status");
  Pod out{.meta = meta_of(object),
          .phase = phase_of(status.text("phase")),
          .reason = status.text("reason"),
          .message = status.text("message"),
          .node = object.in("spec").text("nodeName"),
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

template <class T>
Result<Event<T>> read_event(std::string_view json, std::string_view name, T (*of)(const Fields&)) {
  constexpr std::array<std::pair<std::string_view, EventType>, 5> words{{{"ADDED", EventType::added},
                                                                         {"MODIFIED", EventType::modified},
                                                                         {"DELETED", EventType::deleted},
                                                                         {"BOOKMARK", EventType::bookmark},
                                                                         {"ERROR", EventType::error}}};
  return of_text<Event<T>>(json, "event", [&](const Fields& event) {
    Event<T> out;
    const std::string type = event.text("type");
    const auto* const known = std::ranges::find(words, type, &decltype(words)::value_type::first);
    if (known == words.end() || event.get("object") == nullptr) {
      event.fail(known == words.end() ? "type" : "object", known == words.end() ? "a known type of event" : "there");
      return out;
    }
    out.type = known->second;
    const Fields object = event.named("object", name);
    if (out.type == EventType::error) {
      out.error = status_of(object);
    } else {
      out.object = of(object);
    }
    return out;
  });
}

}  // namespace

Result<Job> read_job(std::string_view json) {
  return of_text<Job>(json, "job", job_of);
}

Result<Pod> read_pod(std::string_view json) {
  return of_text<Pod>(json, "pod", pod_of);
}

Result<ListHead> read_list_head(std::string_view json) {
  return of_text<ListHead>(json, "list", [](const Fields& list) {
    const Fields fields = list.in("metadata");
    return ListHead{.version = fields.text("resourceVersion"), .more = fields.text("continue")};
  });
}

Result<Status> read_status(std::string_view json) {
  return of_text<Status>(json, "status", status_of);
}

Result<Event<Job>> read_job_event(std::string_view json) {
  return read_event<Job>(json, "job", job_of);
}

Result<Event<Pod>> read_pod_event(std::string_view json) {
  return read_event<Pod>(json, "pod", pod_of);
}

}  // namespace sluice::kube
