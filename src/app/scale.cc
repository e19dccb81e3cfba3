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
  Scaling(Context& context, bool dry_run, bool drain, std::optional<CompareOptions> compare);

  // False, with the reason said: the address cannot be had.
  bool serve_at(const ListenAt& at);
  // False, with the reason said, when one of the pools cannot be scaled: then none is.
  aio::Task<bool> open(std::vector<LoadedPool> pools);
  aio::Task<int> run();

 private:
  void introduce(const Scaler& scaler);
  [[nodiscard]] bool ready() const;
  void listen(Scaler& scaler);
  // Before the first tick of a dry run that compares.
  void compare(Scaler& scaler);
  aio::Task<void> until_signal();
  aio::Task<void> drain_all();
  aio::Task<void> drain_one(Scaler& scaler);
  void say_what_goes_on();

  Context& context_;
  StopSignals signals_;
  bool dry_run_;
  bool drain_;
  std::optional<CompareOptions> compare_;
  serve::Board board_;
  serve::Face face_;
  std::optional<aio::http::Server> server_;  // with --listen
  aio::TaskGroup group_;
  std::vector<std::unique_ptr<Scaler>> scalers_;
  std::vector<std::unique_ptr<Narrator>> narrators_;
  std::vector<std::unique_ptr<Comparison>> comparisons_;
};

Scaling::Scaling(Context& context, bool dry_run, bool drain, std::optional<CompareOptions> compare)
    : context_(context),
      signals_(context),
      dry_run_(dry_run),
      drain_(drain),
      compare_(std::move(compare)),
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
    ScalerOptions options{.dry_run = dry_run_, .ring = server_ ? &board_.ring() : nullptr};
    if (context_.json && !compare_) {
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
                                dry_run_ ? " (dry run: nothing is started)" : "",
                                pool::policy_word(loaded.pool.spec.policy), workers.min, workers.max,
                                drain_ ? "workers finish what they have" : "workers go on"));
}

void Scaling::listen(Scaler& scaler) {
  const pool::Pool& pool = scaler.loaded().pool;
  serve::PoolWatch& watch = board_.take_on(pool.id(), pool.spec.workers.max);
  narrators_.push_back(std::make_unique<Narrator>());
  const std::string name = scalers_.size() > 1 ? pool.name + "  " : "";
  scaler.controller().after_tick = [this, &watch, narrator = narrators_.back().get(),
                                    name](const control::Snapshot& snapshot) {
    serve::ticked(board_, watch, snapshot);
    if (context_.json) {
      return;
    }
    for (const Told& told : narrator->tell(snapshot)) {
      context_.out.line(name + line_of(told, context_.colour));
    }
  };
}

void Scaling::compare(Scaler& scaler) {
  const pool::Pool& pool = scaler.loaded().pool;
  comparisons_.push_back(std::make_unique<Comparison>(pool, *compare_, scaler.controller().state()));
  Comparison& comparison = *comparisons_.back();
  context_.err.line(
      fmt::format("comparing {}: {}; nothing is started or changed, Ctrl-C ends it", pool.name, comparison.names()));
  for (const std::string& line : comparison.assumed()) {
    context_.err.line("  assumed  " + line);
  }
  scaler.controller().after_tick = [this, &comparison](const control::Snapshot& snapshot) {
    comparison.look(snapshot);
    if (!context_.json) {
      context_.out.write(comparison.news(context_.out.terminal() ? context_.out.columns() : 0, context_.colour));
      return;
    }
    for (const std::string& line : comparison.json()) {
      context_.out.line(line);
    }
  };
}

aio::Task<int> Scaling::run() {
  for (const std::unique_ptr<Scaler>& scaler : scalers_) {
    if (compare_) {
      compare(*scaler);
    } else {
      introduce(*scaler);
      listen(*scaler);
    }
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
  if (!dry_run_) {
    say_what_goes_on();
  }
  co_return exit_done;
}

aio::Task<void> Scaling::until_signal() {
  co_await signals_.next();
  if (drain_ && !dry_run_) {
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

// What --compare asks for; empty without it. Code::invalid with what is accepted.
Result<std::optional<CompareOptions>> compare_options(const Args& args) {
  const std::optional<std::string> text = args.text("compare");
  if (!text) {
    return args.has("late") || args.has("service")
               ? Result<std::optional<CompareOptions>>(Error{Code::invalid, "--late and --service go with --compare"})
               : std::optional<CompareOptions>{};
  }
  if (!args.has("dry-run") || args.has("drain") || args.has("listen")) {
    return Error{Code::invalid, "--compare acts on nothing: give it with --dry-run, without --drain and --listen"};
  }
  Result<std::vector<std::string>> policies = parse_compare(*text);
  if (!policies) {
    return policies.error();
  }
  CompareOptions out{
      .policies = std::move(*policies), .late = args.duration("late"), .service = args.duration("service")};
  if (out.late.value_or(1ms) < 1ms || out.service.value_or(1ms) < 1ms) {
    return Error{Code::invalid, "--late, --service: accepted: 1ms and more"};
  }
  return std::optional(std::move(out));
}

aio::Task<int> scale(Context& context, Args args) {
  const std::vector<std::string> files = args.texts("file");
  if (files.empty()) {
    context.err.line("sluice scale: which pool? give its file with -f");
    co_return exit_usage;
  }
  Result<std::optional<CompareOptions>> compare = compare_options(args);
  if (!compare) {
    context.err.line("sluice scale: " + compare.error().what);
    co_return exit_usage;
  }
  std::vector<LoadedPool> pools;
  std::set<std::string> states;
  bool good = true;
  for (const std::string& file : files) {
    std::optional<LoadedPool> loaded = load_pool(context, file, args);
    if (!loaded || !supported(context, *loaded)) {
      good = false;
      continue;
    }
    if (const Result<void> can = *compare ? comparable(loaded->pool, **compare) : Result<void>{}; !can) {
      context.err.line("sluice scale: " + can.error().what);
      good = false;
    }
    if (!states.insert(loaded->state).second) {
      context.err.line(fmt::format("{}: pool {} is given twice, or two pools share the state folder {}", file,
                                   loaded->pool.name, loaded->state));
      good = false;
      continue;
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
  Scaling scaling(context, args.has("dry-run"), args.has("drain"), std::move(*compare));
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
          "Ctrl-C ends the scaler alone and says which workers go on; a scaler started later finds them again.",
      .examples = {{"sluice scale -f orders.yaml", ""},
                   {"sluice scale -f orders.yaml --dry-run", "decide and print, start nothing"},
                   {"sluice scale -f orders.yaml --dry-run --compare lag,threshold", "what each would do now, and why"},
                   {"sluice scale -f orders.yaml -o json", "the journal's lines as they are written"},
                   {"sluice scale -f orders.yaml --listen 127.0.0.1:7171", "with metrics for Prometheus"}},
      .flags = {file_flag("a pool; may be given more than once", true),
                {.name = "dry-run", .help = "decide and print, act on nothing; works beside a running scaler"},
                {.name = "compare",
                 .kind = Kind::text,
                 .value = "POLICIES",
                 .help =
                     "with --dry-run: what each of lag, threshold, backlogPerWorker, hpa, kedaScaledJob would do now"},
                {.name = "late",
                 .kind = Kind::duration,
                 .value = "TIME",
                 .help = "with --compare: a message that waits longer is late, instead of what the pool's policy says"},
                {.name = "service",
                 .kind = Kind::duration,
                 .value = "TIME",
                 .help = "with --compare: how long a worker has a message, instead of what was learned"},
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
