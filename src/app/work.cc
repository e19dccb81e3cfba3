// SPDX-License-Identifier: Apache-2.0
// sluice work: one worker. Takes messages, has a handler do them, acknowledges after, leaves when the queue stays
// empty.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "aio/fd.h"
#include "aio/task_group.h"
#include "app/verbs.h"
#include "app/wiring.h"
#include "base/number.h"
#include "fleet/process/held_slot.h"
#include "model/tally.h"
#include "worker/endpoint.h"
#include "worker/exec_handler.h"
#include "worker/http_handler.h"
#include "worker/report.h"
#include "worker/runtime.h"
#include "worker/simulate_handler.h"

namespace sluice::app {
namespace {

// What our workers say is counted bucket by bucket: the two know nothing of each other.
static_assert(worker::Histogram::bounds_ms == model::Durations::bounds_ms);

using namespace std::chrono_literals;
using fleet::process::HeldSlot;

// Where Kubernetes reads a container's last words: the default of terminationMessagePath.
constexpr const char* termination_log = "/dev/termination-log";
constexpr Duration open_timeout = 30s;  // chosen: another process may hold the file for a long commit

// write_file() would put another file in the place of this one, which is a mount.
Result<void> append_file(const char* path, const std::string& text) {
  const aio::Fd file(::open(path, O_WRONLY | O_APPEND | O_CLOEXEC));
  const bool good = file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  return good ? Result<void>{} : Error{Code::denied, fmt::format("{}: {}", path, std::strerror(errno))};
}

std::string usage_of_handlers() {
  return "say what does a message: --exec PROGRAM, --http URL or --simulate DURATION";
}

// The handler that the flags ask for; an Error is a usage error.
Result<std::unique_ptr<worker::Handler>> make_handler(Context& context, const Args& args) {
  const int given = (args.has("exec") ? 1 : 0) + (args.has("http") ? 1 : 0) + (args.has("simulate") ? 1 : 0);
  if (given != 1) {
    return Error{Code::invalid, given == 0 ? usage_of_handlers() : "--exec, --http and --simulate: one is enough"};
  }
  if (!args.has("exec") && !args.rest.empty()) {
    return Error{Code::invalid, "what comes after -- are arguments of --exec PROGRAM"};
  }
  if (args.has("simulate")) {
    return std::unique_ptr<worker::Handler>(std::make_unique<worker::SimulateHandler>(
        context.clock, context.random, worker::SimulateOptions{.work = *args.duration("simulate")}));
  }
  if (args.has("http")) {
    std::unique_ptr<worker::Handler> handler = std::make_unique<worker::HttpHandler>(
        context.loop, context.clock, context.random, worker::HttpHandlerOptions{.url = *args.text("http")});
    const Result<void> reads = handler->check();
    if (!reads) {
      return reads.error();
    }
    return handler;
  }
  std::vector<std::string> argv{*args.text("exec")};
  argv.insert(argv.end(), args.rest.begin(), args.rest.end());
  std::vector<std::string> environment;
  for (const std::string& entry : context.environment) {
    if (!entry.starts_with("SLUICE_SLOT_FD=")) {  // the slot is this worker's alone
      environment.push_back(entry);
    }
  }
  return std::unique_ptr<worker::Handler>(std::make_unique<worker::ExecHandler>(
      context.loop, context.clock,
      worker::ExecOptions{.argv = std::move(argv), .environment = std::move(environment)}));
}

std::optional<std::int64_t> number(const std::optional<std::string>& text) {
  return text ? parse_number<std::int64_t>(*text) : std::nullopt;
}

// "10s" or "never"; an Error names where it came from.
Result<std::optional<Duration>> idle_exit(const std::string& text, const std::string& where) {
  if (text == "never") {
    return std::optional<Duration>();
  }
  const Result<Duration> parsed = parse_duration(text);
  if (!parsed) {
    return Error{Code::invalid, fmt::format("{} {}: accepted is a duration such as 10s, or never", where, text)};
  }
  return std::optional<Duration>(*parsed);
}

// Nearest to the worker first: flag, environment (set by the fleet), pool, default.
Result<worker::RuntimeOptions> runtime_options(Context& context, const Args& args, const QueueTarget& target) {
  worker::RuntimeOptions options;
  const pool::PoolSpec* spec = target.pool ? &target.pool->pool.spec : nullptr;
  std::optional<std::int64_t> concurrency = args.count("concurrency");
  concurrency = concurrency ? concurrency : number(context.env("SLUICE_CONCURRENCY"));
  concurrency = concurrency || spec == nullptr ? concurrency : spec->workers.concurrency;
  if (concurrency.value_or(1) < 1 || concurrency.value_or(1) > 1000) {
    return Error{Code::invalid, fmt::format("--concurrency {}: accepted is 1 to 1000", *concurrency)};
  }
  options.concurrency = static_cast<std::size_t>(concurrency.value_or(1));
  const std::optional<std::string> flag = args.text("idle-exit");
  const std::optional<std::string> inherited = context.env("SLUICE_IDLE_EXIT");
  if (flag || inherited) {
    const Result<std::optional<Duration>> idle =
        idle_exit(flag ? *flag : *inherited, flag ? "--idle-exit" : "SLUICE_IDLE_EXIT");
    if (!idle) {
      return idle.error();
    }
    options.idle_exit = *idle;
  } else if (spec != nullptr) {
    options.idle_exit = pool::idle_exit(*spec);
  }
  options.max_runtime = args.duration("max-runtime");
  if (!options.max_runtime && spec != nullptr) {
    options.max_runtime = spec->workers.max_runtime;
  }
  if (const std::optional<std::string> runtime = context.env("SLUICE_MAX_RUNTIME"); runtime && !options.max_runtime) {
    const Result<Duration> parsed = parse_duration(*runtime);
    options.max_runtime = parsed ? std::optional(*parsed) : std::nullopt;
  }
  options.grace = args.duration("grace").value_or(options.grace);
  options.dead_letter_after = static_cast<std::uint32_t>(target.spec.dead_letter.after);
  options.retry_delays = target.spec.retry.delays;
  if (const auto* const rabbit = std::get_if<pool::RabbitQueue>(&target.spec.queue)) {
    options.body_max = static_cast<std::size_t>(rabbit->max_body.n);
  }
  return options;
}

std::string seconds(const std::optional<Duration>& d) {
  return d ? fmt::format("{:.3f}", to_s(*d)) : "null";
}

// The slot that a scaler gave, or a free one of `pool` for a worker started by hand; empty when there is neither, so
// that nobody scales it. Code::conflict when the pool has no free slot.
Result<std::optional<HeldSlot>> take_slot(Context& context, const LoadedPool* pool) {
  Result<std::optional<HeldSlot>> given =
      HeldSlot::inherited([&context](const std::string& name) { return context.env(name); });
  if (!given || *given || pool == nullptr) {
    return given;
  }
  Result<fleet::process::StateFolder> folder = fleet::process::StateFolder::open(pool->state, true);
  if (!folder) {
    return folder.error();
  }
  const int slots_max = static_cast<int>(pool->pool.spec.workers.max);
  fleet::process::SlotRecord record{.id = context.random.hex(16),
                                    .pid = ::getpid(),
                                    .created_at = context.clock.now(),
                                    .started_at = context.clock.wall()};
  Result<fleet::process::TakenSlot> taken =
      fleet::process::take_free_slot(*folder, pool->pool.name, slots_max, std::move(record));
  if (!taken) {
    return taken.error();
  }
  return std::optional<HeldSlot>(std::in_place, std::move(*folder), std::move(*taken));
}

// Everything that goes on beside the runtime, and what is told about it.
class Working final : public worker::Observer {
 public:
  Working(Context& context, std::optional<HeldSlot> place, std::string queue, aio::TaskGroup& beside,
          StopSignals& signals)
      : context_(context), place_(std::move(place)), queue_(std::move(queue)), beside_(beside), signals_(signals) {}

