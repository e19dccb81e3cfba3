// SPDX-License-Identifier: Apache-2.0
#include "app/cluster_pool.h"

#include <fmt/core.h>
#include <unistd.h>

#include "control/decide.h"
#include "kube/event.h"
#include "pool/pool.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

// Design, section 9: a status is written when it has changed, and at most so often.
constexpr Duration status_each = 30s;
// Before the first one: what a person who has just applied a pool waits for.
constexpr Duration first_status_after = 1s;
constexpr Duration write_max = 10s;
constexpr Duration leftovers_each = 5s;
constexpr Duration judge_max = 5min;  // of thousands that begin together the last one's turn comes late

const std::optional<pool::Credentials>* credentials_of(const pool::Queue& queue) {
  if (const auto* rabbit = std::get_if<pool::RabbitQueue>(&queue)) {
    return &rabbit->credentials;
  }
  if (const auto* pubsub = std::get_if<pool::PubsubQueue>(&queue)) {
    return &pubsub->credentials;
  }
  return nullptr;
}

kube::JobTemplate job_template(const pool::Pool& pool) {
  const pool::Workers& workers = pool.spec.workers;
  const std::optional<Duration> idle = pool::idle_exit(pool.spec);
  kube::JobTemplate out{.space = pool.namespace_,
                        .pool = pool.name,
                        .idle_exit = idle ? format_duration(*idle) : "never",
                        .max_runtime = workers.max_runtime};
  if (workers.job && workers.job->job_template) {
    out.json = workers.job->job_template->json;
  }
  if (workers.job && workers.job->container) {
    out.container = *workers.job->container;
  }
  if (workers.run) {
    out.image = workers.run->image.value_or("");
    out.argv = workers.run->command;
    out.env.assign(workers.run->env.begin(), workers.run->env.end());
  }
  out.environment = {{"SLUICE_QUEUE", pool::queue_json(pool.spec)},
                     {"SLUICE_CONCURRENCY", fmt::format("{}", workers.concurrency)}};
  if (workers.max_runtime) {
    out.environment.emplace_back("SLUICE_MAX_RUNTIME", format_duration(*workers.max_runtime));
  }
  const std::optional<pool::Credentials>* credentials = credentials_of(pool.spec.queue);
  if (credentials != nullptr && *credentials) {
    out.secret = (*credentials)->secret;
  }
  return out;
}

// Everything that keeps a good pool file from being scaled in a cluster, one problem a line.
Result<void> fits_a_cluster(const pool::Pool& pool) {
  std::string problems;
  const auto add = [&](const std::string& problem) { problems += (problems.empty() ? "" : "\n") + problem; };
  if (const Result<void> known = control::decidable(pool.spec); !known) {
    add(known.error().what);
  }
  if (std::holds_alternative<pool::LocalQueue>(pool.spec.queue)) {
    add("spec.queue.local: a file on one machine is no queue for a cluster; accepted: rabbitmq or pubsub");
  }
  if (const auto* rabbit = std::get_if<pool::RabbitQueue>(&pool.spec.queue); rabbit != nullptr && rabbit->tls) {
    const pool::Tls& tls = *rabbit->tls;
    for (const auto& [name, given] : {std::pair("ca", &tls.ca), {"cert", &tls.cert}, {"key", &tls.key}}) {
      if (*given) {
        add(
            fmt::format("spec.queue.rabbitmq.tls.{}: a path of a file, which in a cluster would be the controller's "
                        "own; accepted: the keys ca.crt, tls.crt and tls.key of the Secret that credentials names",
                        name));
      }
    }
  }
  return problems.empty() ? Result<void>{} : Result<void>(Error{Code::invalid, problems});
}

kube::DeploymentFleetOptions deployment_options(const Context& context, const pool::Pool& pool,
                                                const ClusterPoolOptions& options) {
  return {.space = pool.namespace_,
          .pool = pool.name,
          .deployment = pool.spec.workers.deployment->name,
          .max = static_cast<int>(pool.spec.workers.max),
          .readiness_is_claim = pool.spec.workers.claim.by == pool::ClaimBy::readiness,
          .may_write_until = options.may_write_until,
          .trouble = [&log = context.log, id = pool.id()](const std::string& what) {
            log.warn("controller", what, {{"pool", id}});
          }};
}

}  // namespace

ClusterPool::ClusterPool(Context& context, kube::Cluster& cluster, kube::PoolObject object, pool::Pool pool,
                         ClusterPoolOptions options)
    : context_(context),
      cluster_(cluster),
      object_(std::move(object)),
      pool_(std::move(pool)),
      options_(std::move(options)),
      ticked_(context.clock),
      decided_(context.clock) {}

