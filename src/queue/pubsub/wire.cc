// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/wire.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "aio/base64.h"
#include "base/number.h"
#include "model/json.h"
#include "model/strict_json.h"

namespace sluice::queue::pubsub {
namespace {

namespace json = boost::json;

constexpr std::size_t status_max = 40;    // the longest of google.rpc.Code has 19 letters
constexpr std::size_t failure_max = 100;  // "PERMANENT_FAILURE_INVALID_ACK_ID" has 32

Error unexpected(std::string_view what) {
  return Error{Code::invalid, fmt::format("an answer that is not Pub/Sub's: {}", what)};
}

// Null where it is absent, null, or something else.
const json::value* member(const json::value& value, std::string_view key) {
  const json::object* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains(key);
}
std::optional<std::string> text(const json::value& value, std::string_view key) {
  const json::value* found = member(value, key);
  return found != nullptr && found->is_string() ? std::optional(std::string(found->get_string())) : std::nullopt;
}
bool truth(const json::value& value, std::string_view key) {
  const json::value* found = member(value, key);
  return found != nullptr && found->is_bool() && found->get_bool();
}
// Protocol buffers' JSON writes 64-bit numbers as texts, others as numbers.
std::optional<std::int64_t> number(const json::value& value, std::string_view key) {
  const json::value* found = member(value, key);
  if (found == nullptr) {
    return std::nullopt;
  }
  if (found->is_string()) {
    return parse_number<std::int64_t>(found->get_string());
  }
  return found->is_int64() ? std::optional(found->get_int64()) : std::nullopt;
}

// An upper-case word of a closed vocabulary, or nothing.
std::string word_of(std::string text, std::size_t longest) {
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
  return text.size() <= longest && std::ranges::all_of(text, letter) ? text : std::string();
}

std::string with_ids(const std::vector<std::string>& ack_ids, std::string_view rest) {
  std::string out = R"({"ackIds":[)";
  for (std::size_t i = 0; i < ack_ids.size(); ++i) {
    out += i == 0 ? "" : ",";
    model::append_json_string(out, ack_ids[i]);
  }
  return out + "]" + std::string(rest) + "}";
}

Result<Received> parse_received(const json::value& value) {
  Received out;
  const json::value* message = member(value, "message");
  std::optional<std::string> ack_id = text(value, "ackId");
  if (message == nullptr || !message->is_object() || !ack_id || ack_id->empty()) {
    return unexpected("a received message without ackId or message");
  }
  out.ack_id = std::move(*ack_id);
  out.server_id = text(*message, "messageId").value_or("");
  if (out.server_id.empty()) {
    return unexpected("a received message without messageId");
  }
  if (const std::optional<std::string> data = text(*message, "data")) {
    Result<std::string> body = aio::from_base64(*data);
    if (!body) {
      return unexpected("data that is no base64");
    }
    out.body = std::move(*body);
  }
  if (const json::value* attributes = member(*message, "attributes"); attributes != nullptr && !attributes->is_null()) {
    if (!attributes->is_object() || attributes->get_object().size() > 10 * attributes_max) {
      return unexpected("attributes that are none");
    }
    for (const auto& one : attributes->get_object()) {
      if (!one.value().is_string()) {
        return unexpected("an attribute that is no text");
      }
      out.attributes.emplace(one.key(), one.value().get_string());
    }
  }
  out.ordering_key = text(*message, "orderingKey").value_or("");
  if (const std::optional<std::string> time = text(*message, "publishTime")) {
    out.published_at = parse_wall(*time);
  }
  if (const auto attempt = number(value, "deliveryAttempt"); attempt && *attempt >= 1 && *attempt <= 1'000'000) {
    out.delivery_attempt = static_cast<std::uint32_t>(*attempt);
  }
  return out;
}

}  // namespace

void append_message(std::string& out, const Attributes& attributes, std::string_view body,
                    std::string_view ordering_key) {
  out += R"({"data":")" + aio::to_base64(body) + R"(","attributes":{)";
  bool first = true;
  for (const auto& [key, value] : attributes) {
    out += std::exchange(first, false) ? "" : ",";
    model::append_json_string(out, key);
    out += ":";
    model::append_json_string(out, value);
  }
  out += "}";
  if (!ordering_key.empty()) {
    out += R"(,"orderingKey":)";
    model::append_json_string(out, ordering_key);
  }
  out += "}";
}

std::string publish_body(const std::vector<std::string_view>& messages) {
  std::size_t size = 32;
  for (const std::string_view message : messages) {
    size += message.size() + 1;
  }
  std::string out;
  out.reserve(size);
  out += R"({"messages":[)";
  for (std::size_t i = 0; i < messages.size(); ++i) {
    out += i == 0 ? "" : ",";
    out += messages[i];
  }
  return out += "]}";
}

Result<std::vector<std::string>> parse_published(std::string_view body, std::size_t n) {
  Result<std::vector<std::string>> ids = parse_names(body, "messageIds");
  if (ids && ids->size() != n) {
    return unexpected(fmt::format("{} messageIds for {} messages", ids->size(), n));
  }
  return ids;
}

std::string pull_body(std::size_t max) {
  return fmt::format(R"({{"maxMessages":{}}})", max);
}

Result<std::vector<Received>> parse_pulled(std::string_view body) {
  const Result<json::value> value = model::parse_strict_json(body);
  if (!value || !value->is_object()) {
    return value ? unexpected("no object") : value.error();
  }
  std::vector<Received> out;
  const json::value* all = member(*value, "receivedMessages");
  if (all == nullptr || all->is_null()) {
    return out;
  }
  if (!all->is_array()) {
    return unexpected("receivedMessages is no list");
  }
  for (const json::value& one : all->get_array()) {
    Result<Received> received = parse_received(one);
    if (!received) {
      return received.error();
    }
    out.push_back(std::move(*received));
  }
  return out;
}

std::string acknowledge_body(const std::vector<std::string>& ack_ids) {
  return with_ids(ack_ids, "");
}

std::string modify_body(const std::vector<std::string>& ack_ids, std::chrono::seconds lease) {
  return with_ids(ack_ids, fmt::format(R"(,"ackDeadlineSeconds":{})",
                                       std::clamp(lease, std::chrono::seconds{0}, lease_max).count()));
}

Refusal parse_refusal(std::string_view body) {
  Refusal out;
  const Result<json::value> value = model::parse_strict_json(body);
  const json::value* error = value ? member(*value, "error") : nullptr;
  if (error == nullptr) {
    return out;
  }
  out.status = word_of(text(*error, "status").value_or(""), status_max);
  const json::value* details = member(*error, "details");
  if (details == nullptr || !details->is_array()) {
    return out;
  }
  for (const json::value& detail : details->get_array()) {
    const json::value* metadata = member(detail, "metadata");
    if (metadata == nullptr || !metadata->is_object()) {
      continue;
    }
    for (const auto& one : metadata->get_object()) {
      const std::string what =
          one.value().is_string() ? word_of(std::string(one.value().get_string()), failure_max) : std::string();
      if (what.starts_with("TRANSIENT_FAILURE_") || what.starts_with("PERMANENT_FAILURE_")) {
        out.by_ack_id.emplace(one.key(), what);
      }
    }
  }
  return out;
}

Result<SubscriptionInfo> parse_subscription(std::string_view body) {
  const Result<json::value> value = model::parse_strict_json(body);
  if (!value || !value->is_object()) {
    return value ? unexpected("no object") : value.error();
  }
  SubscriptionInfo out;
  out.topic = text(*value, "topic").value_or("");
  const std::int64_t deadline = number(*value, "ackDeadlineSeconds").value_or(10);
  if (deadline < 1 || deadline > lease_max.count()) {
    return unexpected(fmt::format("ackDeadlineSeconds {}", deadline));
  }
  out.ack_deadline = std::chrono::seconds{deadline};
  out.exactly_once = truth(*value, "enableExactlyOnceDelivery");
  out.ordered = truth(*value, "enableMessageOrdering");
  out.orphaned = truth(*value, "detached");
  const json::value* push = member(*value, "pushConfig");
  out.pushes = push != nullptr && !text(*push, "pushEndpoint").value_or("").empty();
  if (const json::value* policy = member(*value, "deadLetterPolicy")) {
    out.dead_letter_topic = text(*policy, "deadLetterTopic").value_or("");
    out.attempts_max = number(*policy, "maxDeliveryAttempts").value_or(5);
  }
  if (const std::optional<std::string> retention = text(*value, "messageRetentionDuration")) {
    const auto seconds =
        parse_number<std::int64_t>(std::string_view(*retention).substr(0, retention->find_first_of("s.")));
    if (seconds && *seconds > 0 && *seconds < 100'000'000) {
      out.retention = std::chrono::seconds{*seconds};
    }
  }
  return out;
}

Result<std::vector<std::string>> parse_names(std::string_view body, std::string_view key) {
  const Result<json::value> value = model::parse_strict_json(body);
  if (!value || !value->is_object()) {
    return value ? unexpected("no object") : value.error();
  }
  std::vector<std::string> out;
  const json::value* all = member(*value, key);
  if (all == nullptr || all->is_null()) {
    return out;
  }
  if (!all->is_array()) {
    return unexpected(fmt::format("{} is no list", key));
  }
  for (const json::value& one : all->get_array()) {
    if (!one.is_string()) {
      return unexpected(fmt::format("{} has what is no text", key));
    }
    out.emplace_back(one.get_string());
  }
  return out;
}

}  // namespace sluice::queue::pubsub
