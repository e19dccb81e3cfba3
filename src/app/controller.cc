// SPDX-License-Identifier: Apache-2.0
// sluice controller: scales the WorkerPools of a cluster. One of several acts, the others stand by.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>

#include "aio/http.h"
#include "aio/task_group.h"
#include "app/cluster_pool.h"
#include "app/controller_settings.h"
#include "app/verbs.h"
#include "app/version.h"
#include "control/journal_file.h"
#include "control/journal_ring.h"
#include "control/journal_stream.h"
#include "kube/event.h"
#include "kube/lease_keeper.h"
#include "pool/pool.h"
#include "serve/face.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr Duration open_timeout = 30s;
constexpr Duration write_max = 10s;
constexpr Duration beat_each = 1s;
constexpr Duration look_each = 200ms;
constexpr Duration status_again = 30s;
constexpr const char* no_definition =
    "; if the resource definition is missing: kubectl apply --server-side -f deploy/charts/sluice/crds";
constexpr const char* no_right = "; the chart's Role has the rights that it needs, in each of its namespaces";

// One namespace, or all: its Jobs, pods and pools.
struct Space {
  Space(Context& context, kube::Api& api, const std::string& name);
  std::unique_ptr<kube::Cluster> cluster;
  std::unique_ptr<kube::Mirror<kube::PoolObject>> pools;
};

std::string pools_path(const std::string& space) {
  return space.empty() ? fmt::format("{}/workerpools", kube::pool_group)
                       : fmt::format("{}/namespaces/{}/workerpools", kube::pool_group, space);
}

Space::Space(Context& context, kube::Api& api, const std::string& name)
    : cluster(std::make_unique<kube::Cluster>(context.loop, context.clock, context.random, api, name)) {
  kube::MirrorOptions<kube::PoolObject> options{
      .path = pools_path(name), .read = kube::read_pool_object, .read_event = kube::read_pool_event};
  options.trouble = [&context](const Error* why) {
    if (why != nullptr) {
      const std::string remedy = why->code == Code::gone ? no_definition : why->code == Code::denied ? no_right : "";
      context.log.warn("controller", "WorkerPools cannot be read", {{"error", why->what + remedy}});
    }
  };
  pools = std::make_unique<kube::Mirror<kube::PoolObject>>(api, context.clock, context.random, std::move(options));
}

class Controlling {
 public:
  Controlling(Context& context, ControllerSettings settings);
  aio::Task<int> run();

 private:
  // One pool under control, by "namespace/name".
  struct Running {
    Space* space = nullptr;
    std::string uid;
    std::int64_t generation = 0;
    std::unique_ptr<ClusterPool> pool;  // null: it was refused
    std::uint64_t task = 0;
  };

  aio::Task<void> beat();
  aio::Task<void> until_signal();
  aio::Task<void> lead();
  aio::Task<void> follow(Space* space);
  aio::Task<void> settle(Space* space);
  aio::Task<void> take_on(Space* space, kube::PoolObject object);
  void let_go(const std::string& key);
  aio::Task<void> keep(std::string key, ClusterPool* pool);
  void refuse(kube::PoolObject object, std::string why);
  aio::Task<void> tell_refusal(kube::PoolObject object, std::string why);
  [[nodiscard]] bool leads() const { return keeper_.held_until() > context_.clock.now(); }
  [[nodiscard]] bool listed() const;
  [[nodiscard]] std::string namespaces() const;
  // Who we are, whichever of our replicas acts.
  [[nodiscard]] std::string installation() const { return settings_.lease_space + "/" + settings_.lease; }

  Context& context_;
  const ControllerSettings settings_;
  StopSignals signals_;
  serve::Board board_;
  serve::Face face_;
  kube::Api api_;
  std::vector<std::unique_ptr<Space>> spaces_;
  std::unique_ptr<control::JournalSink> journal_;
  control::SharedSink shared_{*journal_};  // by the journals of all pools
  ClusterSecrets secrets_;
  kube::LeaseKeeper keeper_;
  aio::TaskGroup group_;
  std::map<std::string, Running> running_;
  std::vector<std::unique_ptr<ClusterPool>> retired_;
  int code_ = exit_done;
};