aio::Task<Result<std::unique_ptr<ClusterPool>>> ClusterPool::open(Context& context, kube::Cluster& cluster,
                                                                  kube::PoolObject object, pool::Pool pool,
                                                                  ClusterPoolOptions options, aio::Deadline deadline) {
  if (const Result<void> fits = fits_a_cluster(pool); !fits) {
    co_return fits.error();
  }
  const kube::JobTemplate job = job_template(pool);
  if (const Result<std::string> body = kube::job_json(job, 0, false); !pool.spec.workers.deployment && !body) {
    co_return body.error().in("spec.workers");
  }
  wiring::QueueAccess access{.secrets = options.secrets, .purpose = "sluice controller"};
  const bool mounted = ::access((options.secrets + "/" + job.secret).c_str(), X_OK) == 0;
  if (!job.secret.empty() && !mounted && options.read_secrets != nullptr) {
    access.secret_source = co_await options.read_secrets->follow(pool.namespace_, job.secret, deadline);
  }
  wiring::QueueSpec spec = wiring::queue_spec(pool.spec);
  Result<std::unique_ptr<wiring::QueueClient>> client =
      co_await context.queues.open(std::move(spec), std::move(access), deadline);
  if (!client) {
    co_return client.error();
  }
  std::unique_ptr<ClusterPool> out(
      new ClusterPool(context, cluster, std::move(object), std::move(pool), std::move(options)));
  const pool::PoolSpec& is = out->pool_.spec;
  const bool lists = is.workers.claim.by == pool::ClaimBy::broker || is.workers.claim.by == pool::ClaimBy::automatic;
  out->queue_ = std::move(*client);
  out->source_ = out->queue_->source({.lists_consumers = lists});
  out->make_fleet();
  out->journal_ = std::make_unique<control::Journal>(*out->options_.journal, out->pool_.id(), pool::to_json(is),
                                                     context.random.hex(8));
  out->controller_ = std::make_unique<control::Controller>(
      context.loop, context.clock, out->jobs_ ? out->jobs_->changed() : out->deployment_->changed(), *out->source_,
      out->fleet(), *out->journal_, context.log, out->pool_,
      control::ControllerOptions{.budget = context.polls.of(out->queue_->broker())});
  out->controller_->after_tick = [pool = out.get()](const control::Snapshot& snapshot) {
    pool->options_.ticked(snapshot);
    ++pool->ticks_;
    pool->ticked_.notify();
    pool->decided_.notify();
  };
  co_return out;
}

fleet::Fleet& ClusterPool::fleet() {
  if (deployment_) {
    return *deployment_;
  }
  return *jobs_;
}

void ClusterPool::make_fleet() {
  if (pool_.spec.workers.deployment) {
    deployment_ = std::make_unique<kube::DeploymentFleet>(cluster_, context_.random,
                                                          deployment_options(context_, pool_, options_));
    return;
  }
  jobs_ = std::make_unique<kube::JobFleet>(
      cluster_, kube::JobFleetOptions{.job = job_template(pool_),
                                      .max = static_cast<int>(pool_.spec.workers.max),
                                      .readiness_is_claim = pool_.spec.workers.claim.by == pool::ClaimBy::readiness,
                                      .may_write_until = options_.may_write_until});
}

aio::Task<Error> ClusterPool::run() {
  aio::TaskGroup group(context_.loop, context_.clock);
  if (deployment_) {
    group.spawn(deployment_->run());
  } else {
    group.spawn(judge(&group));
    group.spawn(end_leftovers());
  }
  group.spawn(controller_->run());
  group.spawn(tell_status());
  group.spawn(tell_events());
  co_await group.join();
  co_return refused_.value_or(Error{});
}

// Beside its work, since of many pools that begin together each would wait for the others. A Job that is made meanwhile
// is refused for the same reason.
aio::Task<void> ClusterPool::judge(aio::TaskGroup* group) {
  const aio::Deadline deadline = context_.clock.in(judge_max);
  const Result<void> good = co_await jobs_->judge(deadline);
  if (!good) {
    refused_ = good.error().in("spec.workers");
    group->cancel();
  }
}

aio::Task<void> ClusterPool::tell_status() {
  std::string told;
  co_await context_.clock.sleep_for(first_status_after);
  while (true) {
    // When it was sampled is news with every tick, and alone not worth a write.
    std::string news = ticks_ == 0 ? told : status_json(pool_, object_, snapshot(), options_.installation, false);
    if (news == told) {
      co_await ticked_.wait(for_ever);
      continue;
    }
    std::string status = status_json(pool_, object_, snapshot(), options_.installation, true);
    const aio::Deadline deadline = context_.clock.in(write_max);
    const Result<void> written = co_await write_status(cluster_.api(), object_.meta, std::move(status), deadline);
    if (written) {
      told = std::move(news);
    } else {
      context_.log.warn("controller", "status not written", {{"pool", pool_.id()}, {"error", written.error().what}});
    }
    co_await context_.clock.sleep_for(status_each);
  }
}

aio::Task<void> ClusterPool::tell_events() {
  EventPace pace;
  while (true) {
    co_await decided_.wait(for_ever);
    const std::string reason = snapshot().decision.reason;
    const std::string word = reason.substr(0, reason.find(':'));
    if (!pace.take(word, context_.clock.now())) {
      continue;
    }
    kube::Telling telling{
        .about = object_.meta, .warning = EventPace::trouble(word), .reason = reason_word(word), .message = reason};
    std::string name = fmt::format("{}.{}", pool_.name, context_.random.hex(16));
    const aio::Deadline deadline = context_.clock.in(write_max);
    const Result<void> told =
        co_await kube::tell_event(cluster_.api(), std::move(telling), std::move(name), context_.clock.wall(), deadline);
    if (!told) {
      context_.log.warn("controller", "event not told", {{"pool", pool_.id()}, {"error", told.error().what}});
    }
  }
}

aio::Task<void> ClusterPool::end_leftovers() {
  while (true) {
    co_await context_.clock.sleep_for(leftovers_each);
    const aio::Deadline deadline = context_.clock.in(write_max);
    const int ended = co_await jobs_->end_leftovers(deadline);
    if (ended > 0) {
      context_.log.info("controller", "pods ended whose worker had ended",
                        {{"pool", pool_.id()}, {"pods", fmt::format("{}", ended)}});
    }
  }
}

void ClusterPool::close() {
  if (const Result<void> flushed = journal_->flush(); !flushed) {
    context_.log.error("controller", "journal not written", {{"pool", pool_.id()}, {"error", flushed.error().what}});
  }
}

}  // namespace sluice::app
