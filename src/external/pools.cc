// SPDX-License-Identifier: Apache-2.0
#include "external/pools.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "aio/url.h"
#include "external/selector.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;

constexpr Duration ask_max = 5s;
constexpr Duration again_each = 100ms;    // while the one that was asked stands by
constexpr int rest_for_each_asking = 20;  // of what asking took: 10,000 pools are some megabytes
constexpr std::size_t answer_max = 64U << 20U;
constexpr std::size_t names_max = 10;  // in an error
constexpr std::size_t words_max = 200;
constexpr Duration counts_for_least = 30s;  // as long as a controller's own readings at least

std::string cut(std::string text) {
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  if (text.size() > words_max) {
    text.resize(words_max);
    text += " ..";
  }
  return text;
}

}  // namespace

Pools::Pools(aio::Loop& loop, aio::Clock& clock, PoolsOptions options)
    : loop_(loop), clock_(clock), options_(std::move(options)) {}

Pools::Member Pools::member(std::string_view metric) {
  constexpr std::pair<std::string_view, Member> all[] = {{"sluice-backlog", &Pool::backlog},
                                                         {"sluice-ready", &Pool::ready},
                                                         {"sluice-in-flight", &Pool::in_flight},
                                                         {"sluice-oldest-age-seconds", &Pool::oldest_age},
                                                         {"sluice-desired-workers", &Pool::desired}};
  const auto* const found = std::ranges::find(all, metric, [](const auto& one) { return one.first; });
  return found == std::end(all) ? nullptr : found->second;
}

bool Pools::knows(std::string_view metric) const {
  return member(metric) != nullptr;
}

aio::Task<void> Pools::run() {
  while (true) {
    const Time began = clock_.now();
    const Result<serve::Answer> answer = co_await ask(clock_.in(ask_max));
    if (answer) {
      take(*answer);
    } else {
      failed(answer.error());
    }
    const Duration took = clock_.now() - began;
    co_await clock_.sleep_for(std::max(options_.each, answer ? took * rest_for_each_asking : options_.each));
  }
}

aio::Task<Result<serve::Answer>> Pools::ask(aio::Deadline deadline) {
  const Result<aio::Url> url = aio::parse_url(options_.url);
  if (!url) {
    co_return url.error();
  }
  const std::string prefix = url->target.substr(0, url->target.find_last_not_of('/') + 1);  // npos + 1 is 0
  while (true) {
    if (!client_) {
      client_ = std::make_unique<aio::http::Client>(
          loop_, clock_, aio::http::ClientOptions{.body_max = answer_max, .dial = options_.dial});
    }
    aio::http::Request request{.target = prefix + "/api/v1/status"};
    const Result<aio::http::Response> response = co_await client_->send(url->base(), std::move(request), deadline);
    if (response && response->status == 200) {
      co_return serve::parse_answer(response->body);
    }
    client_.reset();  // behind one name there may be several, and the next may be the one that acts
    if (!response) {
      co_return response.error();
    }
    const Time again = clock_.now() + again_each;
    if (response->status != 503 || again >= deadline.at) {
      co_return Error{Code::retry,
                      fmt::format("{} answers {}: {}", options_.url, response->status, cut(response->body))};
    }
    co_await clock_.sleep_until(again);
  }
}

Pools::Pool Pools::read_pool(const serve::PoolStatus& status) const {
  const Time now = clock_.now();
  Pool out{
      .counts_for = std::max<Duration>(counts_for_least, std::chrono::milliseconds(status.stale_after_ms.value_or(0))),
      .why = status.errors.empty() ? status.why : status.errors.front(),
      .told = now};
  const Time decided = now - std::chrono::milliseconds(status.decided_ms_ago.value_or(0));
  const Time sampled = status.sample_age_ms ? now - std::chrono::milliseconds(*status.sample_age_ms) : decided;
  const auto count = [&](const std::optional<serve::PoolStatus::Count>& n) {
    return n ? std::optional(Known{.milli = n->n * 1000, .at = sampled}) : std::nullopt;
  };
  out.ready = count(status.ready);
  out.in_flight = count(status.in_flight);
  out.backlog = count(status.total);
  if (!out.backlog && out.ready && out.in_flight) {
    out.backlog = Known{.milli = out.ready->milli + out.in_flight->milli, .at = sampled};
  }
  if (status.oldest_age_ms) {
    out.oldest_age = Known{.milli = *status.oldest_age_ms, .at = sampled};
  }
  if (status.desired) {
    out.desired = Known{.milli = *status.desired * 1000, .at = decided};
  }
  return out;
}

