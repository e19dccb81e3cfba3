// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/management.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "aio/base64.h"
#include "aio/event.h"
#include "aio/url.h"
#include "base/check.h"

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;

constexpr Duration statistics_interval = 5s;  // RabbitMQ's collect_statistics_interval, as it is unless changed
constexpr Duration request_max = 3s;          // chosen: it answers in milliseconds
constexpr Duration reading_max = 10s;         // of all requests of one reading
constexpr Duration rest_max = 20s;            // between two readings, however long they take
constexpr int rest_factor = 10;               // reading is at most this share of the broker's time
constexpr Duration first_patience = 1s;
constexpr Duration kept_max = 60s;       // an answer that is older says nothing any more; also who asked no longer
constexpr Duration refused_first = 10s;  // a login that is refused, doubled up to
constexpr Duration refused_last = 5min;  // this: no account is locked by us
constexpr std::size_t singles_max = 50;  // queues that are asked for one by one: 0.4 ms each, a page of 500 costs 90 ms
constexpr std::int64_t page_size = 500;  // the most that RabbitMQ takes
constexpr std::int64_t pages_max = 100;
constexpr std::size_t body_max = 8U << 20U;  // chosen: metrics of 28,000 queues; a page has 0.2 MB

// RabbitMQ answers 401 for a wrong password, a missing tag and a virtual host that is closed to the user. Its own words
// are compared, never passed on.
std::string refusal(const aio::http::Response& response, const std::string& user, const std::string& vhost) {
  if (response.body.find("Not management user") != std::string::npos) {
    return fmt::format("user {} has no tag that opens it: rabbitmqctl set_user_tags {} management", user, user);
  }
  if (response.body.find("not authorised to access virtual host") != std::string::npos) {
    return fmt::format(
        "user {} may not look into virtual host {}: give it permissions there, or the tag monitoring "
        "(rabbitmqctl set_user_tags {} monitoring)",
        user, vhost, user);
  }
  return response.status == 401 ? fmt::format("the login of user {} is refused", user)
                                : fmt::format("user {} is not allowed to ask; it takes the tag management", user);
}

// The body, or why it is none.
Result<std::string> judge(aio::http::Response response, const std::string& user, const std::string& vhost) {
  const std::string status = fmt::format("status {}", response.status);
  if (response.status == 401 || response.status == 403) {
    return Error{Code::denied, fmt::format("{}: {}", status, refusal(response, user, vhost))};
  }
  if (response.status == 404) {
    return Error{Code::gone, status + ": nothing is there"};
  }
  if (response.status >= 300 && response.status < 400) {
    return Error{Code::invalid, status + ": a redirect, which is never followed"};
  }
  if (response.status != 200) {
    return Error{response.status >= 500 ? Code::retry : Code::invalid, status};
  }
  if (aio::http::header(response.headers, "Content-Type").value_or("").starts_with("text/html")) {
    return Error{Code::invalid, status + ": a page of HTML; is this the management API?"};
  }
  return std::move(response.body);
}

}  // namespace

Result<ManagementPlace> parse_management_url(std::string_view url) {
  const Result<aio::Url> parsed = aio::parse_url(url);
  if (!parsed) {
    return parsed.error();
  }
  if (parsed->scheme == aio::Url::Scheme::unix_socket || parsed->target.find('?') != std::string::npos) {
    return Error{Code::invalid,
                 "accepted: http://host:15672 (the management API) or http://host:15692/metrics/detailed, also https"};
  }
  ManagementPlace place{.base = parsed->base(), .prefix = parsed->target, .metrics = false};
  const auto strip = [&place](std::string_view end) {
    const bool there = place.prefix.ends_with(end);
    place.prefix.resize(place.prefix.size() - (there ? end.size() : 0));
    return there;
  };
  while (strip("/")) {
  }
  place.metrics = strip("/metrics/detailed") || strip("/metrics");
  if (!place.metrics) {
    strip("/api");
  }
  while (strip("/")) {
  }
  return place;
}

struct Management::State {
  State(aio::Loop& l, aio::Clock& c, ManagementOptions o) : loop(l), clock(c), options(std::move(o)), changed(c) {}

