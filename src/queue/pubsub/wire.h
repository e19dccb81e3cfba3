// SPDX-License-Identifier: Apache-2.0
#pragma once
// The JSON of Pub/Sub's REST interface (pubsub.googleapis.com, v1), apart from who carries it.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "queue/pubsub/attributes.h"

namespace sluice::queue::pubsub {

// Quota of one request to publish; more than this are never wanted of a pull either.
inline constexpr std::size_t batch_max = 1000;
// The longest that a lease can be asked for.
inline constexpr std::chrono::seconds lease_max{600};

// A member of the array "messages".
void append_message(std::string& out, const Attributes& attributes, std::string_view body,
                    std::string_view ordering_key);
[[nodiscard]] std::string publish_body(const std::vector<std::string_view>& messages);
// The ids that the server gave; Code::invalid unless they are `n`.
[[nodiscard]] Result<std::vector<std::string>> parse_published(std::string_view body, std::size_t n);

[[nodiscard]] std::string pull_body(std::size_t max);

struct Received {
  std::string ack_id;
  std::string server_id;  // the message's, the same at each delivery
  std::string body;
  Attributes attributes;
  std::string ordering_key;
  std::optional<WallTime> published_at;           // by the server's clock
  std::optional<std::uint32_t> delivery_attempt;  // from 1; only where the subscription has a dead-letter policy
};
[[nodiscard]] Result<std::vector<Received>> parse_pulled(std::string_view body);

[[nodiscard]] std::string acknowledge_body(const std::vector<std::string>& ack_ids);
[[nodiscard]] std::string modify_body(const std::vector<std::string>& ack_ids, std::chrono::seconds lease);

// An answer that is not 2xx. Only words that Google's documents list are taken over, never free text: who answers may
// be somebody else.
struct Refusal {
  std::string status;  // "PERMISSION_DENIED"; empty: not said
  // Of a subscription with exactly-once delivery: what became of single acknowledgements. "TRANSIENT_FAILURE_..." may
  // be said again, "PERMANENT_FAILURE_..." may not.
  std::map<std::string, std::string, std::less<>> by_ack_id;
};
[[nodiscard]] Refusal parse_refusal(std::string_view body);

// A subscription's settings, as far as they matter here.
struct SubscriptionInfo {
  std::string topic;  // "projects/P/topics/T"; "_deleted-topic_" when that is gone
  std::chrono::seconds ack_deadline{10};
  bool exactly_once = false;
  bool ordered = false;
  bool pushes = false;    // to an address of its own: nothing can be pulled
  bool orphaned = false;  // from its topic: nothing comes any more
  std::string dead_letter_topic;
  std::int64_t attempts_max = 0;  // of its dead-letter policy
  std::optional<Duration> retention;
};
[[nodiscard]] Result<SubscriptionInfo> parse_subscription(std::string_view body);
// "subscriptions": [..] of a topic.
[[nodiscard]] Result<std::vector<std::string>> parse_names(std::string_view body, std::string_view member);

}  // namespace sluice::queue::pubsub
