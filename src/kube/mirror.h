// SPDX-License-Identifier: Apache-2.0
#pragma once
// A collection of the API server, kept here: listed page by page, then watched, then watched again from where that
// ended, and listed anew when the server has forgotten that version.
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <ranges>
#include <string>
#include <utility>

#include "aio/event.h"
#include "base/number.h"
#include "base/random.h"
#include "kube/api.h"

namespace sluice::kube {

template <class T>
struct MirrorOptions {
  std::string path;  // of the collection, with its selectors
  Result<T> (*read)(std::string_view json) = nullptr;
  Result<Event<T>> (*read_event)(std::string_view json) = nullptr;
  // Without a byte for this long a watch is begun anew. Bookmarks come each minute; what went silent is known in 90 s.
  Duration silence = std::chrono::seconds{80};
  Duration list_max = std::chrono::seconds{60};
  // After every change, by what was there before and what is there now; either may be null. In the middle of a change:
  // it notes or notifies, and calls nothing of the mirror.
  std::function<void(const T* before, const T* now)> on_change = [](const T*, const T*) {};
  // Told when reading begins to fail and why, and, with null, when it goes on.
  std::function<void(const Error* why)> trouble = [](const Error*) {};
};

template <class T>
class Mirror {
 public:
  // All references outlive it.
  Mirror(Api& api, aio::Clock& clock, Random& random, MirrorOptions<T> options)
      : api_(api), clock_(clock), random_(random), options_(std::move(options)), changed_(clock) {}

  // Follows until cancelled.
  [[nodiscard]] aio::Task<void> run() {
    while (true) {
      const Time began = clock_.now();
      const bool lists = version_.empty();
      aio::Task<Result<void>> asking = lists ? list() : follow();
      const Result<void> end = co_await std::move(asking);
      if (!end && (end.error().code == Code::gone || end.error().code == Code::invalid)) {
        version_.clear();  // what is kept stays as it was until it is listed anew
      }
      if (!end) {
        note(&end.error());
        co_await clock_.sleep_for(backoff_.next(random_));
      } else if (!lists) {
        // A server that ends each watch at once must not be asked in a loop.
        co_await clock_.sleep_until(began + backoff_options.base);
      }
    }
  }

  using Map = std::map<std::string, T, std::less<>>;
  // By "namespace/name". Empty until it was listed whole for the first time; never a part of a list.
  [[nodiscard]] const Map& all() const { return all_; }
  // Those whose key begins with `prefix`.
  [[nodiscard]] auto with(const std::string& prefix) const {
    std::string behind = prefix;
    ++behind.back();  // a prefix ends in a character of a name
    return std::ranges::subrange(all_.lower_bound(prefix), all_.lower_bound(behind));
  }
  // Takes in what a write of ours returned, so that nothing is decided on what was before it: it stays, whatever older
  // news of its name still come, until the server tells of this very object.
  void put(T object) {
    const std::string key = key_of(object);
    const auto at = all_.find(key);
    if (at != all_.end() && at->second.meta.uid == object.meta.uid) {
      return;  // the watch was faster
    }
    ours_[key] = object;
    set(key, std::move(object));
  }
  [[nodiscard]] bool listed() const { return listed_; }
  // When the server last said anything of it: what is kept is at least as new as that.
  [[nodiscard]] Time heard_at() const { return heard_at_; }
  // Up to when what is kept is what the server told: now, while it is followed, else when that broke.
  [[nodiscard]] Time true_at() const { return why_ ? broke_at_ : clock_.now(); }
  // Why it is not followed now.
  [[nodiscard]] const std::optional<Error>& why() const { return why_; }
  // Notified with every change of all().
  [[nodiscard]] aio::Event& changed() { return changed_; }

 private:
  // Chosen: what comes too late is among the last few.
  static constexpr std::size_t gone_max = 1000;
  static constexpr Backoff::Options backoff_options{.base = std::chrono::seconds{1}, .cap = std::chrono::seconds{30}};

  void note(const Error* why) {
    const bool news = (why != nullptr) != why_.has_value();
    broke_at_ = why != nullptr && news ? clock_.now() : broke_at_;
    why_ = why != nullptr ? std::optional(*why) : std::nullopt;
    heard_at_ = why == nullptr ? clock_.now() : heard_at_;
    if (news) {
      options_.trouble(why);
    }
  }

  [[nodiscard]] aio::Task<Result<void>> list() {
    Map all;
    ours_.clear();  // what is written before the list begins is in it
    TakeItem take = [&](std::string_view item) {
      Result<T> object = options_.read(item);
      if (object) {
        std::string key = key_of(*object);
        all.insert_or_assign(std::move(key), std::move(*object));
      }
      return object ? Result<void>{} : Result<void>(object.error());
    };
    const aio::Deadline deadline = clock_.in(options_.list_max);
    const Result<ListHead> head = co_await api_.list(options_.path, std::move(take), deadline);
    if (!head) {
      co_return head.error();
    }
    if (head->version.empty()) {
      co_return Error{Code::invalid, "the server's list has no resourceVersion"};
    }
    for (auto at = ours_.begin(); at != ours_.end();) {
      const auto listed = all.find(at->first);
      const bool there = listed != all.end() && listed->second.meta.uid == at->second.meta.uid;
      if (!there) {
        all.insert_or_assign(at->first, at->second);
      }
      at = there ? ours_.erase(at) : std::next(at);
    }
    std::swap(all_, all);
    gone_.clear();
    version_ = head->version;
    listed_ = true;
    backoff_.reset();
    note(nullptr);
    tell_differences(all);
    changed_.notify();
    co_return Result<void>{};
  }

