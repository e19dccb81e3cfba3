// SPDX-License-Identifier: Apache-2.0
#include "gcp/cloud_monitoring.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>

#include "aio/event.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "gcp/feed.h"

namespace sluice::gcp {
namespace {

using namespace std::chrono_literals;

constexpr Duration reading_max = 10s;    // of all calls of one reading
constexpr Duration new_names_each = 5s;  // where subscriptions are asked for by name
constexpr Duration presence_kept = 1min;
constexpr std::size_t presences_max = 2000;
constexpr Duration adapter_window = 5min;
constexpr Duration window_max = 1h;

// Domains whose metric types are named by users, and of which some are not in lower case. Google's own are, so that
// any other way to write them can only be a slip.
constexpr std::array<std::string_view, 7> users_own{"custom.googleapis.com/",       "external.googleapis.com/",
                                                    "workload.googleapis.com/",     "prometheus.googleapis.com/",
                                                    "logging.googleapis.com/user/", "aws.googleapis.com/",
                                                    "agent.googleapis.com/"};

std::string canonical(std::string metric) {
  std::ranges::replace(metric, '|', '/');
  std::string lower = metric;
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::size_t domain = std::min(lower.find('/'), lower.size());
  const bool google = std::string_view(lower).substr(0, domain).ends_with(".googleapis.com");
  const bool own = std::ranges::any_of(users_own, [&](std::string_view prefix) { return lower.starts_with(prefix); });
  return google && !own ? lower : metric;
}

// How long to wait after the n-th failure: soon after what passes, slowly after what a person has to change.
Backoff::Options retries_of(Code code, Duration each) {
  switch (code) {
    case Code::retry:
    case Code::conflict:
      return {.base = 2s, .cap = each};
    case Code::throttled:
      return {.base = 15s, .cap = 5 * each, .least = 5s};
    case Code::gone:
    case Code::denied:
    case Code::invalid:
      return {.base = each / 2, .cap = each, .least = each / 4};
  }
  return {.base = each, .cap = each};
}

// Until the project's next turn. Everybody who asks for it does so at the same moments of the day: two replicas of an
// adapter that asked half a minute apart would answer in turns with the new number and the one before.
Duration until_turn(std::uint64_t project, Duration each, WallTime now) {
  const auto period = std::max<std::int64_t>(to_ms(each), 1);
  const auto phase = static_cast<std::int64_t>(project % static_cast<std::uint64_t>(period));
  const std::int64_t at = now.time_since_epoch() / std::chrono::milliseconds{1};
  return std::chrono::milliseconds{period - (at - phase) % period};
}

}  // namespace

struct CloudMonitoring::State {
  State(aio::Loop& l, aio::Clock& c, std::shared_ptr<TokenSource> tokens, CloudMonitoringOptions o)
      : loop(l), clock(c), options(std::move(o)), api(l, c, std::move(tokens), options.api), random(options.seed) {}

  // A question and the task that asks it.
  struct Asking {
    Asking(Query query, FeedOptions options, aio::Clock& clock)
        : feed(std::move(query), options), changed(clock), wanted(clock) {}
    Feed feed;
    aio::Event changed;  // a reading ended
    aio::Event wanted;   // somebody wants more, or all ends
    int failures = 0;
  };

  [[nodiscard]] static aio::Task<void> run(std::shared_ptr<State> state, std::shared_ptr<Asking> asking);
  [[nodiscard]] aio::Task<void> read(std::shared_ptr<Asking> asking, bool everything);
  [[nodiscard]] aio::Task<Result<Listed>> call_all(Query query, Feed::Plan plan, aio::Deadline deadline);
  // Until it is time to ask again; true: for everything.
  [[nodiscard]] aio::Task<bool> rest(std::shared_ptr<Asking> asking, Time last, Time next);
  [[nodiscard]] Duration pause(Asking& asking);
  [[nodiscard]] Result<std::shared_ptr<Asking>> asking_of(const Query& query);
  // The same error, more exactly where Pub/Sub can tell.
  [[nodiscard]] aio::Task<Error> why_none(Query query, Error error, aio::Deadline deadline);

