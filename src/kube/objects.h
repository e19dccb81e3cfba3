// SPDX-License-Identifier: Apache-2.0
#pragma once
// What sluice keeps of the API server's objects: a Job with its pod takes about 1 KiB, where their JSON takes 10.
// Times are the API server's: whole seconds, by its clock.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace sluice::kube {

inline constexpr std::string_view label_pool = "sluice.dev/pool";
// Annotations of ours. On a Job: "true" when its worker was started with idle exit off. On a pod: which of its
// containers is the worker, since their status comes sorted by name.
inline constexpr std::string_view annotation_stays = "sluice.dev/stays-when-idle";
inline constexpr std::string_view annotation_container = "sluice.dev/container";

// metadata, as far as anything here decides by it.
struct Meta {
  std::string space;  // namespace
  std::string name;
  std::string uid;
  std::string version;               // resourceVersion: compared for being the same, never for being later
  std::string pool;                  // label sluice.dev/pool; empty: not ours
  std::string owner;                 // uid of the controlling owner
  std::optional<WallTime> created;   // absent only in what the API server never stored
  std::optional<WallTime> deleting;  // deletionTimestamp: asked to go, not gone
};

struct Job {
  enum class End {
    none,
    succeeding,  // SuccessCriteriaMet: the end is known, pods may still run
    failing,     // FailureTarget
    complete,    // all of its pods have ended
    failed,
  };
  Meta meta;
  bool stays_when_idle = false;  // annotation_stays
  bool suspended = false;        // asked for (spec.suspend), by us or by Kueue
  int active = 0;                // pods that are pending or run, those being deleted apart
  int ready = 0;
  int terminating = 0;
  int succeeded_n = 0;
  int failed_n = 0;
  End end = End::none;
  std::string end_reason;  // BackoffLimitExceeded, DeadlineExceeded, PodFailurePolicy ..
  std::string end_message;
  std::optional<WallTime> ended;

  // Nothing of it runs, or will run again: its name may be given to another.
  [[nodiscard]] bool over() const {
    return (end == End::complete || end == End::failed) && active == 0 && terminating == 0;
  }
};

struct Container {
  enum class State { none, waiting, running, terminated };
  std::string name;
  State state = State::none;
  bool ready = false;
  int restarts = 0;
  int exit_code = 0;                 // when terminated
  std::string reason;                // ImagePullBackOff, CrashLoopBackOff, OOMKilled, Completed ..
  std::string message;               // when terminated: the last words
  std::optional<WallTime> started;   // when running or terminated
  std::optional<WallTime> finished;  // when terminated
};

struct Pod {
  enum class Phase { pending, running, succeeded, failed, unknown };
  Meta meta;
  Phase phase = Phase::pending;
  std::string reason;  // Evicted, NodeLost, DeadlineExceeded ..
  std::string message;
  std::string node;                // empty: not bound
  std::string ip;                  // empty: none yet
  std::string worker_container;    // annotation_container
  std::string unscheduled_reason;  // PodScheduled=False: Unschedulable, SchedulingGated; empty otherwise
  std::string unscheduled_message;
  bool ready = false;
  std::string disrupted;  // DisruptionTarget=True: its reason
  std::vector<Container> containers;

  [[nodiscard]] bool ended() const { return phase == Phase::succeeded || phase == Phase::failed; }
  // The status of the container that is the worker, the first where none is named; null: none has one yet.
  [[nodiscard]] const Container* worker() const;
};

// Of the text of one object. Code::invalid names the field that is not what it must be; what is absent keeps its
// default. Unknown fields are another version's affair.
[[nodiscard]] Result<Job> read_job(std::string_view json);
[[nodiscard]] Result<Pod> read_pod(std::string_view json);

// metadata of a list.
struct ListHead {
  std::string version;  // where a watch begins
  std::string more;     // the continue token of the next page; empty: this was the last
};
[[nodiscard]] Result<ListHead> read_list_head(std::string_view json);

// metav1.Status: how the API server says no.
struct Status {
  int code = 0;
  std::string reason;  // NotFound, AlreadyExists, Conflict, Expired, TooManyRequests, Forbidden ..
  std::string message;
  std::optional<std::int64_t> retry_after_s;
};
[[nodiscard]] Result<Status> read_status(std::string_view json);

// An event of the cluster about one object, as `kubectl describe` shows it.
struct Note {
  std::string reason;  // FailedCreate, NotTriggerScaleUp, TriggeredScaleUp ..
  std::string message;
  std::optional<WallTime> at;  // the last time
};
[[nodiscard]] Result<Note> read_note(std::string_view json);

// One line of a watch.
enum class EventType { added, modified, deleted, bookmark, error };
template <class T>
struct Event {
  EventType type = EventType::added;
  T object;      // of a bookmark its version alone
  Status error;  // why the watch ends; 410: what it was to begin with is forgotten
};
[[nodiscard]] Result<Event<Job>> read_job_event(std::string_view json);
[[nodiscard]] Result<Event<Pod>> read_pod_event(std::string_view json);

}  // namespace sluice::kube
