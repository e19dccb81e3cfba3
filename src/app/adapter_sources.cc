// SPDX-License-Identifier: Apache-2.0
#include "app/adapter_sources.h"

#include <fmt/core.h>

#include "aio/url.h"
#include "base/text.h"
#include "external/forward.h"
#include "external/monitoring.h"
#include "gcp/cloud_monitoring.h"
#include "gcp/credentials.h"
#include "wiring/presence.h"

namespace sluice::app {
namespace {

aio::Task<Result<std::string>> project_of(std::shared_ptr<gcp::Credentials> credentials, std::string said,
                                          aio::Deadline deadline) {
  if (!said.empty()) {
    co_return said;
  }
  Result<std::string> own = co_await credentials->project(deadline);
  co_return own;
}

std::shared_ptr<gcp::Metrics> cloud_monitoring(Context& context, const MonitoringSettings& settings) {
  gcp::CloudMonitoringOptions options{
      .each = settings.every, .stale_after = settings.stale_after, .seed = context.random.next()};
  if (!settings.endpoint.empty()) {
    options.api.endpoint = settings.endpoint;
  }
  auto credentials = std::make_shared<gcp::Credentials>(
      context.loop, context.clock,
      gcp::CredentialsOptions{.file = settings.credentials,
                              .variable = [&context](const std::string& name) { return context.env(name); },
                              .seed = context.random.next()});
  options.project = [credentials, project = settings.project](aio::Deadline deadline) {
    return project_of(credentials, project, deadline);
  };
  const Result<aio::Url> url = aio::parse_url(options.api.endpoint);
  const bool secure = url && url->scheme == aio::Url::Scheme::https;
  std::shared_ptr<gcp::TokenSource> tokens = std::make_shared<gcp::NoToken>();
  if (secure) {  // no token of ours goes anywhere unencrypted
    tokens = credentials;
  }
  const std::string emulator = context.env("PUBSUB_EMULATOR_HOST").value_or("");
  if (!emulator.empty() || settings.endpoint.empty()) {  // what stands in for Google's numbers has no Pub/Sub
    options.has_subscription =
        wiring::subscription_presence(context.loop, context.clock, context.random, credentials, emulator);
  }
  return std::make_shared<gcp::CloudMonitoring>(context.loop, context.clock, std::move(tokens), std::move(options));
}

external::ForwardOptions forward_options(const AdapterSettings& settings) {
  external::ForwardOptions out{.url = settings.forward_to, .ca_pem = settings.forward_ca};
  out.token = [fixed = settings.access.token, file = settings.access.token_file]() -> Result<std::string> {
    if (file.empty()) {
      return fixed;
    }
    const Result<std::string> text = file_reader()(file);
    return text ? Result<std::string>(std::string(trimmed(*text))) : text.error();
  };
  return out;
}

}  // namespace

AdapterSources::AdapterSources(Context& context, const AdapterSettings& settings) {
  for (const std::string& url : settings.controllers) {
    auto pools = std::make_unique<external::Pools>(context.loop, context.clock, external::PoolsOptions{.url = url});
    pools_.push_back(pools.get());
    sources_.known.push_back(std::move(pools));
    say("pools of " + url);
  }
  if (!settings.queues.queues.empty()) {
    auto pools = std::make_unique<external::Pools>(context.loop, context.clock, external::PoolsOptions{});
    for (const pool::WatchedQueue& queue : settings.queues.queues) {
      queues_.push_back(std::make_unique<WatchedQueueLoop>(context, queue, settings.queues.secrets, *pools));
    }
    sources_.known.push_back(std::move(pools));
    say(fmt::format("{} queues", settings.queues.queues.size()));
  }
  if (settings.monitoring) {
    sources_.known.push_back(std::make_unique<external::Monitoring>(cloud_monitoring(context, *settings.monitoring)));
    say("Cloud Monitoring");
  }
  if (!settings.forward_to.empty()) {
    sources_.others = std::make_unique<external::Forward>(context.loop, context.clock, forward_options(settings));
    say("others from " + settings.forward_to);
  }
}

void AdapterSources::say(std::string_view word) {
  words_ += (words_.empty() ? "" : ", ") + std::string(word);
}

void AdapterSources::run(aio::TaskGroup& group) {
  for (external::Pools* const pools : pools_) {
    group.spawn(pools->run());
  }
  for (const std::unique_ptr<WatchedQueueLoop>& queue : queues_) {
    group.spawn(queue->run());
  }
}

}  // namespace sluice::app
