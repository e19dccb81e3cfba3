// SPDX-License-Identifier: Apache-2.0
// sluice publish: lines, or numbered messages, into a queue. What is confirmed is safe; what is not is listed.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "aio/fd.h"
#include "aio/task_group.h"
#include "app/lines.h"
#include "app/progress.h"
#include "app/verbs.h"
#include "app/wiring.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t batch_messages = 1000;     // chosen: one commit of a few ms, and progress that moves
constexpr std::size_t batch_bytes = 4U << 20U;   // the same for large bodies
constexpr std::size_t message_max = 16U << 20U;  // what a queue takes at most, headers and type included
constexpr Duration open_timeout = 30s;           // chosen: another process may hold the file for a long commit
constexpr Duration publish_timeout = 60s;        // chosen: a disk that syncs a batch slower than this is broken
constexpr Duration look_for_stop = 100ms;
constexpr Duration leave_within = 7s;  // after Ctrl-C, for what was sent and is not confirmed; 10 s with the goodbyes

// Messages in a row that met the same fate, so that a million of them are one line.
struct NotConfirmed {
  std::string first, last;
  std::int64_t n = 0;
  queue::PublishState state = queue::PublishState::failed;
  std::string why;
};

struct Totals {
  std::int64_t attempted = 0, confirmed = 0, failed = 0, unknown = 0;
};

class Publishing {
 public:
  // `knows_ids`: the queue adds no second copy of a message that it has.
  Publishing(Context& context, const Args& args, std::unique_ptr<queue::Publisher> publisher, bool knows_ids)
      : context_(context), publisher_(std::move(publisher)), knows_ids_(knows_ids), started_(context.clock.now()) {
    run_ = args.text("run").value_or(context.random.hex(8));
    prefix_ = args.text("id-prefix").value_or("") + run_;
    type_ = args.text("type").value_or("");
    ordering_key_ = args.text("ordering-key").value_or("");
    for (const std::string& header : args.texts("header")) {
      const std::size_t equals = header.find('=');
      headers_.emplace_back(header.substr(0, equals), header.substr(equals + 1));
    }
    last_drawn_ = started_;
  }

  aio::Task<void> numbered(std::int64_t count);
  aio::Task<void> lines(int fd, std::string name);
  [[nodiscard]] int finish();
  void stop() { stop_ = true; }
  // What is under way becomes unknown.
  void give_up();

 private:
  void add(std::int64_t n, std::string body);
  void refuse(std::int64_t n, const std::string& why);
  aio::Task<void> flush();
  aio::Task<void> send(std::vector<queue::Message> batch, aio::Deadline deadline,
                       std::vector<queue::Published>* answers);
  void note(const std::string& id, queue::PublishState state, const std::string& why);
  [[nodiscard]] bool full() const { return batch_.size() >= batch_messages || bytes_ >= batch_bytes; }
  [[nodiscard]] std::string id(std::int64_t n) const { return fmt::format("{}-{}", prefix_, n); }
  void draw(bool last);
  void say_not_confirmed();

  Context& context_;
  std::unique_ptr<queue::Publisher> publisher_;
  bool knows_ids_;
  Time started_;
  Time last_drawn_;
  std::string run_, prefix_, type_, ordering_key_;
  queue::Headers headers_;
  std::vector<queue::Message> batch_;
  std::size_t bytes_ = 0;
  Totals totals_;
  std::vector<NotConfirmed> not_confirmed_;
  std::optional<std::string> given_up_;  // why nothing more is sent
  std::optional<std::int64_t> expected_;
  std::int64_t skipped_ = 0;  // empty lines
  std::optional<Error> read_failure_;
  ProgressLine progress_{context_};
  bool stop_ = false;
  aio::TaskGroup* under_way_ = nullptr;  // while a batch is
};

void Publishing::add(std::int64_t n, std::string body) {
  ++totals_.attempted;
  if (given_up_ || stop_) {
    note(id(n), queue::PublishState::failed, given_up_ ? *given_up_ : "not sent: interrupted");
    return;
  }
  bytes_ += body.size();
  batch_.push_back({.id = id(n),
                    .body = std::move(body),
                    .headers = headers_,
                    .type = type_,
                    .published_at = context_.clock.wall(),
                    .ordering_key = ordering_key_});
}

void Publishing::refuse(std::int64_t n, const std::string& why) {
  ++totals_.attempted;
  note(id(n), queue::PublishState::failed, why);
}

