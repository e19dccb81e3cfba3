// SPDX-License-Identifier: Apache-2.0
#pragma once
// An API server in memory, as far as lists and watches go: versions, pages, bookmarks, a past that it forgets. What it
// says of Jobs was looked up at a real one.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <array>
#include <charconv>
#include <map>
#include <string>
#include <vector>

#include "aio/event.h"
#include "aio/faults.h"
#include "aio/task_group.h"
#include "aio/url.h"
#include "kube/api.h"

namespace sluice::kube {

class FakeApi {
 public:
  FakeApi(aio::Loop& loop, aio::Clock& clock) : clock_(clock), changed_(clock), group_(loop, clock) {}

  // For ApiOptions::dial. With `faults` every step of our side may fail.
  [[nodiscard]] aio::http::Dial dial(aio::Faults* faults = nullptr) {
    return [this, faults](const aio::Url&, aio::Deadline deadline) { return connect(faults, deadline); };
  }
  [[nodiscard]] aio::Task<void> stop() {
    group_.cancel();
    co_await group_.join();
  }

  void set(const std::string& name, int active) {
    const char* const type = jobs_.contains(name) ? "MODIFIED" : "ADDED";
    jobs_[name] =
        fmt::format(R"({{"metadata":{{"name":"{}","uid":"u-{}","resourceVersion":"{}"}},"status":{{"active":{}}}}})",
                    name, name, ++version_, active);
    tell(type, jobs_[name]);
  }
  void remove(const std::string& name) {
    tell("DELETED", fmt::format(R"({{"metadata":{{"name":"{}","resourceVersion":"{}"}}}})", name, ++version_));
    jobs_.erase(name);
  }
  void bookmark() { tell("BOOKMARK", fmt::format(R"({{"metadata":{{"resourceVersion":"{}"}}}})", ++version_)); }
  // Versions up to now are no longer known to watches.
  void forget() {
    past_.clear();
    forgotten_ = version_;
  }
  [[nodiscard]] std::map<std::string, int> active() const {
    std::map<std::string, int> out;
    for (const auto& [name, json] : jobs_) {
      out[name] = read_job(json)->active;
    }
    return out;
  }

  std::size_t page = 500;
  bool ends_watches = false;  // at once, after what is known
  int lists = 0;              // pages apart
  int watches = 0;

 private:
  struct Told {
    int version;
    std::string line;
  };

  void tell(std::string_view type, const std::string& object) {
    past_.push_back({version_, fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, object)});
    changed_.notify();
  }

  aio::Task<Result<std::unique_ptr<aio::Stream>>> connect(aio::Faults* faults, aio::Deadline deadline) {
    if (faults != nullptr) {
      const Result<void> step = co_await aio::connect_step(*faults, clock_, deadline);
      if (!step) {
        co_return step.error();
      }
    }
    aio::StreamPair pair = aio::stream_pair(clock_);
    if (faults != nullptr) {
      pair.first = aio::with_faults(std::move(pair.first), *faults, clock_);
    }
    group_.spawn(serve(std::move(pair.second)));
    co_return std::move(pair.first);
  }

  static std::string parameter(std::string_view target, std::string_view name) {
    const std::size_t at = target.find(fmt::format("{}=", name));
    if (at == std::string_view::npos) {
      return "";
    }
    const std::string_view value = target.substr(at + name.size() + 1);
    return std::string(value.substr(0, value.find_first_of("& ")));
  }
  static int number(const std::string& text) {
    int out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
  }

  aio::Task<void> serve(std::unique_ptr<aio::Stream> stream) {
    std::array<char, 8192> buffer;
    std::string request;
    while (true) {
      const Result<std::size_t> n = co_await stream->read_some(buffer, aio::Deadline{});
      if (n.value_or(0) == 0) {
        co_return;
      }
      request.append(buffer.data(), *n);
      if (!request.ends_with("\r\n\r\n")) {
        continue;
      }
      const std::string target = request.substr(0, request.find("\r\n"));
      request.clear();
      bool goes_on = true;
      if (!parameter(target, "watch").empty()) {
        goes_on = co_await watch(*stream, number(parameter(target, "resourceVersion")));
      } else {
        const std::string body = list(parameter(target, "continue"));
        const std::string answer = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
        const Result<void> sent = co_await stream->write_all(answer, aio::Deadline{});
        goes_on = sent.has_value();
      }
      if (!goes_on) {
        co_return;
      }
    }
  }

  std::string list(const std::string& after) {
    lists += after.empty() ? 1 : 0;
    std::string items;
    std::string last;
    std::size_t n = 0;
    auto at = after.empty() ? jobs_.begin() : jobs_.upper_bound(after);
    for (; at != jobs_.end() && n < page; ++at, ++n) {
      items += (items.empty() ? "" : ",") + at->second;
      last = at->first;
    }
    return fmt::format(R"({{"kind":"JobList","metadata":{{"resourceVersion":"{}","continue":"{}"}},"items":[{}]}})",
                       version_, at != jobs_.end() ? last : "", items);
  }

  aio::Task<bool> watch(aio::Stream& stream, int from) {
    ++watches;
    std::string out = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const bool forgotten = from < forgotten_;
    if (forgotten) {
      const std::string line =
          "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old resource version\"}}\n";
      out += fmt::format("{:x}\r\n{}\r\n", line.size(), line);
    }
    while (true) {
      for (const Told& told : past_) {
        if (told.version > from && !forgotten) {
          out += fmt::format("{:x}\r\n{}\r\n", told.line.size(), told.line);
          from = told.version;
        }
      }
      if (ends_watches || forgotten) {
        out += "0\r\n\r\n";
      }
      const Result<void> sent = co_await stream.write_all(std::exchange(out, ""), aio::Deadline{});
      if (!sent || ends_watches || forgotten) {
        co_return sent.has_value();
      }
      co_await changed_.wait(aio::Deadline{});
    }
  }

  aio::Clock& clock_;
  aio::Event changed_;
  std::map<std::string, std::string> jobs_;
  std::vector<Told> past_;
  int version_ = 100;
  int forgotten_ = 0;
  aio::TaskGroup group_;
};

}  // namespace sluice::kube