kube::LeaseKeeperOptions keeper_options(Context& context, const ControllerSettings& settings) {
  const std::string host = context.env("HOSTNAME").value_or(fmt::format("pid-{}", ::getpid()));
  return {.lease = {.space = settings.lease_space,
                    .name = settings.lease,
                    .me = fmt::format("{}_{}", host, context.random.hex(8))},
          .access = settings.access,
          .read = file_reader(),
          .environment = context.environment};
}

serve::BoardOptions board_options(const Context& context, std::string installation) {
  return {.role = "controller",
          .version = std::string(version),
          .installation = std::move(installation),
          .scaler = {.pid = ::getpid(), .since = context.clock.wall()}};
}

kube::ApiOptions api_options(serve::Board& board) {
  return {.answered = [&board](int status) {
    board.answered("kubernetes", status == 0 ? std::string("none") : fmt::format("{}", status));
  }};
}

// A file that is rotated, or lines on stdout.
std::unique_ptr<control::JournalSink> journal_sink(const Context& context, const std::string& path) {
  if (path.empty()) {
    return std::make_unique<control::JournalStream>(context.out.fd());
  }
  return std::make_unique<control::JournalFile>(path, control::JournalFile::Options{});
}

Controlling::Controlling(Context& context, ControllerSettings settings)
    : context_(context),
      settings_(std::move(settings)),
      signals_(context),
      board_(board_options(context, installation())),
      face_(context.clock, board_, [this] { return listed(); }),
      api_(context.loop, context.clock, settings_.access, file_reader(), context.environment, api_options(board_)),
      journal_(journal_sink(context, settings_.journal)),
      secrets_(context.clock, api_, context.log),
      keeper_(keeper_options(context, settings_),
              [&context](const std::string& news) {
                context.loop.post([&context, news] {
                  context.log.info("controller", "lease", {{"now", news.empty() ? "held by nobody" : news}});
                });
              }),
      group_(context.loop, context.clock) {
  for (const std::string& name : settings_.spaces) {
    spaces_.push_back(std::make_unique<Space>(context, api_, name));
  }
  board_.stands_by("this controller stands by, another one acts; ask again");
}

std::string Controlling::namespaces() const {
  std::string out;
  for (const std::string& name : settings_.spaces) {
    out += (out.empty() ? "" : " ") + (name.empty() ? "all" : name);
  }
  return out;
}

aio::Task<int> Controlling::run() {
  aio::http::Server server(
      context_.loop, context_.clock, [this](aio::http::Request request) { return face_.answer(std::move(request)); },
      serve::face_limits());
  const Result<std::uint16_t> port = server.listen_tcp(settings_.listen.address, settings_.listen.port);
  if (!port) {
    context_.err.line("sluice controller: --listen: " + port.error().what);
    co_return exit_failed;
  }
  context_.log.info("controller", "runs",
                    {{"server", settings_.access.server},
                     {"as", settings_.access.origin},
                     {"namespaces", namespaces()},
                     {"port", fmt::format("{}", *port)}});
  group_.spawn(server.run());
  group_.spawn(serve::watch_stalls(context_.clock, board_));
  group_.spawn(beat());
  group_.spawn(secrets_.run());
  for (const std::unique_ptr<Space>& space : spaces_) {
    group_.spawn(space->cluster->run());
    group_.spawn(space->pools->run());
  }
  group_.spawn(lead());
  group_.spawn(until_signal());
  co_await group_.join();
  for (auto& [key, one] : running_) {
    if (one.pool) {
      one.pool->close();
    }
  }
  co_return code_;
}

aio::Task<void> Controlling::beat() {
  while (true) {
    keeper_.beat(context_.clock.now());
    co_await context_.clock.sleep_for(beat_each);
  }
}

aio::Task<void> Controlling::until_signal() {
  co_await signals_.next();
  keeper_.release();
  group_.cancel();
}

// Stands by until it leads, and ends the process when it leads no more: whoever starts it again begins with a fresh
// look at everything.
aio::Task<void> Controlling::lead() {
  while (!leads()) {
    co_await context_.clock.sleep_for(look_each);
  }
  board_.stands_by("");
  for (const std::unique_ptr<Space>& space : spaces_) {
    group_.spawn(follow(space.get()));
  }
  while (leads()) {
    co_await context_.clock.sleep_for(look_each);
  }
  context_.log.error("controller", "does not hold the lease any more, and ends", {});
  code_ = exit_failed;
  group_.cancel();
}

