// SPDX-License-Identifier: Apache-2.0
#pragma once
// Holds the lease, on a thread of its own with connections of its own: whatever keeps the loop busy, a renewal is in
// time, and when the loop hangs it stops being renewed.
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "kube/access.h"
#include "kube/lease.h"

namespace sluice::kube {

struct LeaseKeeperOptions {
  LeaseOptions lease;
  Access access;
  ReadFile read;
  std::vector<std::string> environment;
  // A loop that did not beat for so long hangs: its lease runs out.
  Duration hang_max = std::chrono::seconds{10};
};

class LeaseKeeper {
 public:
  // `tell`: who holds the lease now, or why it is not known; called on the keeper's thread when that changes.
  LeaseKeeper(LeaseKeeperOptions options, std::function<void(const std::string&)> tell);
  // Releases the lease if that takes less than 3 s.
  ~LeaseKeeper();
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  // Any thread. Until when this process may write; in the past when it may not.
  [[nodiscard]] Time held_until() const;
  // The loop lives. Call it each second from there.
  void beat(Time now) { beat_.store(now.time_since_epoch().count()); }
  // Gives the lease up. From the return on held_until() is in the past; the server is told soon after.
  void release();

 private:
  class Keeping;
  struct Thread;
  void run();
  [[nodiscard]] aio::Task<void> keep(Keeping& keeping, aio::Clock& clock);

  const LeaseKeeperOptions options_;
  const std::function<void(const std::string&)> tell_;
  std::atomic<Duration::rep> held_until_ = Time::min().time_since_epoch().count();
  std::atomic<Duration::rep> beat_;
  std::atomic<bool> releasing_ = false;
  std::mutex holding_;  // of held_until_ against release()
  const std::unique_ptr<Thread> thread_;
};

}  // namespace sluice::kube
