// SPDX-License-Identifier: Apache-2.0
// sluice scale: the local scaler. Starts worker processes while there is work; they leave by themselves.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <set>

#include "aio/http.h"
#include "aio/task_group.h"
#include "app/compare.h"
#include "app/controller_settings.h"
#include "app/narrate.h"
#include "app/scaler.h"
#include "app/verbs.h"
#include "app/version.h"
#include "serve/face.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr Duration open_timeout = 30s;  // chosen: another process may hold the queue's file for a long commit

class Scaling {
 public:
  struct Options {
    bool dry_run = false;
    bool drain = false;
    std::vector<Comparison> compare;  // one a pool, or none
  };
  Scaling(Context& context, Options options);

  // False, with the reason said: the address cannot be had.
  bool serve_at(const ListenAt& at);
  // False, with the reason said, when one of the pools cannot be scaled: then none is.
  aio::Task<bool> open(std::vector<LoadedPool> pools);
  aio::Task<int> run();

 private:
  void introduce(const Scaler& scaler);
  [[nodiscard]] bool ready() const;
  void listen(Scaler& scaler);
  void compare(Comparison& comparison, const pool::Pool& pool, const control::Snapshot& snapshot);
  aio::Task<void> until_signal();
  aio::Task<void> drain_all();
  aio::Task<void> drain_one(Scaler& scaler);
  void say_what_goes_on();

  Context& context_;
  StopSignals signals_;
  Options options_;
  serve::Board board_;
  serve::Face face_;
  std::optional<aio::http::Server> server_;  // with --listen
  aio::TaskGroup group_;
  std::vector<std::unique_ptr<Scaler>> scalers_;
  std::vector<std::unique_ptr<Narrator>> narrators_;
};

Scaling::Scaling(Context& context, Options options)
    : context_(context),
      signals_(context),
      options_(std::move(options)),
      board_({.role = "scale",
              .version = std::string(version),
              .installation = "",
              .scaler = {.pid = ::getpid(), .since = context.clock.wall()}}),
      face_(context.clock, board_, [this] { return ready(); }),
      group_(context.loop, context.clock) {}

bool Scaling::ready() const {
  return std::ranges::all_of(board_.pools(), [](const auto& pool) { return pool.second->last() != nullptr; });
}

bool Scaling::serve_at(const ListenAt& at) {
  server_.emplace(
      context_.loop, context_.clock, [this](aio::http::Request request) { return face_.answer(std::move(request)); },
      serve::face_limits());
  const Result<std::uint16_t> port = server_->listen_tcp(at.address, at.port);
  if (!port) {
    context_.err.line("sluice scale: --listen: " + port.error().what);
    return false;
  }
  const std::string address = at.address.contains(':') ? "[" + at.address + "]" : at.address;
  context_.err.line(fmt::format("metrics and status on http://{}:{}", address, *port));
  return true;
}

aio::Task<bool> Scaling::open(std::vector<LoadedPool> pools) {
  for (LoadedPool& pool : pools) {
    ScalerOptions options{.dry_run = options_.dry_run, .ring = server_ ? &board_.ring() : nullptr};
    if (context_.json && options_.compare.empty()) {
      options.on_line = [&out = context_.out](std::string_view line) { out.line(line); };
    }
    const aio::Deadline deadline = context_.clock.in(open_timeout);
    Result<std::unique_ptr<Scaler>> opened =
        co_await Scaler::open(context_, std::move(pool), std::move(options), deadline);
    if (!opened) {
      context_.err.line("sluice scale: " + opened.error().what);
      co_return false;
    }
    scalers_.push_back(std::move(*opened));
  }
  co_return true;
}

void Scaling::introduce(const Scaler& scaler) {
  const LoadedPool& loaded = scaler.loaded();
  const pool::Workers& workers = loaded.pool.spec.workers;
  context_.err.line(fmt::format("scaling {}{}: {}, {} to {} workers; Ctrl-C ends the scaler, {}", loaded.pool.name,
                                options_.dry_run ? " (dry run: nothing is started)" : "",
                                pool::policy_word(loaded.pool.spec.policy), workers.min, workers.max,
                                options_.drain ? "workers finish what they have" : "workers go on"));
}