void Publishing::note(const std::string& id, queue::PublishState state, const std::string& why) {
  ++(state == queue::PublishState::unknown ? totals_.unknown : totals_.failed);
  if (context_.json) {
    context_.out.line(fmt::format(R"({{"event":"message","id":"{}","state":"{}","why":"{}"}})", json_escape(id),
                                  state == queue::PublishState::unknown ? "unknown" : "failed", json_escape(why)));
    return;
  }
  if (!not_confirmed_.empty() && not_confirmed_.back().state == state && not_confirmed_.back().why == why) {
    not_confirmed_.back().last = id;
    ++not_confirmed_.back().n;
    return;
  }
  not_confirmed_.push_back({.first = id, .last = id, .n = 1, .state = state, .why = why});
}

aio::Task<void> Publishing::flush() {
  if (batch_.empty()) {
    co_return;
  }
  std::vector<std::string> ids;
  ids.reserve(batch_.size());
  for (const queue::Message& message : batch_) {
    ids.push_back(message.id);
  }
  const aio::Deadline deadline = context_.clock.in(publish_timeout);
  std::vector<queue::Message> batch = std::exchange(batch_, {});
  bytes_ = 0;
  std::vector<queue::Published> answers(batch.size());
  {
    aio::TaskGroup group(context_.loop, context_.clock);
    const auto forget = [](aio::TaskGroup** slot) { *slot = nullptr; };
    under_way_ = &group;
    const std::unique_ptr<aio::TaskGroup*, decltype(forget)> scope(&under_way_, forget);
    group.spawn(send(std::move(batch), deadline, &answers));
    co_await group.join();
  }
  std::int64_t confirmed = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].state == queue::PublishState::confirmed) {
      ++confirmed;
    } else {
      note(ids[i], answers[i].state, answers[i].why);
    }
  }
  totals_.confirmed += confirmed;
  if (confirmed == 0) {
    // The rest would meet the same wall, each batch after a long wait.
    given_up_ = fmt::format("not sent: {}", answers.front().why);
  }
  draw(false);
}

aio::Task<void> Publishing::send(std::vector<queue::Message> batch, aio::Deadline deadline,
                                 std::vector<queue::Published>* answers) {
  for (queue::Published& answer : *answers) {
    answer = {queue::PublishState::unknown, "interrupted before it was confirmed"};
  }
  *answers = co_await publisher_->publish(std::move(batch), deadline);
}

void Publishing::give_up() {
  if (under_way_ != nullptr) {
    under_way_->cancel();
  }
}

aio::Task<void> Publishing::numbered(std::int64_t count) {
  expected_ = count;
  for (std::int64_t n = 1; n <= count; ++n) {
    add(n, fmt::format(R"({{"run":"{}","n":{}}})", run_, n));
    if (full()) {
      co_await flush();
    }
  }
  co_await flush();
}

aio::Task<void> Publishing::lines(int fd, std::string name) {
  std::size_t body_max = message_max - std::min(message_max, type_.size());
  for (const auto& [key, value] : headers_) {
    body_max -= std::min(body_max, key.size() + value.size());
  }
  LineSplitter splitter(body_max);
  std::int64_t number = 0;
  bool end = false;
  while (!end && !stop_) {
    // What was read goes out when nothing more is there at once: `tail -f file | sluice publish` must not wait for a
    // batch.
    const aio::Deadline deadline = batch_.empty() ? context_.clock.in(look_for_stop) : context_.clock.in(1ms);
    Result<std::string> bytes = co_await aio::read_some(context_.loop, context_.clock, fd, 65536, deadline);
    const bool nothing_yet = !bytes && bytes.error().code == Code::retry;
    if (!bytes && !nothing_yet) {
      read_failure_ = bytes.error().in(name);
    }
    end = bytes ? bytes->empty() : !nothing_yet;
    std::vector<Line> found = bytes ? splitter.feed(*bytes) : std::vector<Line>{};
    if (end) {
      std::optional<Line> last = splitter.finish();
      if (last) {
        found.push_back(std::move(*last));
      }
    }
    for (Line& line : found) {
      ++number;
      if (line.too_long) {
        refuse(number, fmt::format("{}:{}: {} bytes; a message has at most {}", name, number, line.length, body_max));
      } else if (line.text.empty()) {
        ++skipped_;
      } else {
        add(number, std::move(line.text));
      }
      if (full()) {
        co_await flush();
      }
    }
    if (nothing_yet || end) {
      co_await flush();
    }
  }
  co_await flush();
}

