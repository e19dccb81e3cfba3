// SPDX-License-Identifier: Apache-2.0
#pragma once
// The insides of MemoryBroker: what is stored and how it moves. Not for use outside memory*.cc.
#include <deque>
#include <map>
#include <unordered_map>

#include "queue/memory.h"

namespace sluice::queue {

// A doubly linked list through two members of T: no allocation, O(1) removal from the middle.
template <class T, auto Prev, auto Next>
class Chain {
 public:
  [[nodiscard]] T* front() const { return head_; }
  [[nodiscard]] bool empty() const { return head_ == nullptr; }
  void push_back(T& item) { insert_before(nullptr, item); }
  void insert_before(T* where, T& item) {  // where null: at the end
    T*& back_link = where != nullptr ? where->*Prev : tail_;
    T* const before = back_link;
    item.*Prev = before;
    item.*Next = where;
    (before != nullptr ? before->*Next : head_) = &item;
    back_link = &item;
  }
  void erase(T& item) {
    (item.*Prev != nullptr ? item.*Prev->*Next : head_) = item.*Next;
    (item.*Next != nullptr ? item.*Next->*Prev : tail_) = item.*Prev;
    item.*Prev = nullptr;
    item.*Next = nullptr;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

struct MemoryHolder;

// One copy of one message.
struct MemoryItem {
  Message message;
  Trace* trace = nullptr;
  MemoryHolder* owner = nullptr;  // while held or running; null once its death is on the way
  std::uint64_t order = 0;        // its place in the line, kept over a requeue
  Time since;                     // published, or the end of its last delay
  Time lease_until;
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  // grows with each delivery, so that an old tag cannot settle a new one
  std::uint32_t attempts = 0;
  Place place = Place::ready;
  Cause cause = Cause::none;
  bool finished = false;
  bool fresh = true;           // never delivered
  bool lease_listed = false;   // has an entry in the due heap, which survives the reuse of this slot
  MemoryItem* prev = nullptr;  // in its lane or in its owner's list
  MemoryItem* next = nullptr;
  MemoryItem* fresh_prev = nullptr;
  MemoryItem* fresh_next = nullptr;

  [[nodiscard]] Tag tag() const { return (Tag{generation} << 32U) | index; }
};

using MemoryLine = Chain<MemoryItem, &MemoryItem::prev, &MemoryItem::next>;

// What the broker knows of one Receiver.
struct MemoryHolder {
  std::string who;
  bool open = false;
  bool cancelled = false;
  bool closed = false;
  bool dead = false;
  MemoryLine own;
  std::deque<Tag> arrived;  // taken from the line, not yet handed out
  std::function<void(Tag, const Error&)> lost = [](Tag, const Error&) {};
  std::optional<aio::Resumer> waiter;
  Time armed_for = Time::max();
  MemoryHolder* wait_prev = nullptr;
  MemoryHolder* wait_next = nullptr;
};

struct MemoryBroker::State {
  State(aio::Loop& l, aio::Clock& c, Random& r, MemoryOptions o) : loop(l), clock(c), random(r), options(o) {}

  // Applies what time has done: delays that ended, leases and deaths that fell due. Before every look at the state.
  void advance();
  [[nodiscard]] Time next_due() const { return due.empty() ? Time::max() : due.front().at; }

  // Takes the message, or says why not. `trace` is set when a copy is there: this one, or an earlier one of the same
  // id.
  std::string store(Message& message, Trace*& trace);
  MemoryItem* take(MemoryHolder& holder);  // the next ready one, now held; null when none
  [[nodiscard]] MemoryItem* find(const MemoryHolder& holder, Tag tag);
  [[nodiscard]] Delivery delivery(MemoryItem& item) const;
  Result<void> begin(MemoryHolder& holder, Tag tag);
  void finished(MemoryHolder& holder, Tag tag);
  Result<void> ack(MemoryHolder& holder, Tag tag);
  Result<void> retry(MemoryHolder& holder, Tag tag, Duration delay, Cause cause);
  Result<void> requeue(MemoryHolder& holder, Tag tag);
  Result<void> bury(MemoryHolder& holder, Tag tag, Cause cause, std::string why);
  Result<void> extend(MemoryHolder& holder, Tag tag);
  void stop_consuming(MemoryHolder& holder);
  void close(MemoryHolder& holder);
  void died(MemoryHolder& holder);
  void cut(MemoryHolder& holder);
  [[nodiscard]] model::Sample sample();

  // Lets the first waiting receiver look when there is something to take, and makes it watch the clock.
  void wake();
  // Waits out latency, frost and the fault before. False: the deadline came first. Both that and an Error: nothing
  // done.
  aio::Task<Result<bool>> enter(Op op, std::string_view who, aio::Deadline deadline);
  // An Error: done, and the answer got lost.
  aio::Task<Result<void>> leave(Op op, std::string_view who, aio::Deadline deadline);
  [[nodiscard]] bool instant() const {
    return faults == nullptr && options.latency_high == Duration{0} && frozen_until <= clock.now();
  }

  aio::Loop& loop;
  aio::Clock& clock;
  Random& random;
  MemoryOptions options;
  Faults* faults = nullptr;
  Time frozen_until;
  std::function<void(const MemoryEvent&)> watcher;

  struct Due {
    enum class Kind { delay, lease, death };
    Time at;
    std::uint64_t order;
    Kind kind;
    MemoryItem* item = nullptr;  // null for a death
  };
  struct Known {
    Trace trace;
    MemoryItem* live = nullptr;  // the last copy that is neither dead nor done
  };

  std::deque<MemoryItem> items;  // addresses stay
  std::vector<MemoryItem*> unused;
  std::unordered_map<std::string, Known> known;
  std::map<std::uint8_t, MemoryLine, std::greater<>> lanes;  // ready ones by priority
  Chain<MemoryItem, &MemoryItem::fresh_prev, &MemoryItem::fresh_next> fresh;
  std::vector<Due> due;  // a heap
  std::uint64_t order = 0;
  std::array<std::uint64_t, 6> counts{};  // by Place
  std::uint64_t published_n = 0;
  std::int64_t consumers = 0;
  std::vector<MemoryDeadLetter> dead;
  std::deque<model::Sample> sampled;  // the last answers, for stale ones
  std::vector<MemoryHolder*> holders;
  std::map<std::uint64_t, std::pair<std::string, MemoryLine>> orphans;  // by order of their death's entry in `due`
  Chain<MemoryHolder, &MemoryHolder::wait_prev, &MemoryHolder::wait_next> waiting;

 private:
  std::uint64_t push_due(Time at, Due::Kind kind, MemoryItem* item);
  void lease_over(MemoryItem& item);
  [[nodiscard]] MemoryLine& lane(const MemoryItem& item) { return lanes[item.message.priority]; }
  void move(MemoryItem& item, Place to);  // counts only
  void release(MemoryItem& item);         // out of its owner's list
  void drop(MemoryItem& item);            // the copy is done or dead: its slot is free again
  void join_line(MemoryItem& item, bool at_its_place);
  // Back to its place with `cause`; a begun one counts as an attempt unless it is handed back unfinished.
  void give_back(MemoryItem& item, Cause cause, std::string_view who);
  void give_back_dead(MemoryItem& item, std::string_view who);
  void tell(MemoryEvent::Kind kind, const MemoryItem& item, std::string_view who, Cause cause) const;
};

}  // namespace sluice::queue
