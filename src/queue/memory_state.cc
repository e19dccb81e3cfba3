// SPDX-License-Identifier: Apache-2.0
#include "queue/memory_state.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::queue {

namespace {

Error not_held(Tag tag) {
  return Error{Code::gone, "delivery " + std::to_string(tag) + " is not held here: settled, or its lease is lost"};
}

bool counts_as_attempt(Cause cause) {
  return cause != Cause::requeued;
}

}  // namespace

void MemoryBroker::State::tell(MemoryEvent::Kind kind, const MemoryItem& item, std::string_view who,
                               Cause cause) const {
  if (watcher) {
    watcher(MemoryEvent{
        .kind = kind, .at = clock.now(), .id = item.message.id, .who = who, .attempts = item.attempts, .cause = cause});
  }
}

std::uint64_t MemoryBroker::State::push_due(Time at, Due::Kind kind, MemoryItem* item) {
  const std::uint64_t number = order++;
  due.push_back(Due{.at = at, .order = number, .kind = kind, .item = item});
  std::push_heap(due.begin(), due.end(),
                 [](const Due& a, const Due& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; });
  return number;
}

void MemoryBroker::State::advance() {
  if (due.empty() || due.front().at > clock.now()) {
    return;
  }
  const Time now = clock.now();
  while (!due.empty() && due.front().at <= now) {
    std::pop_heap(due.begin(), due.end(),
                  [](const Due& a, const Due& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; });
    const Due entry = due.back();
    due.pop_back();
    switch (entry.kind) {
      case Due::Kind::delay:
        entry.item->since = entry.at;
        tell(MemoryEvent::Kind::due, *entry.item, {}, entry.item->cause);
        join_line(*entry.item, false);
        break;
      case Due::Kind::lease:
        lease_over(*entry.item);
        break;
      case Due::Kind::death: {
        auto node = orphans.extract(entry.order);
        auto& [who, line] = node.mapped();
        while (!line.empty()) {
          MemoryItem& item = *line.front();
          line.erase(item);
          give_back_dead(item, who);
        }
        break;
      }
    }
  }
  wake();
}

// The slot may have been reused since the entry was made; what it holds now decides.
void MemoryBroker::State::lease_over(MemoryItem& item) {
  item.lease_listed = false;
  if (item.owner == nullptr) {
    return;
  }
  if (item.lease_until > clock.now()) {
    item.lease_listed = true;
    push_due(item.lease_until, Due::Kind::lease, &item);
    return;
  }
  const std::string_view who = item.owner->who;
  const Cause cause = item.finished ? Cause::ack_unknown : Cause::lost_lease;
  release(item);
  give_back(item, cause, who);
}

void MemoryBroker::State::move(MemoryItem& item, Place to) {
  --counts[static_cast<std::size_t>(item.place)];
  ++counts[static_cast<std::size_t>(to)];
  --item.trace->copies[static_cast<std::size_t>(item.place)];
  ++item.trace->copies[static_cast<std::size_t>(to)];
  item.place = to;
}

void MemoryBroker::State::release(MemoryItem& item) {
  item.owner->own.erase(item);
  item.owner = nullptr;
}

void MemoryBroker::State::drop(MemoryItem& item) {
  Known& entry = known.find(item.message.id)->second;
  if (entry.live == &item) {
    entry.live = nullptr;
  }
  unused.push_back(&item);
}

void MemoryBroker::State::join_line(MemoryItem& item, bool at_its_place) {
  if (item.place != Place::ready) {
    move(item, Place::ready);
  }
  MemoryLine& line = lane(item);
  if (!at_its_place) {
    item.order = order++;
    line.push_back(item);
    return;
  }
  // Returned ones are older than nearly all that wait, so the walk is short.
  MemoryItem* before = line.front();
  while (before != nullptr && before->order < item.order) {
    before = before->next;
  }
  line.insert_before(before, item);
}

void MemoryBroker::State::give_back(MemoryItem& item, Cause cause, std::string_view who) {
  if (item.place == Place::running && counts_as_attempt(cause)) {
    ++item.attempts;
  }
  item.finished = false;
  item.cause = cause;
  item.trace->cause = cause;
  tell(MemoryEvent::Kind::returned, item, who, cause);
  join_line(item, true);
}

void MemoryBroker::State::give_back_dead(MemoryItem& item, std::string_view who) {
  const Cause begun = item.finished ? Cause::ack_unknown : Cause::crash;
  give_back(item, item.place == Place::running ? begun : Cause::requeued, who);
}