void Publishing::draw(bool last) {
  const Time now = context_.clock.now();
  if (!progress_.shown() || (!last && now - last_drawn_ < 100ms)) {
    return;
  }
  last_drawn_ = now;
  const double seconds = std::max(to_s(now - started_), 0.001);
  const std::string rate = fmt::format("{:.0f}/s", static_cast<double>(totals_.confirmed) / seconds);
  if (expected_) {
    progress_.show(fmt::format("publish  {} {}/{} confirmed  {}", bar(totals_.confirmed, *expected_, 24),
                               totals_.confirmed, *expected_, rate));
  } else {
    progress_.show(fmt::format("publish  {} confirmed  {}", totals_.confirmed, rate));
  }
}

void Publishing::say_not_confirmed() {
  for (const NotConfirmed& some : not_confirmed_) {
    const char* word = some.state == queue::PublishState::unknown ? "unknown" : "not published";
    const std::string which = some.n == 1 ? some.first : fmt::format("{} .. {} ({})", some.first, some.last, some.n);
    context_.err.line(fmt::format("{}: {}: {}", word, which, some.why));
  }
}

int Publishing::finish() {
  draw(true);
  progress_.clear();
  const double seconds = to_s(context_.clock.now() - started_);
  if (context_.json) {
    context_.out.line(
        fmt::format(R"({{"event":"summary","attempted":{},"confirmed":{},"failed":{},"unknown":{},"seconds":{:.3f}}})",
                    totals_.attempted, totals_.confirmed, totals_.failed, totals_.unknown, seconds));
  } else {
    say_not_confirmed();
    std::string line = fmt::format("{} of {} confirmed in {:.2f} s", totals_.confirmed, totals_.attempted, seconds);
    line += totals_.failed > 0 ? fmt::format(", {} failed", totals_.failed) : "";
    line += totals_.unknown > 0 ? fmt::format(", {} unknown", totals_.unknown) : "";
    line += skipped_ > 0 ? fmt::format(", {} empty lines skipped", skipped_) : "";
    context_.out.line(line);
  }
  if (totals_.unknown > 0) {
    context_.err.line(fmt::format(
        "The unknown ones may have arrived. Publish the same input again with --run {}: {}", run_,
        knows_ids_ ? "ids that still wait are not added twice." : "the same ids, so that both can be told."));
  }
  if (read_failure_) {
    context_.err.line("sluice publish: " + read_failure_->what);
  }
  if (totals_.confirmed == totals_.attempted && !read_failure_ && !stop_) {
    return exit_done;
  }
  return totals_.confirmed > 0 ? exit_partly : exit_failed;
}

aio::Task<void> give_up_on_signal(StopSignals& signals, Publishing& publishing) {
  co_await signals.next();
  publishing.give_up();
}

// Ctrl-C: nothing more is taken, what was sent is waited for and told; not for long, and not after another one.
aio::Task<void> stop_on_signal(Context& context, StopSignals& signals, Publishing& publishing,
                               aio::TaskGroup& watchers) {
  co_await signals.next();
  publishing.stop();
  watchers.spawn(give_up_on_signal(signals, publishing));
  co_await context.clock.sleep_for(leave_within);
  publishing.give_up();
}

aio::Task<void> publish_input(Publishing& publishing, std::optional<std::int64_t> count, int fd, std::string name,
                              aio::TaskGroup& watchers) {
  if (count) {
    co_await publishing.numbered(*count);
  } else {
    co_await publishing.lines(fd, std::move(name));
  }
  watchers.cancel();
}

bool has_input(const Args& args) {
  return args.has("count") || args.has("lines") || ::isatty(STDIN_FILENO) != 1;
}

// The first thing wrong with the flags; empty when nothing is.
std::string wrong_flags(const Args& args) {
  for (const std::string& header : args.texts("header")) {
    if (header.find('=') == std::string::npos || header.front() == '=') {
      return fmt::format("--header {}: accepted is KEY=VALUE", header);
    }
  }
  if (args.has("count") && args.has("lines")) {
    return "--count and --lines: one source of messages is enough";
  }
  if (!has_input(args) && !args.has("declare")) {
    return "nothing to publish: give --count N, --lines FILE, or lines on standard input";
  }
  return "";
}

