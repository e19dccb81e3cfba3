// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/settler.h"

#include <algorithm>
#include <utility>

namespace sluice::queue::pubsub {
namespace {

constexpr std::int64_t acknowledge_lane = -1;
constexpr int requests_at_once = 2;
// Pub/Sub's quota of a request is 512 KiB; an ack id has about 200 bytes.
constexpr std::size_t ids_max = 1000;
constexpr std::size_t ids_bytes_max = 400'000;

}  // namespace

Result<void> verdict_of(const Result<Answer>& answer, const Refusal& refusal, std::string_view ack_id,
                        const Asked& asked) {
  if (answer && answer->good()) {
    return {};
  }
  if (!answer) {
    return answer.error().code == Code::denied ? answer.error() : Error{Code::retry, answer.error().what};
  }
  if (refusal.by_ack_id.empty()) {
    return refused(*answer, asked);
  }
  const auto found = refusal.by_ack_id.find(ack_id);
  if (found == refusal.by_ack_id.end()) {
    return Error{Code::retry, "not confirmed: others of its request failed"};
  }
  const bool lost = found->second.starts_with("PERMANENT_FAILURE_");
  return Error{lost ? Code::gone : Code::retry, found->second};
}

Settler::Settler(std::shared_ptr<Service> service, std::string subscription)
    : service_(std::move(service)),
      subscription_(std::move(subscription)),
      asked_{.what = "settle",
             .of = subscription_,
             .role = "roles/pubsub.subscriber",
             .command = create_subscription(subscription_, "")} {}

aio::Task<std::vector<Result<void>>> Settler::acknowledge(std::vector<std::string> ack_ids, aio::Deadline deadline) {
  return say(acknowledge_lane, std::move(ack_ids), deadline);
}

aio::Task<std::vector<Result<void>>> Settler::modify(std::vector<std::string> ack_ids, std::chrono::seconds lease,
                                                     aio::Deadline deadline) {
  return say(std::clamp<std::int64_t>(lease.count(), 0, lease_max.count()), std::move(ack_ids), deadline);
}

aio::Task<std::vector<Result<void>>> Settler::say(std::int64_t lease_s, std::vector<std::string> ack_ids,
                                                  aio::Deadline deadline) {
  Lane& lane = lanes_[lease_s];
  std::vector<std::shared_ptr<One>> ours;
  for (std::string& id : ack_ids) {
    ours.push_back(std::make_shared<One>(std::move(id), service_->clock()));
    lane.waiting.push_back(ours.back());
  }
  // Whoever is cancelled here no longer wants it said.
  const auto leave = [&lane](std::vector<std::shared_ptr<One>>* all) {
    std::erase_if(lane.waiting, [all](const auto& one) { return std::ranges::find(*all, one) != all->end(); });
    if (!lane.waiting.empty()) {
      lane.waiting.front()->changed.notify();
    }
  };
  std::unique_ptr<std::vector<std::shared_ptr<One>>, decltype(leave)> scope(&ours, leave);
  std::vector<Result<void>> out;
  for (const std::shared_ptr<One>& one : ours) {
    while (!one->answer && !deadline.passed(service_->clock().now())) {
      if (one->waits && lane.under_way < requests_at_once) {
        co_await lead(lease_s, deadline);
      } else {
        co_await one->changed.wait(deadline);
      }
    }
    out.push_back(one->answer.value_or(Result<void>(Error{Code::retry, subscription_ + ": not settled in time"})));
  }
  co_return out;
}

std::vector<std::shared_ptr<Settler::One>> Settler::next_of(Lane& lane) {
  std::vector<std::shared_ptr<One>> batch;
  std::size_t bytes = 0;
  while (!lane.waiting.empty() && batch.size() < ids_max && bytes < ids_bytes_max) {
    const std::shared_ptr<One> one = lane.waiting.front();
    if (one->alone && !batch.empty()) {
      break;
    }
    lane.waiting.pop_front();
    one->waits = false;
    bytes += one->ack_id.size();
    batch.push_back(one);
    if (one->alone) {
      break;
    }
  }
  return batch;
}

aio::Task<void> Settler::lead(std::int64_t lease_s, aio::Deadline deadline) {
  Lane& lane = lanes_[lease_s];
  std::vector<std::shared_ptr<One>> batch = next_of(lane);
  std::vector<std::string> ids;
  ids.reserve(batch.size());
  for (const std::shared_ptr<One>& one : batch) {
    ids.push_back(one->ack_id);
  }
  ++lane.under_way;
  Result<Answer> answer = Error{Code::retry, subscription_ + ": given up before it was answered"};
  // Also where this is cancelled: the others of the batch hear of it.
  const auto told = [&](std::vector<std::shared_ptr<One>>* all) {
    --lane.under_way;
    answered(lane, *all, answer);
  };
  const std::unique_ptr<std::vector<std::shared_ptr<One>>, decltype(told)> scope(&batch, told);
  const bool acknowledges = lease_s == acknowledge_lane;
  std::string target = target_of(subscription_, acknowledges ? ":acknowledge" : ":modifyAckDeadline");
  std::string body = acknowledges ? acknowledge_body(ids) : modify_body(ids, std::chrono::seconds{lease_s});
  answer = co_await service_->call("POST", std::move(target), std::move(body), deadline);
}

void Settler::answered(Lane& lane, const std::vector<std::shared_ptr<One>>& batch, const Result<Answer>& answer) {
  const Refusal refusal = answer && !answer->good() ? parse_refusal(answer->body) : Refusal{};
  for (const std::shared_ptr<One>& one : batch) {
    Result<void> verdict = verdict_of(answer, refusal, one->ack_id, asked_);
    const bool awaited = one.use_count() > 1;
    if (awaited && !verdict && verdict.error().code == Code::invalid && batch.size() > 1) {
      one->alone = true;  // one bad id fails them all
      one->waits = true;
      lane.waiting.push_back(one);
    } else {
      one->answer = std::move(verdict);
    }
    one->changed.notify();
  }
  if (!lane.waiting.empty()) {
    lane.waiting.front()->changed.notify();  // it leads next
  }
}

}  // namespace sluice::queue::pubsub
