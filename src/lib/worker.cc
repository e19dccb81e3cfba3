// SPDX-License-Identifier: Apache-2.0
// The wiring of include/sluice/worker.h: what src/app/work.cc is for the program.
#include <fmt/core.h>
#include <sluice/worker.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <utility>

#include "aio/signals.h"
#include "aio/task_group.h"
#include "fleet/process/held_slot.h"
#include "lib/settings.h"
#include "worker/brief_handler.h"
#include "worker/endpoint.h"
#include "worker/runtime.h"

namespace sluice {

using namespace std::chrono_literals;

struct Message::Impl {
  const queue::Delivery& delivery;
  std::uint32_t attempt;
  const std::atomic<bool>& cancelled;
  std::string cause;
};

const std::string& Message::id() const {
  return impl_.delivery.message.id;
}
const std::string& Message::body() const {
  return impl_.delivery.message.body;
}
const std::string& Message::type() const {
  return impl_.delivery.message.type;
}
const std::vector<std::pair<std::string, std::string>>& Message::headers() const {
  return impl_.delivery.message.headers;
}
const std::string* Message::header(const std::string& name) const {
  const auto found = std::ranges::find(headers(), name, &std::pair<std::string, std::string>::first);
  return found == headers().end() ? nullptr : &found->second;
}
int Message::attempt() const {
  return static_cast<int>(impl_.attempt);
}
const std::string& Message::cause() const {
  return impl_.cause;
}
bool Message::cancelled() const {
  return impl_.cancelled;
}

namespace {

constexpr int exit_done = 0;
constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
// Chosen: another process may hold the queue's file for a long commit.
constexpr Duration open_timeout = 30s;

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): before any thread is started
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

worker::Outcome inner(const Outcome& outcome) {
  switch (outcome.kind()) {
    case Outcome::Kind::done:
      return worker::Outcome::done();
    case Outcome::Kind::retry:
      return worker::Outcome::retry(outcome.why(), outcome.delay());
    case Outcome::Kind::failed:
      return worker::Outcome::failed(outcome.why());
    case Outcome::Kind::permanent:
      return worker::Outcome::permanent(outcome.why());
  }
  return worker::Outcome::failed("an outcome of no known kind");
}

worker::Function adapt(std::function<Outcome(const Message&)> handle) {
  return [handle = std::move(handle)](const queue::Delivery& delivery, std::uint32_t attempt,
                                      const std::atomic<bool>& cancelled) {
    const std::string cause(delivery.redelivered() ? queue::word(delivery.cause) : "");
    const Message::Impl impl{delivery, attempt, cancelled, cause};
    return inner(handle(Message(impl)));
  };
}

}  // namespace

struct Worker::Impl final : worker::Observer {
  explicit Impl(WorkerOptions o) : options(std::move(o)) {}

  int fail(int code, const std::string& why) {
    error = why;
    say(why);
    return code;
  }
  void say(const std::string& text) const {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const std::string line = text.substr(begin, end - begin);
      if (options.log) {
        options.log(line);
      } else {
        fmt::print(stderr, "sluice: {}\n", line);
      }
      begin = end + 1;
    }
  }

  void ready() override;
  void trouble(std::string_view what) override { say(std::string(what)); }
  void recovered(Duration after) override { say("the broker is back after " + format_duration(after)); }

  aio::Task<int> live(lib::Settings settings, std::function<Outcome(const Message&)> handle);
  std::unique_ptr<worker::Handler> handler_of(const lib::Settings& settings, worker::Function function);
  aio::Task<void> obey_signals();
  void drain() {
    draining = true;
    if (runtime != nullptr) {
      runtime->request_drain();
    }
  }

  const WorkerOptions options;
  aio::Loop loop;
  aio::RealClock clock{loop};
  std::optional<fleet::process::HeldSlot> place;
  std::optional<std::uint16_t> port;
  bool called = false;
  bool draining = false;
  std::string error;
  std::string report;
  // While the runtime lives.
  worker::Runtime* runtime = nullptr;
  worker::Endpoint* endpoint = nullptr;
  aio::TaskGroup* beside = nullptr;
};