aio::Task<int> declare_queues(Context& context, wiring::QueueClient& client, aio::Deadline deadline) {
  const Result<std::vector<std::string>> declared = co_await client.declare(deadline);
  if (!declared) {
    context.err.line("sluice publish: " + declared.error().what);
    co_return declared.error().code == Code::invalid ? exit_usage : exit_failed;
  }
  for (const std::string& queue : *declared) {
    context.err.line("declared: " + queue);
  }
  co_return exit_done;
}

aio::Task<int> publish(Context& context, Args args) {
  const std::string wrong = wrong_flags(args);
  if (!wrong.empty()) {
    context.err.line("sluice publish: " + wrong);
    co_return exit_usage;
  }
  const std::optional<QueueTarget> target = find_queue(context, args);
  if (!target) {
    co_return exit_usage;
  }
  const std::string name = args.text("lines").value_or("-");
  aio::Fd file;
  if (!args.has("count") && name != "-") {
    file = aio::Fd(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
      context.err.line(fmt::format("sluice publish: {}: cannot open: {}", name, std::strerror(errno)));
      co_return exit_usage;
    }
  }
  StopSignals signals(context);
  const aio::Deadline deadline = context.clock.in(open_timeout);
  wiring::QueueAccess access{.secrets = target->secrets, .purpose = "sluice publish"};
  Result<std::unique_ptr<wiring::QueueClient>> client =
      co_await context.queues.open(target->spec, std::move(access), deadline);
  if (!client) {
    context.err.line("sluice publish: " + client.error().what);
    co_return exit_failed;
  }
  if (args.has("declare")) {
    const int code = co_await declare_queues(context, **client, deadline);
    if (code != exit_done || !has_input(args)) {
      co_return code;
    }
  }
  const bool knows_ids = std::holds_alternative<pool::LocalQueue>(target->spec.queue);
  Publishing publishing(context, args, (*client)->publisher(), knows_ids);
  aio::TaskGroup watchers(context.loop, context.clock);
  watchers.spawn(stop_on_signal(context, signals, publishing, watchers));
  const int fd = file ? file.get() : STDIN_FILENO;
  co_await publish_input(publishing, args.count("count"), fd, name, watchers);
  co_await watchers.join();
  co_return publishing.finish();
}

}  // namespace

Verb publish_verb() {
  return {
      .name = "publish",
      .summary = "put messages on a queue, each confirmed when it is safe",
      .about =
          "One message a line, or --count numbered ones. Empty lines are skipped and counted; CR LF ends a line too.\n"
          "A message's id is PREFIX RUN - NUMBER, so that the same input with the same --run is the same messages.\n"
          "Exit 0 only when every message is confirmed; those that are not are listed.",
      .examples = {{"sluice publish -f orders.yaml --lines jobs.txt", "one message a line"},
                   {"sluice publish -f orders.yaml --count 200", "200 numbered messages"},
                   {"generate | sluice publish -f orders.yaml", "lines from another program"},
                   {"sluice publish -f orders.yaml --declare </dev/null", "make the queues, publish nothing"}},
      .flags = {file_flag("the pool whose queue it is"),
                queue_flag(),
                {.name = "count", .kind = Kind::count, .value = "N", .help = "publish N numbered messages"},
                {.name = "lines",
                 .kind = Kind::file,
                 .value = "FILE",
                 .help = "publish each line of a file; - is standard input, also the default in a pipe"},
                {.name = "declare",
                 .kind = Kind::on_off,
                 .help = "first make the queue, with its queues for dead letters and retries, as the pool says"},
                {.name = "ordering-key",
                 .kind = Kind::text,
                 .value = "KEY",
                 .help = "keep their order, on a Pub/Sub subscription with message ordering"},
                {.name = "id-prefix", .kind = Kind::text, .value = "TEXT", .help = "in front of every message id"},
                {.name = "run",
                 .kind = Kind::text,
                 .value = "ID",
                 .help = "make the ids of an earlier run again (default: a new one)"},
                {.name = "header",
                 .kind = Kind::text,
                 .value = "KEY=VALUE",
                 .help = "a header of every message",
                 .many = true},
                {.name = "type", .kind = Kind::text, .value = "TEXT", .help = "the type of every message"},
                state_flag(),
                secrets_flag()},
      .run = publish,
  };
}

}  // namespace sluice::app
