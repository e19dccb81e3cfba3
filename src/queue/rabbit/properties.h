// SPDX-License-Identifier: Apache-2.0
#pragma once
// A message of ours as AMQP properties, and back.
//
//   id -> message-id    published_at -> timestamp (seconds) and x-sluice-published-ms    type -> type
//   priority -> priority    headers -> headers, each a text    always: delivery-mode 2, persistent
//
// What travels with a message from attempt to attempt on queues that do not count deliveries themselves:
//   x-sluice-attempts   handler runs that are known of
//   x-sluice-cause      why it is here again
// Headers of other programs that are no texts or numbers (x-death) stay with the message and are not shown to handlers.
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/message.h"
#include "queue/rabbit/codec.h"

namespace sluice::queue::rabbit {

// What the properties of a delivery say.
struct Told {
  Message message;  // without its body
  std::uint32_t attempts = 0;
  Cause cause = Cause::none;
  std::optional<std::int64_t> delivery_count;  // of a quorum queue: deliveries before this one
};
// A message without message-id is named by its content: "content-" and 16 hexadecimal digits.
[[nodiscard]] Told read_properties(const amqp_basic_properties_t& properties, std::string_view body);

// Properties to send. Keeps all that they point at; not to be moved once get() was called.
class Properties {
 public:
  explicit Properties(const Message& message);
  // Those of a delivery, which outlives this, to be sent again.
  explicit Properties(const amqp_basic_properties_t& original);
  Properties(const Properties&) = delete;
  Properties& operator=(const Properties&) = delete;

  // Replaces a header, or adds it.
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, std::int64_t value);
  [[nodiscard]] const amqp_basic_properties_t& get();

 private:
  amqp_field_value_t& value_of(std::string_view key);
  amqp_basic_properties_t properties_{};
  std::vector<amqp_table_entry_t> entries_;
  std::deque<std::string> kept_;
};

inline constexpr std::string_view attempts_header = "x-sluice-attempts";
inline constexpr std::string_view cause_header = "x-sluice-cause";
inline constexpr std::string_view why_header = "x-sluice-why";
inline constexpr std::string_view published_header = "x-sluice-published-ms";

}  // namespace sluice::queue::rabbit