  // One reading of all queues that are wanted.
  [[nodiscard]] static aio::Task<void> read(std::shared_ptr<State> state);
  [[nodiscard]] aio::Task<Result<void>> read_singles(std::vector<std::string> names, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> read_pages(std::vector<std::string> names, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> read_metrics(std::vector<std::string> names, aio::Deadline deadline);
  // The body of the answer to one GET; errors name place and status.
  [[nodiscard]] aio::Task<Result<std::string>> get(std::string target, aio::Deadline deadline);

  void take(const std::string& queue, Result<QueueStatistics> told, std::string_view target);
  void take_all(const std::vector<std::string>& names, StatisticsByQueue told, const std::string& target);
  void finish(const Result<void>& outcome, Time begin);
  [[nodiscard]] std::string at(std::string_view target) const;
  [[nodiscard]] bool due() const;

  struct Known {
    Time wanted_at;
    std::optional<Told> told;
    std::string missing;
  };

  aio::Loop& loop;
  aio::Clock& clock;
  ManagementOptions options;
  std::shared_ptr<aio::http::Client> client;
  std::map<std::string, Known, std::less<>> known;
  aio::Event changed;  // a reading ended
  Duration lag = (options.place.metrics ? 1 : 2) * statistics_interval;
  bool reading = false;
  std::int64_t readings = 0;  // that ended, well or not
  Time next_at{};
  Time observed_at;  // of the reading under way
  WallTime observed_wall;
  std::optional<Login> refused;
  Duration refused_for = refused_first;
  Time refused_until{};
};

std::string Management::State::at(std::string_view target) const {
  return fmt::format("management {}{}", options.place.base, target.substr(0, target.find('?')));
}

bool Management::State::due() const {
  return !reading && clock.now() >= next_at;
}

aio::Task<Result<std::string>> Management::State::get(std::string target, aio::Deadline deadline) {
  aio::http::Request request{.target = options.place.prefix + target};
  request.headers = {{"Accept-Encoding", "identity"},
                     {"Accept", options.place.metrics ? "text/plain" : "application/json"}};
  std::string user;
  if (!options.place.metrics) {
    const Result<Login> login = options.login();
    if (!login) {
      co_return login.error().in(at(target));
    }
    if (refused && *refused == *login && clock.now() < refused_until) {
      co_return Error{Code::denied, fmt::format("the login of user {} was refused and has not changed", login->user)}
          .in(at(target));
    }
    user = login->user;
    request.headers.emplace_back("Authorization", "Basic " + aio::to_base64(login->user + ":" + login->password));
  }
  if (!client) {
    const Result<aio::TlsOptions> tls = options.tls();
    if (!tls) {
      co_return tls.error().in(at(target));
    }
    client = std::make_shared<aio::http::Client>(
        loop, clock,
        aio::http::ClientOptions{.tls = *tls, .body_max = body_max, .idle_connections_max = 1, .dial = options.dial});
  }
  const aio::Deadline until = deadline.earlier(clock.in(request_max));
  const std::shared_ptr<aio::http::Client> asking = client;
  Result<aio::http::Response> response = co_await asking->send(options.place.base, std::move(request), until);
  if (!response) {
    co_return response.error().in("management");
  }
  Result<std::string> body = judge(std::move(*response), user, options.vhost);
  co_return body ? std::move(body) : Result<std::string>(body.error().in(at(target)));
}

void Management::State::take(const std::string& queue, Result<QueueStatistics> told, std::string_view target) {
  const auto found = known.find(queue);
  if (found == known.end()) {
    return;
  }
  if (!told) {
    found->second.missing = told.error().in(at(target)).what;
    return;
  }
  found->second.missing =
      told->missing.empty() ? "" : fmt::format("{}: queue {}: {}", at(target), queue, told->missing);
  found->second.told = Told{.statistics = std::move(*told),
                            .observed_at = observed_at,
                            .observed_wall = observed_wall,
                            .reading = readings + 1};
}

aio::Task<Result<void>> Management::State::read_singles(std::vector<std::string> names, aio::Deadline deadline) {
  for (const std::string& name : names) {
    const std::string target = fmt::format("/api/queues/{}/{}?columns={}", aio::percent_encoded(options.vhost),
                                           aio::percent_encoded(name), statistics_columns());
    Result<std::string> body = co_await get(target, deadline);
    if (body) {
      take(name, parse_queue_statistics(*body, name), target);
    } else if (body.error().code == Code::gone) {
      known[name].missing = body.error().what;
    } else {
      co_return body.error();  // the others would meet the same
    }
  }
  co_return Result<void>{};
}

void Management::State::take_all(const std::vector<std::string>& names, StatisticsByQueue told,
                                 const std::string& target) {
  for (const std::string& name : names) {
    const auto found = told.find(name);
    take(name,
         found != told.end()
             ? Result<QueueStatistics>(std::move(found->second))
             : Error{Code::gone, fmt::format("queue {}: not in the list{}", name,
                                             options.place.metrics ? ", which has the queues of one node alone" : "")},
         target);
  }
}

aio::Task<Result<void>> Management::State::read_pages(std::vector<std::string> names, aio::Deadline deadline) {
  StatisticsByQueue all;
  const std::string path = fmt::format("/api/queues/{}", aio::percent_encoded(options.vhost));
  std::int64_t pages = 1;
  for (std::int64_t page = 1; page <= pages; ++page) {
    const std::string target =
        fmt::format("{}?page={}&page_size={}&columns={}", path, page, page_size, statistics_columns());
    Result<std::string> body = co_await get(target, deadline);
    if (!body) {
      co_return body.error();
    }
    Result<StatisticsPage> read = parse_statistics_page(*body, page);
    if (!read) {
      co_return read.error().in(at(target));
    }
    pages = read->pages;
    if (pages > pages_max) {
      co_return Error{Code::invalid, fmt::format("page_count: {}; at most {} are read", pages, pages_max)}.in(at(path));
    }
    all.merge(std::move(read->queues));
  }
  take_all(names, std::move(all), path);
  co_return Result<void>{};
}

aio::Task<Result<void>> Management::State::read_metrics(std::vector<std::string> names, aio::Deadline deadline) {
  const std::string target =
      fmt::format("/metrics/detailed?vhost={}&family=queue_coarse_metrics&family=queue_consumer_count",
                  aio::percent_encoded(options.vhost));
  Result<std::string> body = co_await get(target, deadline);
  if (!body) {
    co_return body.error();
  }
  Result<StatisticsByQueue> read = parse_detailed_metrics(*body, options.vhost);
  if (!read) {
    co_return read.error().in(at(target));
  }
  take_all(names, std::move(*read), target);
  co_return Result<void>{};
}

void Management::State::finish(const Result<void>& outcome, Time begin) {
  const Time now = clock.now();
  next_at = std::max(begin + statistics_interval, now + std::min<Duration>(rest_factor * (now - begin), rest_max));
  ++readings;
  reading = false;
  if (outcome) {
    refused.reset();
    refused_for = refused_first;
  } else {
    client.reset();  // trust and certificates are read anew
    for (auto& [name, one] : known) {
      one.missing = outcome.error().what;
    }
    const Result<Login> login = options.login();
    const bool again = outcome.error().code == Code::denied && login && now >= refused_until;
    if (again && !options.place.metrics) {
      refused_for = refused == *login ? std::min(2 * refused_for, refused_last) : refused_first;
      refused = *login;
      refused_until = now + refused_for;
    }
  }
  changed.notify();
}

aio::Task<void> Management::State::read(std::shared_ptr<State> state) {
  const Time begin = state->clock.now();
  state->observed_at = begin - state->lag;
  state->observed_wall = state->clock.wall() - std::chrono::duration_cast<std::chrono::milliseconds>(state->lag);
  std::erase_if(state->known, [begin](const auto& one) { return begin - one.second.wanted_at > kept_max; });
  std::vector<std::string> names;
  for (const auto& [name, one] : state->known) {
    names.push_back(name);
  }
  const aio::Deadline deadline = state->clock.in(reading_max);
  aio::Task<Result<void>> task = state->options.place.metrics  ? state->read_metrics(std::move(names), deadline)
                                 : names.size() <= singles_max ? state->read_singles(std::move(names), deadline)
                                                               : state->read_pages(std::move(names), deadline);
  const Result<void> outcome = co_await std::move(task);
  state->finish(outcome, begin);
}

Management::Management(aio::Loop& loop, aio::Clock& clock, ManagementOptions options)
    : state_(std::make_shared<State>(loop, clock, std::move(options))) {}

Management::~Management() = default;

aio::Task<Management::Answer> Management::about(std::string queue, aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  state->known[queue].wanted_at = state->clock.now();
  if (state->due()) {
    state->reading = true;
    state->loop.start(State::read(state),
                      [](const std::exception_ptr& failure) { check(failure == nullptr, "reading statistics threw"); });
  }
  const aio::Deadline patience = deadline.earlier(state->clock.in(first_patience));
  while (state->readings == 0 && state->reading) {
    const aio::Wake why = co_await state->changed.wait(patience);
    if (why == aio::Wake::timeout) {
      break;
    }
  }
  State::Known& known = state->known[queue];
  Answer out{.told = known.told, .missing = known.missing};
  if (out.told && state->clock.now() - out.told->observed_at > kept_max) {
    out.told.reset();
  }
  if (!out.told && out.missing.empty()) {
    out.missing = fmt::format("management {}: not read yet", state->options.place.text());
  }
  co_return out;
}

aio::Task<Result<std::string>> Management::get(std::string target, aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  Result<std::string> body = co_await state->get(std::move(target), deadline);
  co_return body;
}

aio::Task<Result<std::vector<Consumer>>> Management::consumers(std::string queue, aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  if (state->options.place.metrics) {
    co_return Error{Code::invalid, fmt::format("management {}: metrics do not say who consumes; accepted: the address "
                                               "of the management API, such as http://host:15672",
                                               state->options.place.text())};
  }
  const std::string target =
      fmt::format("/api/queues/{}/{}", aio::percent_encoded(state->options.vhost), aio::percent_encoded(queue));
  Result<std::string> body = co_await state->get(target, deadline);
  if (!body) {
    co_return body.error();
  }
  Result<std::vector<Consumer>> read = parse_consumers(*body, queue);
  co_return read ? std::move(read) : Result<std::vector<Consumer>>(read.error().in(state->at(target)));
}

}  // namespace sluice::queue::rabbit
