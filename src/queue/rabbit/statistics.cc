// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/statistics.h"

#include <fmt/core.h>

#include <algorithm>

#include "model/strict_json.h"

namespace sluice::queue::rabbit {
namespace {

namespace json = boost::json;

constexpr std::size_t text_max = 255;  // of a name in AMQP

Error invalid(std::string what) {
  return Error{Code::invalid, std::move(what)};
}

// What is there instead, without repeating it.
std::string_view kind_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a truth value";
    case json::kind::string:
      return "a text";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
    case json::kind::double_:
      return "no whole number";
    default:
      return "a number out of range";
  }
}

// The fields of one queue; the first that cannot be read is remembered.
class Fields {
 public:
  Fields(const json::object& object, std::string& missing) : object_(object), missing_(missing) {}

  [[nodiscard]] const json::value* find(std::string_view key) const {
    const json::value* value = object_.if_contains({key.data(), key.size()});
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  std::optional<std::int64_t> count(std::string_view key) {
    const json::value* value = object_.if_contains({key.data(), key.size()});
    if (value == nullptr) {
      miss(key, "absent");
      return std::nullopt;
    }
    const std::optional<std::int64_t> n = whole(*value);
    if (!n) {
      miss(key, kind_of(*value));
    }
    return n;
  }
  // One that need not be there.
  std::optional<std::int64_t> maybe_count(std::string_view key) { return find(key) ? count(key) : std::nullopt; }
  [[nodiscard]] std::string text(std::string_view key) const {
    const json::value* value = find(key);
    return value != nullptr && value->is_string()
               ? std::string(value->get_string().data(), std::min(value->get_string().size(), text_max))
               : std::string();
  }
  [[nodiscard]] const json::object* object(std::string_view key) {
    const json::value* value = find(key);
    if (value != nullptr && !value->is_object() && !(value->is_array() && value->get_array().empty())) {
      miss(key, kind_of(*value));  // an empty table is [] in some versions
    }
    return value != nullptr ? value->if_object() : nullptr;
  }

 private:
  static std::optional<std::int64_t> whole(const json::value& value) {
    const auto* n = value.if_int64();
    return n != nullptr && *n >= 0 && *n <= statistic_max ? std::optional(*n) : std::nullopt;
  }
  void miss(std::string_view key, std::string_view why) {
    if (missing_.empty()) {
      missing_ = fmt::format("{}: {}", key, why);
    }
  }

  const json::object& object_;
  std::string& missing_;
};

QueueStatistics read_queue(const json::object& object) {
  QueueStatistics out;
  Fields fields(object, out.missing);
  out.ready = fields.count("messages_ready");
  out.in_flight = fields.count("messages_unacknowledged");
  out.consumers = fields.count("consumers");
  out.head_timestamp_s = fields.maybe_count("head_message_timestamp");
  if (const json::object* stats = fields.object("message_stats")) {
    Fields counters(*stats, out.missing);
    out.published_n = counters.maybe_count("publish");
    out.acked_n = counters.maybe_count("ack");
  }
  out.type = fields.text("type");
  out.state = fields.text("state");
  out.policy = fields.text("policy");
  if (const json::object* arguments = fields.object("arguments")) {
    const json::value* single = arguments->if_contains("x-single-active-consumer");
    out.single_active_consumer = single != nullptr && single->is_bool() && single->get_bool();
  }
  return out;
}

Result<json::value> parse_object(std::string_view body) {
  Result<json::value> value = model::parse_strict_json(body);
  if (value && !value->is_object()) {
    return invalid(fmt::format("{} where an object belongs", kind_of(*value)));
  }
  return value;
}

Result<json::value> parse_queue_object(std::string_view body, std::string_view name) {
  Result<json::value> value = parse_object(body);
  if (!value) {
    return value;
  }
  const json::value* found = value->get_object().if_contains("name");
  if (found == nullptr || !found->is_string() || std::string_view(found->get_string()) != name) {
    return invalid(found == nullptr ? "name: absent" : "name: that of another queue");
  }
  return value;
}

}  // namespace

std::string_view statistics_columns() {
  return "name,type,state,policy,arguments,messages_ready,messages_unacknowledged,consumers,head_message_timestamp,"
         "message_stats.publish,message_stats.ack";
}

Result<QueueStatistics> parse_queue_statistics(std::string_view body, std::string_view name) {
  const Result<json::value> value = parse_queue_object(body, name);
  if (!value) {
    return value.error();
  }
  return read_queue(value->get_object());
}

Result<StatisticsPage> parse_statistics_page(std::string_view body, std::int64_t page) {
  const Result<json::value> value = parse_object(body);
  if (!value) {
    return value.error();
  }
  std::string missing;
  Fields fields(value->get_object(), missing);
  const std::optional<std::int64_t> number = fields.count("page");
  const std::optional<std::int64_t> pages = fields.count("page_count");
  const json::value* items = fields.find("items");
  if (!number || !pages) {
    return invalid(missing);
  }
  if (*number != page) {
    return invalid(fmt::format("page: {} where {} was asked for", *number, page));
  }
  if (items == nullptr || !items->is_array()) {
    return invalid(fmt::format("items: {}", items == nullptr ? "absent" : kind_of(*items)));
  }
  StatisticsPage out{.queues = {}, .pages = *pages};
  for (const json::value& item : items->get_array()) {
    const json::value* name = item.is_object() ? item.get_object().if_contains("name") : nullptr;
    if (name == nullptr || !name->is_string()) {
      return invalid("items: one without a name");
    }
    const bool fresh =
        out.queues.emplace(std::string(std::string_view(name->get_string())), read_queue(item.get_object())).second;
    if (!fresh) {
      return invalid("items: a queue that is there twice");
    }
  }
  return out;
}

Result<std::vector<Consumer>> parse_consumers(std::string_view body, std::string_view name) {
  const Result<json::value> value = parse_queue_object(body, name);
  if (!value) {
    return value.error();
  }
  std::vector<Consumer> out;
  const json::value* list = value->get_object().if_contains("consumer_details");
  if (list == nullptr || !list->is_array()) {
    return invalid(fmt::format("consumer_details: {}", list == nullptr ? "absent" : kind_of(*list)));
  }
  for (const json::value& item : list->get_array()) {
    std::string missing;
    const json::object empty;
    const json::object& object = item.is_object() ? item.get_object() : empty;
    Fields fields(object, missing);
    const json::object* channel = fields.object("channel_details");
    Fields details(channel != nullptr ? *channel : empty, missing);
    Consumer one{.tag = fields.text("consumer_tag"),
                 .connection = details.text("connection_name"),
                 .peer_host = details.text("peer_host"),
                 .peer_port = details.count("peer_port").value_or(0),
                 .active = true};
    if (one.tag.empty() || one.peer_host.empty() || one.peer_port == 0) {
      return invalid("consumer_details: a consumer without tag or address");
    }
    if (const json::value* active = fields.find("active"); active != nullptr && active->is_bool()) {
      one.active = active->get_bool();
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace sluice::queue::rabbit
