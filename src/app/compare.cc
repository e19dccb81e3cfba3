// SPDX-License-Identifier: Apache-2.0
#include "app/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "app/text.h"
#include "base/nearest.h"
#include "control/decide.h"
#include "control/explain.h"
#include "model/json.h"
#include "pool/pool.h"

namespace sluice::app {
namespace {

constexpr int reason_least = 30;  // columns; where there are fewer, reasons are not wrapped

struct Known {
  std::string_view word;
  std::string_view before, after;  // of its number, in the syntax of a pool
  std::string_view usual;          // number
  std::string_view accepted;
};
constexpr std::array<Known, 6> policies = {{
    {"lag", R"({"max":")", R"("})", "60s", "a time, lag=30s"},
    {"threshold", R"({"messages":)", "}", "20", "messages, threshold=20"},
    {"backlogPerWorker", R"({"messages":)", "}", "5", "messages, backlogPerWorker=5"},
    {"hpa", R"({"target":{"type":"AverageValue","value":")", R"("}})", "5", "an AverageValue, hpa=5"},
    {"kedaScaledObject", R"({"target":{"type":"AverageValue","value":")", R"("}})", "5",
     "an AverageValue, kedaScaledObject=5"},
    {"kedaScaledJob", R"({"target":)", "}", "5", "messages, kedaScaledJob=5"},
}};

const Known* known_of(std::string_view word) {
  const auto* const at = std::ranges::find(policies, word, &Known::word);
  return at == policies.end() ? nullptr : at;
}

Error unknown_policy(const std::string& word) {
  std::string known;
  std::vector<std::string> words;
  for (const Known& kind : policies) {
    known += (known.empty() ? "" : ", ") + std::string(kind.word);
    words.emplace_back(kind.word);
  }
  const std::optional<std::string> near = nearest(word, words);
  return Error{Code::invalid, fmt::format("--compare: no policy \"{}\"{}; accepted: {}", word,
                                          near ? fmt::format(", did you mean {}?", *near) : std::string(), known)};
}

Result<pool::Policy> policy_of(const Known& kind, const std::string& value) {
  // The number is a whole one or a time; what else it may be is for the reader of pools to say.
  const bool plain = std::ranges::all_of(value, [](char c) { return c != '"' && c != '\\' && c >= ' '; });
  const std::string text =
      fmt::format(R"({{"policy":{{"{}":{}{}{}}},"workers":{{"max":1}}}})", kind.word, kind.before, value, kind.after);
  pool::ParsedPolicy parsed = plain && !value.empty() ? pool::parse_policy_json(text) : pool::ParsedPolicy{};
  if (!parsed.policy || !parsed.problems.empty()) {
    return Error{Code::invalid, fmt::format("--compare: {}={}; accepted: {}", kind.word, value, kind.accepted)};
  }
  return std::move(*parsed.policy);
}

// The HPA, and KEDA with it, goes by the size that it set last, and here nobody obeys: it finds who is there, and what
// it wished for does not count against its limits. Between its own looks it says what it said.
void put_right(const pool::PoolSpec& spec, control::ControlState& state, const model::Observation& seen) {
  const std::int64_t size = seen.useful() + seen.count(model::WorkerState::failing);
  const auto forget = [](policy::HpaState& hpa) {
    hpa.up_events.clear();
    hpa.down_events.clear();
  };
  if (const auto* hpa = std::get_if<pool::HpaPolicy>(&spec.policy); hpa != nullptr && state.hpa) {
    const Duration period = hpa->every.period.value_or(std::chrono::seconds{1});
    if (seen.at_ms - state.hpa->synced_ms >= to_ms(period)) {
      state.hpa->wanted = static_cast<std::int32_t>(size);
      forget(state.hpa->controller);
    }
  }
  const auto* keda = std::get_if<pool::KedaScaledObjectPolicy>(&spec.policy);
  auto* held = state.rival ? std::get_if<rivals::KedaScaledObjectState>(&*state.rival) : nullptr;
  if (keda != nullptr && held != nullptr && held->polled_ms &&
      seen.at_ms - *held->polled_ms >= to_ms(keda->polling_interval)) {
    held->replicas = size;
    forget(held->hpa);
  }
}

// Words into lines of at most `columns`; those behind the first begin with `indent` blanks.
std::string wrapped(const std::string& text, int columns, int indent) {
  if (columns < reason_least) {
    return text;
  }
  std::string out;
  int at = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    if (at > 0 && at + 1 + width(word) > columns) {
      out += "\n" + std::string(static_cast<std::size_t>(indent), ' ');
      at = 0;
    }
    out += (at > 0 ? " " : "") + word;
    at += (at > 0 ? 1 : 0) + width(word);
  }
  return out;
}

std::string count_text(const std::optional<model::SeenCount>& count) {
  return count ? fmt::format("{}", count->n) : "?";
}

}  // namespace

