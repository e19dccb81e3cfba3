// SPDX-License-Identifier: Apache-2.0
#pragma once
// One RabbitMQ as a process sees it: a connection that is made when somebody needs it and made again after its end,
// shared by all that use the same broker, virtual host and login for the same purpose.
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "aio/dial.h"
#include "aio/mutex.h"
#include "aio/tls.h"
#include "base/random.h"
#include "queue/rabbit/address.h"
#include "queue/rabbit/connection.h"

namespace sluice::queue::rabbit {

struct BrokerOptions {
  Address address;
  std::string purpose = "sluice";  // the connection's name in the broker's tools
  std::function<Result<Login>()> login = [] { return Result<Login>(Login{}); };  // read anew for every connection
  std::optional<aio::TlsOptions> tls = {};                                       // for amqps
  Duration heartbeat = std::chrono::seconds{20};
};

class Broker {
 public:
  // All references outlive it.
  Broker(aio::Loop& loop, aio::Clock& clock, Random& random, BrokerOptions options);
  ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  // The connection that lives, or a new one. Whoever asks while one is being made gets that one, and whoever asks soon
  // after a failure gets that failure again: a broker that is down is dialled every 100 ms to 3 s, one that refuses the
  // login every 10 s to 5 min, so that no account is locked by retries. The error says where and what.
  [[nodiscard]] aio::Task<Result<std::shared_ptr<Connection>>> connection(aio::Deadline deadline);
  [[nodiscard]] const Address& address() const { return options_.address; }
  [[nodiscard]] aio::Clock& clock() { return clock_; }
  [[nodiscard]] aio::Task<void> close(aio::Deadline deadline);

 private:
  [[nodiscard]] aio::Task<Result<std::shared_ptr<Connection>>> make(aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<std::unique_ptr<Connection>>> try_node(Node node, Login login, aio::Deadline deadline);

  aio::Loop& loop_;
  aio::Clock& clock_;
  Random& random_;
  BrokerOptions options_;
  aio::Resolver resolver_;
  std::shared_ptr<Connection> connection_;
  aio::Mutex making_;
  std::optional<Error> failure_;  // of the last try
  Time again_;                    // not before
  Backoff unreachable_;
  Backoff refused_;
};

}  // namespace sluice::queue::rabbit
