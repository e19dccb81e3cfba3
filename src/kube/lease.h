// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who of several controllers acts, by a Lease of coordination.k8s.io: the machine alone, without sockets.
//
// What makes it safe: a leader counts its time from when it *sent* the renewal that was granted, a standby from when it
// *saw* the last one, which is later; both on their own monotonic clocks, so that wall clocks may differ as they like.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace sluice::kube {

// A Lease as the API server has it.
struct LeaseRecord {
  std::string version;  // resourceVersion
  std::string holder;   // empty: released
  std::int64_t transitions = 0;
  std::optional<WallTime> acquired;
};
// Code::invalid names the field that is not what it must be.
[[nodiscard]] Result<LeaseRecord> read_lease(std::string_view json);

struct LeaseOptions {
  std::string space;
  std::string name;
  std::string me;  // of this process alone: the pod's name and a random part
  // Chosen: a leader that is killed is followed within 20 s, and 7 renewals may fail before one that lives gives up.
  Duration duration = std::chrono::seconds{15};
  Duration each = std::chrono::seconds{2};
};

class LeaseMachine {
 public:
  struct Step {
    enum class Kind { wait, get, create, update };
    Kind kind = Kind::wait;
    Time until;        // of wait: ask again then
    std::string body;  // of create and update: the Lease; the version in it makes a race a conflict
  };

  explicit LeaseMachine(LeaseOptions options) : options_(std::move(options)) {}

  // What to do now. Each step but wait is answered by exactly one of the next three, before step() is called again.
  [[nodiscard]] Step step(Time now, WallTime wall);
  // The Lease as a get, create or update returned it. `sent_at`: when the request went out.
  void granted(LeaseRecord record, Time sent_at, Time now);
  // The Lease is not there.
  void missing(Time now);
  // Nothing is known: cut off, refused, late, or somebody else was first.
  void failed(const Error& why, Time now);
  // From here on it may not act, gives up what it holds, tries that once, and asks for it no more.
  void release(Time now);

  // Until when this one may act; in the past when it may not.
  [[nodiscard]] Time held_until() const { return held_until_; }
  [[nodiscard]] bool leads(Time now) const { return now < held_until_; }
  // Who holds it, as far as is known.
  [[nodiscard]] const std::string& holder() const { return seen_.holder; }
  // Nothing is left to do after release().
  [[nodiscard]] bool released() const { return releasing_ && (tried_ || (known_ && !ours())); }

 private:
  [[nodiscard]] bool ours() const { return known_ && seen_.holder == options_.me; }
  [[nodiscard]] std::string body(std::string_view holder, WallTime wall) const;

  const LeaseOptions options_;
  bool known_ = false;    // seen_ is what the server has, or had a moment ago
  bool missing_ = false;  // it is not there
  bool writing_ = false;  // the step under way is a write
  bool releasing_ = false;
  bool tried_ = false;  // to release it, or there is nothing to release
  LeaseRecord seen_;
  Time seen_at_{};  // since when seen_.version is what it is, for all that is known here
  Time next_at_ = Time::min();
  Time held_until_ = Time::min();
};

}  // namespace sluice::kube
