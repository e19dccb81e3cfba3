// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads the counts of all queues of one broker, over one connection and two channels.
//
//   sound queues ----> a channel with up to 64 passive declares under way, answered in order
//   doubtful ones ---> a channel of their own, one declare at a time
//
// Not a channel for each queue: a connection has 2,047 of them. Not one declare at a time: each would wait for the
// round trips of all others. RabbitMQ ends the whole channel when it refuses a declare, and drops what came behind it:
// the refusal belongs to the declare in front, the others are sent again, and the refused queue is doubtful until it
// answers, so that thousands of missing queues neither hold up the others nor make the broker log and open channels all
// day.
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "aio/clock.h"
#include "base/result.h"

namespace sluice::queue::rabbit {

class Broker;
class Connection;

class Poller {
 public:
  struct Counts {
    std::uint32_t ready = 0;
    std::uint32_t consumers = 0;
    Time at;
  };
  // The one that all who ask with the same broker share.
  [[nodiscard]] static std::shared_ptr<Poller> of(const std::shared_ptr<Broker>& broker);
  explicit Poller(std::shared_ptr<Broker> broker);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Both counts as of now. Code::gone: no such queue; denied: login, virtual host, permission, or a queue that is
  // exclusive to another connection; the text says which. A refusal is remembered: the same queue is asked again 1
  // to 8 s later, or so much later that all refused queues together are asked 20 times a second; until then the answer
  // is the same again. Cancel-safe.
  [[nodiscard]] aio::Task<Result<Counts>> counts(std::string queue, aio::Deadline deadline);
  // Of a connection that is not `current`, where nobody waits for an answer: an idle poller keeps no old one open.
  void let_go_unless(const std::shared_ptr<Connection>& current);

 private:
  class Lane;
  struct Ask;
  struct Doubt {
    std::optional<Error> refusal;  // empty: it was only slow
    Duration wait{0};
    Time again;  // not before
  };
  void doubt(const std::string& queue, std::optional<Error> refusal);
  [[nodiscard]] Error explain(const std::string& queue, const Error& refusal) const;

  std::shared_ptr<Broker> broker_;
  aio::Clock& clock_;
  std::map<std::string, Doubt, std::less<>> doubts_;
  std::unique_ptr<Lane> sound_;
  std::unique_ptr<Lane> doubtful_;
};

}  // namespace sluice::queue::rabbit