Result<std::vector<Wanted>> parse_compare(std::string_view text) {
  std::vector<Wanted> out;
  while (true) {
    const std::size_t end = text.find(',');
    const std::string_view part = text.substr(0, end);
    const std::size_t equals = part.find('=');
    Wanted one{.word = std::string(part.substr(0, equals)), .value = std::nullopt};
    if (equals != std::string_view::npos) {
      one.value = std::string(part.substr(equals + 1));
    }
    if (known_of(one.word) == nullptr) {
      return unknown_policy(one.word);
    }
    out.push_back(std::move(one));
    if (end == std::string_view::npos) {
      return out;
    }
    text.remove_prefix(end + 1);
  }
}

Result<Comparison> Comparison::of(const pool::PoolSpec& spec, const std::vector<Wanted>& wanted) {
  Comparison out;
  out.own_kind_ = spec.policy.index();
  for (const Wanted& want : wanted) {
    const Known* known = known_of(want.word);
    if (known == nullptr) {
      return unknown_policy(want.word);
    }
    One one{.name = want.word, .spec = spec, .state = {}, .decision = {}};
    if (want.value || want.word != pool::policy_word(spec.policy)) {
      const std::string value = want.value.value_or(std::string(known->usual));
      Result<pool::Policy> policy = policy_of(*known, value);
      if (!policy) {
        return policy.error();
      }
      one.name += " " + value;
      one.spec.policy = std::move(*policy);
    } else {
      one.name += ", the pool's own";
    }
    const Result<void> can = control::decidable(one.spec);
    if (!can) {
      return Error{Code::invalid, fmt::format("--compare: {}: {}", want.word, can.error().what)};
    }
    out.all_.push_back(std::move(one));
  }
  return out;
}

void Comparison::begin(const control::ControlState& own) {
  for (One& one : all_) {
    one.state = one.spec.policy.index() == own_kind_ ? own : control::ControlState{};
    one.state.fresh = false;  // nobody acts, so nobody has to look once more first
  }
}

bool Comparison::look(const model::Observation& seen) {
  std::vector<std::pair<std::string, std::int64_t>> now;
  for (One& one : all_) {
    put_right(one.spec, one.state, seen);
    control::Step step = control::decide(one.spec, one.state, seen);
    one.state = std::move(step.next);
    one.decision = std::move(step.decision);
    now.emplace_back(one.decision.reason.substr(0, one.decision.reason.find(':')), one.decision.workers);
  }
  const bool changed = now != told_;
  told_ = std::move(now);
  return changed;
}

std::string Comparison::text(WallTime at, const model::Observation& seen, int columns, bool colour) const {
  int wide = width("POLICY");
  for (const One& one : all_) {
    wide = std::max(wide, width(one.name));
  }
  const std::int64_t there = seen.live();
  std::string out =
      fmt::format("{}  {} wait, {} in work, {} worker{}\n", format_wall(at).substr(11, 8), count_text(seen.queue.ready),
                  count_text(seen.queue.in_flight), there, there == 1 ? "" : "s");
  const auto row = [wide](const std::string& name, const std::string& wants, const std::string& change) {
    return fmt::format("  {}  {:>5}  {:>6}  ", padded(name, wide), wants, change);
  };
  const std::string head = row("POLICY", "WANTS", "CHANGE");
  const int indent = width(head);
  out += coloured(head + "WHY", Colour::dim, colour) + "\n";
  for (const One& one : all_) {
    const model::Decision& decision = one.decision;
    const std::string change = decision.change == 0 ? "" : fmt::format("{:+d}", decision.change);
    out += row(coloured(padded(one.name, wide), Colour::bold, colour), fmt::format("{}", decision.workers), change) +
           wrapped(control::printable(decision.reason), columns - indent, indent) + "\n";
  }
  return out;
}

std::string Comparison::json(WallTime at, std::string_view pool, const model::Observation& seen) const {
  std::string out = fmt::format(R"({{"event":"compare","at":"{}","pool":)", format_wall(at));
  model::append_json_string(out, pool);
  out += R"(,"seen":)";
  model::append_json(out, seen);
  out += R"(,"policies":[)";
  for (const One& one : all_) {
    out += out.back() == '[' ? R"({"name":)" : R"(,{"name":)";
    model::append_json_string(out, one.name);
    out += fmt::format(R"(,"policy":"{}","decision":)", pool::policy_word(one.spec.policy));
    model::append_json(out, one.decision);
    out += '}';
  }
  return out + "]}";
}

}  // namespace sluice::app