  void attach(worker::Runtime& runtime, const std::string& name) {
    runtime_ = &runtime;
    name_ = name;
    beside_.spawn(obey_signals());
  }
  void ready() override;
  void settled(const worker::Settled& one) override;
  void trouble(std::string_view what) override { context_.log.warn("work", what, {{"worker", name_}}); }
  void recovered(Duration after) override {
    context_.log.info("work", "the broker is back after " + humane_duration(after), {{"worker", name_}});
  }
  void last_words();
  [[nodiscard]] int finish(const Result<worker::Summary>& end, Time started);

 private:
  aio::Task<void> obey_signals();
  aio::Task<void> serve();
  [[nodiscard]] Result<bool> listen();

  Context& context_;
  std::optional<HeldSlot> place_;
  std::string queue_;
  aio::TaskGroup& beside_;
  StopSignals& signals_;
  worker::Runtime* runtime_ = nullptr;
  std::string name_;
  std::unique_ptr<worker::Endpoint> endpoint_;
};

// Only now: a socket that answers is how a scaler knows that this worker consumes.
void Working::ready() {
  context_.log.info("work", "consuming", {{"worker", name_}, {"queue", queue_}});
  const Result<bool> listening = listen();
  if (!listening) {
    trouble("no socket, so the scaler will not see this worker as started: " + listening.error().what);
  } else if (*listening) {
    beside_.spawn(serve());
  }
}

// On the socket of its slot, or on the port that a fleet of pods gave it; false where there is neither.
Result<bool> Working::listen() {
  const std::optional<std::string> port = context_.env("SLUICE_WORKER_PORT");
  if (!place_ && !port) {
    return false;
  }
  endpoint_ = std::make_unique<worker::Endpoint>(context_.loop, context_.clock, *runtime_);
  if (place_) {
    const Result<void> listening = endpoint_->listen_unix(place_->socket());
    return listening ? Result<bool>(true) : listening.error();
  }
  const std::optional<std::uint16_t> number = parse_number<std::uint16_t>(*port);
  if (!number) {
    return Error{Code::invalid, fmt::format("SLUICE_WORKER_PORT {}: accepted is a port", *port)};
  }
  Result<std::uint16_t> listening = endpoint_->listen_tcp("::", *number);  // both families, where there are both
  listening = listening ? listening : endpoint_->listen_tcp("0.0.0.0", *number);
  return listening ? Result<bool>(true) : listening.error();
}

aio::Task<void> Working::serve() {
  co_await endpoint_->run();
}

aio::Task<void> Working::obey_signals() {
  co_await signals_.next();
  context_.log.info("work", "draining: takes no more, finishes what it has; a second signal puts it back at once",
                    {{"worker", name_}});
  runtime_->request_drain();
  co_await signals_.next();
  context_.log.info("work", "stopping: puts back what it has", {{"worker", name_}});
  runtime_->request_stop_now();
  while (true) {
    co_await signals_.next();  // further ones change nothing
  }
}

void Working::settled(const worker::Settled& one) {
  if (context_.json) {
    std::string line =
        fmt::format(R"({{"event":"message","id":"{}","attempt":{},"outcome":"{}","wait_s":{},"work_s":{:.3f})",
                    json_escape(one.id), one.attempt, worker::word(one.fate), seconds(one.wait), to_s(one.work));
    if (one.cause != queue::Cause::none) {
      line += fmt::format(R"(,"cause":"{}")", queue::word(one.cause));
    }
    if (!one.why.empty()) {
      line += fmt::format(R"(,"why":"{}")", json_escape(one.why));
    }
    context_.out.line(line + "}");
    return;
  }
  std::string line = fmt::format("{} {:<13} {} attempt {}, {}", format_clock(context_.clock.wall()),
                                 worker::word(one.fate), json_escape(one.id), one.attempt, humane_duration(one.work));
  if (one.cause != queue::Cause::none) {
    line += fmt::format(", came back: {}", queue::word(one.cause));
  }
  context_.out.line(one.why.empty() ? line : fmt::format("{}: {}", line, json_escape(one.why)));
}

void Working::last_words() {
  const bool pod = !place_ && context_.env("SLUICE_WORKER_PORT") && ::access(termination_log, W_OK) == 0;
  if (!place_ && !pod) {
    return;
  }
  const std::string words = worker::to_json(runtime_->report());
  const Result<void> written = place_ ? place_->last_words(words) : append_file(termination_log, words);
  if (!written) {
    trouble("last words not written: " + written.error().what);
  }
}

int Working::finish(const Result<worker::Summary>& end, Time started) {
  const worker::Counts counts = runtime_->report().counts;
  const std::string_view reason = end ? worker::word(end->reason) : "error";
  const double took = to_s(context_.clock.now() - started);
  if (!end) {
    context_.err.line("sluice work: " + end.error().what);
  }
  if (context_.json) {
    context_.out.line(fmt::format(
        R"({{"event":"summary","done":{},"retried":{},"failed":{},"dead_lettered":{},"requeued":{},"reason":"{}","seconds":{:.3f}}})",
        counts.done, counts.retried, counts.failed, counts.dead_lettered, counts.requeued, reason, took));
  } else {
    context_.out.line(fmt::format("{} leaves ({}): {} done, {} retried, {} failed, {} dead-lettered, {} put back, {}",
                                  name_, reason, counts.done, counts.retried, counts.failed, counts.dead_lettered,
                                  counts.requeued, humane_duration(context_.clock.now() - started)));
  }
  return end ? exit_done : exit_failed;
}

aio::Task<void> live(worker::Runtime& runtime, aio::TaskGroup& beside, std::optional<Result<worker::Summary>>& end) {
  end.emplace(co_await runtime.run());
  beside.cancel();
}

aio::Task<int> work(Context& context, Args args) {
  const Time started = context.clock.now();
  StopSignals signals(context);
  const std::optional<QueueTarget> target = find_queue(context, args);
  if (!target) {
    co_return exit_usage;
  }
  Result<std::unique_ptr<worker::Handler>> handler = make_handler(context, args);
  Result<worker::RuntimeOptions> options = runtime_options(context, args, *target);
  if (!handler || !options) {
    context.err.line("sluice work: " + (handler ? options.error().what : handler.error().what));
    co_return exit_usage;
  }
  Result<std::optional<HeldSlot>> place = take_slot(context, target->pool ? &*target->pool : nullptr);
  if (!place) {
    context.err.line("sluice work: " + place.error().what);
    co_return exit_failed;
  }
  options->worker =
      *place ? (*place)->worker() : context.env("SLUICE_WORKER").value_or("worker-" + context.random.hex(6));
  const aio::Deadline deadline = context.clock.in(open_timeout);
  wiring::QueueAccess access{.secrets = target->secrets,
                             .purpose = "sluice work " + options->worker,
                             .prefetch = options->concurrency,
                             .max_runtime = options->max_runtime};
  Result<std::unique_ptr<wiring::QueueClient>> client =
      co_await context.queues.open(target->spec, std::move(access), deadline);
  if (!client) {
    context.err.line("sluice work: " + client.error().what);
    co_return exit_failed;
  }
  const std::string name = options->worker;
  const std::unique_ptr<queue::Receiver> receiver = (*client)->receiver(name);
  aio::TaskGroup beside(context.loop, context.clock);
  Working working(context, std::move(*place), target->name, beside, signals);
  worker::Runtime runtime(context.loop, context.clock, context.random, *receiver, **handler, std::move(*options),
                          working);
  working.attach(runtime, name);
  std::optional<Result<worker::Summary>> end;
  co_await live(runtime, beside, end);
  co_await beside.join();
  working.last_words();
  co_return working.finish(*end, started);
}

}  // namespace

Verb work_verb() {
  return {
      .name = "work",
      .summary = "take messages and have a program do them",
      .about =
          "A handler gets the body on standard input (or as a POST) and SLUICE_MESSAGE_ID, _ATTEMPT, _HEADERS in its\n"
          "environment (or as headers). Exit 0 or 2xx: done, and only then acknowledged. 75, or 429 and 503: again "
          "later.\n"
          "Anything else: failed, again later, after five attempts a dead letter.\n"
          "SIGTERM or Ctrl-C finishes what runs; a second one puts it back at once.",
      .examples = {{"sluice work -f orders.yaml --exec ./handle", "a program per message"},
                   {"sluice work -f orders.yaml --exec python3 -- handle.py --fast", "its arguments after --"},
                   {"sluice work -f orders.yaml --http http://127.0.0.1:8080/", "a server that is there already"},
                   {"sluice work --queue orders.db --simulate 1s", "no handler at all"}},
      .flags = {file_flag("the pool whose queue it is; a free slot of the pool is taken"),
                queue_flag(),
                {.name = "exec",
                 .kind = Kind::text,
                 .value = "PROGRAM",
                 .help = "started for each message, never by a shell"},
                {.name = "http", .kind = Kind::text, .value = "URL", .help = "each message is posted there"},
                {.name = "simulate", .kind = Kind::duration, .value = "1s", .help = "each message takes this long"},
                {.name = "concurrency",
                 .kind = Kind::count,
                 .value = "N",
                 .help = "messages at once (default: the pool's, else 1)"},
                {.name = "idle-exit",
                 .kind = Kind::text,
                 .value = "10s",
                 .help = "leave when the queue is empty for this long, or never (default: the pool's)"},
                {.name = "max-runtime",
                 .kind = Kind::duration,
                 .value = "90s",
                 .help = "stop a handler that runs longer (default: the pool's, else no limit)"},
                {.name = "grace",
                 .kind = Kind::duration,
                 .value = "30s",
                 .help = "how long SIGTERM waits for running handlers (default: 30s)"},
                state_flag(),
                secrets_flag()},
      .rest = "ARGUMENT",
      .run = work,
  };
}

}  // namespace sluice::app
