// SPDX-License-Identifier: Apache-2.0
// sluice top: status, live. Redraws only what changed; without a terminal it prints one frame.
#include <fmt/core.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <deque>
#include <map>

#include "aio/fd.h"
#include "aio/signals.h"
#include "aio/task_group.h"
#include "app/context.h"
#include "app/look.h"
#include "app/remote.h"
#include "app/screen.h"
#include "app/verbs.h"
#include "control/explain.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;
using serve::PoolStatus;

constexpr Duration look_every = 500ms;  // chosen: people see no more, and the queue is barely touched
constexpr Duration draw_least = 100ms;  // design: at most 10 frames a second
constexpr std::size_t history = 24;     // looks in the little chart
constexpr std::size_t decisions_max = 6;

// Keys come one by one and unechoed while this lives; nothing when standard input is no terminal.
class Keys {
 public:
  Keys() : there_(::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (there_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
  }
  ~Keys() {
    if (there_) {
      ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
  }
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;
  [[nodiscard]] bool there() const { return there_; }

 private:
  termios before_{};
  bool there_;
};

std::string spark(const std::deque<std::optional<std::int64_t>>& values) {
  static constexpr std::array<const char*, 8> bars{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::int64_t most = 1;
  for (const auto& value : values) {
    most = std::max(most, value.value_or(0));
  }
  std::string out;
  for (const auto& value : values) {
    out += !value ? "?" : *value == 0 ? " " : bars[static_cast<std::size_t>((*value - 1) * 8 / most)];
  }
  return out;
}

class Top {
 public:
  // Looks here, or asks `remote` for the pools that `words` name.
  Top(Context& context, std::vector<std::unique_ptr<Looker>> lookers, std::unique_ptr<Remote> remote,
      std::vector<std::string> words)
      : context_(context),
        lookers_(std::move(lookers)),
        group_(context.loop, context.clock),
        remote_(std::move(remote)),
        words_(std::move(words)),
        screen_(context.out) {}

  // An Error: nobody could be asked.
  aio::Task<Result<void>> once();
  aio::Task<void> live();

 private:
  struct Total {
    std::optional<std::int64_t> ready = 0, in_flight = 0, workers = 0;
    std::optional<double> in = 0, out = 0;
    std::int64_t desired = 0;
  };
  aio::Task<Result<void>> look();
  void take(std::vector<PoolStatus> pools);
  void note_decision(const std::string& pool, const std::string& tick, WallTime at, const std::string& reason);
  void note_decisions(const std::vector<PoolLook>& looks);
  [[nodiscard]] Total total() const;
  [[nodiscard]] std::vector<std::string> frame() const;
  void draw();
  aio::Task<void> look_on();
  aio::Task<void> mind_signals();
  aio::Task<void> mind_keys();

  Context& context_;
  std::vector<std::unique_ptr<Looker>> lookers_;
  aio::TaskGroup group_;
  std::unique_ptr<Remote> remote_;  // null: looks here
  std::vector<std::string> words_;
  std::string trouble_;  // why the last look failed; what is shown is older
  std::vector<PoolStatus> pools_;
  std::deque<std::optional<std::int64_t>> ready_;
  std::deque<std::string> decisions_;
  std::map<std::string, std::string> told_;  // the last tick told of, by pool
  Screen screen_;
  std::optional<Time> drawn_;
};

template <class N, class M>
void add(std::optional<N>& sum, const std::optional<M>& more) {
  sum = sum && more ? std::optional<N>(*sum + static_cast<N>(*more)) : std::nullopt;
}

template <class N>
std::string text(const std::optional<N>& n) {
  return n ? fmt::format("{}", *n) : "?";
}

Top::Total Top::total() const {
  Total sum;
  for (const PoolStatus& pool : pools_) {
    add(sum.ready, pool.ready ? std::optional(pool.ready->n) : std::nullopt);
    add(sum.in_flight, pool.in_flight ? std::optional(pool.in_flight->n) : std::nullopt);
    add(sum.in, pool.in_per_s);
    add(sum.out, pool.out_per_s);
    add(sum.workers, pool.live());
    sum.desired += pool.desired.value_or(pool.live().value_or(0));
  }
  return sum;
}

void Top::note_decision(const std::string& pool, const std::string& tick, WallTime at, const std::string& reason) {
  if (std::exchange(told_[pool], tick) == tick) {
    return;
  }
  decisions_.push_back(control::printable(fmt::format("{} {} {}", format_clock(at), pool, reason)));
  if (decisions_.size() > decisions_max) {
    decisions_.pop_front();
  }
}

void Top::note_decisions(const std::vector<PoolLook>& looks) {
  for (const PoolLook& look : looks) {
    const std::optional<WallTime> at = look.last ? parse_wall(look.last->at) : std::nullopt;
    if (at) {
      note_decision(look.place.id, look.last->tick, *at, look.last->decision.reason);
    }
  }
}

aio::Task<Result<void>> Top::look() {
  if (!remote_) {
    const std::vector<PoolLook> looks = co_await look_at_all(context_, lookers_);
    std::vector<PoolStatus> pools;
    std::ranges::transform(looks, std::back_inserter(pools), status_of);
    note_decisions(looks);
    take(std::move(pools));
    co_return Result<void>{};
  }
  const aio::Deadline deadline = context_.clock.in(remote_timeout);
  Result<std::vector<PoolStatus>> pools = co_await remote_->pools(words_, deadline);
  trouble_ = pools ? "" : pools.error().what;
  if (!pools) {
    co_return pools.error();
  }
  for (const PoolStatus& pool : *pools) {
    // A tick that says the same as the one before it is no news; here the whole journal is not at hand.
    if (!pool.tick.empty()) {
      const std::string reason = pool.state + ": " + pool.why;
      note_decision(pool.pool, reason, pool.at - std::chrono::milliseconds{pool.decided_ms_ago.value_or(0)}, reason);
    }
  }
  take(std::move(*pools));
  co_return Result<void>{};
}

void Top::take(std::vector<PoolStatus> pools) {
  pools_ = std::move(pools);
  ready_.push_back(total().ready);
  if (ready_.size() > history) {
    ready_.pop_front();
  }
}

std::vector<std::string> Top::frame() const {
  const auto columns = static_cast<std::size_t>(context_.out.columns());
  const Total sum = total();
  const std::string pools = pools_.size() == 1 ? "1 pool" : fmt::format("{} pools", pools_.size());
  std::vector<std::string> out{
      fmt::format("sluice top   {}   {} UTC   q quits", pools, format_clock(context_.clock.wall())),
      fmt::format("backlog {} {} ready, {} in flight   in {}/s  out {}/s   workers {}, wanted {}", spark(ready_),
                  text(sum.ready), text(sum.in_flight), rate_text(sum.in), rate_text(sum.out), text(sum.workers),
                  sum.desired),
      ""};
  for (std::string& line : table(pools_, columns)) {
    out.push_back(std::move(line));
  }
  out.push_back(control::printable(trouble_));
  out.insert(out.end(), decisions_.begin(), decisions_.end());
  for (std::string& line : out) {
    line = control::cut(line, columns);
  }
  return out;
}

void Top::draw() {
  const Time now = context_.clock.now();
  if (drawn_ && now - *drawn_ < draw_least) {
    return;  // the next look draws
  }
  drawn_ = now;
  screen_.show(frame());
}

aio::Task<void> Top::look_on() {
  while (!context_.out.failure()) {
    const Result<void> looked = co_await look();
    draw();
    co_await context_.clock.sleep_for(look_every);
  }
  group_.cancel();
}

aio::Task<void> Top::mind_signals() {
  aio::Signals signals(context_.loop, context_.clock, {SIGINT, SIGTERM, SIGHUP, SIGWINCH});
  const aio::Deadline never{};
  int number = SIGWINCH;
  while (number == SIGWINCH) {
    number = co_await signals.next(never);
    if (number == SIGWINCH) {
      draw();
    }
  }
  group_.cancel();
}

aio::Task<void> Top::mind_keys() {
  aio::Watch watch(context_.loop, context_.clock, STDIN_FILENO);
  const aio::Deadline never{};
  bool on = true;
  while (on) {
    co_await watch.readable(never);
    std::array<char, 64> keys{};
    const ssize_t n = ::read(STDIN_FILENO, keys.data(), keys.size());
    const auto end = keys.begin() + std::max<ssize_t>(n, 0);
    on = n > 0 && std::find(keys.begin(), end, 'q') == end;
    if (n <= 0) {
      co_return;  // no more keys; signals still end it
    }
  }
  group_.cancel();
}

aio::Task<void> Top::live() {
  {
    const Keys keys;
    group_.spawn(look_on());
    group_.spawn(mind_signals());
    if (keys.there()) {
      group_.spawn(mind_keys());
    }
    co_await group_.join();
  }
  screen_.close();
  for (const std::string& line : frame()) {
    context_.out.line(line);  // the last frame stays, as text
  }
}

aio::Task<Result<void>> Top::once() {
  const Result<void> looked = co_await look();
  if (!looked) {
    co_return looked;
  }
  if (context_.json) {
    for (const PoolStatus& pool : pools_) {
      context_.out.line(serve::to_json(pool));
    }
    co_return looked;
  }
  for (const std::string& line : frame()) {
    context_.out.line(line);
  }
  co_return looked;
}

aio::Task<int> run_top(Context& context, Args args) {
  std::vector<std::unique_ptr<Looker>> lookers;
  std::unique_ptr<Remote> remote;
  if (asks_remote(args)) {
    remote = Remote::open(context, args, "top");
    if (!remote) {
      co_return exit_usage;
    }
  } else {
    std::optional<std::vector<Place>> places = find_places(context, args, "top");
    if (!places) {
      co_return exit_usage;
    }
    lookers = lookers_of(context, std::move(*places));
  }
  Top top(context, std::move(lookers), std::move(remote), args.positionals);
  if (!args.has("once") && !context.json && context.out.terminal()) {
    co_await top.live();
    co_return exit_done;
  }
  const Result<void> looked = co_await top.once();
  if (!looked) {
    context.err.line("sluice top: " + looked.error().what);
    co_return looked.error().code == Code::invalid ? exit_usage : exit_failed;
  }
  co_return exit_done;
}

}  // namespace

Verb top_verb() {
  std::vector<Flag> flags = place_and_remote_flags();
  flags.push_back({.name = "once", .help = "print one frame and end, as without a terminal"});
  return {.name = "top",
          .summary = "status, live: backlog, rates, workers, decisions as they come",
          .about =
              "Every frame is plain text that can be copied; only lines that changed are drawn again. q or Ctrl-C\n"
              "ends it, the last frame stays. It only looks: workers and scalers do not notice it.",
          .examples = {{"sluice top", "the pools of this folder"},
                       {"sluice top --context kind-dev --namespace shop", "those of the controller there"}},
          .flags = std::move(flags),
          .positionals = place_words(),
          .rest = "",
          .run = run_top};
}

}  // namespace sluice::app
