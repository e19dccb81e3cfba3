// SPDX-License-Identifier: Apache-2.0
#include "queue/message.h"

namespace sluice::queue {

std::string_view word(Cause cause) {
  switch (cause) {
    case Cause::none:
      return "none";
    case Cause::crash:
      return "crash";
    case Cause::lost_lease:
      return "lost lease";
    case Cause::ack_unknown:
      return "ack unknown";
    case Cause::requeued:
      return "requeued";
    case Cause::retried:
      return "retried";
    case Cause::failed:
      return "failed";
    case Cause::permanent:
      return "permanent";
    case Cause::too_large:
      return "too large";
    case Cause::redelivered:
      return "redelivered";
    case Cause::resent:
      return "resent";
  }
  return "none";
}

}  // namespace sluice::queue