std::string MemoryBroker::State::store(Message& message, Trace*& trace) {
  if (message.id.empty()) {
    return "the message has no id";
  }
  if (message.body.size() > options.body_max) {
    return "the body has " + std::to_string(message.body.size()) + " bytes; at most " +
           std::to_string(options.body_max) + " are taken";
  }
  Known& entry = known.try_emplace(message.id).first->second;
  trace = &entry.trace;
  if (options.dedupe && entry.live != nullptr) {
    return {};
  }
  MemoryItem* item = nullptr;
  if (unused.empty()) {
    item = &items.emplace_back();
    item->index = static_cast<std::uint32_t>(items.size());
  } else {
    item = unused.back();
    unused.pop_back();
  }
  item->message = std::move(message);
  if (!item->message.published_at) {
    item->message.published_at = clock.wall();
  }
  item->trace = &entry.trace;
  item->since = clock.now();
  item->attempts = 0;
  item->cause = Cause::none;
  item->finished = false;
  item->fresh = true;
  item->place = Place::ready;
  entry.live = item;
  ++entry.trace.copies[static_cast<std::size_t>(Place::ready)];
  ++counts[static_cast<std::size_t>(Place::ready)];
  ++published_n;
  fresh.push_back(*item);
  join_line(*item, false);
  tell(MemoryEvent::Kind::published, *item, {}, Cause::none);
  return {};
}

MemoryItem* MemoryBroker::State::take(MemoryHolder& holder) {
  for (auto& [priority, line] : lanes) {
    if (line.empty()) {
      continue;
    }
    MemoryItem& item = *line.front();
    line.erase(item);
    if (item.fresh) {
      fresh.erase(item);
      item.fresh = false;
    }
    move(item, Place::held);
    item.owner = &holder;
    holder.own.push_back(item);
    ++item.generation;
    ++item.trace->deliveries;
    item.trace->attempts = std::max(item.trace->attempts, item.attempts);
    if (options.lease) {
      item.lease_until = clock.now() + *options.lease;
      if (!item.lease_listed) {
        item.lease_listed = true;
        push_due(item.lease_until, Due::Kind::lease, &item);
      }
    }
    tell(MemoryEvent::Kind::delivered, item, holder.who, item.cause);
    return &item;
  }
  return nullptr;
}

MemoryItem* MemoryBroker::State::find(const MemoryHolder& holder, Tag tag) {
  const std::uint64_t index = tag & 0xffffffffU;
  if (index == 0 || index > items.size()) {
    return nullptr;
  }
  MemoryItem& item = items[index - 1];
  return item.owner == &holder && item.generation == tag >> 32U ? &item : nullptr;
}

Delivery MemoryBroker::State::delivery(MemoryItem& item) const {
  return Delivery{.message = item.message,
                  .tag = item.tag(),
                  .attempts = item.attempts,
                  .cause = item.cause,
                  .waited = clock.now() - item.since};
}

Result<void> MemoryBroker::State::begin(MemoryHolder& holder, Tag tag) {
  MemoryItem* item = find(holder, tag);
  if (item == nullptr) {
    return not_held(tag);
  }
  if (item->place == Place::held) {
    move(*item, Place::running);
    tell(MemoryEvent::Kind::begun, *item, holder.who, item->cause);
  }
  return {};
}

void MemoryBroker::State::finished(MemoryHolder& holder, Tag tag) {
  if (MemoryItem* item = find(holder, tag); item != nullptr && item->place == Place::running) {
    item->finished = true;
    tell(MemoryEvent::Kind::finished, *item, holder.who, item->cause);
  }
}

Result<void> MemoryBroker::State::ack(MemoryHolder& holder, Tag tag) {
  MemoryItem* item = find(holder, tag);
  if (item == nullptr) {
    return not_held(tag);
  }
  release(*item);
  move(*item, Place::done);
  tell(MemoryEvent::Kind::acked, *item, holder.who, Cause::none);
  drop(*item);
  return {};
}

Result<void> MemoryBroker::State::retry(MemoryHolder& holder, Tag tag, Duration delay, Cause cause) {
  MemoryItem* item = find(holder, tag);
  if (item == nullptr) {
    return not_held(tag);
  }
  release(*item);
  item->attempts += item->place == Place::running ? 1 : 0;
  item->finished = false;
  item->cause = cause;
  item->trace->cause = cause;
  move(*item, Place::delayed);
  tell(MemoryEvent::Kind::delayed, *item, holder.who, cause);
  push_due(clock.now() + std::max(delay, Duration{0}), Due::Kind::delay, item);
  return {};
}

Result<void> MemoryBroker::State::requeue(MemoryHolder& holder, Tag tag) {
  MemoryItem* item = find(holder, tag);
  if (item == nullptr) {
    return not_held(tag);
  }
  const Cause cause = item->finished ? Cause::ack_unknown : Cause::requeued;
  release(*item);
  give_back(*item, cause, holder.who);
  return {};
}

