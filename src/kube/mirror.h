// SPDX-License-Identifier: Apache-2.0
#pragma once
// A collection of the API server, kept here: listed page by page, then watched, then watched again from where that
// ended, and listed anew when the server has forgotten that version.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "aio/event.h"
#include "base/random.h"
#include "kube/api.h"

namespace sluice::kube {

template <class T>
struct MirrorOptions {
  std::string path;  // of the collection, with its selectors
  Result<T> (*read)(std::string_view json) = nullptr;
  Result<Event<T>> (*read_event)(std::string_view json) = nullptr;
  // Without a byte for this long a watch is begun anew. Bookmarks come each minute.
  Duration silence = std::chrono::seconds{90};
  Duration list_max = std::chrono::seconds{60};
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
      }
      if (!end) {
        co_await clock_.sleep_for(backoff_.next(random_));
      } else if (!lists) {
        // A server that ends each watch at once must not be asked in a loop.
        co_await clock_.sleep_until(began + backoff_options.base);
      }
    }
  }

  // By name. Empty until it was listed whole for the first time; never a part of a list.
  [[nodiscard]] const std::map<std::string, T, std::less<>>& all() const { return all_; }
  [[nodiscard]] bool listed() const { return listed_; }
  // When the server last said anything of it: what is kept is at least as new as that.
  [[nodiscard]] Time heard_at() const { return heard_at_; }
  // Why it is not followed now.
  [[nodiscard]] const std::optional<Error>& why() const { return why_; }
  // Notified with every change of all().
  [[nodiscard]] aio::Event& changed() { return changed_; }

 private:
  static constexpr Backoff::Options backoff_options{.base = std::chrono::seconds{1}, .cap = std::chrono::seconds{30}};

  void note(const Error* why) {
    const bool news = (why != nullptr) != why_.has_value();
    why_ = why != nullptr ? std::optional(*why) : std::nullopt;
    heard_at_ = why == nullptr ? clock_.now() : heard_at_;
    if (news) {
      options_.trouble(why);
    }
  }

  [[nodiscard]] aio::Task<Result<void>> list() {
    std::map<std::string, T, std::less<>> all;
    TakeItem take = [&](std::string_view item) {
      Result<T> object = options_.read(item);
      if (object) {
        std::string name = object->meta.name;
        all.insert_or_assign(std::move(name), std::move(*object));
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
    all_ = std::move(all);
    version_ = head->version;
    listed_ = true;
    backoff_.reset();
    note(nullptr);
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
    std::string name = object.meta.name;
    if (event->type == EventType::deleted) {
      all_.erase(name);
    } else {
      all_.insert_or_assign(std::move(name), std::move(object));
    }
    changed_.notify();
    return {};
  }

  Api& api_;
  aio::Clock& clock_;
  Random& random_;
  const MirrorOptions<T> options_;
  std::map<std::string, T, std::less<>> all_;
  std::string version_;  // where to go on; empty: with a list
  bool listed_ = false;
  Time heard_at_ = Time::min();
  std::optional<Error> why_;
  Backoff backoff_{backoff_options};
  aio::Event changed_;
};

}  // namespace sluice::kube