void Scaling::listen(Scaler& scaler) {
  const pool::Pool& pool = scaler.loaded().pool;
  serve::PoolWatch& watch = board_.take_on(pool.id(), pool.spec.workers.max);
  narrators_.push_back(std::make_unique<Narrator>());
  const std::string name = scalers_.size() > 1 ? pool.name + "  " : "";
  Comparison* const comparison = options_.compare.empty() ? nullptr : &options_.compare[narrators_.size() - 1];
  if (comparison != nullptr) {
    comparison->begin(scaler.controller().state());
  }
  scaler.controller().after_tick = [this, &watch, &pool, comparison, narrator = narrators_.back().get(),
                                    name](const control::Snapshot& snapshot) {
    serve::ticked(board_, watch, snapshot);
    if (comparison != nullptr) {
      compare(*comparison, pool, snapshot);
      return;
    }
    if (context_.json) {
      return;
    }
    for (const Told& told : narrator->tell(snapshot)) {
      context_.out.line(name + line_of(told, context_.colour));
    }
  };
}

void Scaling::compare(Comparison& comparison, const pool::Pool& pool, const control::Snapshot& snapshot) {
  if (!comparison.look(snapshot.seen)) {
    return;
  }
  if (context_.json) {
    context_.out.line(comparison.json(snapshot.at, pool.id(), snapshot.seen));
    return;
  }
  const std::string name = options_.compare.size() > 1 ? pool.name + "\n" : "";
  std::string text = name + comparison.text(snapshot.at, snapshot.seen,
                                            context_.out.terminal() ? context_.out.columns() : 0, context_.colour);
  text.pop_back();
  context_.out.line(text);
}

aio::Task<int> Scaling::run() {
  for (const std::unique_ptr<Scaler>& scaler : scalers_) {
    introduce(*scaler);
    listen(*scaler);
    group_.spawn(scaler->run());
  }
  if (server_) {
    group_.spawn(server_->run());
    group_.spawn(serve::watch_stalls(context_.clock, board_));
  }
  group_.spawn(until_signal());
  co_await group_.join();
  for (const std::unique_ptr<Scaler>& scaler : scalers_) {
    scaler->close();
  }
  if (!options_.dry_run) {
    say_what_goes_on();
  }
  co_return exit_done;
}

aio::Task<void> Scaling::until_signal() {
  co_await signals_.next();
  if (options_.drain && !options_.dry_run) {
    std::size_t living = 0;
    for (const std::unique_ptr<Scaler>& scaler : scalers_) {
      scaler->stop_ticking();
      living += scaler->living().size();
    }
    context_.err.line(fmt::format("draining {} workers; a second signal ends the wait, not the draining", living));
    group_.spawn(drain_all());
    co_await signals_.next();
  }
  group_.cancel();
}

aio::Task<void> Scaling::drain_one(Scaler& scaler) {
  co_await scaler.drain(for_ever);
}

aio::Task<void> Scaling::drain_all() {
  aio::TaskGroup each(context_.loop, context_.clock);
  for (const std::unique_ptr<Scaler>& scaler : scalers_) {
    each.spawn(drain_one(*scaler));
  }
  co_await each.join();
  group_.cancel();
}

void Scaling::say_what_goes_on() {
  for (const std::unique_ptr<Scaler>& scaler : scalers_) {
    const std::vector<LivingWorker> living = scaler->living();
    if (living.empty()) {
      continue;
    }
    std::string names;
    std::string pids;
    bool stays = false;
    for (const LivingWorker& worker : living) {
      names += (names.empty() ? "" : ", ") + worker.worker;
      pids += worker.pid > 1 ? fmt::format(" {}", worker.pid) : "";
      stays = stays || worker.stays_when_idle;
    }
    const std::optional<Duration> idle = pool::idle_exit(scaler->loaded().pool.spec);
    const std::string leave =
        idle ? fmt::format("leave when the queue is empty for {}", format_duration(*idle)) : "stay";
    context_.err.line(fmt::format("{} {} on: {}; they {}{}", living.size(),
                                  living.size() == 1 ? "worker goes" : "workers go", names, leave,
                                  stays ? ", those below workers.min stay" : ""));
    context_.err.line(fmt::format("  kill{}   has them finish what they have and leave", pids));
  }
}