aio::Task<void> Controlling::follow(Space* space) {
  while (true) {
    if (space->pools->listed()) {
      co_await settle(space);
    }
    co_await space->pools->changed().wait(for_ever);
  }
}

aio::Task<void> Controlling::settle(Space* space) {
  std::vector<kube::PoolObject> fresh;
  for (const auto& [key, object] : space->pools->all()) {
    const auto at = running_.find(key);
    const bool known =
        at != running_.end() && at->second.uid == object.meta.uid && at->second.generation == object.generation;
    if (known && at->second.pool) {
      at->second.pool->update(object);
    } else if (!known && !object.meta.deleting) {
      fresh.push_back(object);
    }
  }
  std::vector<std::string> gone;
  for (const auto& [key, one] : running_) {
    const auto at = space->pools->all().find(key);
    if (one.space == space && (at == space->pools->all().end() || at->second.meta.deleting)) {
      gone.push_back(key);
    }
  }
  for (const std::string& key : gone) {
    context_.log.info("controller", "pool is gone; its workers go on and leave by themselves", {{"pool", key}});
    let_go(key);
  }
  for (kube::PoolObject& object : fresh) {
    co_await take_on(space, std::move(object));
  }
}

void Controlling::let_go(const std::string& key) {
  const auto at = running_.find(key);
  if (at == running_.end()) {
    return;
  }
  if (at->second.pool) {
    at->second.pool->close();
    group_.cancel(at->second.task);
    retired_.push_back(std::move(at->second.pool));  // its tasks unwind from the loop
  }
  board_.forget(key);
  running_.erase(at);
}

aio::Task<void> Controlling::take_on(Space* space, kube::PoolObject object) {
  const std::string key = object.meta.space + "/" + object.meta.name;
  let_go(key);
  Running& one = running_[key];
  one.space = space;
  one.uid = object.meta.uid;
  one.generation = object.generation;
  if (!object.controller.empty() && object.controller != installation()) {
    context_.log.warn("controller", "pool is another installation's (status.controller), and left alone",
                      {{"pool", key}, {"controller", object.controller}});
    co_return;
  }
  pool::Parsed parsed = pool::parse_pool(kube::pool_file(object));
  if (!parsed.pool) {
    std::string why;
    for (const pool::Problem& problem : parsed.problems) {
      why +=
          fmt::format("{}{}: {}; accepted: {}", why.empty() ? "" : "\n", problem.path, problem.found, problem.accepted);
    }
    refuse(std::move(object), std::move(why));
    co_return;
  }
  serve::PoolWatch& watch = board_.take_on(key, parsed.pool->spec.workers.max);
  // Mounted for each namespace apart where there are several.
  const std::string of_space = settings_.secrets + "/" + object.meta.space;
  ClusterPoolOptions options{
      .secrets = ::access(of_space.c_str(), X_OK) == 0 ? of_space : settings_.secrets,
      .read_secrets = &secrets_,
      .installation = installation(),
      .may_write_until = [this] { return keeper_.held_until(); },
      .journal = std::make_shared<control::PoolSink>(shared_, &board_.ring(), key),
      .ticked = [this, &watch](const control::Snapshot& snapshot) { serve::ticked(board_, watch, snapshot); }};
  const aio::Deadline deadline = context_.clock.in(open_timeout);
  Result<std::unique_ptr<ClusterPool>> opened = co_await ClusterPool::open(
      context_, *space->cluster, object, std::move(*parsed.pool), std::move(options), deadline);
  if (!opened) {
    refuse(std::move(object), opened.error().what);
    co_return;
  }
  one.pool = std::move(*opened);
  one.task = group_.spawn(keep(key, one.pool.get()));
  context_.log.info("controller", "pool is scaled", {{"pool", key}});
}

aio::Task<void> Controlling::keep(std::string key, ClusterPool* pool) {
  const Error wrong = co_await pool->run();
  const auto at = running_.find(key);
  if (at == running_.end() || at->second.pool.get() != pool) {
    co_return;
  }
  pool->close();
  kube::PoolObject object = pool->object();
  retired_.push_back(std::move(at->second.pool));
  refuse(std::move(object), wrong.what);
}

