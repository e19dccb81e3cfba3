// SPDX-License-Identifier: Apache-2.0
// A pool's RabbitMQ queue: names, files with credentials, connections.
#include <fmt/core.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "queue/rabbit/examine.h"
#include "queue/rabbit/management.h"
#include "queue/rabbit/receiver.h"
#include "queue/rabbit/source.h"
#include "queue/rabbit/topology.h"
#include "queue/rabbit/with_others.h"
#include "wiring/queues.h"
#include "wiring/secret.h"

namespace sluice::wiring {

using queue::rabbit::Address;
using queue::rabbit::Broker;
using queue::rabbit::BrokerOptions;
using queue::rabbit::Login;
using queue::rabbit::Management;
using queue::rabbit::ManagementPlace;
using queue::rabbit::RetryQueue;

// A broker as a pool names it, its address read.
struct RabbitPlace {
  pool::RabbitQueue queue;
  Address address;
  std::shared_ptr<const SecretSource> secrets;
  // Names the login and the virtual host: who has the same ones can share.
  [[nodiscard]] std::string login_key() const {
    return fmt::format("{}\n{}", queue.credentials ? secrets->place(queue.credentials->secret) : "", queue.vhost);
  }
};

namespace {

constexpr Duration broker_patience = std::chrono::minutes{30};  // RabbitMQ's consumer_timeout since 3.8.17

const pool::RabbitQueue& rabbit_of(const QueueSpec& spec) {
  return std::get<pool::RabbitQueue>(spec.queue);
}

std::shared_ptr<const SecretSource> source_of(const QueueAccess& access) {
  return access.secret_source ? access.secret_source : std::make_shared<FolderSecrets>(access.secrets);
}

bool loopback(const Address& address) {
  for (const queue::rabbit::Node& node : address.nodes) {
    if (node.host != "localhost" && node.host != "::1" && !node.host.starts_with("127.")) {
      return false;
    }
  }
  return true;
}

// Without credentials: guest, which RabbitMQ lets in from its own machine alone. Without a password, but with a
// certificate for TLS: that certificate.
Result<Login> login_of(const RabbitPlace& place) {
  const auto& [queue, address, secrets] = place;
  if (!queue.credentials) {
    if (!loopback(address)) {
      return Error{
          Code::denied,
          "no credentials: RabbitMQ takes guest from its own machine alone; add credentials: {secret: NAME} to "
          "the queue, and the files username and password to the folder NAME of --secrets"};
    }
    return Login{};
  }
  const std::string& secret = queue.credentials->secret;
  const bool certificate = secrets->has(secret, "tls.crt") || (queue.tls && queue.tls->cert);
  if (address.tls && certificate && !secrets->has(secret, "password")) {
    Result<std::string> user = secrets->has(secret, "username") ? secrets->read(secret, "username") : std::string();
    return user ? Result<Login>(Login{.user = std::move(*user), .password = ""}) : Result<Login>(user.error());
  }
  Result<std::string> user = secrets->read(secret, "username");
  Result<std::string> password = secrets->read(secret, "password");
  if (!user || !password) {
    return user ? password.error() : user.error();
  }
  return Login{.user = std::move(*user), .password = std::move(*password)};
}

// A file that the pool names, else the secret's, where it has one.
Result<std::string> pem(const std::optional<std::string>& path, const RabbitPlace& place, const std::string& key) {
  if (path) {
    return read_secret_file(*path);
  }
  const std::optional<pool::Credentials>& credentials = place.queue.credentials;
  const bool there = credentials && place.secrets->has(credentials->secret, key);
  return there ? place.secrets->read(credentials->secret, key) : Result<std::string>(std::string());
}

Result<aio::TlsOptions> tls_of(const RabbitPlace& place) {
  const pool::Tls tls = place.queue.tls.value_or(pool::Tls{});
  aio::TlsOptions out{.server_name = tls.server_name.value_or("")};
  for (const auto& [path, key, into] :
       {std::tuple{&tls.ca, "ca.crt", &out.ca_pem}, std::tuple{&tls.cert, "tls.crt", &out.cert_pem},
        std::tuple{&tls.key, "tls.key", &out.key_pem}}) {
    Result<std::string> text = pem(*path, place, key);
    if (!text) {
      return text.error();
    }
    *into = std::move(*text);
  }
  return out;
}

}  // namespace

Result<void> check_address(const std::string& amqp_url) {
  const Result<Address> address = queue::rabbit::parse_address(amqp_url, {}, "/");
  return address ? Result<void>{} : Result<void>(address.error());
}

std::string dead_letter_queue(const QueueSpec& spec) {
  return spec.dead_letter.queue.value_or(rabbit_of(spec).queue + ".dead");
}

std::string retry_queue(const std::string& queue, Duration delay) {
  return fmt::format("{}.retry.{}", queue, format_duration(delay));
}

class RabbitClient final : public QueueClient {
 public:
  RabbitClient(Queues& queues, const RabbitPlace& place, QueueSpec spec, QueueAccess access)
      : queues_(queues),
        spec_(std::move(spec)),
        access_(std::move(access)),
        queue_(rabbit_of(spec_)),
        broker_(queues_.broker(place, access_.purpose)),
        publishing_(queues_.broker(place, access_.purpose + ", publishes")) {
    std::vector<Duration> delays = spec_.retry.delays;
    std::ranges::sort(delays);
    for (const Duration delay : delays) {
      retries_.push_back(RetryQueue{.delay = delay, .name = retry_queue(queue_.queue, delay)});
    }
  }

