// SPDX-License-Identifier: Apache-2.0
// links: queue_rabbit
//
// Any bytes as what an AMQP broker sends: cut into frames, each read as what it says it is. Limits hold, those of the
// depth of tables too, and nothing is read that is not there.
#include <algorithm>

#include "base/check.h"
#include "queue/rabbit/codec.h"
#include "queue/rabbit/properties.h"
#include "queue/rabbit/tables.h"

using namespace sluice;
using namespace sluice::queue;
using namespace sluice::queue::rabbit;

namespace {

constexpr FrameLimits limits{.frame_max = 131072, .channel_max = 2047};

std::size_t depth_of(const amqp_field_value_t& value);

std::size_t depth_of(const amqp_table_t& table) {
  std::size_t deepest = 0;
  for (int i = 0; i < table.num_entries; ++i) {
    deepest = std::max(deepest, depth_of(table.entries[i].value));
  }
  return deepest + 1;
}

std::size_t depth_of(const amqp_field_value_t& value) {
  if (value.kind == AMQP_FIELD_KIND_TABLE) {
    return depth_of(value.value.table);
  }
  std::size_t deepest = 0;
  for (int i = 0; value.kind == AMQP_FIELD_KIND_ARRAY && i < value.value.array.num_entries; ++i) {
    deepest = std::max(deepest, depth_of(value.value.array.entries[i]));
  }
  return value.kind == AMQP_FIELD_KIND_ARRAY ? deepest + 1 : 0;
}

void read_method(const Frame& frame) {
  const Method method(frame);
  check(!method.name().empty(), "every method has a name");
  Pool pool;
  // The struct is that of the number; which one matters only to who reads its fields.
  const auto arguments = method.as<amqp_basic_deliver_t>(pool);
  if (arguments && method.number() == AMQP_BASIC_DELIVER_METHOD) {
    check(to_view((*arguments)->routing_key).size() <= frame.payload.size(), "a text is part of its frame");
  }
  if (arguments && method.number() == AMQP_CONNECTION_START_METHOD) {
    const auto start = method.as<amqp_connection_start_t>(pool);
    check(depth_of((*start)->server_properties) <= depth_max, "tables are not deeper than is allowed");
  }
}

void read_head(const Frame& frame) {
  Pool pool;
  const auto head = decode_head(frame, pool);
  if (!head) {
    return;
  }
  if ((head->properties->_flags & AMQP_BASIC_HEADERS_FLAG) != 0) {
    check(depth_of(head->properties->headers) <= depth_max, "tables are not deeper than is allowed");
  }
  const Told told = read_properties(*head->properties, "body");
  check(!told.message.id.empty(), "every message has an id");
  // Sent on as a retry would be, it is what it was.
  Properties again(*head->properties);
  again.set(attempts_header, 1);
  std::string bytes;
  if (append_content(bytes, 1, again.get(), "body", limits.frame_max)) {
    const auto first = first_frame(bytes, limits);
    check(first && *first && (*first)->type == FrameType::header, "what we write is a frame");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  while (true) {
    const auto frame = first_frame(bytes, limits);
    if (!frame || !*frame) {
      check(frame || !frame.error().what.empty(), "a refusal says why");
      return 0;
    }
    check((*frame)->payload.size() + frame_extra_bytes <= limits.frame_max, "limits hold");
    if ((*frame)->type == FrameType::method) {
      read_method(**frame);
    } else if ((*frame)->type == FrameType::header) {
      read_head(**frame);
    }
    bytes.remove_prefix((*frame)->payload.size() + frame_extra_bytes);
  }
}
