// SPDX-License-Identifier: Apache-2.0
#pragma once
// Cloud Monitoring's answers as values: bytes apart from sockets. Every number that comes out was there; what cannot be
// read is an error of the whole answer, since a sum over the rest would be too small.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gcp/monitoring.h"

namespace sluice::gcp {

struct Descriptor {
  enum class Kind { gauge, delta, cumulative };
  Kind kind = Kind::gauge;
  bool distribution = false;
};
[[nodiscard]] Result<Descriptor> parse_descriptor(std::string_view body);

struct SeriesPage {
  std::vector<Point> points;  // the newest of each series
  std::size_t points_n = 0;   // of all series
  std::string next;           // page token; empty: this was the last
};
// Of timeSeries.list. Code::invalid names the field, never what is in it; for a value that is no number in the
// Stackdriver adapter's words. A series without a point is an error, as it is there.
[[nodiscard]] Result<SeriesPage> parse_series(std::string_view body);

// Why Google refuses, in the words of its error model that are known.
struct Refusal {
  int status = 0;
  std::string reason;  // SERVICE_DISABLED, RATE_LIMIT_EXCEEDED, ..; empty: none that is known
};
[[nodiscard]] Refusal parse_refusal(int status, std::string_view body);

// int64(v * 1000), as the adapter does it. Empty for what has no such value: infinite, no number, too large.
[[nodiscard]] std::optional<std::int64_t> milli_of(double value);

}  // namespace sluice::gcp
