// SPDX-License-Identifier: Apache-2.0
// The queue's half: messages come, are handed out, and are settled.
#include "lab/station.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::lab {
namespace {

std::uint32_t whole_ms(Us us) {
  return static_cast<std::uint32_t>(std::min<Us>((us + 999) / 1000, std::numeric_limits<std::uint32_t>::max()));
}

std::size_t bucket(std::int64_t ms) {
  constexpr const auto& bounds = model::Durations::bounds_ms;
  return static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), ms) - bounds.begin());
}

// How long a worker stays without work; `never` for those that do not leave by themselves.
Us idle_exit_of(const pool::PoolSpec& spec) {
  const std::optional<Duration> idle = pool::idle_exit(spec);
  return spec.workers.deployment || !idle ? never : to_us(*idle);
}

}  // namespace

Station::Station(const Place& place, const Load& load, const pool::Pool& pool)
    : agenda_(place.agenda),
      cluster_(place.cluster),
      number_(place.number),
      pool_(pool),
      load_(load),
      pods_(place.scenario.environment.pods),
      late_us_(to_us(place.scenario.late)),
      idle_exit_us_(idle_exit_of(pool.spec)),
      concurrency_(static_cast<std::uint32_t>(pool.spec.workers.concurrency)),
      prefetch_(std::max(static_cast<std::uint32_t>(pods_.prefetch.value_or(0)),
                         concurrency_ * static_cast<std::uint32_t>(pods_.prefetch ? 1 : pods_.batch))),
      arrivals_(load, place.files, place.seed, place.number),
      service_(load.service, place.files),
      start_(pods_.start, place.files),
      service_random_(stream(place.seed, Stream::service, place.number)),
      pods_random_(stream(place.seed, Stream::pods, place.number)),
      workers_(static_cast<std::size_t>(pool.spec.workers.max)),
      lanes_(workers_.size() * concurrency_),
      slot_ended_(workers_.size()) {
  cluster_.join(*this);
  next_arrival_ = arrivals_.next();
  if (next_arrival_ != never) {
    agenda_.enter(next_arrival_, Happens::arrival, number_);
  }
  for (const Duration at : load.purge) {
    agenda_.enter(to_us(at), Happens::purge, number_);
  }
}

void Station::happen(const Event& event) {
  switch (event.what) {
    case Happens::arrival:
      return arrive();
    case Happens::lane:
      return lane_ended(event.subject, event.generation);
    case Happens::started:
      return began(event.subject, event.generation);
    case Happens::crash:
      return crashed(event.subject, event.generation);
    case Happens::idle:
      return look_idle(event.subject, event.generation);
    case Happens::back:
      bring_back(bundles_[event.subject]);
      bundles_[event.subject].clear();
      return;
    case Happens::expiry:
      return expire();
    case Happens::purge:
      return purge();
    default:
      check(false, "an event that is not a pool's");
  }
}

void Station::arrive() {
  std::uint32_t id = static_cast<std::uint32_t>(messages_.size());
  if (unused_.empty()) {
    messages_.emplace_back();
  } else {
    id = unused_.back();
    unused_.pop_back();
  }
  messages_[id] = Message{.arrived = agenda_.now(), .service = service_.next(service_random_), .alive = true};
  ++measures_.published;
  ready_.push_back(id);
  if (load_.expiry && !expiry_watch_) {
    expiry_watch_ = true;
    agenda_.enter(agenda_.now() + to_us(*load_.expiry), Happens::expiry, number_);
  }
  hand_out();
  next_arrival_ = arrivals_.next();
  if (next_arrival_ != never) {
    agenda_.enter(next_arrival_, Happens::arrival, number_);
  }
}

void Station::hand_out() {
  while (!ready_.empty() && line_first_ != nobody) {
    give(pods_.dispatch == Dispatch::last_idle ? line_last_ : line_first_);
  }
}

// Messages for a unit of work, or, when the worker works on as many as it can, one to hold.
void Station::give(std::uint32_t number) {
  WorkerRow& worker = workers_[number];
  if (!worker.claimed) {
    worker.claimed = true;
    worker.claimed_at = agenda_.now();
  }
  if (worker.held == 0) {
    worker.since = agenda_.now();
  }
  const bool lane = worker.lanes_busy < concurrency_;
  const auto batch = static_cast<std::uint32_t>(pods_.batch);
  std::uint32_t taken = 0;
  const std::uint32_t most = lane ? std::min(batch, prefetch_ - worker.held) : 1;
  const std::uint32_t first =
      take_ready(static_cast<std::uint32_t>(std::min<std::int64_t>(most, may_take(worker))), taken);
  worker.held += taken;
  worker.taken += taken;
  in_flight_ += taken;
  if (lane) {
    begin_unit(number, first);
  } else {
    (worker.buffer_tail == nobody ? worker.buffer_head : messages_[worker.buffer_tail].next) = first;
    worker.buffer_tail = first;
  }
  leave_line(number);
  line_up(number);
}

// A chain of the first messages that wait.
std::uint32_t Station::take_ready(std::uint32_t most, std::uint32_t& taken) {
  const std::uint32_t first = ready_.front();
  std::uint32_t last = nobody;
  for (taken = 0; taken < most && !ready_.empty(); ++taken) {
    const std::uint32_t id = ready_.front();
    ready_.pop_front();
    Message& message = messages_[id];
    message.delivered = true;
    message.next = nobody;
    if (last != nobody) {
      messages_[last].next = id;
    }
    last = id;
  }
  return first;
}

