// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/broker.h"

#include <fmt/core.h>

#include <utility>

#include "queue/rabbit/poller.h"

namespace sluice::queue::rabbit {

using namespace std::chrono_literals;

namespace {

// A broker that answers again is found again within 5 s.
constexpr Backoff::Options unreachable_backoff{.base = 100ms, .cap = 3s};
// Nothing counts these tries; each costs both sides a TLS handshake.
constexpr Backoff::Options unusable_backoff{.base = 1s, .cap = 30s};
// Wrong passwords at this rate lock no account, and a right one is taken within 5 min.
constexpr Backoff::Options refused_backoff{.base = 10s, .cap = 5min, .least = 10s};
constexpr Duration login_age_max = 5s;  // chosen: within the 10 s that a rotated login may take; two small files

}  // namespace

Broker::Broker(aio::Loop& loop, aio::Clock& clock, Random& random, BrokerOptions options)
    : loop_(loop),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      resolver_(loop, clock),
      making_(clock),
      unreachable_(unreachable_backoff),
      unusable_(unusable_backoff),
      refused_(refused_backoff) {}

Broker::~Broker() = default;

aio::Task<Result<std::shared_ptr<Connection>>> Broker::connection(aio::Deadline deadline) {
  const std::optional<aio::Mutex::Hold> alone = co_await making_.lock(deadline);
  if (!alone) {
    co_return Error{Code::retry, fmt::format("{}: not connected in time", options_.address.text())};
  }
  if (connection_ && !connection_->end()) {
    if (clock_.now() >= look_again_) {
      co_await follow_login(deadline);
    }
    co_return connection_;
  }
  if (failure_ && clock_.now() < again_ && !has_another_login()) {
    co_return *failure_;
  }
  Result<std::shared_ptr<Connection>> made = co_await make(deadline);
  co_return made;
}

bool Broker::has_another_login() {
  if (!refused_login_ || clock_.now() < look_again_) {
    return false;
  }
  look_again_ = clock_.now() + login_age_max;
  const Result<Login> login = options_.login();
  return login && *login != *refused_login_;
}

aio::Task<Result<std::shared_ptr<Connection>>> Broker::make(aio::Deadline deadline) {
  login_sent_ = false;
  const Result<Login> login = options_.login();
  Result<std::unique_ptr<Connection>> made = Error{Code::denied, login ? "" : login.error().what};
  if (login) {
    made = co_await try_nodes(*login, deadline);
  }
  if (made) {
    connection_ = std::move(*made);
    login_ = *login;
    refused_login_.reset();
    look_again_ = clock_.now() + login_age_max;
    failure_.reset();
    unreachable_.reset();
    unusable_.reset();
    refused_.reset();
    co_return connection_;
  }
  const bool lasting = made.error().code == Code::denied || made.error().code == Code::invalid;
  const bool refused = lasting && login_sent_;
  refused_login_ = refused ? std::optional(*login) : std::nullopt;
  if (refused) {
    look_again_ = clock_.now() + login_age_max;
  }
  Backoff& backoff = refused ? refused_ : lasting ? unusable_ : unreachable_;
  failure_ = made.error().in(options_.address.text());
  again_ = clock_.now() + backoff.next(random_);
  co_return *failure_;
}

aio::Task<Result<std::unique_ptr<Connection>>> Broker::separate(aio::Deadline deadline) {
  const std::optional<aio::Mutex::Hold> alone = co_await making_.lock(deadline);
  if (!alone) {
    co_return Error{Code::retry, fmt::format("{}: not connected in time", options_.address.text())};
  }
  const Result<Login> login = options_.login();
  if (!login) {
    co_return login.error();
  }
  Result<std::unique_ptr<Connection>> made = co_await try_nodes(*login, deadline);
  co_return made;
}

aio::Task<Result<std::unique_ptr<Connection>>> Broker::try_nodes(Login login, aio::Deadline deadline) {
  Result<std::unique_ptr<Connection>> made = Error{Code::retry, "no node"};
  for (std::size_t i = 0; i < options_.address.nodes.size() && !made; ++i) {
    const Node node = options_.address.nodes[i];
    const aio::Deadline share = deadline.share(clock_.now(), options_.address.nodes.size() - i);
    made = co_await try_node(node, login, share);
    if (!made && made.error().code == Code::denied && login_sent_) {
      break;  // the nodes of a cluster know the same users; asking them all only counts as more wrong passwords
    }
  }
  co_return made;
}

aio::Task<void> Broker::follow_login(aio::Deadline deadline) {
  look_again_ = clock_.now() + login_age_max;
  const Result<Login> login = options_.login();
  if (login && *login != login_ && refused_login_ != *login) {
    const aio::Deadline until = deadline.earlier(clock_.in(login_age_max));  // others wait for this answer
    Result<std::unique_ptr<Connection>> made = co_await try_nodes(*login, until);
    if (made) {
      retired_.push_back(std::exchange(connection_, std::move(*made)));
      login_ = *login;
      refused_login_.reset();
    } else {
      if (made.error().code == Code::denied) {
        refused_login_ = *login;  // not again: each try would count against the account
      }
      options_.warn(fmt::format("{}: the login was changed and the new one does not work, the old connection stays: {}",
                                options_.address.text(), made.error().what));
    }
  }
  if (const std::shared_ptr<Poller> poller = poller_.lock(); poller && !retired_.empty()) {
    poller->let_go_unless(connection_);
  }
  std::vector<std::shared_ptr<Connection>> unused;
  std::erase_if(retired_, [&unused](const std::shared_ptr<Connection>& old) {
    const bool alone = old.use_count() == 1;
    if (alone) {
      unused.push_back(old);
    }
    return alone;
  });
  for (const std::shared_ptr<Connection>& old : unused) {
    const aio::Deadline until = deadline.earlier(clock_.in(goodbye_max));
    co_await old->close(until);
  }
}

aio::Task<Result<std::unique_ptr<Connection>>> Broker::try_node(Node node, Login login, aio::Deadline deadline) {
  login_sent_ = false;
  Secured secured = Secured::no;
  aio::Task<Result<std::unique_ptr<aio::Stream>>> dialling =
      options_.dial ? options_.dial(node, deadline)
                    : aio::dial(loop_, clock_, resolver_, node.host, node.port, deadline);
  Result<std::unique_ptr<aio::Stream>> stream = co_await std::move(dialling);
  if (!stream) {
    co_return stream.error();
  }
  if (options_.address.tls) {
    const Result<aio::TlsOptions> tls = options_.tls();
    if (!tls) {
      co_return tls.error();
    }
    const Result<aio::TlsContext> context = aio::TlsContext::client(*tls);
    if (!context) {
      co_return context.error();
    }
    const std::string name = tls->server_name.empty() ? node.host : tls->server_name;
    stream = co_await aio::tls_connect(clock_, std::move(*stream), *context, name, deadline);
    if (!stream) {
      const bool plain = stream.error().code == Code::invalid;
      co_return plain
          ? Error{Code::invalid, stream.error().what + "; for a port without TLS the url begins with amqp://"}
          : stream.error();
    }
    secured = tls->cert_pem.empty() ? Secured::tls : Secured::tls_with_certificate;
  }
  login_sent_ = true;
  ConnectionOptions options{.vhost = options_.address.vhost,
                            .name = options_.purpose,
                            .heartbeat = options_.heartbeat,
                            .limits = {},
                            .secured = secured};
  Result<std::unique_ptr<Connection>> made =
      co_await Connection::open(loop_, clock_, std::move(*stream), std::move(options), std::move(login), deadline);
  co_return made;
}

aio::Task<void> Broker::close(aio::Deadline deadline) {
  std::vector<std::shared_ptr<Connection>> all = std::exchange(retired_, {});
  if (connection_) {
    all.push_back(std::exchange(connection_, nullptr));
  }
  for (const std::shared_ptr<Connection>& connection : all) {
    co_await connection->close(deadline);
  }
}

}  // namespace sluice::queue::rabbit
