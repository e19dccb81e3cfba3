// SPDX-License-Identifier: Apache-2.0
#include "gcp/monitoring_api.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <ranges>

#include "aio/url.h"
#include "gcp/key.h"
#include "gcp/query.h"

namespace sluice::gcp {
namespace {

using namespace std::chrono_literals;

constexpr Duration descriptor_kept = 1h;
constexpr std::size_t kept_max = 2000;  // of descriptors and of budgets
constexpr double burst = 30;
constexpr Duration adapter_window = 5min;  // of the Stackdriver adapter; also the alignment period of its gauges
constexpr int rate_period_s = 60;          // of its rates
constexpr std::size_t page_size = 10'000;  // points; 1,000 subscriptions have 5,000 in 5 minutes, which is 1.5 MB
constexpr std::size_t body_max = 16U << 20U;
constexpr Duration request_max = 10s;

bool reduces(const std::string& reducer) {
  return !reducer.empty() && reducer != "REDUCE_NONE";
}

// RFC 3339 without fractions, as the adapter writes it.
std::string second_of(WallTime at) {
  const std::string text = format_wall(std::chrono::floor<std::chrono::seconds>(at));
  return text.substr(0, 19) + "Z";
}

void add(std::string& target, std::string_view name, std::string_view value) {
  target +=
      fmt::format("{}{}={}", target.find('?') == std::string::npos ? '?' : '&', name, aio::percent_encoded(value));
}

// A page may end within a series, whose older points then begin the next one: the newest stays.
void append(std::vector<Point>& all, std::vector<Point> page) {
  const bool continued = !all.empty() && !page.empty() && all.back().labels == page.front().labels;
  std::ranges::move(std::ranges::subrange(page.begin() + (continued ? 1 : 0), page.end()), std::back_inserter(all));
}

}  // namespace

std::string list_target(const ListRequest& request, WallTime now) {
  const bool gauge = request.kind == Descriptor::Kind::gauge;
  const bool raw = gauge && !reduces(request.reducer);
  const Duration window = raw ? request.window : adapter_window;
  std::string out = fmt::format("/v3/projects/{}/timeSeries", aio::percent_encoded(request.project));
  add(out, "filter", request.filter);
  add(out, "interval.startTime", second_of(now - std::chrono::duration_cast<std::chrono::milliseconds>(window)));
  add(out, "interval.endTime", second_of(now));
  if (!raw) {
    add(out, "aggregation.perSeriesAligner", gauge ? "ALIGN_NEXT_OLDER" : "ALIGN_RATE");
    add(out, "aggregation.alignmentPeriod",
        fmt::format("{}s",
                    gauge ? std::chrono::duration_cast<std::chrono::seconds>(adapter_window).count() : rate_period_s));
    if (!request.reducer.empty()) {
      add(out, "aggregation.crossSeriesReducer", request.reducer);
    }
  }
  add(out, "pageSize", fmt::format("{}", page_size));
  return out;
}

MonitoringApi::MonitoringApi(aio::Loop& loop, aio::Clock& clock, std::shared_ptr<TokenSource> tokens,
                             MonitoringApiOptions options)
    : clock_(clock),
      tokens_(std::move(tokens)),
      options_(std::move(options)),
      client_(loop, clock,
              aio::http::ClientOptions{
                  .tls = options_.tls, .body_max = body_max, .idle_connections_max = 4, .dial = options_.dial}) {}

Error MonitoringApi::refusal(const Asked& asked, const aio::http::Response& response) const {
  const Refusal why = parse_refusal(response.status, response.body);
  const std::string& project = asked.project;
  if (response.status == 429 || why.reason == "RATE_LIMIT_EXCEEDED" || why.reason == "RESOURCE_EXHAUSTED") {
    return Error{Code::throttled,
                 fmt::format("the quota of Cloud Monitoring in project {} is used up (status {}); asked again later",
                             project, response.status)};
  }
  if (why.reason == "SERVICE_DISABLED") {
    return Error{Code::denied, fmt::format("the Cloud Monitoring API is off in project {}: gcloud services enable "
                                           "monitoring.googleapis.com --project {}",
                                           project, project)};
  }
  if (response.status == 401) {
    return Error{Code::denied,
                 fmt::format("Cloud Monitoring does not accept the token of {} (status 401)", options_.account())};
  }
  if (response.status == 403) {
    return Error{Code::denied, fmt::format("no permission to read Cloud Monitoring of project {} (status 403): grant "
                                           "roles/monitoring.viewer in it to {}",
                                           project, options_.account())};
  }
  if (response.status == 404) {
    return Error{Code::gone, asked.gone};
  }
  if (response.status >= 500) {
    return Error{Code::retry, fmt::format("Cloud Monitoring answers with status {}", response.status)};
  }
  return Error{Code::invalid, fmt::format("Cloud Monitoring refuses the question (status {}): is the selector right?",
                                          response.status)};
}

aio::Task<Result<void>> MonitoringApi::wait_for_turn(std::string project, aio::Deadline deadline) {
  if (budgets_.size() > kept_max) {
    budgets_.clear();
  }
  const auto found = budgets_.try_emplace(project, options_.calls_per_minute, burst).first;
  const Duration wait = found->second.take(clock_.now());
  if (wait > deadline.left(clock_.now())) {
    found->second.give_back();
    co_return Error{Code::throttled, fmt::format("more than {:g} calls a minute to Cloud Monitoring of project {}, "
                                                 "which is as often as it may be asked",
                                                 options_.calls_per_minute, project)};
  }
  if (wait > Duration{0}) {
    co_await clock_.sleep_for(wait);
  }
  co_return Result<void>{};
}

aio::Task<Result<aio::http::Response>> MonitoringApi::send(Asked asked, std::string token, aio::Deadline deadline) {
  const Result<void> turn = co_await wait_for_turn(asked.project, deadline);
  if (!turn) {
    co_return turn.error();
  }
  aio::http::Request request{.target = asked.target};
  request.headers = {{"Accept-Encoding", "identity"}, {"Accept", "application/json"}};
  if (!token.empty()) {
    request.headers.emplace_back("Authorization", "Bearer " + token);
  }
  Result<aio::http::Response> response = co_await client_.send(options_.endpoint, std::move(request), deadline);
  options_.answered(response ? response->status : 0);
  co_return response ? std::move(response)
                     : Result<aio::http::Response>(response.error().in("Cloud Monitoring is out of reach"));
}

aio::Task<Result<std::string>> MonitoringApi::get(Asked asked, aio::Deadline deadline) {
  const aio::Deadline until = deadline.earlier(clock_.in(request_max));
  const Result<aio::Url> url = aio::parse_url(options_.endpoint);
  if (!url) {
    co_return url.error().in("endpoint of Cloud Monitoring");
  }
  for (bool again = false;; again = true) {
    const Result<std::string> token = co_await tokens_->token(until);
    if (!token) {
      co_return token.error();
    }
    if (!token->empty() && url->scheme == aio::Url::Scheme::http && !is_loopback(url->host)) {
      co_return Error{Code::invalid, fmt::format("endpoint of Cloud Monitoring {}: a token is not sent in the clear; "
                                                 "accepted: https, or no credentials",
                                                 options_.endpoint)};
    }
    Result<aio::http::Response> response = co_await send(asked, *token, until);
    if (!response) {
      co_return response.error();
    }
    if (response->status == 200) {
      co_return std::move(response->body);
    }
    if (response->status == 401 && !token->empty()) {
      tokens_->refused(*token);
    }
    if (response->status != 401 || again) {
      co_return refusal(asked, *response);
    }
  }
}

aio::Task<Result<Descriptor>> MonitoringApi::descriptor(std::string project, std::string metric,
                                                        aio::Deadline deadline) {
  const std::string key = project + " " + metric;
  if (const auto found = descriptors_.find(key); found != descriptors_.end() && clock_.now() < found->second.until) {
    co_return found->second.descriptor;
  }
  // The slashes of the type are part of the path.
  Asked asked{.project = project,
              .target = fmt::format("/v3/projects/{}/metricDescriptors/{}", aio::percent_encoded(project), metric),
              .gone = fmt::format("the server could not find the descriptor for metric {}", in_quotes(metric))};
  const Result<std::string> body = co_await get(std::move(asked), deadline);
  if (!body) {
    co_return body.error();
  }
  const Result<Descriptor> read = parse_descriptor(*body);
  if (!read) {
    co_return read.error().in("Cloud Monitoring: descriptor of " + metric);
  }
  if (descriptors_.size() >= kept_max) {
    descriptors_.clear();
  }
  descriptors_.insert_or_assign(key, Known{.descriptor = *read, .until = clock_.now() + descriptor_kept});
  co_return *read;
}

aio::Task<Result<Listed>> MonitoringApi::list(ListRequest request, aio::Deadline deadline) {
  const std::string target = list_target(request, clock_.wall());
  Listed out;
  std::string page;
  for (std::size_t n = 0; n < request.pages_max; ++n) {
    Asked asked{.project = request.project,
                .target = target,
                .gone = fmt::format("Cloud Monitoring has neither such a metric nor such a project: {} (status 404)",
                                    request.project)};
    if (!page.empty()) {
      add(asked.target, "pageToken", page);
    }
    const Result<std::string> body = co_await get(std::move(asked), deadline);
    if (!body) {
      co_return body.error();
    }
    Result<SeriesPage> read = parse_series(*body);
    if (!read) {
      co_return read.error();
    }
    append(out.points, std::move(read->points));
    page = std::move(read->next);
    if (page.empty()) {
      co_return out;
    }
  }
  out.whole = false;
  co_return out;
}

}  // namespace sluice::gcp
