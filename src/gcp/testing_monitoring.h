// SPDX-License-Identifier: Apache-2.0
#pragma once
// Cloud Monitoring in memory, and our reader of it.
#include <fmt/core.h>
#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <string>

#include "gcp/cloud_monitoring.h"
#include "gcp/query.h"
#include "gcp/testing_google.h"

namespace sluice::gcp {

using namespace std::chrono_literals;
using aio::http::Request;
using aio::http::Response;
using model::Selector;
using Op = model::SelectorOperator;

inline constexpr const char* backlog = "pubsub.googleapis.com|subscription|num_undelivered_messages";
inline constexpr const char* descriptor_path =
    "/v3/projects/shop/metricDescriptors/pubsub.googleapis.com/subscription/num_undelivered_messages";

class FixedToken final : public TokenSource {
 public:
  aio::Task<Result<std::string>> token(aio::Deadline /*deadline*/) override { co_return answer; }
  void refused(const std::string& token) override {
    refused_with = token;
    answer = std::string("second");
  }
  Result<std::string> answer = std::string("S3CR3T-canary");
  std::string refused_with;
};

// Cloud Monitoring in memory: subscriptions with a number, sampled each minute, the sample seen `late` after it.
class MonitoringTest : public GoogleTest {
 protected:
  MonitoringTest() {
    answer_ = [this](const Request& request) { return serve(request); };
  }
  void run(const std::function<aio::Task<void>()>& body) {
    const auto whole = [&]() -> aio::Task<void> {
      options_.api.endpoint = "http://127.0.0.1:9";
      options_.api.dial = dial();
      options_.project = [](aio::Deadline) -> aio::Task<Result<std::string>> { co_return std::string("shop"); };
      monitoring_ = std::make_unique<CloudMonitoring>(loop_, clock_, tokens_, options_);
      co_await body();
    };
    GoogleTest::run(whole, [this] { monitoring_.reset(); });
  }
  aio::Task<Result<std::vector<Point>>> read(Selector selector, std::string metric = backlog) {
    Result<std::vector<Point>> out = co_await monitoring_->read(std::move(metric), std::move(selector), clock_.in(5s));
    co_return out;
  }
  static Selector subscription(const std::string& name) {
    return {{std::string(subscription_label), Op::equals, {name}}};
  }
  // The value in messages, or the error.
  aio::Task<std::string> count(std::string name) {
    const Result<std::vector<Point>> points = co_await read(subscription(name));
    co_return points ? fmt::format("{}", points->front().milli / 1000) : points.error().what;
  }
  aio::Task<Error> failure(std::string name) {
    const Result<std::vector<Point>> points = co_await read(subscription(name));
    co_return points ? Error{Code::conflict, "there is a value"} : points.error();
  }

  static std::string parameter(const Request& request, std::string_view name) {
    const std::string key = std::string(name) + "=";
    const std::size_t at = std::min(request.target.find("?" + key), request.target.find("&" + key));
    if (at == std::string::npos) {
      return "";
    }
    std::string out;
    const std::string text = request.target.substr(at + 1 + key.size());
    for (std::size_t i = 0; i < text.size() && text[i] != '&'; ++i) {
      const bool escape = text[i] == '%';
      out += escape ? static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16)) : text[i];
      i += escape ? 2 : 0;
    }
    return out;
  }

  Response serve(const Request& request) {
    if (request.target.find("/metricDescriptors/") != std::string::npos) {
      ++descriptors_;
      return request.target == descriptor_path
                 ? json(fmt::format(R"({{"metricKind":"{}","valueType":"INT64"}})", kind_))
                 : json("{}", 404);
    }
    ++lists_;
    return json(list(parameter(request, "filter"), parameter(request, "pageToken")));
  }
  // As much of a filter as is asked for here: all, one name, one_of.
  std::string list(const std::string& filter, const std::string& token) {
    std::string out;
    std::size_t i = 0;
    const std::size_t from = token.empty() ? 0 : std::stoul(token);
    std::string next;
    for (const auto& [name, n] : backlogs_) {
      const bool fits = filter.find(" AND ") == std::string::npos || filter.find(in_quotes(name)) != std::string::npos;
      if (!fits || i++ < from) {
        continue;
      }
      if (i > from + page_) {
        next = fmt::format(R"(,"nextPageToken":"{}")", i - 1);
        break;
      }
      out += (out.empty() ? "" : ",") + series(name, n);
    }
    return fmt::format(R"({{"timeSeries":[{}]{}}})", out, next);
  }
  std::string series(const std::string& name, std::int64_t n) {
    const auto end = std::chrono::floor<std::chrono::minutes>(frozen_at_.value_or(clock_.wall()) - late_);
    return fmt::format(
        R"({{"metric":{{"type":"x"}},"resource":{{"type":"pubsub_subscription","labels":{{"project_id":"shop",)"
        R"("subscription_id":"{}"}}}},"points":[{{"interval":{{"endTime":"{}"}},"value":{{"int64Value":"{}"}}}}]}})",
        name, format_wall(end), n);
  }

  std::shared_ptr<FixedToken> tokens_ = std::make_shared<FixedToken>();
  CloudMonitoringOptions options_;
  std::map<std::string, std::int64_t> backlogs_{{"orders", 42}};
  std::string kind_ = "GAUGE";
  std::chrono::seconds late_{120};
  std::optional<WallTime> frozen_at_;
  std::size_t page_ = 100'000;
  int descriptors_ = 0;
  int lists_ = 0;
  std::unique_ptr<CloudMonitoring> monitoring_;
};

}  // namespace sluice::gcp