// What was known a moment ago, where the controller does not say it now: it has just begun, or cannot read the queue.
// Each value has its own time, and counts no longer than before.
void Pools::keep_known(Pool& now, const Pool& before) const {
  for (const Member one : {&Pool::backlog, &Pool::ready, &Pool::in_flight, &Pool::oldest_age, &Pool::desired}) {
    if (!(now.*one)) {
      now.*one = before.*one;
    }
  }
  now.counts_for = std::max(now.counts_for, before.counts_for);
}

void Pools::take(const serve::Answer& answer) {
  told_ = true;
  why_.reset();
  std::map<std::string, Pool, std::less<>> next;
  for (const serve::PoolStatus& status : answer.pools) {
    Pool& pool = next[status.pool] = read_pool(status);
    if (const auto before = pools_.find(status.pool); before != pools_.end()) {
      keep_known(pool, before->second);
    }
  }
  for (auto& [id, before] : pools_) {
    if (!next.contains(id) && clock_.now() - before.told <= before.counts_for) {
      next.emplace(id, std::move(before));
    }
  }
  pools_ = std::move(next);
}

aio::Task<Result<std::vector<Item>>> Pools::read(Question question, aio::Deadline /*deadline*/) {
  co_return values(question);
}

Result<std::vector<Item>> Pools::values(const Question& question) const {
  if (!told_) {
    return Error{Code::retry, why_ ? fmt::format("the controller at {} cannot be asked: {}", options_.url, why_->what)
                                   : fmt::format("the controller at {} has not answered yet", options_.url)};
  }
  std::vector<Item> out;
  const std::string prefix = question.space + "/";
  for (auto at = pools_.lower_bound(prefix); at != pools_.end() && at->first.starts_with(prefix); ++at) {
    const Labels labels{{"namespace", question.space}, {"pool", at->first.substr(prefix.size())}};
    if (!matches(question.selector, labels)) {
      continue;
    }
    Result<Item> one = item(question, at->first, at->second);
    if (!one) {
      return one.error();  // a sum without it would be another number
    }
    one->labels = labels;
    out.push_back(std::move(*one));
  }
  return out.empty() ? Result<std::vector<Item>>(none_selected(question)) : out;
}

Result<Item> Pools::item(const Question& question, const std::string& id, const Pool& pool) const {
  const std::optional<Known>& known = pool.*member(question.metric);
  if (!known) {
    return Error{Code::retry, fmt::format("{} of pool {} is not known{}{}", question.metric, id,
                                          pool.why.empty() ? "" : ": ", cut(pool.why))};
  }
  const Duration age = std::max(Duration{0}, clock_.now() - known->at);
  if (age > pool.counts_for) {
    const std::string why = why_ ? why_->what : pool.why;
    return Error{Code::retry, fmt::format("{} of pool {} is {} old, and counts for {}{}{}", question.metric, id,
                                          humane_duration(age), humane_duration(pool.counts_for),
                                          why.empty() ? "" : ": ", cut(why))};
  }
  return Item{.at = clock_.wall() - std::chrono::duration_cast<WallTime::duration>(age), .milli = known->milli};
}

Error Pools::none_selected(const Question& question) const {
  const std::string prefix = question.space + "/";
  std::string there;
  std::size_t n = 0;
  for (auto at = pools_.lower_bound(prefix); at != pools_.end() && at->first.starts_with(prefix); ++at) {
    if (++n <= names_max) {
      there += (there.empty() ? "" : ", ") + at->first.substr(prefix.size());
    }
  }
  there += n > names_max ? fmt::format(" and {} more", n - names_max) : "";
  return Error{Code::gone, fmt::format("namespace {} has no pool that {} selects; pools there: {}", question.space,
                                       question.selector_text.empty() ? "this HPA" : question.selector_text,
                                       there.empty() ? "none" : there)};
}

}  // namespace sluice::external
