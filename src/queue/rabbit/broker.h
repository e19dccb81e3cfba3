// SPDX-License-Identifier: Apache-2.0
#pragma once
// One RabbitMQ as a process sees it: a connection that is made when somebody needs it and made again after its end,
// shared by all that use the same broker, virtual host and login for the same purpose.
//
// When the login changes under a living connection, a new one is made with it and handed out from then on; the old one
// lives until nobody uses it any more, so that what runs on it ends there. A login that the broker refuses changes
// nothing but a warning.
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
  // Read anew for every connection, and every few seconds while one lives.
  std::function<Result<Login>()> login = [] { return Result<Login>(Login{}); };
  std::function<Result<aio::TlsOptions>()> tls = [] { return Result<aio::TlsOptions>(aio::TlsOptions{}); };
  std::function<void(std::string_view)> warn = [](std::string_view) {};
  Duration heartbeat = heartbeat_usual;
  // Makes the stream under a connection, TLS not included; empty: by name or address.
  std::function<aio::Task<Result<std::unique_ptr<aio::Stream>>>(Node, aio::Deadline)> dial = {};
};

class Poller;

// Chosen, for closing a connection or all of them: a broker that does not answer is gone anyway.
inline constexpr Duration goodbye_max = std::chrono::seconds{2};

class Broker {
 public:
  // All references outlive it.
  Broker(aio::Loop& loop, aio::Clock& clock, Random& random, BrokerOptions options);
  ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  // The connection that lives, or a new one. Whoever asks while one is being made gets that one, and whoever asks soon
  // after a failure gets that failure again: a broker that is down is dialled every 100 ms to 3 s, one whose
  // certificate or protocol is no good every 1 to 30 s, one that refuses the login every 10 s to 5 min, so that no
  // account is locked by retries; another login than the refused one is tried within 5 s. The error says where and
  // what. Users ask again each time and move when the answer is another connection than theirs.
  [[nodiscard]] aio::Task<Result<std::shared_ptr<Connection>>> connection(aio::Deadline deadline);
  // One more, not shared and not kept: whoever asked owns it.
  [[nodiscard]] aio::Task<Result<std::unique_ptr<Connection>>> separate(aio::Deadline deadline);
  [[nodiscard]] const Address& address() const { return options_.address; }
  [[nodiscard]] aio::Clock& clock() { return clock_; }
  [[nodiscard]] aio::Loop& loop() { return loop_; }
  [[nodiscard]] Random& random() { return random_; }
  // Where Poller::of() keeps what all queues of this broker are polled with.
  [[nodiscard]] std::weak_ptr<Poller>& poller() { return poller_; }
  [[nodiscard]] aio::Task<void> close(aio::Deadline deadline);

 private:
  [[nodiscard]] aio::Task<Result<std::shared_ptr<Connection>>> make(aio::Deadline deadline);
  // Whether the login is another by now than the one that was refused; looks every 5 s at most.
  [[nodiscard]] bool has_another_login();
  [[nodiscard]] aio::Task<Result<std::unique_ptr<Connection>>> try_nodes(Login login, aio::Deadline deadline);
  // Changes to a new connection where the login is another by now; says goodbye on those that nobody uses any more.
  [[nodiscard]] aio::Task<void> follow_login(aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<std::unique_ptr<Connection>>> try_node(Node node, Login login, aio::Deadline deadline);

  aio::Loop& loop_;
  aio::Clock& clock_;
  Random& random_;
  BrokerOptions options_;
  aio::Resolver resolver_;
  std::shared_ptr<Connection> connection_;
  Login login_;                                       // of connection_
  std::optional<Login> refused_login_;                // the last one that did not work
  Time look_again_;                                   // at the login
  std::vector<std::shared_ptr<Connection>> retired_;  // with an older login
  aio::Mutex making_;
  std::optional<Error> failure_;  // of the last try
  Time again_;                    // not before
  bool login_sent_ = false;       // in the last try: what was refused may be the login
  Backoff unreachable_;
  Backoff unusable_;
  Backoff refused_;
  std::weak_ptr<Poller> poller_;
};

}  // namespace sluice::queue::rabbit
