// SPDX-License-Identifier: Apache-2.0
// A pool's subscription of Google Pub/Sub: where the service is, and as whom.
#include <fmt/core.h>

#include <utility>

#include "aio/url.h"
#include "gcp/cloud_monitoring.h"
#include "gcp/credentials.h"
#include "queue/pubsub/receiver.h"
#include "queue/pubsub/resources.h"
#include "queue/pubsub/source.h"
#include "wiring/presence.h"
#include "wiring/queues.h"

namespace sluice::wiring {

using queue::pubsub::Resources;
using queue::pubsub::Service;
using queue::pubsub::ServiceOptions;

namespace {

constexpr const char* key_name = "key.json";  // of a Secret
constexpr const char* monitoring_variable = "SLUICE_MONITORING_ENDPOINT";

const pool::PubsubQueue& pubsub_of(const QueueSpec& spec) {
  return std::get<pool::PubsubQueue>(spec.queue);
}

Resources resources_of(const QueueSpec& spec) {
  const pool::PubsubQueue& queue = pubsub_of(spec);
  const std::string dead = spec.dead_letter.queue.value_or(queue.subscription + ".dead");
  return {.topic = queue.topic ? queue::pubsub::topic_name(queue.project, *queue.topic) : "",
          .subscription = queue::pubsub::subscription_name(queue.project, queue.subscription),
          .dead_letter_topic = queue::pubsub::topic_name(queue.project, dead),
          .attempts = spec.dead_letter.after};
}

std::string base_of_emulator(const std::string& emulator) {
  return (emulator.contains("://") ? "" : "http://") + emulator;
}

// The pool's own, else the emulator that every client of Pub/Sub looks for, else Google's.
Result<aio::Url> place_of(const pool::PubsubQueue& queue, const std::optional<std::string>& emulator) {
  const bool emulated = !queue.endpoint && emulator && !emulator->empty();
  const std::string text = queue.endpoint ? *queue.endpoint
                           : emulated     ? base_of_emulator(*emulator)
                                          : std::string(queue::pubsub::google);
  Result<aio::Url> url = aio::parse_url(text);
  const std::string_view where = emulated ? "PUBSUB_EMULATOR_HOST" : "spec.queue.pubsub.endpoint";
  if (!url) {
    return url.error().in(where);
  }
  if (url->target != "/") {
    return Error{Code::invalid,
                 fmt::format("{}: has a path; accepted: https://HOST[:PORT] or http://HOST:PORT", where)};
  }
  return url;
}

// Our own account is for Google alone, wherever a pool says that its queue is.
bool googles(const aio::Url& url) {
  return url.host.ends_with(".googleapis.com");
}

// What a scaler would read.
queue::Examined backlog_found(const Result<model::Sample>& sample) {
  using queue::Examined;
  if (!sample) {
    return {.topic = Examined::Topic::management,
            .level = Examined::Level::warning,
            .text = "Cloud Monitoring: " + sample.error().what,
            .fix =
                "only a scaler needs it: grant roles/monitoring.viewer on the project; a new subscription has no "
                "number for some minutes"};
  }
  return {.topic = Examined::Topic::management,
          .level = Examined::Level::ok,
          .text = fmt::format("Cloud Monitoring counts {} that are not acknowledged", sample->total->n),
          .fix = ""};
}

class PubsubClient final : public QueueClient {
 public:
  PubsubClient(std::shared_ptr<Service> service, Result<std::shared_ptr<gcp::Metrics>> metrics, Resources resources)
      : service_(std::move(service)), metrics_(std::move(metrics)), resources_(std::move(resources)) {}

  std::string broker() const override { return service_->base() + "\n"; }
  std::unique_ptr<queue::Publisher> publisher() override {
    return std::make_unique<queue::pubsub::PubsubPublisher>(service_, resources_.topic);
  }
  std::unique_ptr<queue::Receiver> receiver(std::string who) override {
    return std::make_unique<queue::pubsub::PubsubReceiver>(
        service_, queue::pubsub::ReceiverOptions{.subscription = resources_.subscription,
                                                 .who = std::move(who),
                                                 .dead_letter_topic = resources_.dead_letter_topic});
  }
  std::unique_ptr<queue::BacklogSource> source(SourceOptions options) override;
  aio::Task<Result<std::vector<std::string>>> declare(aio::Deadline deadline) override {
    if (resources_.topic.empty()) {
      co_return Error{Code::invalid, "spec.queue.pubsub.topic: missing; accepted: the topic's short name"};
    }
    Result<std::vector<std::string>> made = co_await queue::pubsub::declare(service_, resources_, deadline);
    co_return made;
  }
  aio::Task<std::vector<queue::Examined>> examine(std::optional<Duration> max_runtime,
                                                  aio::Deadline deadline) override {
    std::vector<queue::Examined> found = co_await queue::pubsub::examine(service_, resources_, max_runtime, deadline);
    if (metrics_) {
      const std::unique_ptr<queue::BacklogSource> backlog = source({});
      const Result<model::Sample> sample = co_await backlog->sample(deadline);
      found.push_back(backlog_found(sample));
    }
    co_return found;
  }

