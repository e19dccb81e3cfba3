// SPDX-License-Identifier: Apache-2.0
#pragma once
// An API server in memory, as far as lists and watches go: versions, pages, bookmarks, a past that it forgets. What it
// answers to everything else is the test's affair.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <functional>
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

  struct Answer {
    int status = 200;
    std::string body = "{}";
  };
  // Of all but lists and watches of whole collections. The path comes without its query, but for a dry run's.
  std::function<Answer(const std::string& method, const std::string& path, const std::string& body)> on_request =
      [](const std::string&, const std::string&, const std::string&) { return Answer{.status = 404}; };

  // A new version of an object, which it returns. `kind` is the last word of its collection's path.
  std::string put(const std::string& kind, const std::string& name, boost::json::object object) {
    const char* const type = objects_[kind].contains(name) ? "MODIFIED" : "ADDED";
    object["metadata"].as_object()["resourceVersion"] = fmt::format("{}", ++version_);
    const std::string text = boost::json::serialize(object);
    objects_[kind][name] = text;
    tell(kind, type, text);
    return text;
  }
  void remove(const std::string& kind, const std::string& name) {
    boost::json::value object = boost::json::parse(objects_[kind].at(name));
    object.as_object()["metadata"].as_object()["resourceVersion"] = fmt::format("{}", ++version_);
    tell(kind, "DELETED", boost::json::serialize(object));
    objects_[kind].erase(name);
  }
  // A Job.
  void set(const std::string& name, int active) {
    put("jobs", name, {{"metadata", {{"name", name}, {"uid", "u-" + name}}}, {"status", {{"active", active}}}});
  }
  void remove(const std::string& name) { remove("jobs", name); }
  void bookmark() { tell("jobs", "BOOKMARK", fmt::format(R"({{"metadata":{{"resourceVersion":"{}"}}}})", ++version_)); }
  // The last two events come in the other order, as from something broken between.
  void swap() { std::swap(past_.end()[-1].line, past_.end()[-2].line); }
  // Versions up to now are no longer known to watches.
  void forget() {
    past_.clear();
    forgotten_ = version_;
  }
  [[nodiscard]] std::map<std::string, int> active() const {
    std::map<std::string, int> out;
    for (const auto& [name, json] : objects_.at("jobs")) {
      out[name] = read_job(json)->active;
    }
    return out;
  }

  [[nodiscard]] aio::TaskGroup& group() { return group_; }

  // Ends watches, and takes no connection.
  void set_down(bool down) {
    down_ = down;
    changed_.notify();
  }

  std::size_t page = 500;
  bool ends_watches = false;  // at once, after what is known
  int lists = 0;              // pages apart
  int watches = 0;

 private:
  struct Told {
    int version;
    std::string kind;
    std::string line;
  };

  void tell(const std::string& kind, std::string_view type, const std::string& object) {
    past_.push_back({version_, kind, fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, object)});
    changed_.notify();
  }

  aio::Task<Result<std::unique_ptr<aio::Stream>>> connect(aio::Faults* faults, aio::Deadline deadline) {
    if (faults != nullptr) {
      const Result<void> step = co_await aio::connect_step(*faults, clock_, deadline);
      if (!step) {
        co_return step.error();
      }
    }
    if (down_) {
      co_return Error{Code::retry, "connection refused"};
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
      const std::size_t head = request.find("\r\n\r\n");
      const std::size_t length = request.find("Content-Length: ");
      const std::size_t body =
          length < head ? static_cast<std::size_t>(number(request.substr(length + 16, 9))) : std::size_t{0};
      if (head == std::string::npos || request.size() < head + 4 + body) {
        continue;
      }
      const std::string line = request.substr(0, request.find("\r\n"));
      const std::string content = request.substr(head + 4, body);
      request.clear();
      const bool goes_on = !down_ && co_await answer(*stream, line, content);
      if (!goes_on) {
        co_return;
      }
    }
  }

  // `line`: "GET /jobs?watch=1 HTTP/1.1"
  aio::Task<bool> answer(aio::Stream& stream, std::string line, std::string content) {
    const std::string method = line.substr(0, line.find(' '));
    const std::string path =
        line.substr(method.size() + 1, line.find_first_of("? ", method.size() + 1) - method.size() - 1);
    const std::string kind = path.substr(path.rfind('/') + 1);
    if (!parameter(line, "watch").empty()) {
      const bool goes_on = co_await watch(stream, kind, number(parameter(line, "resourceVersion")));
      co_return goes_on;
    }
    const bool whole = method == "GET" && parameter(line, "limit") != "";
    const std::string asked = parameter(line, "dryRun").empty() ? path : path + "?dryRun=All";
    const Answer out =
        whole ? Answer{.body = list(kind, parameter(line, "continue"))} : on_request(method, asked, content);
    const std::string text =
        fmt::format("HTTP/1.1 {} OK\r\nContent-Length: {}\r\n\r\n{}", out.status, out.body.size(), out.body);
    const Result<void> sent = co_await stream.write_all(text, aio::Deadline{});
    co_return sent.has_value();
  }

  std::string list(const std::string& kind, const std::string& after) {
    lists += after.empty() ? 1 : 0;
    const std::map<std::string, std::string>& all = objects_[kind];
    std::string items;
    std::string last;
    std::size_t n = 0;
    auto at = after.empty() ? all.begin() : all.upper_bound(after);
    for (; at != all.end() && n < page; ++at, ++n) {
      items += (items.empty() ? "" : ",") + at->second;
      last = at->first;
    }
    return fmt::format(R"({{"kind":"List","metadata":{{"resourceVersion":"{}","continue":"{}"}},"items":[{}]}})",
                       version_, at != all.end() ? last : "", items);
  }

  aio::Task<bool> watch(aio::Stream& stream, std::string kind, int from) {
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
          out += told.kind == kind ? fmt::format("{:x}\r\n{}\r\n", told.line.size(), told.line) : "";
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
      if (down_) {
        co_return false;
      }
    }
  }

  aio::Clock& clock_;
  aio::Event changed_;
  std::map<std::string, std::map<std::string, std::string>> objects_;  // by the name of their collection
  std::vector<Told> past_;
  bool down_ = false;
  int version_ = 100;
  int forgotten_ = 0;
  aio::TaskGroup group_;
};

}  // namespace sluice::kube
