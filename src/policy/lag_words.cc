// SPDX-License-Identifier: Apache-2.0
#include "policy/lag_words.h"

#include <fmt/core.h>

#include <algorithm>

#include "policy/words.h"

namespace sluice::policy {
namespace {

std::string span(std::int64_t ms) {
  return humane_duration(std::chrono::milliseconds{ms});
}
std::string span_s(double s) {
  return span(static_cast<std::int64_t>(std::clamp(s, 0.0, 1e9) * 1000));
}
// Three digits are what an estimate is good for.
std::string about(double x) {
  return x >= 100 ? fmt::format("{:.0f}", x) : x >= 10 ? fmt::format("{:.1f}", x) : fmt::format("{:.2f}", x);
}
std::string percent(const LagOptions& options) {
  return fmt::format("{:g}", static_cast<double>(options.percentile_millionths) / 1e6);
}

std::string load(const LagTerms& terms) {
  return fmt::format("{} a second at {} each", about(terms.ahead), span_s(terms.service_s));
}

std::string bound(const LagOptions& options, const LagTerms& terms) {
  const std::int64_t n = terms.need.workers;
  switch (terms.need.bound) {
    case LagBound::backlog:
      return fmt::format("backlog: {} start{} them within {}", workers(n), n == 1 ? "s" : "", span(options.max_ms));
    case LagBound::messages:
      return fmt::format("backlog: {}, one for each message", workers(n));
    case LagBound::floor:
      return fmt::format("floor: {} keep{} {} percent of {} below {}", workers(n), n == 1 ? "s" : "", percent(options),
                         load(terms), span(options.max_ms));
    case LagBound::rate:
      break;
  }
  return n == 0 ? std::string("rate: nothing is expected") : fmt::format("rate: {} is {}", load(terms), workers(n));
}

}  // namespace

std::string lag_sentence(const LagOptions& options, const LagTerms& terms, const LagSaid& said) {
  std::string out =
      fmt::format("{} and {} in work; {}", messages_wait(said.waiting),
                  said.working == 1 ? "1 is" : fmt::format("{} are", said.working), bound(options, terms));
  if (options.reserve > 0) {
    out += fmt::format(", and {} in reserve", options.reserve);
  }
  if (terms.kept > terms.target && said.useful > terms.target) {
    out +=
        fmt::format("; kept: {} needed within the last {}", std::min(terms.kept, said.useful),
                    span(std::max<std::int64_t>(terms.expert.keep_ms, static_cast<std::int64_t>(terms.warm_s * 4000))));
  }
  if (terms.stuck > 0) {
    out += fmt::format("; {} no place for {}, so no more are asked for, and the last message starts in {} or later",
                       terms.stuck == 1 ? "1 worker has had" : fmt::format("{} workers have had", terms.stuck),
                       span_s(3 * terms.cold_s), span_s(terms.last_starts_s));
  }
  if (!terms.feasible && terms.beforehand > said.useful) {
    out += fmt::format("; {} cannot be met for a burst, as a worker takes {} to start: {} in reserve would do",
                       span(options.max_ms), span_s(terms.cold_s), workers(terms.beforehand));
  }
  return out;
}

std::vector<std::string> lag_arithmetic(const LagOptions& options, const LagTerms& terms) {
  std::vector<std::string> out;
  out.push_back(fmt::format("{} messages a second, {} when a new worker is there; {} a message{}", about(terms.rate),
                            about(terms.ahead), span_s(terms.service_s),
                            terms.service_seen ? "" : " (believed, not yet measured)"));
  out.push_back(fmt::format("a worker starts in {}, or {} where a node has room; {} such places are known",
                            span_s(terms.cold_s), span_s(terms.warm_s), terms.free));
  out.push_back(fmt::format("bursts have come true to {:.0f} percent; work is caught up in {:g} times the usual time",
                            terms.trust * 100, terms.expert.catch_up));
  out.push_back(bound(options, terms));
  if (terms.kept > terms.target) {
    out.push_back(fmt::format("kept: {} needed within the last {}", terms.kept, span(terms.expert.keep_ms)));
  }
  return out;
}

}  // namespace sluice::policy
