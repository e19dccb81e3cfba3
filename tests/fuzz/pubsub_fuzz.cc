// SPDX-License-Identifier: Apache-2.0
// links: queue_pubsub
//
// Any bytes as what Pub/Sub may answer to a pull, a publish, a settling, a look at a subscription. What is read can be
// written again, and a refusal never carries text of whoever answered.
#include "base/check.h"
#include "queue/pubsub/wire.h"

using namespace sluice;
using namespace sluice::queue;
using namespace sluice::queue::pubsub;

namespace {

template <class T>
bool good(const Result<T>& read) {
  check(read || (read.error().code == Code::invalid && !read.error().what.empty()), "a refusal says why");
  return read.has_value();
}

void judge(const Received& one) {
  check(!one.ack_id.empty() && !one.server_id.empty(), "a delivery can be settled, and told from others");
  check(!one.delivery_attempt || *one.delivery_attempt >= 1, "attempts count from one");
  const Message message = from_attributes(one.attributes);
  const Message again = from_attributes(to_attributes(message).value_or(one.attributes));
  check(again.id == message.id && again.headers == message.headers && again.type == message.type, "the same again");
  const Obituary obituary{.cause = Cause::failed, .attempts = 3, .why = one.body, .origin = "o", .origin_id = "1"};
  if (const Result<Attributes> dead = with_obituary(one.attributes, obituary)) {
    check(dead->size() <= attributes_max, "a dead letter can be published");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  if (const auto pulled = parse_pulled(body); good(pulled)) {
    for (const Received& one : *pulled) {
      judge(one);
    }
  }
  if (const auto ids = parse_published(body, 2); good(ids)) {
    check(ids->size() == 2, "an id for each message");
  }
  if (const auto info = parse_subscription(body); good(info)) {
    check(info->ack_deadline.count() >= 1 && info->ack_deadline <= lease_max, "a lease that can be had");
  }
  const Refusal refusal = parse_refusal(body);
  check(refusal.status.size() <= 40, "a word");
  for (const auto& [id, what] : refusal.by_ack_id) {
    check(what.size() <= 100 && what.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == std::string::npos,
          "a word");
  }
  return 0;
}
