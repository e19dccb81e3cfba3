// SPDX-License-Identifier: Apache-2.0
#pragma once
// One pool's queue and workers as a model: messages are numbers, workers are rows of a table, and nothing happens but
// by an event. The scaler around it is the real one; it sees this through lab/seams.h.
//
//   worker: off -start()-> waiting -a node-> starting -pod start-> running -idle, drained, crashed, node gone-> off
//   message: waiting -> with a worker -> done; back to the front of the queue when its worker dies
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "lab/arrivals.h"
#include "lab/cluster.h"
#include "lab/measures.h"
#include "model/fleet_view.h"
#include "model/tally.h"
#include "pool/types.h"

namespace sluice::lab {

inline constexpr std::uint32_t nobody = std::numeric_limits<std::uint32_t>::max();

enum class Stage : std::uint8_t { off, waiting, starting, running };

struct WorkerRow {
  Stage stage = Stage::off;
  bool stays = false;
  bool draining = false;
  bool claimed = false;
  bool in_line = false;     // may be given a message
  bool idle_watch = false;  // an event will look whether it has been idle for long enough
  int node = 0;
  std::uint32_t generation = 0;  // of this life's events
  std::uint32_t life = 0;        // of all lives in the pool, from 1
  std::uint32_t held = 0;        // messages it has
  std::uint32_t lanes_busy = 0;
  std::uint32_t buffer_head = nobody, buffer_tail = nobody;  // held and not begun
  std::uint32_t before = nobody, after = nobody;             // in the line
  Us asked_at = 0;
  Us since = 0;  // in its state, as a scaler sees it
  Us placed_at = 0;
  Us claimed_at = 0;
  Us idle_since = 0;
  std::int64_t taken = 0;  // messages, since it began
  std::int64_t settled = 0;
  std::array<std::int64_t, model::Durations::bounds_ms.size() + 1> work{}, wait{};  // by bucket, not cumulative
  std::int64_t work_ms = 0, wait_ms = 0;
};

struct Ended {
  model::EndedWorker worker;
  Us at = 0;
};

class Station final : public PodOwner {
 public:
  struct Place {  // what a pool is in; all outlive it
    Agenda& agenda;
    Cluster& cluster;
    const Scenario& scenario;
    const Files& files;
    std::int64_t seed;
    std::uint16_t number;
  };
  Station(const Place& place, const Load& load, const pool::Pool& pool);

  void happen(const Event& event);
  void placed(std::uint32_t worker, int node) override;
  void node_gone(std::uint32_t worker, int node) override;

  // The scaler's hand. start() returns why it was refused.
  [[nodiscard]] std::optional<std::string> start(std::uint32_t slot, bool stays);
  void withdraw(std::uint32_t slot);
  void drain(std::uint32_t slot);
  std::function<void()> on_change;  // something a scaler waits for: placed, ready, ended

  // What is there.
  [[nodiscard]] const std::vector<WorkerRow>& workers() const { return workers_; }
  [[nodiscard]] const std::vector<int>& free_slots();
  [[nodiscard]] const std::deque<Ended>& ended();  // of the last minutes, oldest first
  [[nodiscard]] std::int64_t ready() const { return static_cast<std::int64_t>(ready_.size()); }
  [[nodiscard]] std::int64_t in_flight() const { return in_flight_; }
  // When the oldest waiting message came that nobody had yet.
  [[nodiscard]] std::optional<Us> oldest() const;
  [[nodiscard]] const pool::Pool& pool() const { return pool_; }
  [[nodiscard]] const Measures& measures() const { return measures_; }
  [[nodiscard]] std::string name_of(std::uint32_t slot) const;
  [[nodiscard]] std::string id_of(std::uint32_t slot) const;

  // The end of the run: what still waits counts as it stands, and every message must be somewhere.
  void finish();

 private:
  struct Message {
    Us arrived = 0;
    Us service = 0;
    std::uint32_t next = nobody;
    bool delivered = false;  // to somebody, once
    bool begun = false;      // work began, once
    bool handled = false;    // worked on to its end by somebody who died before saying so
    bool alive = false;
  };
  struct Lane {
    std::uint32_t first = nobody;  // the unit's messages
    std::uint32_t generation = 0;
    Us began = 0;
  };

  void arrive();
  void lane_ended(std::uint32_t lane, std::uint32_t generation);
  void began(std::uint32_t worker, std::uint32_t generation);
  void crashed(std::uint32_t worker, std::uint32_t generation);
  void look_idle(std::uint32_t worker, std::uint32_t generation);
  void expire();
  void purge();

  void hand_out();
  void give(std::uint32_t worker);
  void begin_unit(std::uint32_t worker, std::uint32_t first);
  void first_begun(Message& message, Us at);
  void settle(WorkerRow& worker, const Lane& lane);
  [[nodiscard]] std::uint32_t take_ready(std::uint32_t most, std::uint32_t& taken);
  void work_done(std::uint32_t worker);
  void watch_idle(std::uint32_t worker);
  void end(std::uint32_t worker, model::EndKind kind, const char* why);
  [[nodiscard]] std::vector<std::uint32_t> let_go(std::uint32_t worker);
  void bring_back(const std::vector<std::uint32_t>& messages);
  void drop(std::uint32_t message);
  void line_up(std::uint32_t worker);
  [[nodiscard]] std::int64_t may_take(const WorkerRow& worker) const;
  void leave_line(std::uint32_t worker);
  void changed();

  Agenda& agenda_;
  Cluster& cluster_;
  std::uint16_t number_;
  pool::Pool pool_;
  const Load& load_;
  const Pods& pods_;
  Us late_us_;
  Us idle_exit_us_;
  std::uint32_t concurrency_;
  std::uint32_t prefetch_;
  Merged arrivals_;
  Draw service_, start_;
  Random service_random_, pods_random_;

  std::vector<Message> messages_;
  std::vector<std::uint32_t> unused_;
  std::deque<std::uint32_t> ready_;
  std::int64_t in_flight_ = 0;
  bool expiry_watch_ = false;
  std::vector<std::vector<std::uint32_t>> bundles_;  // on their way back

  std::vector<WorkerRow> workers_;
  std::vector<Lane> lanes_;
  std::uint32_t line_first_ = nobody, line_last_ = nobody;
  std::vector<std::optional<Us>> slot_ended_;
  std::vector<int> free_slots_;
  bool free_slots_known_ = false;
  std::deque<Ended> ended_;
  std::int64_t live_ = 0;
  std::uint32_t lives_ = 0;
  Us last_left_ = -1;
  Us next_arrival_ = never;
  Measures measures_;
};

}  // namespace sluice::lab