  [[nodiscard]] aio::Task<Result<void>> follow() {
    TakeItem take = [this](std::string_view line) { return this->take(line); };
    WatchBegun begun = [this] { note(nullptr); };
    Result<void> end =
        co_await api_.watch(options_.path, version_, std::move(begun), std::move(take), options_.silence);
    co_return end;
  }

  [[nodiscard]] Result<void> take(std::string_view line) {
    Result<Event<T>> event = options_.read_event(line);
    if (!event) {
      return event.error();
    }
    if (event->type == EventType::error) {
      return Error{event->error.code == 410 ? Code::gone : Code::retry, event->error.message};
    }
    T& object = event->object;
    backoff_.reset();
    note(nullptr);
    version_ = object.meta.version;
    if (event->type == EventType::bookmark) {
      return {};
    }
    const std::string key = key_of(object);
    if (is_older(key, object)) {
      return {};
    }
    if (const auto ours = ours_.find(key); ours != ours_.end()) {
      if (ours->second.meta.uid != object.meta.uid) {
        return {};  // of the object that had this name before ours
      }
      ours_.erase(ours);
    }
    if (event->type != EventType::deleted) {
      set(key, std::move(object));
      return {};
    }
    if (gone_.size() >= gone_max) {
      gone_.clear();
    }
    gone_.insert_or_assign(key, object.meta.version);
    if (const auto gone = all_.find(key); gone != all_.end()) {
      const T before = std::move(gone->second);
      all_.erase(gone);
      tell(&before, nullptr);
    }
    return {};
  }

  // Whether something newer of this name is known. No server tells of one object in the wrong order; what breaks
  // between may, and would leave here what is not so until the next list. Versions are numbers that grow, whatever else
  // they were once declared to be.
  [[nodiscard]] bool is_older(const std::string& key, const T& object) const {
    const auto at = all_.find(key);
    const auto gone = gone_.find(key);
    if (at == all_.end() && gone == gone_.end()) {
      return false;
    }
    const std::string& known = at != all_.end() ? at->second.meta.version : gone->second;
    const auto was = parse_number<std::uint64_t>(known);
    const auto is = parse_number<std::uint64_t>(object.meta.version);
    return was && is && *is < *was;
  }

  static std::string key_of(const T& object) { return object.meta.space + "/" + object.meta.name; }

  void set(const std::string& key, T object) {
    const auto [at, first] = all_.try_emplace(key);
    const T before = std::exchange(at->second, std::move(object));
    tell(first ? nullptr : &before, &at->second);
  }

  void tell(const T* before, const T* now) {
    options_.on_change(before, now);
    changed_.notify();
  }

  void tell_differences(const Map& old) {
    for (const auto& [key, before] : old) {
      if (!all_.contains(key)) {
        options_.on_change(&before, nullptr);
      }
    }
    for (const auto& [key, now] : all_) {
      const auto before = old.find(key);
      const bool known = before != old.end();
      if (!known || before->second.meta.version != now.meta.version) {
        options_.on_change(known ? &before->second : nullptr, &now);
      }
    }
  }

  Api& api_;
  aio::Clock& clock_;
  Random& random_;
  const MirrorOptions<T> options_;
  Map all_;
  Map ours_;                                              // written by us, and not told of by the server yet
  std::map<std::string, std::string, std::less<>> gone_;  // the last that were deleted, and at which version
  std::string version_;                                   // where to go on; empty: with a list
  bool listed_ = false;
  Time heard_at_ = Time::min();
  Time broke_at_ = Time::min();
  std::optional<Error> why_;
  Backoff backoff_{backoff_options};
  aio::Event changed_;
};

// Chosen: a watch that is cut goes on within a second or two, and no pool has to hold for that.
inline constexpr Duration mirror_patience = std::chrono::seconds{10};

// Of when what `mirror` keeps is: everything up to then is in it, but for what was on its way. An Error where that is
// too long ago to decide on, or was never. `what`: the objects, in words.
template <class T>
[[nodiscard]] Result<Time> observed(const Mirror<T>& mirror, Time now, std::string_view what) {
  if (!mirror.listed()) {
    return mirror.why() ? mirror.why()->in(std::string("the ").append(what).append(" cannot be listed"))
                        : Error{Code::retry, std::string("the ").append(what).append(" are being listed")};
  }
  if (now - mirror.true_at() > mirror_patience) {
    return mirror.why()->in(std::string("the ").append(what).append(" cannot be followed"));
  }
  return mirror.true_at();
}

}  // namespace sluice::kube
