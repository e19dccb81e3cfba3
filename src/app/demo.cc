// SPDX-License-Identifier: Apache-2.0
// sluice demo: the whole thing once, for real and in sight: messages in a file, worker processes, an imagined node
// group.
#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "aio/task_group.h"
#include "app/demo_count.h"
#include "app/demo_folder.h"
#include "app/demo_screen.h"
#include "app/scaler.h"
#include "app/text.h"
#include "app/verbs.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr Duration look_every = 250ms;  // chosen: calm to look at, and the numbers still move
constexpr Duration say_every = 10s;     // chosen: a line without news, when there is no screen
constexpr std::size_t publish_batch = 10;
constexpr std::size_t ledger_bytes_max = 1U << 30U;

class Demo {
 public:
  Demo(Context& context, DemoFolder folder, std::int64_t count)
      : context_(context),
        signals_(context),
        folder_(std::move(folder)),
        all_(context.loop, context.clock),
        screen_(context.out),
        begun_(context.clock.now()) {
    state_.count = count;
    live_screen_ = !context.json && context.out.terminal() && context.env("TERM") != "dumb";
  }

  // `secrets`: as --secrets says; empty: the usual place.
  aio::Task<bool> open(std::string secrets);
  aio::Task<int> run();

 private:
  aio::Task<void> publish();
  aio::Task<void> look();
  aio::Task<void> look_once();
  aio::Task<void> obey_signals();
  aio::Task<void> drain();
  void tell(const control::Snapshot& snapshot);
  void say(Told told);
  void draw();
  void begin_drain(const std::string& why);
  [[nodiscard]] bool over() const;
  [[nodiscard]] std::optional<std::int64_t> in_flight() const;
  void show_nodes(Duration span);
  aio::Task<int> finish();
  void print_summary(const DemoSums& sums);
  void print_left(const DemoSums& sums);
  [[nodiscard]] std::string here(const std::string& path) const;

  Context& context_;
  StopSignals signals_;
  DemoFolder folder_;
  aio::TaskGroup all_;
  std::unique_ptr<Scaler> scaler_;
  std::unique_ptr<queue::BacklogSource> source_;
  std::unique_ptr<queue::Publisher> publisher_;
  Narrator narrator_;
  std::vector<Told> told_;
  DemoState state_;
  DemoCount count_;
  Screen screen_;
  bool live_screen_ = false;
  Time begun_;
  std::optional<Time> said_;
  bool published_ = false;
  bool looked_after_all_ = false;  // the last look began when everything was published
  bool draining_ = false;
  std::string failure_;  // why it was given up
};

// As a person in this folder would type it.
std::string Demo::here(const std::string& path) const {
  std::error_code failed;
  const std::string near =
      std::filesystem::path(path).lexically_proximate(std::filesystem::current_path(failed)).string();
  return failed || near.starts_with("..") || near.size() > path.size() ? path : near;
}

aio::Task<bool> Demo::open(std::string secrets) {
  std::optional<LoadedPool> loaded = load_pool(context_, folder_.pool(), Args{});
  if (loaded && !secrets.empty()) {
    loaded->secrets = std::move(secrets);
  }
  if (!loaded || !supported(context_, *loaded)) {
    co_return false;
  }
  const aio::Deadline deadline = context_.clock.in(30s);
  Result<std::unique_ptr<Scaler>> opened =
      co_await Scaler::open(context_, std::move(*loaded), ScalerOptions{.queue_expires = 1h}, deadline);
  if (!opened) {
    context_.err.line("sluice demo: " + opened.error().what);
    co_return false;
  }
  scaler_ = std::move(*opened);
  const Result<std::vector<std::string>> declared = co_await scaler_->queue().declare(deadline);
  if (!declared) {
    context_.err.line("sluice demo: " + declared.error().what);
    co_return false;
  }
  source_ = scaler_->queue().source({.others_age = Duration{0}});
  publisher_ = scaler_->queue().publisher();
  scaler_->controller().after_tick = [this](const control::Snapshot& snapshot) { tell(snapshot); };
  state_.pool_file = here(folder_.pool());
  state_.journal_file = here(scaler_->journal_path());
  co_return true;
}

aio::Task<int> Demo::run() {
  if (!live_screen_ && !context_.json) {
    context_.out.line(
        fmt::format("demo: {} messages; pool {}, journal {}", state_.count, state_.pool_file, state_.journal_file));
  }
  all_.spawn(publish());
  all_.spawn(obey_signals());
  all_.spawn(look());
  co_await all_.join();
  const int code = co_await finish();
  co_return code;
}

