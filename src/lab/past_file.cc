// SPDX-License-Identifier: Apache-2.0
#include "lab/past_file.h"

#include <fmt/core.h>

#include <algorithm>

namespace sluice::lab {
namespace {

// Workers who had a message: all while messages wait, else as many as have one. An idle worker is not seen otherwise.
std::int64_t busy_of(const FileRow& row, const std::optional<std::int64_t>& workers) {
  const std::int64_t most = workers.value_or(row.in_flight.value_or(0));
  return row.ready.value_or(0) > 0 ? most : std::min(most, row.in_flight.value_or(0));
}

}  // namespace

void add_looks(Past& past, const std::vector<FileRow>& rows, const FileWishes& wishes) {
  const auto told = [&rows](auto member) {
    return std::ranges::any_of(rows, [member](const FileRow& row) { return (row.*member).has_value(); });
  };
  const bool by_record = told(&FileRow::workers);
  const bool by_hand = !by_record && wishes.workers;
  const bool in_flight = told(&FileRow::in_flight);
  past.workers_known = by_record || by_hand || in_flight;
  for (const FileRow& row : rows) {
    const std::optional<std::int64_t> workers = by_record ? row.workers : wishes.workers;
    past.looks.push_back({.at_ms = row.at_ms,
                          .queue_ms = row.at_ms,
                          .ready = row.ready,
                          .in_flight = row.in_flight,
                          .published = row.published,
                          .acked = row.done,
                          .busy = busy_of(row, workers),
                          .placed = workers.value_or(0),
                          .live = workers.value_or(0)});
    past.end_ms = row.at_ms;
  }
  const bool asks = !told(&FileRow::published) || told(&FileRow::done);  // who was busy matters to these alone
  if (asks && by_hand) {
    past.notes.push_back(fmt::format("{} worker{} were there all the time, as you say", *wishes.workers,
                                     *wishes.workers == 1 ? "" : "s"));
  }
  if (asks && past.workers_known) {
    past.notes.emplace_back(by_record || by_hand
                                ? "all workers were busy while messages waited" +
                                      std::string(in_flight ? ", else as many as were in flight" : ", else none")
                                : "as many workers were busy as messages were in flight: prefetch is 1");
  }
}

}  // namespace sluice::lab