Result<void> MemoryBroker::State::bury(MemoryHolder& holder, Tag tag, Cause cause, std::string why) {
  MemoryItem* item = find(holder, tag);
  if (item == nullptr) {
    return not_held(tag);
  }
  release(*item);
  item->attempts += item->place == Place::running ? 1 : 0;
  item->trace->cause = cause;
  move(*item, Place::dead);
  tell(MemoryEvent::Kind::dead, *item, holder.who, cause);
  drop(*item);
  dead.push_back(MemoryDeadLetter{.message = std::move(item->message),
                                  .cause = cause,
                                  .attempts = item->attempts,
                                  .why = std::move(why),
                                  .who = holder.who,
                                  .at = clock.now()});
  return {};
}

Result<void> MemoryBroker::State::extend(MemoryHolder& holder, Tag tag) {
  MemoryItem* item = find(holder, tag);
  if (item == nullptr) {
    return not_held(tag);
  }
  if (options.lease) {
    item->lease_until = clock.now() + *options.lease;
  }
  return {};
}

void MemoryBroker::State::stop_consuming(MemoryHolder& holder) {
  consumers -= holder.open && !holder.cancelled ? 1 : 0;
  holder.cancelled = true;
  if (holder.waiter) {
    holder.waiter->wake(aio::Wake::ready);
  }
}

void MemoryBroker::State::close(MemoryHolder& holder) {
  stop_consuming(holder);
  holder.closed = true;
  while (!holder.own.empty()) {
    MemoryItem& item = *holder.own.front();
    const Cause cause = item.finished ? Cause::ack_unknown : Cause::requeued;
    release(item);
    give_back(item, cause, holder.who);
  }
  holder.arrived.clear();
}

void MemoryBroker::State::died(MemoryHolder& holder) {
  if (holder.dead) {
    return;
  }
  stop_consuming(holder);
  holder.dead = true;
  holder.arrived.clear();
  if (holder.own.empty()) {
    return;
  }
  for (MemoryItem* item = holder.own.front(); item != nullptr; item = item->next) {
    item->owner = nullptr;
  }
  const std::uint64_t number = push_due(clock.now() + options.notice_death, Due::Kind::death, nullptr);
  orphans.emplace(number, std::pair(holder.who, std::exchange(holder.own, {})));
}

void MemoryBroker::State::cut(MemoryHolder& holder) {
  std::vector<Tag> gone;
  for (const MemoryItem* item = holder.own.front(); item != nullptr; item = item->next) {
    if (std::ranges::find(holder.arrived, item->tag()) == holder.arrived.end()) {
      gone.push_back(item->tag());
    }
  }
  const bool cancelled = holder.cancelled;
  died(holder);
  holder.dead = false;
  holder.cancelled = cancelled;
  consumers += holder.open && !cancelled ? 1 : 0;
  for (const Tag tag : gone) {
    holder.lost(tag, Error{Code::retry, "the connection was cut"});
  }
}

model::Sample MemoryBroker::State::sample() {
  const Time now = clock.now();
  const auto reading = [now](std::uint64_t n) {
    return model::Reading{.n = static_cast<std::int64_t>(n), .observed_at = now};
  };
  const auto at = [this](Place place) { return counts[static_cast<std::size_t>(place)]; };
  const std::uint64_t flying = at(Place::held) + at(Place::running);
  // When only redelivered messages wait, the age of the oldest is not known: 0 would say that nothing waits.
  std::optional<model::OldestAge> oldest;
  if (!fresh.empty() || at(Place::ready) == 0) {
    const Duration age = fresh.empty() ? Duration{0} : now - fresh.front()->since;
    oldest = model::OldestAge{.age = age, .kind = model::AgeKind::exact, .observed_at = now};
  }
  return model::Sample{.ready = reading(at(Place::ready)),
                       .in_flight = reading(flying),
                       .total = reading(at(Place::ready) + flying),
                       .delayed = reading(at(Place::delayed)),
                       .dead = reading(at(Place::dead)),
                       .consumers = reading(static_cast<std::uint64_t>(consumers)),
                       .oldest_age = oldest,
                       .published_n = reading(published_n),
                       .acked_n = reading(at(Place::done))};
}

void MemoryBroker::State::wake() {
  MemoryHolder* first = waiting.front();
  if (first == nullptr) {
    return;
  }
  if (counts[static_cast<std::size_t>(Place::ready)] > 0) {
    first->waiter->wake(aio::Wake::ready);
  } else if (next_due() < first->armed_for) {
    first->armed_for = next_due();
    clock.wake_at(first->armed_for, *first->waiter);
  }
}

}  // namespace sluice::queue
