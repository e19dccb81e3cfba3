// SPDX-License-Identifier: Apache-2.0
#include "gcp/series.h"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <limits>

#include "base/number.h"
#include "model/strict_json.h"

namespace sluice::gcp {
namespace {

namespace json = boost::json;

constexpr std::size_t labels_max = 100;  // of one series; Google allows 30 of a metric and a dozen of a resource
constexpr std::size_t label_max = 1024;  // Google's own limit for a value
constexpr std::size_t token_max = 8192;  // of a page
constexpr std::int64_t milli_in_one = 1000;

Error invalid(std::string what) {
  return Error{Code::invalid, std::move(what)};
}

const json::value* find(const json::object& object, std::string_view key) {
  return object.if_contains({key.data(), key.size()});
}

const json::object* object_in(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  return value != nullptr ? value->if_object() : nullptr;
}

std::optional<std::string_view> text_in(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  return value != nullptr && value->is_string() ? std::optional(std::string_view(value->get_string())) : std::nullopt;
}

Result<void> take_labels(const json::object& owner, std::string_view prefix, Point& out) {
  const json::value* labels = find(owner, "labels");
  if (labels == nullptr) {
    return {};
  }
  if (!labels->is_object() || labels->get_object().size() > labels_max) {
    return invalid(fmt::format("timeSeries: {} is no object, or has too many labels", prefix));
  }
  for (const auto& [key, value] : labels->get_object()) {
    if (!value.is_string() || value.get_string().size() > label_max || key.size() > label_max) {
      return invalid(fmt::format("timeSeries: {} has one that is no text, or too long", prefix));
    }
    out.labels.emplace(fmt::format("{}.{}", prefix, std::string_view(key)), std::string_view(value.get_string()));
  }
  return {};
}

// int64 comes as text, as JSON's numbers are not that long.
Result<std::int64_t> milli_in(const json::object& value) {
  if (const json::value* whole = find(value, "int64Value"); whole != nullptr) {
    const auto n = whole->is_string()  ? parse_number<std::int64_t>(std::string_view(whole->get_string()))
                   : whole->is_int64() ? std::optional(whole->get_int64())
                                       : std::nullopt;
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / milli_in_one;
    if (!n || *n > most || *n < -most) {
      return invalid("timeSeries: int64Value: not a number, or too large");
    }
    return *n * milli_in_one;
  }
  if (const json::value* real = find(value, "doubleValue"); real != nullptr) {
    json::error_code failed;
    const double v = real->to_number<double>(failed);
    const std::optional<std::int64_t> milli = failed ? std::nullopt : milli_of(v);
    return milli ? Result<std::int64_t>(*milli) : invalid("timeSeries: doubleValue: not a number, or too large");
  }
  for (const std::string_view other : {"boolValue", "stringValue", "distributionValue"}) {
    if (find(value, other) != nullptr) {
      return invalid(
          fmt::format("Expected metric of type DoubleValue or Int64Value, but received TypedValue: {}", other));
    }
  }
  return invalid("timeSeries: a point without a value");
}

Result<Point> read_series(const json::value& item, std::size_t& points_n) {
  const json::object* series = item.if_object();
  const json::value* list = series != nullptr ? find(*series, "points") : nullptr;
  const json::array* points = list != nullptr ? list->if_array() : nullptr;
  if (points == nullptr || points->empty()) {
    return invalid("Empty time series returned from Stackdriver");
  }
  points_n += points->size();
  Point out;
  if (const json::object* metric = object_in(*series, "metric")) {
    if (const Result<void> taken = take_labels(*metric, "metric.labels", out); !taken) {
      return taken.error();
    }
  }
  if (const json::object* resource = object_in(*series, "resource")) {
    out.labels.emplace("resource.type", text_in(*resource, "type").value_or("").substr(0, label_max));
    if (const Result<void> taken = take_labels(*resource, "resource.labels", out); !taken) {
      return taken.error();
    }
  }
  const json::object* newest = points->front().if_object();  // they come newest first
  const json::object* interval = newest != nullptr ? object_in(*newest, "interval") : nullptr;
  const json::object* value = newest != nullptr ? object_in(*newest, "value") : nullptr;
  const auto end = interval != nullptr ? parse_wall(text_in(*interval, "endTime").value_or("")) : std::nullopt;
  if (!end) {
    return invalid("timeSeries: interval.endTime is missing, or no time");
  }
  if (value == nullptr) {
    return invalid("timeSeries: a point without a value");
  }
  const Result<std::int64_t> milli = milli_in(*value);
  if (!milli) {
    return milli.error();
  }
  out.milli = *milli;
  out.ended_at = *end;
  return out;
}

Result<json::value> parse_object(std::string_view body) {
  Result<json::value> value = model::parse_strict_json(body);
  if (value && !value->is_object()) {
    return invalid("the answer is no JSON object");
  }
  return value;
}

}  // namespace

std::optional<std::int64_t> milli_of(double value) {
  const double milli = std::trunc(value * static_cast<double>(milli_in_one));
  constexpr double most = 0x1.0p62;  // far inside of what the conversion takes
  return milli > -most && milli < most ? std::optional(static_cast<std::int64_t>(milli)) : std::nullopt;
}

Result<Descriptor> parse_descriptor(std::string_view body) {
  const Result<json::value> value = parse_object(body);
  if (!value) {
    return value.error();
  }
  const auto kind = text_in(value->get_object(), "metricKind");
  const auto type = text_in(value->get_object(), "valueType");
  Descriptor out;
  if (kind == "DELTA") {
    out.kind = Descriptor::Kind::delta;
  } else if (kind == "CUMULATIVE") {
    out.kind = Descriptor::Kind::cumulative;
  } else if (kind != "GAUGE") {
    return invalid("metricKind is missing, or none that is known");
  }
  if (!type) {
    return invalid("valueType is missing");
  }
  out.distribution = *type == "DISTRIBUTION";
  return out;
}

Result<SeriesPage> parse_series(std::string_view body) {
  const Result<json::value> value = parse_object(body);
  if (!value) {
    return value.error();
  }
  const json::object& object = value->get_object();
  SeriesPage out;
  if (const json::value* next = find(object, "nextPageToken"); next != nullptr) {
    if (!next->is_string() || next->get_string().size() > token_max) {
      return invalid("nextPageToken: no text, or too long");
    }
    out.next = std::string_view(next->get_string());
  }
  // What could not be asked in part, as in a scope of several projects: the rest would be too small.
  if (const json::value* errors = find(object, "executionErrors");
      errors != nullptr && !(errors->is_array() && errors->get_array().empty())) {
    return Error{Code::retry, "Cloud Monitoring could not answer in full (executionErrors)"};
  }
  const json::value* list = find(object, "timeSeries");
  if (list == nullptr) {
    return out;
  }
  if (!list->is_array()) {
    return invalid("timeSeries: no list");
  }
  for (const json::value& item : list->get_array()) {
    Result<Point> point = read_series(item, out.points_n);
    if (!point) {
      return point.error();
    }
    out.points.push_back(std::move(*point));
  }
  return out;
}

Refusal parse_refusal(int status, std::string_view body) {
  constexpr std::array<std::string_view, 6> known{"SERVICE_DISABLED",      "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED",
                                                  "IAM_PERMISSION_DENIED", "CONSUMER_INVALID",    "BILLING_DISABLED"};
  Refusal out{.status = status, .reason = {}};
  const Result<json::value> value = model::parse_strict_json(body);
  const json::object* error = value && value->is_object() ? object_in(value->get_object(), "error") : nullptr;
  if (error == nullptr) {
    return out;
  }
  const auto take = [&](std::optional<std::string_view> word) {
    for (const std::string_view one : known) {
      if (out.reason.empty() && word == one) {
        out.reason = one;
      }
    }
  };
  const json::value* details = find(*error, "details");
  if (details != nullptr && details->is_array()) {
    for (const json::value& detail : details->get_array()) {
      if (detail.is_object()) {
        take(text_in(detail.get_object(), "reason"));
      }
    }
  }
  take(text_in(*error, "status"));
  return out;
}

}  // namespace sluice::gcp