  std::string broker() const override {
    std::string out;
    for (const queue::rabbit::Node& node : broker_->address().nodes) {
      out += fmt::format("{} {}\n", node.host, node.port);
    }
    return out;
  }
  std::unique_ptr<queue::Publisher> publisher() override {
    return std::make_unique<queue::rabbit::RabbitPublisher>(
        publishing_, queue::rabbit::PublisherOptions{.exchange = "", .key = queue_.queue, .body_max = body_max()});
  }
  // What it publishes again goes over another connection: a broker short of memory stops reading from those that
  // publish, and acknowledgements must not wait behind that.
  std::unique_ptr<queue::Receiver> receiver(std::string who) override {
    return std::make_unique<queue::rabbit::RabbitReceiver>(
        broker_, std::make_shared<queue::rabbit::RabbitPublisher>(publishing_, queue::rabbit::PublisherOptions{}),
        queue::rabbit::ReceiverOptions{.queue = queue_.queue,
                                       .who = std::move(who),
                                       .prefetch = static_cast<std::uint16_t>(access_.prefetch),
                                       .body_max = body_max(),
                                       .dead_letter_queue = dead_letter_queue(spec_),
                                       .held_max = held_max(),
                                       .retry_queues = retries_,
                                       .warn = queues_.warn_});
  }
  std::unique_ptr<queue::BacklogSource> source(SourceOptions options) override {
    return std::make_unique<queue::rabbit::SourceWithOthers>(
        broker_,
        std::make_unique<queue::rabbit::RabbitSource>(broker_, queue_.queue, queues_.management(place()),
                                                      options.lists_consumers),
        dead_letter_queue(spec_), retry_names(), options.others_age);
  }

  aio::Task<Result<std::vector<std::string>>> declare(aio::Deadline deadline) override {
    if (!queue_.declare) {
      co_return Error{Code::invalid,
                      "spec.queue.rabbitmq.declare: missing; accepted: declare: {type: quorum} or {type: classic}"};
    }
    queue::rabbit::Topology topology{.quorum = queue_.declare->type == pool::QueueType::quorum,
                                     .queue = queue_.queue,
                                     .dead_letter_queue = dead_letter_queue(spec_),
                                     .retry_queues = retries_,
                                     .delivery_limit = spec_.dead_letter.after * 4,
                                     .expires = access_.expires};
    Result<std::vector<std::string>> made = co_await queue::rabbit::declare(publishing_, std::move(topology), deadline);
    co_return made;
  }

  aio::Task<std::vector<queue::Examined>> examine(std::optional<Duration> max_runtime,
                                                  aio::Deadline deadline) override {
    const Result<Login> login = login_of(place());
    queue::rabbit::ExamineOptions options{.user = login ? login->user : "",
                                          .vhost = queue_.vhost,
                                          .queue = queue_.queue,
                                          .dead_letter_queue = dead_letter_queue(spec_),
                                          .retry_queues = retry_names(),
                                          .declares = queue_.declare.has_value(),
                                          .attempts = spec_.dead_letter.after,
                                          .max_runtime = max_runtime};
    std::shared_ptr<Management> management = queues_.management(place());
    std::vector<queue::Examined> found =
        co_await queue::rabbit::examine(broker_, std::move(management), std::move(options), deadline);
    co_return found;
  }

