// SPDX-License-Identifier: Apache-2.0
#include "control/story.h"

#include <fmt/core.h>

#include <algorithm>

namespace sluice::control {
namespace {

// Ticks kept before the first one told, for rates and for what deciding remembered.
constexpr std::size_t ticks_before = 32;
// A journal without state lines must not fill the memory.
constexpr std::size_t entries_max = 20'000;
// Rates are taken over at least this long where the journal has it, and never over more than the other.
constexpr std::int64_t rate_ms_least = 5'000;
constexpr std::int64_t rate_ms_most = 120'000;

// The text of a member near the front of a line that the journal wrote; empty for any other line.
std::string_view front_text(std::string_view line, std::string_view key) {
  const std::string_view front = line.substr(0, 200);
  const std::size_t at = front.find(key);
  if (at == std::string_view::npos) {
    return {};
  }
  const std::size_t begin = at + key.size();
  const std::size_t end = front.find('"', begin);
  return end == std::string_view::npos ? std::string_view{} : front.substr(begin, end - begin);
}

std::string_view boot_of(std::string_view tick) {
  return tick.substr(0, tick.rfind('-'));
}

}  // namespace

Story::Event Story::event_of(std::string_view line) {
  const std::string_view event = front_text(line, "{\"event\":\"");
  if (event == "pool") return Event::pool;
  if (event == "tick") return Event::tick;
  if (event == "act") return Event::act;
  if (event == "state") return Event::state;
  if (event == "steady") return Event::steady;
  return Event::other;
}

bool Story::after_the_end(std::string_view tick_line) const {
  if (matched_) {
    return true;
  }
  if (!ask_.at) {
    return false;
  }
  const std::optional<WallTime> at = parse_wall(front_text(tick_line, "\"at\":\""));
  return at && *at > *ask_.at;
}

bool Story::feed(std::string_view line) {
  if (over_) {
    return false;
  }
  const Event event = event_of(line);
  if (event == Event::tick && after_the_end(line)) {
    over_ = true;
    return false;
  }
  if (event == Event::other) {
    entries_.push_back({event, std::string(line.substr(0, 100))});  // a gap: what was remembered is unknown after it
    return true;
  }
  if (event == Event::pool) {
    latest_pool_line_ = line;
  }
  if (event == Event::pool && entries_.empty()) {
    pool_line_ = line;
    return true;
  }
  if (event == Event::state) {
    forget_what_is_not_needed();
  }
  entries_.push_back({event, std::string(line)});
  if (event == Event::tick) {
    ++ticks_;
    matched_ = ask_.tick && front_text(line, "\"tick\":\"") == *ask_.tick;
  }
  if (entries_.size() > entries_max) {
    forget_what_is_not_needed();
  }
  return true;
}

// Drops all before the last state line that has enough ticks after it.
void Story::forget_what_is_not_needed() {
  const std::size_t needed = std::max<std::size_t>(ask_.last, 1) + ticks_before;
  std::size_t ticks = 0;
  std::size_t keep = entries_.size();
  while (keep > 0 && (ticks < needed || entries_[keep - 1].event != Event::state)) {
    --keep;
    ticks += entries_[keep].event == Event::tick ? 1 : 0;
  }
  if (keep == 0 && entries_.size() > entries_max) {
    keep = entries_.size() / 2 + 1;
  }
  // `keep` is one past a state line, which stays.
  for (std::size_t i = 1; i < keep; ++i) {
    Entry& front = entries_.front();
    if (front.event == Event::pool) {
      pool_line_ = std::move(front.line);
    }
    ticks_ -= front.event == Event::tick ? 1 : 0;
    entries_.pop_front();
  }
}

namespace {

// Lines as values, one after the other, into the ticks that they tell of.
class Teller {
 public:
  Teller(const Replay::ReadSpec& read_spec, std::vector<Told>& out) : read_spec_(read_spec), out_(out) {}

  Result<void> take(const JournalLine& line) {
    if (const auto* pool = std::get_if<PoolLine>(&line)) {
      Result<pool::PoolSpec> spec = read_spec_(pool->spec_json);
      if (!spec) {
        return spec.error().in("$.spec");
      }
      spec_ = std::move(*spec);
    } else if (const auto* state = std::get_if<StateLine>(&line)) {
      state_ = state->state;
    } else if (const auto* tick = std::get_if<TickLine>(&line)) {
      take_tick(*tick);
    } else if (const auto* act = std::get_if<ActLine>(&line); act != nullptr && !out_.empty()) {
      if (act->tick == out_.back().tick.tick) {
        out_.back().did = act->did;
      }
    } else if (const auto* steady = std::get_if<SteadyLine>(&line); steady != nullptr && !out_.empty()) {
      out_.back().steady_ticks += std::min(steady->ticks, std::int64_t{1} << 40);
      out_.back().steady_to = steady->to;
    }
    return {};
  }
  void gap() { state_.reset(); }

 private:
  void take_tick(const TickLine& tick) {
    if (!spec_) {
      return;  // nothing says by which rule it was decided
    }
    Told told{.spec = *spec_, .tick = tick, .before = state_, .did = {}, .earlier = {}, .steady_to = ""};
    if (state_ && decidable(*spec_)) {
      state_ = decide(*spec_, *state_, tick.seen).next;
    }
    // The oldest tick that is not too old: the longest span gives the calmest rate.
    for (auto it = out_.rbegin(); it != out_.rend(); ++it) {
      const std::int64_t span = tick.seen.at_ms - it->tick.seen.at_ms;
      if (boot_of(it->tick.tick) != boot_of(tick.tick) || span > rate_ms_most) {
        break;
      }
      told.earlier = it->tick;
      if (span >= rate_ms_least) {
        break;
      }
    }
    out_.push_back(std::move(told));
  }

  const Replay::ReadSpec& read_spec_;
  std::vector<Told>& out_;
  std::optional<pool::PoolSpec> spec_;
  std::optional<ControlState> state_;
};

}  // namespace

Result<std::vector<Told>> Story::tell(const Replay::ReadSpec& read_spec, std::vector<std::string>* problems) const {
  std::vector<Told> out;
  Teller teller(read_spec, out);
  std::optional<Error> spec_error;
  const auto take = [&](std::string_view text) {
    const Result<JournalLine> line = parse_journal_line(text);
    const Result<void> taken = line ? teller.take(*line) : Result<void>(line.error());
    if (taken) {
      return;
    }
    teller.gap();
    if (line) {
      spec_error = taken.error();  // the only line that fails after it was read is a pool
    }
    if (problems != nullptr) {
      problems->push_back(fmt::format("{} in \"{}\"", taken.error().what, printable(text.substr(0, 60))));
    }
  };
  if (!pool_line_.empty()) {
    take(pool_line_);
  }
  for (const Entry& entry : entries_) {
    take(entry.line);
  }
  if (out.empty() && spec_error) {
    return *spec_error;
  }
  const std::size_t wanted = std::max<std::size_t>(ask_.last, 1);
  if (out.size() > wanted) {
    out.erase(out.begin(), out.end() - static_cast<std::ptrdiff_t>(wanted));
  }
  return out;
}

}  // namespace sluice::control