void Controlling::refuse(kube::PoolObject object, std::string why) {
  const std::string key = object.meta.space + "/" + object.meta.name;
  context_.log.warn("controller", "pool is refused", {{"pool", key}, {"error", why}});
  board_.refuse(key, why);
  group_.spawn(tell_refusal(std::move(object), std::move(why)));
}

// As an event once, and as a status until it is written or the pool is another.
aio::Task<void> Controlling::tell_refusal(kube::PoolObject object, std::string why) {
  const std::string key = object.meta.space + "/" + object.meta.name;
  const std::string status = refusal_json(object, why, installation(), context_.clock.wall());
  kube::Telling telling{.about = object.meta, .warning = true, .reason = "Invalid", .message = std::move(why)};
  std::string name = fmt::format("{}.{}", object.meta.name, context_.random.hex(16));
  const aio::Deadline soon = context_.clock.in(write_max);
  const Result<void> told =
      co_await kube::tell_event(api_, std::move(telling), std::move(name), context_.clock.wall(), soon);
  if (!told) {
    context_.log.warn("controller", "event not told", {{"pool", key}, {"error", told.error().what}});
  }
  while (true) {
    const auto at = running_.find(key);
    if (at == running_.end() || at->second.uid != object.meta.uid || at->second.generation != object.generation) {
      co_return;
    }
    const aio::Deadline deadline = context_.clock.in(write_max);
    const Result<void> written = co_await write_status(api_, object.meta, status, deadline);
    if (written || written.error().code == Code::gone) {
      co_return;
    }
    context_.log.warn("controller", "status not written", {{"pool", key}, {"error", written.error().what}});
    co_await context_.clock.sleep_for(status_again);
  }
}

bool Controlling::listed() const {
  return std::ranges::all_of(spaces_, [](const std::unique_ptr<Space>& space) {
    return space->pools->listed() && space->cluster->observed_at().has_value();
  });
}

aio::Task<int> controller(Context& context, Args args) {
  Result<ControllerSettings> settings = controller_settings(context, args);
  if (!settings) {
    context.err.line("sluice controller: " + settings.error().what);
    co_return exit_usage;
  }
  Controlling controlling(context, std::move(*settings));
  co_return co_await controlling.run();
}

}  // namespace

Verb controller_verb() {
  return {
      .name = "controller",
      .summary = "scale the WorkerPools of a Kubernetes cluster: one Job a worker",
      .about =
          "Follows WorkerPools, Jobs and pods; looks at each queue, decides, writes the decision to the journal, "
          "acts.\n"
          "Of several controllers with one lease one acts, the others stand by. It never touches a worker that works.\n"
          "In a pod it finds its service account; elsewhere it reads the kubeconfig as kubectl does.\n"
          "GET /metrics, /healthz, /readyz, /api/v1/status and /api/v1/explain are on port 7171.\n"
          "What the journal cannot take is not done: with a full disk or a stdout that nobody reads it only watches.",
      .examples = {{"sluice controller", "in a pod: the pools of its own namespace"},
                   {"sluice controller --context kind-dev --namespace shop --listen 127.0.0.1:7171", "from a laptop"}},
      .flags =
          {{.name = "namespace",
            .letter = 'n',
            .kind = Kind::text,
            .value = "NAME",
            .help = "whose pools; default: its own, or the context's",
            .many = true},
           {.name = "all-namespaces", .letter = 'A', .help = "the pools of all namespaces"},
           {.name = "kubeconfig", .kind = Kind::file, .value = "FILE", .help = "instead of KUBECONFIG and ~/.kube"},
           {.name = "context", .kind = Kind::text, .value = "NAME", .help = "of the kubeconfig"},
           {.name = "lease", .kind = Kind::text, .value = "NAME", .help = "who holds it acts; default sluice"},
           {.name = "lease-namespace", .kind = Kind::text, .value = "NAME", .help = "default: its own namespace"},
           {.name = "listen", .kind = Kind::text, .value = "ADDRESS:PORT", .help = "default 0.0.0.0:7171"},
           {.name = "secrets",
            .kind = Kind::folder,
            .value = "DIR",
            .help = "where the Secrets of queues are mounted, each a folder of its name; default "
                    "/var/run/secrets/sluice.dev"},
           {.name = "journal", .kind = Kind::file, .value = "FILE", .help = "default: stdout"}},
      .run = controller,
  };
}

}  // namespace sluice::app