aio::Task<void> Demo::publish() {
  for (std::int64_t n = 1; n <= state_.count && !draining_;) {
    std::vector<queue::Message> batch;
    for (; n <= state_.count && batch.size() < publish_batch; ++n) {
      const WallTime at = context_.clock.wall();
      batch.push_back(
          {.id = fmt::format("order-{}", n), .body = fmt::format(R"({{"order":{}}})", n), .published_at = at});
      count_.published(batch.back().id, at);
    }
    const aio::Deadline deadline = context_.clock.in(60s);
    const std::vector<queue::Published> answers = co_await publisher_->publish(std::move(batch), deadline);
    for (const queue::Published& answer : answers) {
      if (answer.state == queue::PublishState::confirmed) {
        ++state_.confirmed;
      } else if (failure_.empty()) {
        failure_ = "publishing failed: " + answer.why;
      }
    }
    if (!failure_.empty()) {
      begin_drain(failure_);
    }
  }
  published_ = true;
  if (!draining_) {
    all_.spawn(scaler_->run());
  }
}

void Demo::tell(const control::Snapshot& snapshot) {
  count_.see(snapshot, context_.clock.now());
  for (Told& told : narrator_.tell(snapshot)) {
    if (told.word == "broken" && failure_.empty()) {
      failure_ = told.text;  // workers that cannot start will not end by themselves either
    }
    say(std::move(told));
  }
  if (!failure_.empty() && !draining_) {
    begin_drain(failure_);
  }
}

void Demo::say(Told told) {
  if (context_.json) {
    context_.out.line(fmt::format(R"({{"event":"told","at":"{}","word":"{}","text":"{}"}})", format_wall(told.at),
                                  json_escape(told.word), json_escape(told.text)));
  } else if (!live_screen_) {
    context_.out.line(line_of(told, context_.colour));
  }
  told_.push_back(std::move(told));
}

aio::Task<void> Demo::look() {
  Time last = context_.clock.now();
  while (!over()) {
    co_await look_once();
    const Time now = context_.clock.now();
    show_nodes(now - last);
    last = now;
    draw();
    const Time next = now + look_every;
    co_await context_.clock.sleep_until(next);
  }
  all_.cancel();
}

aio::Task<void> Demo::look_once() {
  const aio::Deadline deadline = context_.clock.in(5s);
  const bool after_all = published_;  // what a look finds before the last message is there says nothing of the end
  const Result<model::FleetView> view = co_await scaler_->fleet().view(deadline);
  const Result<model::Sample> sample = co_await source_->sample(deadline);
  state_.view = view ? std::optional(*view) : std::nullopt;
  state_.sample = sample ? std::optional(*sample) : std::nullopt;
  looked_after_all_ = after_all;
  if (view) {
    count_.see(*view, context_.clock.now());
    for (Told& told : narrator_.tell(*view, context_.clock.wall())) {
      say(std::move(told));
    }
    state_.workers.add(static_cast<double>(view->workers.size()));
  }
  if (sample && sample->ready) {
    state_.ready.add(static_cast<double>(sample->ready->n));
  }
  const Result<std::string> ledger = read_file(folder_.ledger(), ledger_bytes_max);
  state_.done = ledger ? count_lines(*ledger) : state_.done;
}

// Nothing waits, runs or lives any more. Unknown is not nothing.
bool Demo::over() const {
  if (!state_.view || !state_.sample || !looked_after_all_ || !state_.view->workers.empty()) {
    return false;
  }
  const model::Sample& sample = *state_.sample;
  const bool empty =
      sample.ready && sample.ready->n == 0 && in_flight() == 0 && sample.delayed && sample.delayed->n == 0;
  return draining_ || empty;
}

// As the queue says; where it does not, nothing is in flight when it has no consumer: RabbitMQ puts a message back in
// the step in which it forgets the consumer.
std::optional<std::int64_t> Demo::in_flight() const {
  if (!state_.sample) {
    return std::nullopt;
  }
  const model::Sample& sample = *state_.sample;
  if (!sample.in_flight && sample.consumers && sample.consumers->n == 0) {
    return 0;
  }
  return sample.in_flight ? std::optional(sample.in_flight->n) : std::nullopt;
}