 private:
  std::shared_ptr<Service> service_;
  Result<std::shared_ptr<gcp::Metrics>> metrics_;
  Resources resources_;
};

// Says why, each time it is asked.
class NoBacklog final : public queue::BacklogSource {
 public:
  explicit NoBacklog(Error why) : why_(std::move(why)) {}
  aio::Task<Result<model::Sample>> sample(aio::Deadline) override { co_return why_; }

 private:
  Error why_;
};

std::unique_ptr<queue::BacklogSource> PubsubClient::source(SourceOptions) {
  if (!metrics_) {
    return std::make_unique<NoBacklog>(metrics_.error().in(resources_.subscription));
  }
  using queue::pubsub::short_name;
  return std::make_unique<queue::pubsub::PubsubSource>(
      service_->clock(), *metrics_,
      queue::pubsub::SourceOptions{
          .project = queue::pubsub::project_of(resources_.subscription),
          .subscription = short_name(resources_.subscription),
          .dead_letter_subscription = short_name(queue::pubsub::dead_letter_subscription(resources_))});
}

}  // namespace

Result<std::unique_ptr<QueueClient>> Queues::open_pubsub(const QueueSpec& spec, const QueueAccess& access) {
  const pool::PubsubQueue& queue = pubsub_of(spec);
  const Result<aio::Url> place = place_of(queue, variable_("PUBSUB_EMULATOR_HOST"));
  if (!place) {
    return place.error();
  }
  std::string file;
  if (queue.credentials) {
    if (access.secret_source) {
      return Error{Code::denied, fmt::format("spec.queue.pubsub.credentials: the Secret {} is not mounted here",
                                             queue.credentials->secret)};
    }
    file = FolderSecrets(access.secrets).place(queue.credentials->secret) + "/" + key_name;
  }
  const bool secure = place->scheme == aio::Url::Scheme::https;
  if (secure && file.empty() && !googles(*place)) {
    return Error{
        Code::denied,
        fmt::format("spec.queue.pubsub.endpoint: the machine's own account is not told to {}; accepted: a host "
                    "below googleapis.com, or credentials of the pool's own",
                    place->host)};
  }
  std::shared_ptr<Service>& service = pubsubs_[fmt::format("{}\n{}", place->base(), file)];
  if (!service) {
    service = std::make_shared<Service>(
        loop_, clock_, random_, ServiceOptions{.base = place->base(), .tokens = secure ? credentials(file) : nullptr});
  }
  return std::unique_ptr<QueueClient>(
      std::make_unique<PubsubClient>(service, monitoring(file, !secure), resources_of(spec)));
}

// Where the numbers are: Google's, or what stands in for it in a test, which no emulator of Pub/Sub brings along.
Result<std::shared_ptr<gcp::Metrics>> Queues::monitoring(const std::string& file, bool emulated) {
  const std::optional<std::string> named = variable_(monitoring_variable);
  if (emulated && !named) {
    return Error{Code::invalid, fmt::format("an emulator of Pub/Sub does not count what it holds; set {} to the "
                                            "address of a Cloud Monitoring",
                                            monitoring_variable)};
  }
  gcp::MonitoringApiOptions api;
  api.endpoint = named.value_or(api.endpoint);
  const Result<aio::Url> place = aio::parse_url(api.endpoint);
  if (!place) {
    return place.error().in(monitoring_variable);
  }
  std::shared_ptr<gcp::Metrics>& metrics = monitorings_[fmt::format("{}\n{}", api.endpoint, file)];
  if (!metrics) {
    std::shared_ptr<gcp::TokenSource> tokens = std::make_shared<gcp::NoToken>();
    if (place->scheme == aio::Url::Scheme::https) {
      tokens = credentials(file);
    }
    metrics = std::make_shared<gcp::CloudMonitoring>(
        loop_, clock_, std::move(tokens),
        gcp::CloudMonitoringOptions{.api = std::move(api),
                                    .project = [](aio::Deadline) -> aio::Task<Result<std::string>> {
                                      co_return Error{Code::invalid, "a pool names its project"};
                                    },
                                    .seed = random_.next()});
  }
  return metrics;
}

std::shared_ptr<gcp::TokenSource> Queues::credentials(const std::string& file) {
  std::shared_ptr<gcp::TokenSource>& one = tokens_[file];
  if (!one) {
    one = std::make_shared<gcp::Credentials>(
        loop_, clock_, gcp::CredentialsOptions{.file = file, .variable = variable_, .seed = random_.next()});
  }
  return one;
}

SubscriptionPresence subscription_presence(aio::Loop& loop, aio::Clock& clock, Random& random,
                                           std::shared_ptr<gcp::TokenSource> tokens, const std::string& emulator) {
  ServiceOptions options;
  if (emulator.empty()) {
    options.tokens = std::move(tokens);
  } else {
    options.base = base_of_emulator(emulator);
  }
  auto service = std::make_shared<Service>(loop, clock, random, std::move(options));
  return [service](std::string project, std::string subscription, aio::Deadline deadline) {
    return queue::pubsub::is_there(service, queue::pubsub::subscription_name(project, subscription), deadline);
  };
}

}  // namespace sluice::wiring
