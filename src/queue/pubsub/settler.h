// SPDX-License-Identifier: Apache-2.0
#pragma once
// Says to Pub/Sub what becomes of deliveries, many in one request: what is asked for while a request is under way goes
// together in the next one. One message at a time costs no waiting; a thousand cost two requests.
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "aio/event.h"
#include "queue/pubsub/service.h"

namespace sluice::queue::pubsub {

// What an answer to acknowledge or modifyAckDeadline says of one ack id. Of a subscription with exactly-once delivery
// it is the truth; of others a good answer is given for an id that is no longer ours, too. Code::gone: it is somebody
// else's by now; retry: say it again. Pure.
[[nodiscard]] Result<void> verdict_of(const Result<Answer>& answer, const Refusal& refusal, std::string_view ack_id,
                                      const Asked& asked);

class Settler {
 public:
  // `subscription` is a whole name.
  Settler(std::shared_ptr<Service> service, std::string subscription);

  // Answers in the order of the ids. An Error other than gone: not known, to be said again.
  [[nodiscard]] aio::Task<std::vector<Result<void>>> acknowledge(std::vector<std::string> ack_ids,
                                                                 aio::Deadline deadline);
  // The lease ends so long from now; 0: at once. Pub/Sub takes 600 s at most.
  [[nodiscard]] aio::Task<std::vector<Result<void>>> modify(std::vector<std::string> ack_ids,
                                                            std::chrono::seconds lease, aio::Deadline deadline);

 private:
  struct One {
    One(std::string id, aio::Clock& clock) : ack_id(std::move(id)), changed(clock) {}
    std::string ack_id;
    std::optional<Result<void>> answer;
    bool alone = false;  // refused together with others: it may not be the cause
    bool waits = true;   // in Lane::waiting
    aio::Event changed;
  };
  struct Lane {
    std::deque<std::shared_ptr<One>> waiting;
    int under_way = 0;
  };

  [[nodiscard]] aio::Task<std::vector<Result<void>>> say(std::int64_t lease_s, std::vector<std::string> ack_ids,
                                                         aio::Deadline deadline);
  // Sends the next request of the lane.
  [[nodiscard]] aio::Task<void> lead(std::int64_t lease_s, aio::Deadline deadline);
  [[nodiscard]] static std::vector<std::shared_ptr<One>> next_of(Lane& lane);
  void answered(Lane& lane, const std::vector<std::shared_ptr<One>>& batch, const Result<Answer>& answer);

  std::shared_ptr<Service> service_;
  std::string subscription_;
  Asked asked_;
  std::map<std::int64_t, Lane> lanes_;  // by lease in seconds; -1: acknowledge
};

}  // namespace sluice::queue::pubsub
