// SPDX-License-Identifier: Apache-2.0
// The workers' half: from being asked for to the end.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "fleet/ending.h"
#include "lab/station.h"

namespace sluice::lab {
namespace {

using model::EndKind;

constexpr Us flap_us = 60'000'000;         // chosen: a worker that comes back so soon was not worth sending away
constexpr Us remembered_us = 300'000'000;  // chosen: a scaler that looks more rarely than that is no scaler

}  // namespace

std::optional<std::string> Station::start(std::uint32_t slot, bool stays) {
  WorkerRow& worker = workers_[slot];
  if (worker.stage != Stage::off) {
    return std::nullopt;
  }
  const Us now = agenda_.now();
  worker = WorkerRow{.stage = Stage::waiting,
                     .stays = stays,
                     .generation = worker.generation + 1,
                     .life = ++lives_,
                     .asked_at = now,
                     .since = now};
  if (const std::optional<std::string> refused = cluster_.add({number_, slot})) {
    worker.stage = Stage::off;
    --lives_;
    ++measures_.refused;
    return refused;
  }
  free_slots_known_ = false;
  ++measures_.starts;
  measures_.flaps += last_left_ >= 0 && now - last_left_ <= flap_us ? 1 : 0;
  measures_.peak = std::max(measures_.peak, ++live_);
  return std::nullopt;
}

void Station::placed(std::uint32_t number, int node) {
  WorkerRow& worker = workers_[number];
  worker.stage = Stage::starting;
  worker.node = node;
  worker.placed_at = worker.since = agenda_.now();
  agenda_.enter(agenda_.now() + start_.next(pods_random_), Happens::started, number_, number, worker.generation);
  changed();
}

void Station::began(std::uint32_t number, std::uint32_t generation) {
  WorkerRow& worker = workers_[number];
  if (worker.generation != generation || worker.stage != Stage::starting) {
    return;
  }
  worker.stage = Stage::running;
  worker.since = agenda_.now();
  if (pods_.crash) {
    const Us life = exponential(pods_random_, static_cast<double>(to_us(*pods_.crash)));
    agenda_.enter(agenda_.now() + life, Happens::crash, number_, number, generation);
  }
  line_up(number);
  hand_out();
  if (worker.held == 0) {
    watch_idle(number);
  }
  changed();
}

void Station::watch_idle(std::uint32_t number) {
  WorkerRow& worker = workers_[number];
  worker.idle_since = agenda_.now();
  if (!worker.stays && !worker.idle_watch && idle_exit_us_ != never) {
    worker.idle_watch = true;
    agenda_.enter(worker.idle_since + idle_exit_us_, Happens::idle, number_, number, worker.generation);
  }
}

void Station::look_idle(std::uint32_t number, std::uint32_t generation) {
  WorkerRow& worker = workers_[number];
  if (worker.generation != generation || worker.stage != Stage::running) {
    return;
  }
  worker.idle_watch = false;
  if (worker.held > 0) {
    return;
  }
  if (worker.idle_since + idle_exit_us_ <= agenda_.now()) {
    end(number, EndKind::succeeded, "idle");
    return;
  }
  worker.idle_watch = true;
  agenda_.enter(worker.idle_since + idle_exit_us_, Happens::idle, number_, number, generation);
}

void Station::crashed(std::uint32_t number, std::uint32_t generation) {
  WorkerRow& worker = workers_[number];
  if (worker.generation != generation || worker.stage != Stage::running) {
    return;
  }
  ++measures_.crashes;
  const fleet::EndFacts facts{.exit_code = 1,
                              .settled = worker.settled,
                              .was_ready = true,
                              .ran = to_duration(agenda_.now() - worker.placed_at)};
  end(number, fleet::end_kind(facts), "exit status 1");
}

void Station::node_gone(std::uint32_t number, int /*node*/) {
  WorkerRow& worker = workers_[number];
  worker.node = 0;
  end(number, EndKind::lost, "its node is gone");
}

void Station::withdraw(std::uint32_t slot) {
  check(workers_[slot].stage == Stage::waiting, "only a worker without a place is withdrawn");
  cluster_.remove({number_, slot}, 0);
  workers_[slot].stage = Stage::off;
  --live_;
  free_slots_known_ = false;
}

void Station::drain(std::uint32_t slot) {
  WorkerRow& worker = workers_[slot];
  worker.draining = true;
  worker.since = agenda_.now();
  leave_line(slot);
  if (worker.held == 0) {
    end(slot, EndKind::succeeded, "drained");
  }
}

void Station::end(std::uint32_t number, EndKind kind, const char* why) {
  WorkerRow& worker = workers_[number];
  const bool ready = worker.stage == Stage::running;
  leave_line(number);
  const std::vector<std::uint32_t> back = let_go(number);
  measures_.worker_us += agenda_.now() - worker.placed_at;
  measures_.unused += worker.claimed ? 0 : 1;
  const int node = std::exchange(worker.node, 0);
  worker.stage = Stage::off;
  --live_;
  last_left_ = kind == EndKind::succeeded ? agenda_.now() : last_left_;
  free_slots_known_ = false;
  slot_ended_[number] = agenda_.now();
  ended_.push_back({.worker = {.slot = static_cast<int>(number),
                               .name = name_of(number),
                               .id = id_of(number),
                               .kind = kind,
                               .started = ready,
                               .why = why,
                               .ended_at = Time{}},
                    .at = agenda_.now()});
  if (node > 0) {
    cluster_.remove({number_, number}, node);
  }
  if (pods_.redelivery == Duration{0}) {
    bring_back(back);
  } else if (!back.empty()) {
    agenda_.enter(agenda_.now() + to_us(pods_.redelivery), Happens::back, number_,
                  static_cast<std::uint32_t>(bundles_.size()));
    bundles_.push_back(back);
  }
  changed();
}

// What it had, oldest first; what it had done of that will be done twice.
std::vector<std::uint32_t> Station::let_go(std::uint32_t number) {
  WorkerRow& worker = workers_[number];
  std::vector<std::uint32_t> out;
  const Us now = agenda_.now();
  for (std::uint32_t index = number * concurrency_; index < (number + 1) * concurrency_; ++index) {
    Lane& lane = lanes_[index];
    if (lane.first == nobody) {
      continue;
    }
    Us at = lane.began;
    for (std::uint32_t id = lane.first; id != nobody; id = messages_[id].next) {
      Message& message = messages_[id];
      if (at <= now) {
        first_begun(message, at);
      }
      at += message.service;
      message.handled = message.handled || at <= now;
      out.push_back(id);
    }
    measures_.busy_us += now - lane.began;
    lane.first = nobody;
    ++lane.generation;
  }
  for (std::uint32_t id = worker.buffer_head; id != nobody; id = messages_[id].next) {
    out.push_back(id);
  }
  worker.buffer_head = worker.buffer_tail = nobody;
  worker.held = worker.lanes_busy = 0;
  std::ranges::sort(out, {}, [this](std::uint32_t id) { return std::pair(messages_[id].arrived, id); });
  return out;
}

std::int64_t Station::may_take(const WorkerRow& worker) const {
  return pods_.messages ? *pods_.messages - worker.taken : std::numeric_limits<std::int64_t>::max();
}

void Station::line_up(std::uint32_t number) {
  WorkerRow& worker = workers_[number];
  const bool takes = worker.stage == Stage::running && worker.held < prefetch_ && may_take(worker) > 0;
  if (worker.in_line || worker.draining || !takes) {
    return;
  }
  worker.in_line = true;
  worker.before = line_last_;
  worker.after = nobody;
  (line_last_ == nobody ? line_first_ : workers_[line_last_].after) = number;
  line_last_ = number;
}

void Station::leave_line(std::uint32_t number) {
  WorkerRow& worker = workers_[number];
  if (!worker.in_line) {
    return;
  }
  worker.in_line = false;
  (worker.before == nobody ? line_first_ : workers_[worker.before].after) = worker.after;
  (worker.after == nobody ? line_last_ : workers_[worker.after].before) = worker.before;
}

void Station::changed() {
  if (on_change) {
    on_change();
  }
}

const std::vector<int>& Station::free_slots() {
  if (!free_slots_known_) {
    std::vector<fleet::FreeSlot> free;
    for (std::size_t slot = 0; slot < workers_.size(); ++slot) {
      if (workers_[slot].stage == Stage::off) {
        const std::optional<Us> at = slot_ended_[slot];
        free.push_back({static_cast<int>(slot), at ? std::optional(Time{to_duration(*at)}) : std::nullopt});
      }
    }
    free_slots_ = fleet::in_order_of_use(std::move(free));
    free_slots_known_ = true;
  }
  return free_slots_;
}

const std::deque<Ended>& Station::ended() {
  while (!ended_.empty() && ended_.front().at + remembered_us < agenda_.now()) {
    ended_.pop_front();
  }
  return ended_;
}

std::string Station::name_of(std::uint32_t slot) const {
  return fmt::format("{}-w{}", pool_.name, slot);
}

std::string Station::id_of(std::uint32_t slot) const {
  return fmt::format("{}-{}", slot, workers_[slot].life);
}

}  // namespace sluice::lab