void Demo::show_nodes(Duration span) {
  const pool::Workers& workers = scaler_->loaded().pool.spec.workers;
  const int nodes = workers.process ? static_cast<int>(workers.process->nodes.max) : 1;
  const fleet::NodeGroup& group = scaler_->fleet().nodes();
  count_.nodes(group, nodes, span);
  state_.nodes.clear();
  for (int node = 1; node <= nodes; ++node) {
    DemoNode shown{.state = group.state(node), .slots = static_cast<int>(pool::slots_per_node(workers))};
    for (const model::Worker& worker : state_.view ? state_.view->workers : std::vector<model::Worker>{}) {
      shown.workers += worker.place == fmt::format("node {}", node) ? 1 : 0;
    }
    state_.nodes.push_back(shown);
  }
}

void Demo::draw() {
  if (live_screen_) {
    screen_.show(demo_picture(state_, told_, screen_.columns(), screen_.rows(), context_.colour));
    return;
  }
  const Time now = context_.clock.now();
  if (!context_.json && (!said_ || now - *said_ >= say_every)) {
    said_ = now;
    context_.out.line(fmt::format("{}  {:<6}  {}", format_clock(context_.clock.wall()), "", demo_line(state_)));
  }
}

aio::Task<void> Demo::obey_signals() {
  co_await signals_.next();
  begin_drain("stopping: workers finish what they have; Ctrl-C again puts it back at once");
  co_await signals_.next();
  say({context_.clock.wall(), "stop", "workers put back what they have"});
  // Two different ones: the first may find a worker that was not asked to drain yet, and equal ones would merge.
  scaler_->signal_workers({SIGTERM, SIGINT});
  co_await signals_.next();
  all_.cancel();  // a worker that does not obey goes on; the last line says so
}

// From here on nothing starts; the workers are watched to their end.
void Demo::begin_drain(const std::string& why) {
  if (draining_) {
    return;
  }
  draining_ = true;
  state_.phase = "draining, Ctrl-C again stops at once";
  say({context_.clock.wall(), "stop", why});
  scaler_->stop_ticking();
  all_.spawn(drain());
}

aio::Task<void> Demo::drain() {
  co_await scaler_->drain(for_ever);
}

aio::Task<int> Demo::finish() {
  co_await look_once();
  scaler_->close();
  screen_.close();
  DemoSums sums{.published = state_.count, .confirmed = state_.confirmed};
  if (state_.sample) {
    const model::Sample& sample = *state_.sample;
    const auto n = [](const std::optional<model::Reading>& reading) {
      return reading ? std::optional(reading->n) : std::nullopt;
    };
    sums.dead_lettered = n(sample.dead);
    sums.in_flight = in_flight();
    if (sample.ready && sample.delayed) {
      sums.queued = sample.ready->n + sample.delayed->n;
    }
  }
  const Result<std::string> ledger = read_file(folder_.ledger(), ledger_bytes_max);
  const Result<std::string> journal = read_file(scaler_->journal_path(), ledger_bytes_max);
  for (const Result<std::string>* file : {&ledger, &journal}) {
    if (!*file) {
      context_.err.line("sluice demo: " + file->error().what);
      co_return exit_failed;
    }
  }
  const Time now = context_.clock.now();
  count_.sum(sums, *ledger, *journal, now);
  sums.seconds = to_s(now - begun_);
  if (context_.json) {
    context_.out.line(to_json(sums));
  } else {
    print_summary(sums);
  }
  if (sums.whole()) {
    co_return exit_done;
  }
  const bool stopped = failure_.empty() && sums.lost().value_or(1) == 0 && sums.confirmed > 0;
  co_return stopped ? exit_partly : exit_failed;
}

void Demo::print_summary(const DemoSums& sums) {
  const auto humane = [](double s) {
    return humane_duration(std::chrono::milliseconds{static_cast<std::int64_t>(s * 1000)});
  };
  const bool whole = sums.whole();
  if (live_screen_) {
    for (const Told& told : told_) {
      context_.out.line(cut(line_of(told, context_.colour), context_.out.columns()));
    }
    context_.out.line("");
    state_.phase = whole ? "done" : "stopped";
    for (const std::string& line : demo_head(state_, context_.out.columns(), context_.colour)) {
      context_.out.line(cut(line, context_.out.columns()));
    }
    context_.out.line("");
  }
  const std::int64_t lost = sums.lost().value_or(0);
  const std::string waits = sums.wait_p50_s && sums.wait_p99_s
                                ? fmt::format("wait p50 {}, p99 {}", humane(*sums.wait_p50_s), humane(*sums.wait_p99_s))
                                : "waiting times unknown";
  const bool by_themselves = sums.workers_left == sums.workers_started && !draining_;
  context_.out.line(fmt::format("{} {} processed, {} lost, {} twice, {}   {}   {} worker{}, {}",
                                coloured(whole ? "✓" : "✗", whole ? Colour::green : Colour::red, context_.colour),
                                sums.processed, sums.lost() ? std::to_string(std::max<std::int64_t>(lost, 0)) : "?",
                                sums.duplicates, humane(sums.seconds), waits, sums.workers_started,
                                sums.workers_started == 1 ? "" : "s",
                                by_themselves ? "all left by themselves" : fmt::format("{} left", sums.workers_left)));
  if (!whole) {
    print_left(sums);
  }
  for (const std::string& line : demo_next(context_, state_.pool_file, whole)) {
    context_.out.line(line);
  }
}

