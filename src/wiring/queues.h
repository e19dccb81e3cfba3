// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a pool's queue to the objects that speak to it. The only place that knows which queues this version has; the
// program and the worker library both begin here.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aio/clock.h"
#include "aio/loop.h"
#include "base/random.h"
#include "base/result.h"
#include "pool/pool.h"
#include "queue/backlog_source.h"
#include "queue/examined.h"
#include "queue/publisher.h"
#include "queue/receiver.h"
#include "wiring/secret.h"

namespace sluice::queue::rabbit {
class Broker;
class Management;
}  // namespace sluice::queue::rabbit
namespace sluice::gcp {
class Metrics;
class TokenSource;
}  // namespace sluice::gcp
namespace sluice::queue::pubsub {
class Service;
}  // namespace sluice::queue::pubsub

namespace sluice::wiring {

struct RabbitPlace;

// All that a worker, a publisher or a scaler must know of a queue. Paths are absolute.
struct QueueSpec {
  pool::Queue queue;
  pool::DeadLetter dead_letter;
  pool::Retry retry;
};
[[nodiscard]] inline QueueSpec queue_spec(const pool::PoolSpec& spec) {
  return {.queue = spec.queue, .dead_letter = spec.dead_letter, .retry = spec.retry};
}

struct QueueAccess {
  bool create = true;   // false: a local queue that is not there is an error
  std::string secrets;  // the folder in which `credentials: {secret: NAME}` is the folder NAME
  std::shared_ptr<const SecretSource> secret_source = {};  // instead of that folder
  std::string purpose;       // for whom: the connection's name in the broker's tools, such as "sluice work orders-w3"
  std::size_t prefetch = 1;  // deliveries that a receiver holds at most
  std::optional<Duration> max_runtime = {};  // of a handler, where one is set
  std::size_t body_max = 16U << 20U;         // of a local queue; others say it themselves
  std::optional<Duration> expires = {};      // what declare() makes goes when nobody has used it for this long
};

struct SourceOptions {
  // Dead letters and delayed messages, where they are queues of their own, are read when they are older than this.
  Duration others_age = std::chrono::seconds{5};
  bool lists_consumers = false;  // samples say who consumes, where the broker does
};

// One client of a queue. What it makes may outlive it.
class QueueClient {
 public:
  virtual ~QueueClient() = default;
  // Names the broker for whoever counts what all its queues ask of it; empty where a queue is its own.
  [[nodiscard]] virtual std::string broker() const { return ""; }
  virtual std::unique_ptr<queue::Publisher> publisher() = 0;
  // `who` names the worker: in dead letters, in the broker's list of consumers.
  virtual std::unique_ptr<queue::Receiver> receiver(std::string who) = 0;
  virtual std::unique_ptr<queue::BacklogSource> source(SourceOptions options = {}) = 0;
  // Makes the queue with its queues for dead letters and retries, as the pool says; lines of what is there now.
  // Code::invalid where the pool does not say how, conflict where the broker has it in another way.
  virtual aio::Task<Result<std::vector<std::string>>> declare(aio::Deadline deadline) = 0;
  // Tries what workers and a scaler will do, without moving a message. `max_runtime` is that of a handler. Of a local
  // queue nothing: its file is looked at by who owns it.
  virtual aio::Task<std::vector<queue::Examined>> examine(std::optional<Duration> max_runtime, aio::Deadline deadline);
};

// For people: the file, or "orders on amqp://rabbitmq:5672, virtual host /".
[[nodiscard]] std::string text_of(const pool::Queue& queue);
// `path` as seen from `folder`, absolute and without "." and "..".
[[nodiscard]] std::string absolute(const std::string& folder, const std::string& path);
// Makes the paths in it absolute, from `folder`.
void make_absolute(pool::Queue& queue, const std::string& folder);
// Whether it is the address of a RabbitMQ; Code::invalid with the accepted form.
[[nodiscard]] Result<void> check_address(const std::string& amqp_url);
// Where dead letters of a RabbitMQ queue go when the pool names no queue for them, and where retries wait.
[[nodiscard]] std::string dead_letter_queue(const QueueSpec& spec);
[[nodiscard]] std::string retry_queue(const std::string& queue, Duration delay);

// The queues of one process. Pools on the same broker, virtual host and credentials share a connection per purpose.
class Queues {
 public:
  using Variable = std::function<std::optional<std::string>(const std::string& name)>;
  // All references outlive it and what it opens. `warn` gets what an operator should see, one line each; `variable`
  // reads the environment.
  Queues(aio::Loop& loop, aio::Clock& clock, Random& random, std::function<void(std::string_view)> warn,
         Variable variable);

  // An Error names the queue and the way out. A local file is opened; a broker is not
  // connected to before it is needed, so one that is down is no error here.
  [[nodiscard]] aio::Task<Result<std::unique_ptr<QueueClient>>> open(QueueSpec spec, QueueAccess access,
                                                                     aio::Deadline deadline);

  // Says goodbye to every broker, which takes 2 s at most. Call at the end, when nothing that was opened is used any
  // more.
  [[nodiscard]] aio::Task<void> close();

 private:
  friend class RabbitClient;
  [[nodiscard]] Result<std::unique_ptr<QueueClient>> open_rabbit(const QueueSpec& spec, const QueueAccess& access);
  [[nodiscard]] Result<std::unique_ptr<QueueClient>> open_pubsub(const QueueSpec& spec, const QueueAccess& access);
  // As whom, by key file; an empty name: as the machine's own account.
  [[nodiscard]] std::shared_ptr<gcp::TokenSource> credentials(const std::string& file);
  [[nodiscard]] Result<std::shared_ptr<gcp::Metrics>> monitoring(const std::string& file, bool emulated);
  [[nodiscard]] std::shared_ptr<queue::rabbit::Broker> broker(const RabbitPlace& place, const std::string& purpose);
  // Null where the pool names no management API. Requires: its URL can be read.
  [[nodiscard]] std::shared_ptr<queue::rabbit::Management> management(const RabbitPlace& place);

  aio::Loop& loop_;
  aio::Clock& clock_;
  Random& random_;
  std::function<void(std::string_view)> warn_;
  Variable variable_;
  std::map<std::string, std::shared_ptr<gcp::TokenSource>> tokens_;
  std::map<std::string, std::shared_ptr<gcp::Metrics>> monitorings_;  // both by address and key file
  std::map<std::string, std::shared_ptr<queue::pubsub::Service>> pubsubs_;
  std::map<std::string, std::shared_ptr<queue::rabbit::Broker>> brokers_;
  std::map<std::string, std::shared_ptr<queue::rabbit::Management>> managements_;
};

}  // namespace sluice::wiring