Worker::Worker(WorkerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Worker::~Worker() = default;
const std::string& Worker::error() const {
  return impl_->error;
}
const std::string& Worker::report() const {
  return impl_->report;
}

void Worker::drain() {
  impl_->loop.post([impl = impl_.get()] { impl->drain(); });
}

int Worker::run(std::function<Outcome(const Message&)> handle) {
  if (std::exchange(impl_->called, true)) {
    return impl_->fail(exit_usage, "Worker::run() is called once");
  }
  if (!handle) {
    return impl_->fail(exit_usage, "Worker::run() needs a function");
  }
  std::error_code failed;
  const std::string here = std::filesystem::current_path(failed).string();
  Result<lib::Settings> settings =
      lib::read_settings(impl_->options, variable, failed ? "/" : here, fmt::format("worker-{}", ::getpid()));
  if (!settings) {
    return impl_->fail(exit_usage, settings.error().what);
  }
  Result<std::optional<fleet::process::HeldSlot>> place = fleet::process::HeldSlot::inherited(variable);
  if (!place) {
    return impl_->fail(exit_usage, place.error().what);
  }
  impl_->place = std::move(*place);
  impl_->port = settings->port;
  int code = exit_failed;
  try {
    const auto main = [](Impl& impl, lib::Settings s, std::function<Outcome(const Message&)> h,
                         int& out) -> aio::Task<void> { out = co_await impl.live(std::move(s), std::move(h)); };
    impl_->loop.run(main(*impl_, std::move(*settings), std::move(handle), code));
  } catch (const std::exception& e) {
    return impl_->fail(exit_failed, e.what());
  }
  return code;
}

aio::Task<int> Worker::Impl::live(lib::Settings settings, std::function<Outcome(const Message&)> handle) {
  // Draws jitter alone, so it must only differ between the processes of one machine.
  Random random(static_cast<std::uint64_t>(clock.now().time_since_epoch().count()) ^
                (static_cast<std::uint64_t>(::getpid()) << 40U));
  const aio::Deadline deadline = clock.in(open_timeout);
  wiring::Queues queues(loop, clock, random, [this](std::string_view what) { say(std::string(what)); }, variable);
  wiring::QueueAccess access{.secrets = settings.secrets,
                             .purpose = "sluice worker " + settings.runtime.worker,
                             .prefetch = settings.runtime.concurrency,
                             .max_runtime = settings.runtime.max_runtime,
                             .body_max = settings.runtime.body_max};
  Result<std::unique_ptr<wiring::QueueClient>> queue =
      co_await queues.open(settings.queue, std::move(access), deadline);
  if (!queue) {
    co_return fail(exit_failed, queue.error().what);
  }
  const std::unique_ptr<worker::Handler> handler = handler_of(settings, adapt(std::move(handle)));
  const std::unique_ptr<queue::Receiver> receiver = (*queue)->receiver(settings.runtime.worker);
  worker::Runtime life(loop, clock, random, *receiver, *handler, settings.runtime, *this);
  worker::Endpoint answers(loop, clock, life);
  aio::TaskGroup helpers(loop, clock);
  runtime = &life;
  endpoint = &answers;
  beside = &helpers;
  if (draining) {
    life.request_drain();
  }
  if (options.handle_signals) {
    helpers.spawn(obey_signals());
  }
  const Result<worker::Summary> end = co_await life.run();
  co_await queues.close();
  helpers.cancel();
  co_await helpers.join();
  runtime = nullptr;
  report = worker::to_json(life.report());
  if (place) {
    const Result<void> written = place->last_words(report);
    if (!written) {
      say("last words not written: " + written.error().what);
    }
  }
  co_return end ? exit_done : fail(exit_failed, end.error().what);
}

std::unique_ptr<worker::Handler> Worker::Impl::handler_of(const lib::Settings& settings, worker::Function function) {
  if (options.brief) {
    return std::make_unique<worker::BriefHandler>(loop, clock, std::move(function),
                                                  [this](std::string_view what) { say(std::string(what)); });
  }
  const std::size_t threads = worker::threads_for(settings.runtime.concurrency);
  return std::make_unique<worker::FunctionHandler>(loop, clock, threads, std::move(function));
}

// Only now: a socket that answers is how a scaler knows that this worker consumes.
void Worker::Impl::ready() {
  if (place) {
    const Result<void> listening = endpoint->listen_unix(place->socket());
    if (!listening) {
      say("no socket, so the scaler will not see this worker as started: " + listening.error().what);
    }
  }
  if (port) {
    const Result<std::uint16_t> listening = endpoint->listen_tcp("0.0.0.0", *port);
    if (!listening) {
      say("no endpoint on SLUICE_WORKER_PORT: " + listening.error().what);
    }
  }
  if (place || port) {
    beside->spawn(endpoint->run());
  }
}

aio::Task<void> Worker::Impl::obey_signals() {
  const std::vector<int> numbers{SIGTERM, SIGINT};
  aio::Signals signals(loop, clock, numbers);
  const aio::Deadline for_ever;
  co_await signals.next(for_ever);
  drain();
  co_await signals.next(for_ever);
  runtime->request_stop_now();
  while (true) {
    co_await signals.next(for_ever);  // further ones change nothing
  }
}

}  // namespace sluice