void Demo::print_left(const DemoSums& sums) {
  if (!failure_.empty()) {
    context_.out.line("  given up: " + failure_);
  }
  const auto number = [](const std::optional<std::int64_t>& n) { return n ? std::to_string(*n) : std::string("?"); };
  context_.out.line(fmt::format("  {} of {} confirmed; {} still queued, {} dead letters", sums.confirmed,
                                sums.published, number(sums.queued), number(sums.dead_lettered)));
  if (sums.lost().value_or(0) < 0) {
    context_.out.line(
        fmt::format("  {} of them were done and not acknowledged any more: they will be done again", -*sums.lost()));
  }
}

aio::Task<int> demo(Context& context, Args args) {
  const std::int64_t count = args.count("count").value_or(200);
  if (count <= demo_threshold || count > 1'000'000) {
    context.err.line(
        fmt::format("sluice demo: --count {}: accepted is {} to 1000000; no more than {} never start a worker", count,
                    demo_threshold + 1, demo_threshold));
    co_return exit_usage;
  }
  Result<std::optional<DemoRabbit>> rabbit = demo_rabbit(context, args);
  if (!rabbit) {
    context.err.line("sluice demo: " + rabbit.error().what);
    co_return exit_usage;
  }
  std::error_code failed;
  const std::string here = std::filesystem::current_path(failed).string();
  const std::string path = absolute(here, args.text("dir").value_or("sluice-demo"));
  std::string secrets = args.has("secrets") ? absolute(here, *args.text("secrets")) : "";
  Result<DemoFolder> folder = make_demo_folder(path, *rabbit);
  if (!folder) {
    context.err.line("sluice demo: " + folder.error().what);
    co_return folder.error().code == Code::invalid ? exit_usage : exit_failed;
  }
  Demo demo(context, std::move(*folder), count);
  const bool opened = co_await demo.open(std::move(secrets));
  if (!opened) {
    co_return exit_failed;
  }
  const int code = co_await demo.run();
  co_return code;
}

}  // namespace

Verb demo_verb() {
  return {
      .name = "demo",
      .summary = "200 messages, a worker at a time, nodes that boot; about 70 seconds, nothing to install",
      .about =
          "Writes ./sluice-demo with a pool, a handler and a ledger, publishes, and scales worker processes on an\n"
          "imagined node group until every message is done and every worker has left. Nothing is mocked.\n"
          "Ctrl-C has the workers finish what they have; a second one puts it back at once.",
      .examples = {{"sluice demo", "a live screen"},
                   {"sluice demo -o json", "JSON lines, the last one the sums"},
                   {"sluice demo --queue amqp://localhost:5672", "the same on a RabbitMQ of yours"}},
      .flags =
          {{.name = "dir", .kind = Kind::folder, .value = "DIR", .help = "where to write (default: ./sluice-demo)"},
           {.name = "count", .kind = Kind::count, .value = "N", .help = "messages (default: 200, at least 21)"},
           {.name = "queue",
            .kind = Kind::text,
            .value = "URL",
            .help = "a RabbitMQ, amqp://HOST:PORT[/VHOST], in place of a file; a queue of its own is made there"},
           {.name = "queue-type",
            .kind = Kind::choice,
            .value = "TYPE",
            .help = "of the queue on the RabbitMQ (default: quorum)",
            .choices = {"quorum", "classic"}},
           {.name = "secrets",
            .kind = Kind::folder,
            .value = "DIR",
            .help = "the login of the RabbitMQ: DIR/rabbitmq/username and password (default: guest)"}},
      .run = demo,
  };
}

}  // namespace sluice::app
