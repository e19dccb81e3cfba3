// SPDX-License-Identifier: Apache-2.0
#include "gcp/feed.h"

#include <fmt/core.h>

#include <algorithm>

namespace sluice::gcp {
namespace {

using namespace std::chrono_literals;

// Google takes 100 names in one_of(); and a filter goes into a URL, where each name takes its escapes too.
constexpr std::size_t names_max = 100;
constexpr std::size_t names_bytes_max = 2000;
// A list of all subscriptions in more pages than this is asked for by name instead.
constexpr std::size_t pages_max = 5;
// What is this old is no longer said to be old, but not to be there.
constexpr Duration told_max = 1h;

// "orders" for "resource.labels.subscription_id"; empty where the series has no such label.
std::string label_of(const Point& point, std::string_view label) {
  const auto found = point.labels.find(std::string(label));
  return found != point.labels.end() ? found->second : std::string();
}

}  // namespace

Error no_data(const Query& query, bool there, Duration stale_after) {
  const std::string& name = query.subscription.value_or("");
  return {Code::gone, there
                          ? fmt::format("no data yet: subscription {} of project {} is there, and Cloud Monitoring has "
                                        "no sample of it in the last {}; the first one takes some minutes",
                                        name, query.project, humane_duration(stale_after))
                          : fmt::format("no such subscription: {} in project {}: gcloud pubsub subscriptions create {} "
                                        "--project={} --topic=TOPIC",
                                        name, query.project, name, query.project)};
}

Feed::Feed(Query query, FeedOptions options) : query_(std::move(query)), options_(options) {}

std::string Feed::key_of(const Query& query) {
  // Blanks: none of them has one, but for the filter, which is last.
  const std::string filter = query.subscription ? "subscriptions" : query.filter;
  return fmt::format("{} {} {} {}", query.project, query.metric, query.reducer, filter);
}

Result<void> Feed::want(const Query& query, Time now) {
  const std::string name = member_of(query);
  const auto found = members_.find(name);
  if (found != members_.end()) {
    found->second.wanted_at = now;
    return {};
  }
  if (members_.size() >= options_.subscriptions_max) {
    return Error{Code::throttled, fmt::format("more than {} subscriptions of project {} are asked for",
                                              options_.subscriptions_max, query_.project)};
  }
  // A list of all has it, or would have it.
  const bool listed = listed_at_ && now - *listed_at_ < 2 * options_.each && !crowded_;
  members_.emplace(name, Member{.wanted_at = now, .asked = listed});
  return {};
}

bool Feed::answered(const Query& query) const {
  const auto found = members_.find(member_of(query));
  return failure_ || (found != members_.end() && found->second.asked);
}

Error Feed::no_series(const Query& query) const {
  const std::string window = humane_duration(options_.stale_after);
  if (query.subscription) {
    return Error{Code::gone, fmt::format("no series: project {} has no subscription {}, or it is new and has no data "
                                         "yet, or had none for {}",
                                         query_.project, *query.subscription, window)};
  }
  return Error{Code::gone, fmt::format("no series of {} in project {} fits the selector, or they had no data for {}",
                                       query_.metric, query_.project, window)};
}

Result<std::vector<Point>> Feed::answer(const Query& query, Time now) const {
  const std::string name = member_of(query);
  const auto member = members_.find(name);
  const bool asked = member != members_.end() && member->second.asked;
  const auto known = known_.find(name);
  std::vector<Point> out;
  Time newest = Time::min();
  if (asked && known != known_.end()) {
    for (const Known& one : known->second) {
      // The list of all is of all projects in the project's scope, which may have subscriptions of one name.
      if (query.subscription && query.filter.find(project_label) != std::string::npos &&
          label_of(one.point, project_label) != query.project) {
        continue;
      }
      newest = std::max(newest, one.ended_at);
      if (now - one.ended_at <= options_.stale_after) {
        out.push_back(one.point);
      }
    }
  }
  if (!out.empty()) {
    return out;
  }
  if (newest != Time::min() && now - newest <= told_max) {
    return Error{Code::retry,
                 fmt::format("stale: the newest point ended {} ago, which is more than {}: {}",
                             humane_duration(now - newest), humane_duration(options_.stale_after),
                             failure_ ? failure_->what : std::string("Cloud Monitoring has no newer one"))};
  }
  if (failure_) {
    return *failure_;
  }
  return asked ? no_series(query) : Error{Code::retry, "Cloud Monitoring has not been asked yet"};
}

bool Feed::forget(Time now) {
  std::erase_if(members_, [&](const auto& one) { return now - one.second.wanted_at > options_.kept; });
  return members_.empty();
}

bool Feed::incomplete() const {
  return std::ranges::any_of(members_, [](const auto& one) { return !one.second.asked; });
}

Feed::Plan Feed::plan(bool everything) const {
  Plan out{.everything = everything || !crowded_};
  if (!query_.subscription) {
    out.filters = {query_.filter};
    out.pages_max = pages_max;
    out.names = {""};
    return out;
  }
  std::string quotes;
  std::size_t n = 0;
  const auto ask = [&] {
    const std::string value = n == 1 ? quotes : fmt::format("one_of({})", quotes);
    out.filters.push_back(fmt::format("{} AND {} = {}", metric_filter(query_.metric), subscription_label, value));
    quotes.clear();
    n = 0;
  };
  for (const auto& [name, member] : members_) {
    if (member.asked && !out.everything) {
      continue;
    }
    out.names.insert(name);
    const std::string next = in_quotes(name);
    if (n == names_max || (n > 0 && quotes.size() + next.size() > names_bytes_max)) {
      ask();
    }
    quotes += (quotes.empty() ? "" : ",") + next;
    ++n;
  }
  if (n > 0) {
    ask();
  }
  if (!crowded_ && members_.size() > 1) {
    // Two who ask are the sign of more to come: with the whole list, none of them costs another call.
    out.pages_max = std::min(out.filters.size(), pages_max);
    out.filters = {metric_filter(query_.metric)};
    out.all = true;
  } else {
    out.pages_max = pages_max;
  }
  return out;
}

void Feed::take(std::vector<Point> points, const Plan& plan, Time now, WallTime wall) {
  failure_.reset();
  std::map<std::string, std::vector<Known>, std::less<>> fresh;
  for (Point& point : points) {
    const std::string name = query_.subscription ? label_of(point, subscription_label) : std::string();
    // From here on its age is counted by the monotonic clock.
    const auto age = std::clamp<std::chrono::milliseconds>(wall - point.ended_at, 0ms, 24h);
    fresh[name].push_back({.point = std::move(point), .ended_at = now - age});
  }
  if (plan.everything) {
    // What has no newer point keeps its last one, so that its age can be told; what nobody wants goes.
    std::erase_if(known_, [&](const auto& one) {
      return !members_.contains(one.first) ||
             std::ranges::all_of(one.second, [&](const Known& k) { return now - k.ended_at > told_max; });
    });
  }
  for (auto& [name, list] : fresh) {
    if (members_.contains(name) || known_.size() < options_.subscriptions_max) {
      known_.insert_or_assign(name, std::move(list));
    } else {
      crowded_ = true;
    }
  }
  if (plan.all) {
    listed_at_ = now;
  }
  for (auto& [name, member] : members_) {
    member.asked = member.asked || plan.all || plan.names.contains(name);
  }
}

}  // namespace sluice::gcp