 private:
  [[nodiscard]] RabbitPlace place() const {
    return {.queue = queue_, .address = broker_->address(), .secrets = source_of(access_)};
  }
  [[nodiscard]] std::vector<std::string> retry_names() const {
    std::vector<std::string> names;
    names.reserve(retries_.size());
    for (const RetryQueue& retry : retries_) {
      names.push_back(retry.name);
    }
    return names;
  }
  // A handler's time, and as long again for what comes before and after it. Past the broker's own limit it takes a
  // message back from a worker that is at it; brokers that let a consumer say more are asked to.
  [[nodiscard]] std::optional<Duration> held_max() const {
    if (access_.max_runtime && *access_.max_runtime * 2 > broker_patience) {
      if (*access_.max_runtime >= broker_patience) {
        queues_.warn_(
            fmt::format("workers.maxRuntime is {}: RabbitMQ takes back what is held for longer than its "
                        "consumer_timeout, {} unless it was changed; `sluice doctor` says what it is",
                        format_duration(*access_.max_runtime), format_duration(broker_patience)));
      }
      return *access_.max_runtime * 2;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::size_t body_max() const { return static_cast<std::size_t>(queue_.max_body.n); }

  Queues& queues_;
  QueueSpec spec_;
  QueueAccess access_;
  const pool::RabbitQueue& queue_;
  std::shared_ptr<Broker> broker_;
  std::shared_ptr<Broker> publishing_;
  std::vector<RetryQueue> retries_;  // shortest delay first
};

Result<std::unique_ptr<QueueClient>> Queues::open_rabbit(const QueueSpec& spec, const QueueAccess& access) {
  const pool::RabbitQueue& queue = rabbit_of(spec);
  Result<Address> address = queue::rabbit::parse_address(queue.url, queue.hosts, queue.vhost);
  if (!address) {
    return address.error();
  }
  if (queue.management) {
    const Result<ManagementPlace> management = queue::rabbit::parse_management_url(*queue.management);
    if (!management) {
      return management.error().in("spec.queue.rabbitmq.management");
    }
  }
  const RabbitPlace place{.queue = queue, .address = std::move(*address), .secrets = source_of(access)};
  return std::unique_ptr<QueueClient>(std::make_unique<RabbitClient>(*this, place, spec, access));
}

std::shared_ptr<Broker> Queues::broker(const RabbitPlace& place, const std::string& purpose) {
  const auto& [queue, address, secrets] = place;
  std::string key = fmt::format("{}\n{}", purpose, place.login_key());
  for (const queue::rabbit::Node& node : address.nodes) {
    key += fmt::format("\n{} {} {}", address.tls, node.host, node.port);
  }
  if (queue.tls) {
    key += fmt::format("\n{}\n{}\n{}\n{}", queue.tls->ca.value_or(""), queue.tls->cert.value_or(""),
                       queue.tls->key.value_or(""), queue.tls->server_name.value_or(""));
  }
  std::shared_ptr<Broker>& broker = brokers_[key];
  if (!broker) {
    broker = std::make_shared<Broker>(loop_, clock_, random_,
                                      BrokerOptions{.address = address,
                                                    .purpose = purpose,
                                                    .login = [place] { return login_of(place); },
                                                    .tls = [place] { return tls_of(place); },
                                                    .warn = warn_});
  }
  return broker;
}

std::shared_ptr<Management> Queues::management(const RabbitPlace& place) {
  if (!place.queue.management) {
    return nullptr;
  }
  std::shared_ptr<Management>& management =
      managements_[fmt::format("{}\n{}", *place.queue.management, place.login_key())];
  if (!management) {
    management = std::make_shared<Management>(
        loop_, clock_,
        queue::rabbit::ManagementOptions{
            .place = queue::rabbit::parse_management_url(*place.queue.management).value(),
            .vhost = place.queue.vhost,
            .login = [place] { return login_of(place); },
            .tls =
                [place] {
                  Result<aio::TlsOptions> tls = tls_of(place);
                  if (tls) {
                    tls->server_name.clear();  // tls.serverName is the name of the broker; this is another server
                  }
                  return tls;
                }});
  }
  return management;
}

aio::Task<void> Queues::close() {
  const aio::Deadline deadline = clock_.in(queue::rabbit::goodbye_max);
  managements_.clear();
  pubsubs_.clear();
  monitorings_.clear();
  tokens_.clear();
  for (const auto& [key, broker] : std::exchange(brokers_, {})) {
    co_await broker->close(deadline);
  }
}

}  // namespace sluice::wiring