void Station::begin_unit(std::uint32_t number, std::uint32_t first) {
  std::uint32_t index = number * concurrency_;
  while (lanes_[index].first != nobody) {
    ++index;
  }
  Lane& lane = lanes_[index];
  lane.first = first;
  lane.began = agenda_.now();
  ++workers_[number].lanes_busy;
  first_begun(messages_[first], agenda_.now());
  Us whole = 0;
  for (std::uint32_t id = first; id != nobody; id = messages_[id].next) {
    whole += messages_[id].service;
  }
  agenda_.enter(agenda_.now() + whole, Happens::lane, number_, index, lane.generation);
}

void Station::first_begun(Message& message, Us at) {
  if (message.begun) {
    return;
  }
  message.begun = true;
  const Us wait = at - message.arrived;
  measures_.waits_ms.push_back(whole_ms(wait));
  measures_.late += wait > late_us_ ? 1 : 0;
}

void Station::lane_ended(std::uint32_t index, std::uint32_t generation) {
  Lane& lane = lanes_[index];
  if (lane.generation != generation || lane.first == nobody) {
    return;
  }
  const std::uint32_t number = index / concurrency_;
  settle(workers_[number], lane);
  lane.first = nobody;
  ++lane.generation;
  --workers_[number].lanes_busy;
  work_done(number);
}

void Station::settle(WorkerRow& worker, const Lane& lane) {
  Us at = lane.began;
  for (std::uint32_t id = lane.first; id != nobody;) {
    Message& message = messages_[id];
    first_begun(message, at);
    const std::int64_t work_ms = whole_ms(message.service);
    const std::int64_t wait_ms = whole_ms(at - message.arrived);
    ++worker.work[bucket(work_ms)];
    ++worker.wait[bucket(wait_ms)];
    worker.work_ms += work_ms;
    worker.wait_ms += wait_ms;
    at += message.service;
    ++worker.settled;
    ++measures_.done;
    measures_.twice += message.handled ? 1 : 0;
    --worker.held;
    --in_flight_;
    const std::uint32_t next = message.next;
    drop(id);
    id = next;
  }
  measures_.busy_us += agenda_.now() - lane.began;
  measures_.last_done = agenda_.now();
}

// A worker has a lane free: what it holds comes first.
void Station::work_done(std::uint32_t number) {
  WorkerRow& worker = workers_[number];
  if (worker.buffer_head != nobody) {
    const std::uint32_t first = worker.buffer_head;
    std::uint32_t last = first;
    for (std::int64_t n = 1; n < pods_.batch && messages_[last].next != nobody; ++n) {
      last = messages_[last].next;
    }
    worker.buffer_head = messages_[last].next;
    worker.buffer_tail = worker.buffer_head == nobody ? nobody : worker.buffer_tail;
    messages_[last].next = nobody;
    begin_unit(number, first);
  }
  if (worker.draining || may_take(worker) == 0) {
    if (worker.held == 0) {
      end(number, model::EndKind::succeeded, worker.draining ? "drained" : "has had its messages");
    }
    return;
  }
  line_up(number);
  hand_out();
  if (worker.held == 0) {
    worker.since = agenda_.now();
    watch_idle(number);
  }
}

void Station::expire() {
  const Us expiry = to_us(*load_.expiry);
  while (!ready_.empty() && messages_[ready_.front()].arrived + expiry <= agenda_.now()) {
    const std::uint32_t id = ready_.front();
    ready_.pop_front();
    ++measures_.expired;
    drop(id);
  }
  expiry_watch_ = !ready_.empty();
  if (expiry_watch_) {
    agenda_.enter(messages_[ready_.front()].arrived + expiry, Happens::expiry, number_);
  }
}

void Station::purge() {
  for (const std::uint32_t id : ready_) {
    ++measures_.purged;
    drop(id);
  }
  ready_.clear();
}

// To the front again, in the order in which they came.
void Station::bring_back(const std::vector<std::uint32_t>& messages) {
  for (auto id = messages.rbegin(); id != messages.rend(); ++id) {
    ready_.push_front(*id);
    --in_flight_;
    ++measures_.redelivered;
  }
  if (load_.expiry && !expiry_watch_ && !messages.empty()) {
    expiry_watch_ = true;
    agenda_.enter(messages_[ready_.front()].arrived + to_us(*load_.expiry), Happens::expiry, number_);
  }
  hand_out();
}

void Station::drop(std::uint32_t id) {
  messages_[id].alive = false;
  unused_.push_back(id);
}

std::optional<Us> Station::oldest() const {
  for (const std::uint32_t id : ready_) {  // those that were delivered before stand in front, and are few
    if (!messages_[id].delivered) {
      return messages_[id].arrived;
    }
  }
  return std::nullopt;
}

void Station::finish() {
  std::int64_t there = 0;
  for (const Message& message : messages_) {
    if (!message.alive) {
      continue;
    }
    ++there;
    if (!message.begun) {
      const Us wait = agenda_.now() - message.arrived;
      measures_.waits_ms.push_back(whole_ms(wait));
      measures_.late += wait > late_us_ ? 1 : 0;
    }
  }
  measures_.unfinished = there;
  check(there == ready() + in_flight_, "a message is nowhere");
  check(measures_.published == measures_.done + measures_.expired + measures_.purged + there, "a message is lost");
  for (const WorkerRow& worker : workers_) {
    measures_.worker_us += worker.stage >= Stage::starting ? agenda_.now() - worker.placed_at : 0;
  }
  for (const Lane& lane : lanes_) {
    measures_.busy_us += lane.first == nobody ? 0 : agenda_.now() - lane.began;
  }
}

}  // namespace sluice::lab