  struct Presence {
    Result<bool> there;
    Time until;
  };
  aio::Loop& loop;
  aio::Clock& clock;
  CloudMonitoringOptions options;
  MonitoringApi api;
  Random random;
  std::map<std::string, std::shared_ptr<Asking>, std::less<>> askings;
  std::map<std::string, Presence, std::less<>> presences;  // by project and subscription
  std::string project;                                     // ours
  bool stopped = false;
};

aio::Task<Result<Listed>> CloudMonitoring::State::call_all(Query query, Feed::Plan plan, aio::Deadline deadline) {
  const Result<Descriptor> descriptor = co_await api.descriptor(query.project, query.metric, deadline);
  if (!descriptor) {
    co_return descriptor.error();
  }
  if (descriptor->distribution) {
    co_return Error{Code::invalid, "Distributions are not supported"};
  }
  Listed out;
  for (const std::string& filter : plan.filters) {
    ListRequest request{.project = query.project,
                        .filter = filter,
                        .reducer = query.reducer,
                        .kind = descriptor->kind,
                        .window = std::clamp<Duration>(options.stale_after, adapter_window, window_max),
                        .pages_max = plan.pages_max};
    Result<Listed> listed = co_await api.list(std::move(request), deadline);
    if (!listed) {
      co_return listed.error();
    }
    out.whole = out.whole && listed->whole;
    std::ranges::move(listed->points, std::back_inserter(out.points));
  }
  co_return out;
}

aio::Task<void> CloudMonitoring::State::read(std::shared_ptr<Asking> asking, bool everything) {
  const aio::Deadline deadline = clock.in(reading_max);
  Feed& feed = asking->feed;
  Feed::Plan plan = feed.plan(everything);
  Result<Listed> got = co_await call_all(feed.query(), plan, deadline);
  if (got && !got->whole && plan.all) {
    feed.set_crowded();
    plan = feed.plan(true);
    got = co_await call_all(feed.query(), plan, deadline);
  }
  if (got && !got->whole) {
    got = Error{Code::invalid, "more time series fit the selector than are read; narrow it down, or use a reducer"};
  }
  if (got) {
    feed.take(std::move(got->points), plan, clock.now(), clock.wall());
    asking->failures = 0;
  } else {
    feed.fail(got.error());
    ++asking->failures;
  }
  asking->changed.notify();
}

Duration CloudMonitoring::State::pause(Asking& asking) {
  if (!asking.feed.failure()) {
    return until_turn(fnv1a(asking.feed.query().project), options.each, clock.wall());
  }
  Backoff backoff(retries_of(asking.feed.failure()->code, options.each));
  Duration out{};
  for (int i = 0; i < std::min(asking.failures, 20); ++i) {
    out = backoff.next(random);
  }
  return out;
}

aio::Task<bool> CloudMonitoring::State::rest(std::shared_ptr<Asking> asking, Time last, Time next) {
  while (!stopped && clock.now() < next) {
    Time until = next;
    if (asking->feed.incomplete() && !asking->feed.failure()) {
      const Time soon = asking->feed.crowded() ? last + new_names_each : last;
      if (clock.now() >= soon) {
        co_return false;
      }
      until = std::min(until, soon);
    }
    co_await asking->wanted.wait(aio::Deadline{until});
  }
  co_return true;
}

aio::Task<void> CloudMonitoring::State::run(std::shared_ptr<State> state, std::shared_ptr<Asking> asking) {
  bool everything = true;
  Time next{};
  while (!state->stopped && !asking->feed.forget(state->clock.now())) {
    co_await state->read(asking, everything);
    const Time now = state->clock.now();
    if (everything || asking->feed.failure() || !asking->feed.crowded()) {
      next = now + state->pause(*asking);
    }
    everything = co_await state->rest(asking, now, next);
  }
  state->askings.erase(Feed::key_of(asking->feed.query()));
}

Result<std::shared_ptr<CloudMonitoring::State::Asking>> CloudMonitoring::State::asking_of(const Query& query) {
  const std::string key = Feed::key_of(query);
  if (const auto found = askings.find(key); found != askings.end()) {
    return found->second;
  }
  if (askings.size() >= options.questions_max) {
    return Error{Code::throttled,
                 fmt::format("more than {} different questions to Cloud Monitoring at once", options.questions_max)};
  }
  const FeedOptions feed{.stale_after = options.stale_after,
                         .each = options.each,
                         .kept = options.kept,
                         .subscriptions_max = options.subscriptions_max};
  return askings.emplace(key, std::make_shared<Asking>(query, feed, clock)).first->second;
}

aio::Task<Error> CloudMonitoring::State::why_none(Query query, Error error, aio::Deadline deadline) {
  const std::string key = query.project + " " + *query.subscription;
  const auto found = presences.find(key);
  if (found == presences.end() || found->second.until <= clock.now()) {
    if (presences.size() >= presences_max) {
      presences.clear();
    }
    // Who asks meanwhile is told what is known now.
    const Error unknown{Code::retry, "is being asked"};
    presences.insert_or_assign(key, Presence{.there = unknown, .until = clock.now() + presence_kept});
    const Result<bool> there = co_await options.has_subscription(query.project, *query.subscription, deadline);
    presences.insert_or_assign(key, Presence{.there = there, .until = clock.now() + presence_kept});
    co_return there ? no_data(query, *there, options.stale_after) : error;
  }
  const Result<bool>& there = found->second.there;
  co_return there ? no_data(query, *there, options.stale_after) : error;
}

CloudMonitoring::CloudMonitoring(aio::Loop& loop, aio::Clock& clock, std::shared_ptr<TokenSource> tokens,
                                 CloudMonitoringOptions options)
    : state_(std::make_shared<State>(loop, clock, std::move(tokens), std::move(options))) {}

CloudMonitoring::~CloudMonitoring() {
  state_->stopped = true;
  for (const auto& [key, asking] : state_->askings) {
    asking->wanted.notify();
  }
}

std::size_t CloudMonitoring::questions() const {
  return state_->askings.size();
}

aio::Task<Result<std::vector<Point>>> CloudMonitoring::read(std::string metric, model::Selector selector,
                                                            aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  Result<Query> query = make_query(canonical(std::move(metric)), selector);
  if (!query) {
    co_return query.error();
  }
  if (query->project.empty() && state->project.empty()) {
    const Result<std::string> ours = co_await state->options.project(deadline);
    if (!ours) {
      co_return ours.error();
    }
    state->project = *ours;
  }
  if (query->project.empty()) {
    query->project = state->project;
  }
  const std::size_t before = state->askings.size();
  const auto asking = state->asking_of(*query);
  if (!asking) {
    co_return asking.error();
  }
  const std::shared_ptr<State::Asking>& one = *asking;
  const Result<void> wanted = one->feed.want(*query, state->clock.now());
  if (!wanted) {
    co_return wanted.error();
  }
  if (state->askings.size() > before) {
    state->loop.start(State::run(state, one), [](const std::exception_ptr& failure) {
      check(failure == nullptr, "reading Cloud Monitoring threw");
    });
  }
  if (!one->feed.answered(*query)) {
    one->wanted.notify();
  }
  while (!one->feed.answered(*query)) {
    const aio::Wake why = co_await one->changed.wait(deadline);
    if (why == aio::Wake::timeout) {
      break;
    }
  }
  Result<std::vector<Point>> answer = one->feed.answer(*query, state->clock.now());
  if (!answer && answer.error().code == Code::gone && query->subscription && state->options.has_subscription &&
      !one->feed.failure()) {
    co_return co_await state->why_none(*query, answer.error(), deadline);
  }
  co_return answer;
}

}  // namespace sluice::gcp
