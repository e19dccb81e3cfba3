// SPDX-License-Identifier: Apache-2.0
#pragma once
// A message of ours as Pub/Sub attributes, and back.
//
//   id -> sluice-id    published_at -> sluice-published-ms    type -> sluice-type    priority -> sluice-priority
//   headers -> attributes of the same names, so that other clients read and write them
//
// Attributes are a map of texts: no order, no key twice, no bytes that are no UTF-8. Headers that do not survive that
// are told again, exactly, in sluice-headers.1, .2, ..: "key=value&key=value", each part percent-encoded.
#include <map>
#include <string>

#include "base/result.h"
#include "queue/message.h"

namespace sluice::queue::pubsub {

using Attributes = std::map<std::string, std::string, std::less<>>;

// Quotas of Pub/Sub: of one message, of a key and of a value, in bytes.
inline constexpr std::size_t attributes_max = 100;
inline constexpr std::size_t attribute_key_max = 256;
inline constexpr std::size_t attribute_value_max = 1024;
// 10 MB a request, of which a message shares nothing with another; chosen: 4 KiB less for names and framing.
inline constexpr std::size_t request_bytes_max = 10'000'000 - 4096;

// Code::invalid with what Pub/Sub would not take of it, its size included.
[[nodiscard]] Result<Attributes> to_attributes(const Message& message);
// All but the body. What other programs' messages lack stays empty.
[[nodiscard]] Message from_attributes(const Attributes& attributes);

// What a dead letter says beside what it was. Attributes of the original that leave no room for it are packed.
struct Obituary {
  Cause cause = Cause::none;
  std::uint32_t attempts = 0;
  std::string why;
  std::string origin;     // the subscription, its whole name
  std::string origin_id;  // the message's id there
};
[[nodiscard]] Result<Attributes> with_obituary(const Attributes& original, const Obituary& obituary);

inline constexpr std::string_view cause_attribute = "sluice-cause";
inline constexpr std::string_view attempts_attribute = "sluice-attempts";
inline constexpr std::string_view why_attribute = "sluice-why";

// Of one message in a request, as Pub/Sub counts it: body and attributes, not their form as JSON.
[[nodiscard]] std::size_t size_of(const Attributes& attributes, std::size_t body);

[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace sluice::queue::pubsub
