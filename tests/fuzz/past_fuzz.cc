// SPDX-License-Identifier: Apache-2.0
// links: lab
//
// Records from outside, as journals, as tables, as answers of Prometheus: nothing crashes, an error is one line of
// plain characters, times never fall, and what comes out as arrivals is a trace that can be run.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "lab/past_file.h"
#include "lab/replay.h"

namespace {

using namespace sluice;

void check_plain(const std::string& text) {
  check(std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != '\x7f'; }),
        "errors and notes are one line of plain characters");
}

void check_past(const lab::Past& past) {
  for (const std::string& note : past.notes) {
    check_plain(note);
  }
  for (std::size_t i = 0; i < past.looks.size(); ++i) {
    const lab::PastLook& look = past.looks[i];
    check(i == 0 || look.at_ms >= past.looks[i - 1].at_ms, "times fall");
    for (const std::int64_t n : {look.ready.value_or(0), look.in_flight.value_or(0), look.published.value_or(0),
                                 look.acked.value_or(0), look.busy, look.placed, look.live}) {
      check(n >= 0, "fewer than none");
    }
  }
  static_cast<void>(lab::past_totals(past));
  for (const std::optional<Duration> service :
       {std::optional<Duration>{}, std::optional<Duration>{std::chrono::seconds{2}}}) {
    const Result<lab::Replayable> made = lab::replayable(past, {.service = service});
    if (!made) {
      check_plain(made.error().what);
      continue;
    }
    std::int64_t all = 0;
    for (const auto& [name, bins] : made->files.traces) {
      for (std::size_t i = 0; i < bins.size(); ++i) {
        check(bins[i].arrivals >= 0 && (i == 0 || bins[i].at > bins[i - 1].at), "no trace");
        all += bins[i].arrivals;
      }
    }
    check(all > 0 && all <= 1'000'000'000, "a load that cannot be run");
    check(!made->scenario.policies.empty() && made->scenario.lasts > Duration{0}, "nothing to run");
  }
}

void journal(std::string_view bytes) {
  lab::PastReader reader;
  std::size_t number = 0;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    reader.take(bytes.substr(0, end), "journal:" + std::to_string(++number));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  reader.end_of_file();
  for (const lab::Past& past : reader.finish()) {
    check_past(past);
  }
}

void table(std::string_view bytes) {
  const Result<lab::Past> past = lab::parse_past_csv(bytes, "orders.csv", {.workers = 3});
  past ? check_past(*past) : check_plain(past.error().what);
}

void prometheus(std::string_view bytes) {
  lab::PrometheusReader reader;
  for (const std::optional<lab::SeriesRole> role : {std::optional<lab::SeriesRole>{}, lab::series_role("published")}) {
    if (const Result<void> taken = reader.take(bytes, "orders.json", role); !taken) {
      check_plain(taken.error().what);
    }
  }
  const Result<std::vector<lab::Past>> pasts = reader.finish({});
  if (!pasts) {
    check_plain(pasts.error().what);
    return;
  }
  for (const lab::Past& past : *pasts) {
    check_past(past);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.starts_with("{\"event\"")) {
    journal(bytes);
  } else if (bytes.starts_with("{")) {
    prometheus(bytes);
  } else {
    table(bytes);
  }
  return 0;
}