aio::Task<int> scale(Context& context, Args args) {
  const std::vector<std::string> files = args.texts("file");
  if (files.empty()) {
    context.err.line("sluice scale: which pool? give its file with -f");
    co_return exit_usage;
  }
  std::vector<Wanted> wanted;
  if (const std::optional<std::string> text = args.text("compare")) {
    Result<std::vector<Wanted>> parsed = parse_compare(*text);
    if (!parsed || !args.has("dry-run")) {
      context.err.line("sluice scale: " +
                       (parsed ? "--compare only looks: say --dry-run as well" : parsed.error().what));
      co_return exit_usage;
    }
    wanted = std::move(*parsed);
  }
  std::vector<Comparison> compare;
  std::vector<LoadedPool> pools;
  std::set<std::string> states;
  bool good = true;
  for (const std::string& file : files) {
    std::optional<LoadedPool> loaded = load_pool(context, file, args);
    if (!loaded || !supported(context, *loaded)) {
      good = false;
      continue;
    }
    if (!states.insert(loaded->state).second) {
      context.err.line(fmt::format("{}: pool {} is given twice, or two pools share the state folder {}", file,
                                   loaded->pool.name, loaded->state));
      good = false;
      continue;
    }
    if (!wanted.empty()) {
      Result<Comparison> comparison = Comparison::of(loaded->pool.spec, wanted);
      if (!comparison) {
        context.err.line("sluice scale: " + comparison.error().what);
        good = false;
        continue;
      }
      compare.push_back(std::move(*comparison));
    }
    pools.push_back(std::move(*loaded));
  }
  if (!good) {
    co_return exit_usage;
  }
  std::optional<ListenAt> at;
  if (const std::optional<std::string> text = args.text("listen")) {
    const Result<ListenAt> parsed = parse_listen(*text);
    if (!parsed) {
      context.err.line("sluice scale: " + parsed.error().what);
      co_return exit_usage;
    }
    at = *parsed;
  }
  Scaling scaling(context, {.dry_run = args.has("dry-run"), .drain = args.has("drain"), .compare = std::move(compare)});
  if (at && !scaling.serve_at(*at)) {
    co_return exit_failed;
  }
  const bool opened = co_await scaling.open(std::move(pools));
  if (!opened) {
    co_return exit_failed;
  }
  co_return co_await scaling.run();
}

}  // namespace

Verb scale_verb() {
  return {
      .name = "scale",
      .summary = "start worker processes while there is work; they leave by themselves",
      .about =
          "Looks at the queue, decides, writes the decision to the journal, acts. One line per change on stdout.\n"
          "Ctrl-C ends the scaler alone and says which workers go on; a scaler started later finds them again.\n"
          "--compare takes lag, threshold, backlogPerWorker, hpa, kedaScaledObject and kedaScaledJob: the pool's own\n"
          "settings where it has that policy, else lag=60s, threshold=20, of the others 5, or the number after the =.",
      .examples = {{"sluice scale -f orders.yaml", ""},
                   {"sluice scale -f orders.yaml --dry-run", "decide and print, start nothing"},
                   {"sluice scale -f orders.yaml --dry-run --compare lag=30s,threshold",
                    "what each would do with this queue now, and why"},
                   {"sluice scale -f orders.yaml -o json", "the journal's lines as they are written"},
                   {"sluice scale -f orders.yaml --listen 127.0.0.1:7171", "with metrics for Prometheus"}},
      .flags = {file_flag("a pool; may be given more than once", true),
                {.name = "dry-run", .help = "decide and print, act on nothing; works beside a running scaler"},
                {.name = "compare",
                 .kind = Kind::text,
                 .value = "POLICY,..",
                 .help = "with --dry-run: what each of these policies would do now, and why"},
                {.name = "drain", .help = "at the end have the workers finish what they have, and wait for it"},
                {.name = "listen",
                 .kind = Kind::text,
                 .value = "ADDRESS:PORT",
                 .help = "serve /metrics, /healthz, /readyz, /api/v1/status and /api/v1/explain there, read-only"},
                state_flag(),
                secrets_flag()},
      .run = scale,
  };
}

}  // namespace sluice::app
