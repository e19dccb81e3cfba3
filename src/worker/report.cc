// SPDX-License-Identifier: Apache-2.0
#include "worker/report.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "base/log.h"

namespace sluice::worker {

namespace {

// Milliseconds as seconds without trailing zeros: 50 is "0.05".
std::string seconds(std::int64_t ms) {
  return fmt::format("{}", static_cast<double>(ms) / 1e3);
}

// The longest prefix of at most `bytes` that does not cut a UTF-8 character.
std::string_view prefix(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) {
    return text;
  }
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) {
    --bytes;
  }
  return text.substr(0, bytes);
}

std::string render(const WorkerReport& r, std::string_view reason) {
  const std::string first = r.first_claim_at ? "\"" + format_wall(*r.first_claim_at) + "\"" : "null";
  const std::string why = reason.empty() ? "null" : "\"" + json_escape(reason) + "\"";
  return fmt::format(
      R"({{"v":1,"worker":"{}","state":"{}","handling":{},"first_claim_at":{},"done":{},"retried":{},"failed":{},)"
      R"("dead_lettered":{},"requeued":{},"wait_s":{},"work_s":{},"reason":{}}})",
      json_escape(r.worker), word(r.state), r.handling, first, r.counts.done, r.counts.retried, r.counts.failed,
      r.counts.dead_lettered, r.counts.requeued, r.wait.json(), r.work.json(), why);
}

}  // namespace

std::string_view word(WorkerState state) {
  switch (state) {
    case WorkerState::ready:
      return "ready";
    case WorkerState::busy:
      return "busy";
    case WorkerState::idle:
      return "idle";
    case WorkerState::draining:
      return "draining";
    case WorkerState::gone:
      return "gone";
  }
  return "gone";
}

void Histogram::add(Duration d) {
  ++count_;
  sum_ += d;
  for (std::size_t i = 0; i < bounds_ms.size(); ++i) {
    at_most_[i] += d <= std::chrono::milliseconds{bounds_ms[i]} ? 1 : 0;
  }
}

std::string Histogram::json() const {
  std::string out = fmt::format(R"({{"count":{},"sum":{},"le":[)", count_, seconds(to_ms(sum_)));
  for (std::size_t i = 0; i < bounds_ms.size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}[{},{}]", i == 0 ? "" : ",", seconds(bounds_ms[i]), at_most_[i]);
  }
  return out + "]}";
}

std::string to_json(const WorkerReport& report) {
  std::string_view reason = prefix(report.reason, last_words_max);
  std::string out = render(report, reason);
  // Escaping makes a byte up to six bytes long: shorten by a sixth of what is too much, at least by one, until it fits.
  while (out.size() > last_words_max && !reason.empty()) {
    const std::size_t over = out.size() - last_words_max;
    reason = prefix(reason, reason.size() - std::min(reason.size(), (over + 5) / 6));
    out = render(report, reason);
  }
  return out;
}

}  // namespace sluice::worker
