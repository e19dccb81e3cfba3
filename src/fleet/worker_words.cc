// SPDX-License-Identifier: Apache-2.0
#include "fleet/worker_words.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>

#include "base/text.h"

namespace sluice::fleet {
namespace {

namespace json = boost::json;
using model::WorkerState;

constexpr std::size_t words_max = 64U << 10U;  // chosen: 16 times what a worker of ours may say

std::optional<WorkerState> parse_state(std::string_view text) {
  for (const WorkerState state : {WorkerState::ready, WorkerState::busy, WorkerState::idle, WorkerState::draining}) {
    if (model::word(state) == text) {
      return state;
    }
  }
  return text == "gone" ? std::optional(WorkerState::terminating) : std::nullopt;
}

std::string_view text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

std::int64_t count_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  constexpr std::int64_t most = 1LL << 60;  // four of them still add up without overflow
  return value != nullptr && value->is_int64() ? std::clamp<std::int64_t>(value->get_int64(), 0, most / 4) : 0;
}

// Seconds as a number of any kind; empty for what is none, below 0 or beyond any duration.
std::optional<std::int64_t> ms_of(const json::value& value) {
  if (!value.is_number()) {
    return std::nullopt;
  }
  const double seconds = value.to_number<double>();
  constexpr double most = 1e12;
  return seconds >= 0 && seconds <= most ? std::optional(std::llround(seconds * 1e3)) : std::nullopt;
}

constexpr std::size_t buckets_max = 100;  // chosen: seven times ours

// {"count":3,"sum":1.25,"le":[[0.01,0],[0.05,1],..]}, cumulative. What does not add up is left out, whole.
model::Durations durations_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  const json::object* said = value != nullptr ? value->if_object() : nullptr;
  const json::value* sum = said != nullptr ? said->if_contains("sum") : nullptr;
  const std::optional<std::int64_t> sum_ms = sum != nullptr ? ms_of(*sum) : std::nullopt;
  if (!sum_ms) {
    return {};
  }
  model::Durations out{.count = count_at(*said, "count"), .sum_ms = *sum_ms};
  const json::value* buckets = said->if_contains("le");
  if (buckets == nullptr || !buckets->is_array() || buckets->get_array().size() > buckets_max) {
    return out;
  }
  for (const json::value& bucket : buckets->get_array()) {
    const json::array* pair = bucket.if_array();
    const bool whole = pair != nullptr && pair->size() == 2 && (*pair)[1].is_int64();
    const std::optional<std::int64_t> bound = whole ? ms_of((*pair)[0]) : std::nullopt;
    if (!bound) {
      return {};
    }
    const std::int64_t n = std::clamp<std::int64_t>((*pair)[1].get_int64(), 0, out.count);
    for (std::size_t i = 0; i < out.at_most.size(); ++i) {
      out.at_most[i] = model::Durations::bounds_ms[i] >= *bound ? std::max(out.at_most[i], n) : out.at_most[i];
    }
  }
  return out;
}

model::SaidTally tally_of(const json::object& object) {
  if (!object.contains("done")) {
    return nullptr;
  }
  return std::make_shared<const model::Tally>(model::Tally{.done = count_at(object, "done"),
                                                           .retried = count_at(object, "retried"),
                                                           .failed = count_at(object, "failed"),
                                                           .dead_lettered = count_at(object, "dead_lettered"),
                                                           .requeued = count_at(object, "requeued"),
                                                           .wait = durations_at(object, "wait_s"),
                                                           .work = durations_at(object, "work_s")});
}

// How many bytes the UTF-8 character at the front of `text` has; 0 when it is none. Overlong forms and surrogates are
// let through: a reader shows them as it likes, what matters is that no character is cut.
std::size_t character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) {
    return 0;
  }
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; };
  return std::ranges::all_of(text.substr(1, length - 1), continues) ? length : 0;
}

}  // namespace

std::optional<WorkerWords> parse_words(std::string_view text) {
  json::error_code error;
  const json::value value = text.size() > words_max ? json::value() : json::parse(text, error);
  const json::object* object = error ? nullptr : value.if_object();
  const std::optional<WorkerState> state = object == nullptr ? std::nullopt : parse_state(text_at(*object, "state"));
  if (!state) {
    return std::nullopt;
  }
  WorkerWords words;
  words.state = *state;
  words.worker = text_at(*object, "worker");
  words.handling =
      static_cast<int>(std::min<std::int64_t>(count_at(*object, "handling"), std::numeric_limits<int>::max()));
  words.first_claim_at = parse_wall(text_at(*object, "first_claim_at"));
  for (const std::string_view outcome : {"done", "retried", "failed", "dead_lettered"}) {
    words.settled += count_at(*object, outcome);
  }
  words.tally = tally_of(*object);
  words.reason = text_at(*object, "reason");
  return words;
}

std::string last_line(std::string_view text) {
  constexpr std::size_t line_max = 300;  // chosen: two lines of a terminal and a bit
  text = trimmed(text);
  text.remove_prefix(text.find_last_of("\r\n") + 1);  // npos + 1 is 0
  std::string line;
  while (!text.empty() && line.size() < line_max) {
    const std::size_t length = character(text);
    const bool printable = length > 1 || (length == 1 && text.front() >= ' ' && text.front() != 0x7f);
    line += printable ? text.substr(0, length) : std::string_view("?");
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return line;
}

}  // namespace sluice::fleet
