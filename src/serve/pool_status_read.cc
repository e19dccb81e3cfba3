// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <boost/json.hpp>
#include <cmath>

#include "serve/pool_status.h"

namespace sluice::serve {
namespace {

namespace json = boost::json;

constexpr std::size_t answer_max = 64U << 20U;  // chosen: 10,000 pools and then some
constexpr int depth_max = 8;                    // the contract's is 4
constexpr double seconds_most = 1e12;

// Reads the members of one object; the first that is not as it should be is kept as the error.
class Members {
 public:
  Members(const json::object& object, std::string path, std::optional<Error>& error)
      : object_(object), path_(std::move(path)), error_(error) {}

  std::string text(std::string_view key) {
    const json::value* value = get(key);
    if (value == nullptr) {
      return "";
    }
    return value->is_string() ? std::string(value->get_string()) : refuse<std::string>(key, "a string");
  }
  std::optional<std::int64_t> whole(std::string_view key) {
    const json::value* value = get(key);
    if (value == nullptr) {
      return std::nullopt;
    }
    return value->is_int64() && value->get_int64() >= 0
               ? std::optional(value->get_int64())
               : refuse<std::optional<std::int64_t>>(key, "a whole number, 0 or more");
  }
  std::optional<double> number(std::string_view key) {
    const json::value* value = get(key);
    if (value == nullptr) {
      return std::nullopt;
    }
    const double n = value->is_number() ? value->to_number<double>() : -1.0;
    return n >= 0 && n <= seconds_most ? std::optional(n) : refuse<std::optional<double>>(key, "a number, 0 or more");
  }
  std::optional<std::int64_t> ms(std::string_view key) {
    const std::optional<double> seconds = number(key);
    return seconds ? std::optional<std::int64_t>(std::llround(*seconds * 1e3)) : std::nullopt;
  }
  std::optional<PoolStatus::Count> count(std::string_view key) {
    const std::optional<std::int64_t> n = whole(key);
    return n ? std::optional(PoolStatus::Count{.n = *n}) : std::nullopt;
  }
  WallTime time(std::string_view key) {
    const std::optional<WallTime> at = parse_wall(text(key));
    return at ? *at : refuse<WallTime>(key, "a time such as 2026-01-31T14:02:40.000Z");
  }
  bool yes(std::string_view key) {
    const json::value* value = get(key);
    return value != nullptr && (value->is_bool() ? value->get_bool() : refuse<bool>(key, "true or false"));
  }
  std::optional<Members> object(std::string_view key) {
    const json::value* value = get(key);
    if (value == nullptr) {
      return std::nullopt;
    }
    if (!value->is_object()) {
      return refuse<std::optional<Members>>(key, "an object");
    }
    return Members(value->get_object(), at(key), error_);
  }
  const json::array* array(std::string_view key) {
    const json::value* value = get(key);
    if (value == nullptr) {
      return nullptr;
    }
    return value->is_array() ? &value->get_array() : refuse<const json::array*>(key, "an array");
  }
  [[nodiscard]] std::string at(std::string_view key) const { return fmt::format("{}.{}", path_, key); }

 private:
  const json::value* get(std::string_view key) const {
    const json::value* value = object_.if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  template <class T>
  T refuse(std::string_view key, std::string_view accepted) {
    if (!error_) {
      error_ = Error{Code::invalid, fmt::format("{}: accepted: {}", at(key), accepted)};
    }
    return T{};
  }

  const json::object& object_;
  std::string path_;
  std::optional<Error>& error_;
};

std::vector<std::string> texts(const json::array* array) {
  std::vector<std::string> out;
  for (const json::value& value : array == nullptr ? json::array{} : *array) {
    if (value.is_string()) {
      out.emplace_back(value.get_string());
    }
  }
  return out;
}

PoolStatus read_pool(Members in) {
  PoolStatus out;
  out.pool = in.text("pool");
  out.at = in.time("at");
  out.state = in.text("state");
  out.ready = in.count("ready");
  out.in_flight = in.count("in_flight");
  out.total = in.count("total");
  out.delayed = in.count("delayed");
  out.dead = in.count("dead");
  out.sample_age_ms = in.ms("sample_age_s");
  out.stale_after_ms = in.ms("stale_after_s");
  out.oldest_age_ms = in.ms("oldest_age_s");
  out.oldest_kind = in.text("oldest_age_kind");
  out.published_n = in.whole("published_n");
  out.acked_n = in.whole("acked_n");
  out.in_per_s = in.number("in_per_s");
  out.out_per_s = in.number("out_per_s");
  if (std::optional<Members> workers = in.object("workers")) {
    out.workers.emplace();
    for (std::size_t i = 0; i < model::worker_states; ++i) {
      const std::int64_t n = workers->whole(model::word(static_cast<model::WorkerState>(i))).value_or(0);
      (*out.workers)[i] = std::min(n, std::int64_t{1} << 40);  // so that they add up
    }
  }
  out.desired = in.whole("desired");
  out.max = in.whole("max");
  out.why = in.text("why");
  out.tick = in.text("tick");
  out.decided_ms_ago = in.ms("decided_s_ago");
  if (std::optional<Members> scaler = in.object("scaler")) {
    out.scaler = PoolStatus::Scaler{.pid = scaler->whole("pid").value_or(0), .since = scaler->time("since")};
  }
  out.needs_you = in.yes("needs_you");
  out.errors = texts(in.array("errors"));
  return out;
}

// Of what is no JSON: null.
json::value object_of(std::string_view text) {
  json::error_code failed;
  json::parse_options options;
  options.max_depth = depth_max;
  json::value out = text.size() > answer_max ? json::value() : json::parse(text, failed, {}, options);
  return failed ? json::value() : out;
}

}  // namespace

Result<PoolStatus> parse_pool_status(std::string_view text) {
  const json::value value = object_of(text);
  if (!value.is_object()) {
    return Error{Code::invalid, "$: not a JSON object"};
  }
  std::optional<Error> error;
  PoolStatus out = read_pool(Members(value.get_object(), "$", error));
  return error ? Result<PoolStatus>(*error) : out;
}

Result<Answer> parse_answer(std::string_view text) {
  const json::value value = object_of(text);
  if (!value.is_object()) {
    return Error{Code::invalid, "$: not a JSON object"};
  }
  std::optional<Error> error;
  Members top(value.get_object(), "$", error);
  if (const std::optional<std::int64_t> version = top.whole("v"); version != 1) {
    return Error{Code::invalid, "$.v: accepted: 1; the other side is of another version"};
  }
  Answer out{
      .role = top.text("role"), .version = top.text("version"), .installation = top.text("installation"), .pools = {}};
  const json::array* pools = top.array("pools");
  for (std::size_t i = 0; pools != nullptr && i < pools->size() && !error; ++i) {
    const json::value& pool = (*pools)[i];
    if (!pool.is_object()) {
      return Error{Code::invalid, fmt::format("$.pools[{}]: accepted: an object", i)};
    }
    out.pools.push_back(read_pool(Members(pool.get_object(), fmt::format("$.pools[{}]", i), error)));
  }
  return error ? Result<Answer>(*error) : out;
}

}  // namespace sluice::serve
