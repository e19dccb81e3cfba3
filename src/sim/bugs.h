// SPDX-License-Identifier: Apache-2.0
#pragma once
// Planted bugs: the classic mistakes of autoscalers and queue workers, each an adapter around an honest part. The
// simulation must catch every one of them; a checker that has never failed has not been checked.
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "control/decide.h"
#include "fleet/memory.h"
#include "queue/backlog_source.h"
#include "queue/receiver.h"
#include "worker/handler.h"

namespace sluice::sim {

enum class Bug {
  none,
  list_error_is_empty,     // a failed view reads as no workers
  absent_is_zero,          // an error or an absent count reads as 0
  stale_reading_trusted,   // a reading from before the last start justifies growth
  ignores_starting,        // grows although the previous worker has not started
  underflow_of_max,        // max - live wraps around
  kills_on_restart,        // a new scaler clears away the workers it did not start
  starts_again_elsewhere,  // a lost reply of a start is retried under another name
  ack_before_handler,
  failure_is_success,   // any end of the handler acknowledges
  exit_without_cancel,  // leaves with a delivery that arrived late
  retry_without_delay,  // a failed message comes back at once, for ever
  no_heartbeat,         // the handler's thread keeps the lease: it does not
  heartbeat_stops_at_drain,
  suspect_hidden,      // a message that killed its worker runs beside others
  requeue_counts,      // a message handed back loses an attempt
  dead_letter_drops,   // removed from the queue without being published to the dead letters
  resend_with_new_id,  // an unknown publish is sent again as another message
};
inline constexpr std::size_t bugs_count = 18;
[[nodiscard]] std::string_view word(Bug bug);

// Each returns an adapter that has the bug if it is of its kind, and passes everything through otherwise. The inner
// object outlives the adapter.
[[nodiscard]] std::unique_ptr<fleet::Fleet> with_bug(Bug bug, fleet::Fleet& inner, fleet::MemoryFleet& truth);
[[nodiscard]] std::unique_ptr<queue::BacklogSource> with_bug(Bug bug, queue::BacklogSource& inner);
[[nodiscard]] std::unique_ptr<queue::Receiver> with_bug(Bug bug, queue::Receiver& inner, const bool& draining);
[[nodiscard]] std::function<control::Step(const pool::PoolSpec&, const control::ControlState&,
                                          const model::Observation&)>
decide_with_bug(Bug bug);

}  // namespace sluice::sim
