// SPDX-License-Identifier: Apache-2.0
#include "wiring/queues.h"

#include <fmt/core.h>

#include <filesystem>
#include <utility>

#include "queue/local/local_queue.h"
#include "queue/rabbit/address.h"

namespace sluice::wiring {
namespace {

class LocalClient final : public QueueClient {
 public:
  explicit LocalClient(std::unique_ptr<queue::local::LocalQueue> queue) : queue_(std::move(queue)) {}
  std::unique_ptr<queue::Publisher> publisher() override { return queue_->publisher(); }
  std::unique_ptr<queue::Receiver> receiver(std::string who) override { return queue_->receiver(std::move(who)); }
  std::unique_ptr<queue::BacklogSource> source(SourceOptions) override { return queue_->source(); }
  // The file was made when it was opened; dead letters and delayed messages are in it.
  aio::Task<Result<std::vector<std::string>>> declare(aio::Deadline) override { co_return std::vector<std::string>{}; }

 private:
  std::unique_ptr<queue::local::LocalQueue> queue_;
};

void make_absolute(std::optional<std::string>& path, const std::string& folder) {
  if (path) {
    path = absolute(folder, *path);
  }
}

}  // namespace

std::string absolute(const std::string& folder, const std::string& path) {
  return (std::filesystem::path(folder) / path).lexically_normal().string();
}

void make_absolute(pool::Queue& queue, const std::string& folder) {
  if (auto* local = std::get_if<pool::LocalQueue>(&queue)) {
    local->path = absolute(folder, local->path);
  }
  if (auto* rabbit = std::get_if<pool::RabbitQueue>(&queue); rabbit != nullptr && rabbit->tls) {
    make_absolute(rabbit->tls->ca, folder);
    make_absolute(rabbit->tls->cert, folder);
    make_absolute(rabbit->tls->key, folder);
  }
}

std::string text_of(const pool::Queue& queue) {
  if (const auto* local = std::get_if<pool::LocalQueue>(&queue)) {
    return local->path;
  }
  if (const auto* rabbit = std::get_if<pool::RabbitQueue>(&queue)) {
    const Result<queue::rabbit::Address> address =
        queue::rabbit::parse_address(rabbit->url, rabbit->hosts, rabbit->vhost);
    return fmt::format("{} on {}", rabbit->queue, address ? address->text() : "an address that cannot be read");
  }
  const auto& pubsub = std::get<pool::PubsubQueue>(queue);
  return fmt::format("projects/{}/subscriptions/{}", pubsub.project, pubsub.subscription);
}

aio::Task<std::vector<queue::Examined>> QueueClient::examine(std::optional<Duration>, aio::Deadline) {
  co_return std::vector<queue::Examined>{};
}

Queues::Queues(aio::Loop& loop, aio::Clock& clock, Random& random, std::function<void(std::string_view)> warn,
               Variable variable)
    : loop_(loop), clock_(clock), random_(random), warn_(std::move(warn)), variable_(std::move(variable)) {}

aio::Task<Result<std::unique_ptr<QueueClient>>> Queues::open(QueueSpec spec, QueueAccess access,
                                                             aio::Deadline deadline) {
  if (std::holds_alternative<pool::RabbitQueue>(spec.queue)) {
    Result<std::unique_ptr<QueueClient>> client = open_rabbit(spec, access);
    co_return client;
  }
  if (std::holds_alternative<pool::PubsubQueue>(spec.queue)) {
    Result<std::unique_ptr<QueueClient>> client = open_pubsub(spec, access);
    co_return client;
  }
  using queue::local::LocalQueue;
  std::string path = std::get<pool::LocalQueue>(spec.queue).path;
  queue::local::LocalOptions options{.create = access.create, .body_max = access.body_max, .vfs = {}};
  Result<std::unique_ptr<LocalQueue>> opened =
      co_await LocalQueue::open(loop_, clock_, random_, std::move(path), std::move(options), deadline);
  if (!opened) {
    co_return opened.error();
  }
  std::unique_ptr<QueueClient> client = std::make_unique<LocalClient>(std::move(*opened));
  co_return client;
}

}  // namespace sluice::wiring
