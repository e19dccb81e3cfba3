// SPDX-License-Identifier: Apache-2.0
#pragma once
// What travels: a message as its publisher made it, and one delivery of it to one worker.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"

namespace sluice::queue {

using Headers = std::vector<std::pair<std::string, std::string>>;  // UTF-8 keys, any bytes as values, order kept

struct Message {
  std::string id;    // stable over re-sends and redeliveries; made by the publisher
  std::string body;  // any bytes
  Headers headers;
  std::string type;
  std::uint8_t priority = 0;
  std::optional<WallTime> published_at;
  std::string ordering_key = {};  // messages of one key keep their order, on a broker that has such keys
};

// Why a message came back or was given up. A second delivery always carries one.
enum class Cause {
  none,         // first delivery
  crash,        // its worker died while the handler ran
  lost_lease,   // its worker was too long silent
  ack_unknown,  // the handler had succeeded, the acknowledgement did not get through
  requeued,     // handed back unfinished (drain, prefetched and not begun)
  retried,      // the handler asked for a later retry
  failed,       // the handler failed
  permanent,    // the handler said it can never succeed
  too_large,    // larger than the pool's maxBody
  redelivered,  // it was delivered before, and its broker does not say what became of that
  resent,       // its publisher did not learn that it had arrived and sent it again: there may be two of it
};
[[nodiscard]] std::string_view word(Cause cause);

using Tag = std::uint64_t;  // one delivery, on the Receiver that delivered it

struct Delivery {
  Message message;
  Tag tag = 0;
  std::uint32_t attempts = 0;      // handler runs begun before this delivery
  Cause cause = Cause::none;       // why it is not the first delivery
  std::optional<Duration> waited;  // from publish (or the end of its retry delay) to this delivery, where known
  [[nodiscard]] bool redelivered() const { return cause != Cause::none; }
};

}  // namespace sluice::queue
