// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/properties.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "base/hash.h"

namespace sluice::queue::rabbit {
namespace {

constexpr std::uint8_t persistent = 2;
// A quorum queue's own, of this copy of the message: a new copy is counted anew.
constexpr std::string_view delivery_count_header = "x-delivery-count";

// A whole number of any of the widths that clients send; empty for everything else.
std::optional<std::int64_t> number_of(const amqp_field_value_t& value) {
  switch (value.kind) {
    case AMQP_FIELD_KIND_I8:
      return value.value.i8;
    case AMQP_FIELD_KIND_U8:
      return value.value.u8;
    case AMQP_FIELD_KIND_I16:
      return value.value.i16;
    case AMQP_FIELD_KIND_U16:
      return value.value.u16;
    case AMQP_FIELD_KIND_I32:
      return value.value.i32;
    case AMQP_FIELD_KIND_U32:
      return value.value.u32;
    case AMQP_FIELD_KIND_I64:
      return value.value.i64;
    default:
      return std::nullopt;
  }
}

std::optional<std::string> text_of(const amqp_field_value_t& value) {
  if (value.kind == AMQP_FIELD_KIND_UTF8 || value.kind == AMQP_FIELD_KIND_BYTES) {
    return std::string(to_view(value.value.bytes));
  }
  if (value.kind == AMQP_FIELD_KIND_BOOLEAN) {
    return value.value.boolean != 0 ? "true" : "false";
  }
  if (const std::optional<std::int64_t> n = number_of(value)) {
    return fmt::format("{}", *n);
  }
  return std::nullopt;
}

Cause cause_of(std::string_view text) {
  for (const Cause cause : {Cause::crash, Cause::lost_lease, Cause::ack_unknown, Cause::requeued, Cause::retried,
                            Cause::failed, Cause::permanent, Cause::too_large, Cause::resent}) {
    if (text == word(cause)) {
      return cause;
    }
  }
  return Cause::none;
}

std::string name_by_content(std::string_view body, std::uint64_t timestamp) {
  return fmt::format("content-{:016x}", fnv1a(body, fnv1a_basis ^ timestamp));
}

void read_header(Told& told, std::string_view key, const amqp_field_value_t& value) {
  if (key == attempts_header) {
    const std::int64_t n = number_of(value).value_or(0);
    told.attempts = static_cast<std::uint32_t>(std::clamp<std::int64_t>(n, 0, 1'000'000));
  } else if (key == cause_header) {
    told.cause = cause_of(text_of(value).value_or(""));
  } else if (key == published_header) {
    if (const std::optional<std::int64_t> ms = number_of(value); ms && *ms >= 0) {
      told.message.published_at = WallTime{std::chrono::milliseconds{*ms}};
    }
  } else if (key == delivery_count_header) {
    told.delivery_count = number_of(value);
  } else if (key != why_header && !key.starts_with("x-death") && !key.starts_with("x-first-death") &&
             !key.starts_with("x-last-death")) {
    if (std::optional<std::string> text = text_of(value)) {
      told.message.headers.emplace_back(key, std::move(*text));
    }
  }
}

}  // namespace

Told read_properties(const amqp_basic_properties_t& properties, std::string_view body) {
  Told told;
  const auto has = [&](amqp_flags_t flag) { return (properties._flags & flag) != 0; };
  if (has(AMQP_BASIC_TIMESTAMP_FLAG) && properties.timestamp < (1ULL << 40U)) {
    told.message.published_at = WallTime{std::chrono::seconds{properties.timestamp}};
  }
  if (has(AMQP_BASIC_HEADERS_FLAG)) {
    for (int i = 0; i < properties.headers.num_entries; ++i) {
      const amqp_table_entry_t& entry = properties.headers.entries[i];
      read_header(told, to_view(entry.key), entry.value);
    }
  }
  told.message.id = has(AMQP_BASIC_MESSAGE_ID_FLAG) ? std::string(to_view(properties.message_id)) : std::string();
  if (told.message.id.empty()) {
    told.message.id = name_by_content(body, has(AMQP_BASIC_TIMESTAMP_FLAG) ? properties.timestamp : 0);
  }
  told.message.type = has(AMQP_BASIC_TYPE_FLAG) ? std::string(to_view(properties.type)) : std::string();
  told.message.priority = has(AMQP_BASIC_PRIORITY_FLAG) ? properties.priority : std::uint8_t{0};
  return told;
}

Properties::Properties(const Message& message) {
  properties_._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
  properties_.delivery_mode = persistent;
  properties_.message_id = to_bytes(kept_.emplace_back(message.id));
  if (!message.type.empty()) {
    properties_._flags |= AMQP_BASIC_TYPE_FLAG;
    properties_.type = to_bytes(kept_.emplace_back(message.type));
  }
  if (message.priority != 0) {
    properties_._flags |= AMQP_BASIC_PRIORITY_FLAG;
    properties_.priority = message.priority;
  }
  for (const auto& [key, value] : message.headers) {  // one key may come twice
    amqp_table_entry_t& entry =
        entries_.emplace_back(amqp_table_entry_t{.key = to_bytes(kept_.emplace_back(key)), .value = {}});
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = to_bytes(kept_.emplace_back(value));
  }
  if (message.published_at) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(message.published_at->time_since_epoch());
    properties_._flags |= AMQP_BASIC_TIMESTAMP_FLAG;
    properties_.timestamp = static_cast<std::uint64_t>(std::max<std::int64_t>(0, ms.count() / 1000));
    set(published_header, ms.count());
  }
}

Properties::Properties(const amqp_basic_properties_t& original) : properties_(original) {
  if ((original._flags & AMQP_BASIC_HEADERS_FLAG) != 0) {
    const amqp_table_t& headers = original.headers;
    std::copy_if(headers.entries, headers.entries + headers.num_entries, std::back_inserter(entries_),
                 [](const amqp_table_entry_t& entry) { return to_view(entry.key) != delivery_count_header; });
  }
  properties_._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
  properties_.delivery_mode = persistent;
}

amqp_field_value_t& Properties::value_of(std::string_view key) {
  const auto found = std::ranges::find_if(entries_, [&](const auto& entry) { return to_view(entry.key) == key; });
  if (found != entries_.end()) {
    return found->value;
  }
  entries_.push_back({.key = to_bytes(kept_.emplace_back(key)), .value = {}});
  return entries_.back().value;
}

void Properties::set(std::string_view key, std::string_view value) {
  amqp_field_value_t& field = value_of(key);
  field.kind = AMQP_FIELD_KIND_UTF8;
  field.value.bytes = to_bytes(kept_.emplace_back(value));
}

void Properties::set(std::string_view key, std::int64_t value) {
  amqp_field_value_t& field = value_of(key);
  field.kind = AMQP_FIELD_KIND_I64;
  field.value.i64 = value;
}

const amqp_basic_properties_t& Properties::get() {
  if (!entries_.empty()) {
    properties_._flags |= AMQP_BASIC_HEADERS_FLAG;
    properties_.headers = amqp_table_t{static_cast<int>(entries_.size()), entries_.data()};
  }
  return properties_;
}

}  // namespace sluice::queue::rabbit
