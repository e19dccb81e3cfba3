// SPDX-License-Identifier: Apache-2.0
#include "external/pools.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "aio/url.h"
#include "external/selector.h"
#include "kube/splitter.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;

constexpr Duration ask_max = 5s;
constexpr Duration again_each = 100ms;    // while the one that was asked stands by
constexpr int rest_for_each_asking = 20;  // of what asking took: 10,000 pools are some megabytes
constexpr std::size_t names_max = 10;     // in an error
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
    Result<Map> answer = co_await ask(clock_.in(ask_max));
    const Duration took = clock_.now() - began;
    const Duration rest = answer ? std::max(options_.each, took * rest_for_each_asking) : options_.each;
    if (answer) {
      replace(std::move(*answer));
    } else {
      failed(answer.error());
    }
    co_await clock_.sleep_for(rest);
  }
}

aio::Task<Result<Pools::Map>> Pools::ask(aio::Deadline deadline) {
  const Result<aio::Url> url = aio::parse_url(options_.url);
  if (!url) {
    co_return url.error();
  }
  const std::string prefix = url->target.substr(0, url->target.find_last_not_of('/') + 1);  // npos + 1 is 0
  while (true) {
    // Each time anew: behind one name there may be several, and the next may be the one that acts.
    aio::http::Client client(loop_, clock_, aio::http::ClientOptions{.dial = options_.dial});
    aio::http::Request request{.target = prefix + "/api/v1/status"};
    const Result<std::unique_ptr<aio::http::Incoming>> incoming =
        co_await client.open(url->base(), std::move(request), deadline);
    if (!incoming) {
      co_return incoming.error();
    }
    if ((*incoming)->status() == 200) {
      Result<Map> answer = co_await read_answer(**incoming, deadline);
      co_return answer;
    }
    const Result<std::string> words = co_await (*incoming)->next(deadline);
    const Time again = clock_.now() + again_each;
    if ((*incoming)->status() != 503 || again >= deadline.at) {
      co_return Error{Code::retry, fmt::format("{} answers {}: {}", options_.url, (*incoming)->status(),
                                               words ? cut(*words) : words.error().what)};
    }
    co_await clock_.sleep_until(again);
  }
}

// Pool by pool as the bytes come: ten thousand of them are some megabytes of text, and many more of JSON values.
aio::Task<Result<Pools::Map>> Pools::read_answer(aio::http::Incoming& incoming, aio::Deadline deadline) {
  Map next;
  const auto take_one = [&](std::string_view text) -> Result<void> {
    const Result<serve::PoolStatus> status = serve::parse_pool_status(text);
    if (status) {
      add(next, *status);
    }
    return status ? Result<void>() : status.error();
  };
  kube::ListSplitter splitter(take_one, "pools");
  while (true) {
    const Result<std::string> some = co_await incoming.next(deadline);
    if (!some || some->empty()) {
      if (!some) {
        co_return some.error();
      }
      break;
    }
    if (const Result<void> good = splitter.feed(*some); !good) {
      co_return good.error().in(options_.url);
    }
  }
  const Result<std::string> head = splitter.finish();
  const Result<serve::Answer> answer = head ? serve::parse_answer(*head) : Result<serve::Answer>(head.error());
  if (!answer) {
    co_return answer.error().in(options_.url);
  }
  co_return next;
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

void Pools::add(Map& next, const serve::PoolStatus& status) const {
  Pool& pool = next[status.pool] = read_pool(status);
  if (const auto before = pools_.find(status.pool); before != pools_.end()) {
    keep_known(pool, before->second);
  }
}

void Pools::replace(Map next) {
  for (auto& [id, before] : pools_) {
    if (!next.contains(id) && clock_.now() - before.told <= before.counts_for) {
      next.emplace(id, std::move(before));
    }
  }
  pools_ = std::move(next);
  told_ = true;
  why_.reset();
}

void Pools::take(const serve::Answer& answer) {
  Map next;
  for (const serve::PoolStatus& status : answer.pools) {
    add(next, status);
  }
  replace(std::move(next));
}

void Pools::take(const serve::PoolStatus& status) {
  Map one;
  add(one, status);
  pools_.insert_or_assign(status.pool, std::move(one.begin()->second));
  told_ = true;
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
