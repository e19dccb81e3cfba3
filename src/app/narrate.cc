// SPDX-License-Identifier: Apache-2.0
#include "app/narrate.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "app/text.h"

namespace sluice::app {
namespace {

using model::WorkerState;

constexpr std::chrono::milliseconds echo{1000};  // chosen: a process is ready within this, a node is not

// The same sentence with other numbers is no news.
std::string blanked(std::string_view reason) {
  std::string out;
  for (const char c : reason) {
    const bool number = std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.';
    if (!number) {
      out += c;
    } else if (out.empty() || out.back() != '#') {
      out += '#';
    }
  }
  return out;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() ? "" : ", ") + word;
  }
  return out;
}

bool waits(WorkerState state) {
  return state == WorkerState::requested || state == WorkerState::unscheduled;
}

std::string_view end_word(model::EndKind kind) {
  return kind == model::EndKind::succeeded ? "left" : model::word(kind);
}

Colour colour_of(std::string_view word) {
  if (word == "grow" || word == "start" || word == "ready") {
    return Colour::green;
  }
  if (word == "blind" || word == "full" || word == "lost") {
    return Colour::yellow;
  }
  return word == "broken" || word == "failed" || word == "error" ? Colour::red : Colour::cyan;
}

}  // namespace

std::vector<Told> Narrator::tell(const control::Snapshot& snapshot) {
  std::vector<Told> out;
  if (snapshot.view) {  // what was seen, then what was decided on it
    tell_workers(out, *snapshot.view, snapshot.at);
    first_ = false;
  }
  tell_decision(out, snapshot);
  return out;
}

std::vector<Told> Narrator::tell(const model::FleetView& view, WallTime at) {
  std::vector<Told> out;
  tell_workers(out, view, at);
  first_ = false;
  return out;
}

void Narrator::tell_decision(std::vector<Told>& out, const control::Snapshot& snapshot) {
  const std::string& reason = snapshot.decision.reason;
  const std::size_t colon = reason.find(": ");
  const std::string word = reason.substr(0, colon);
  // A wait that goes on is told once, not again whenever its numbers reach another unit.
  const std::string news = word == "hold" ? blanked(reason.substr(0, reason.find(" for "))) : blanked(reason);
  if (news == last_reason_ && snapshot.plan.empty()) {
    return;
  }
  last_reason_ = news;
  // A worker that was just asked for, or has just started, is what the scaler holds for: an echo, no news.
  if (word == "hold" && moved_at_ && snapshot.at - *moved_at_ < echo) {
    return;
  }
  if (word == "grow") {
    moved_at_ = snapshot.at;
  }
  std::string text = colon == std::string::npos ? reason : reason.substr(colon + 2);
  const control::ActRecord& did = snapshot.did;
  text += did.started.empty() ? "" : ": starts " + joined(did.started);
  text += did.withdrawn.empty() ? "" : ": takes back " + joined(did.withdrawn);
  text += did.drained.empty() ? "" : ": asks to leave " + joined(did.drained);
  out.push_back({snapshot.at, word, text});
  for (const std::string& error : did.errors) {
    out.push_back({snapshot.at, "error", error});
  }
}

void Narrator::tell_workers(std::vector<Told>& out, const model::FleetView& view, WallTime at) {
  std::map<std::string, WorkerState> now;
  for (const model::Worker& worker : view.workers) {
    now[worker.id] = worker.state;
    const auto before = known_.find(worker.id);
    const bool placed = !waits(worker.state) && (before == known_.end() || waits(before->second));
    const bool started =
        worker.state > WorkerState::starting && (before == known_.end() || before->second <= WorkerState::starting);
    if (first_) {
      out.push_back({at, "ready", fmt::format("{} is there already ({})", worker.name, model::word(worker.state))});
    } else if (started) {
      moved_at_ = at;
      out.push_back({at, "ready", fmt::format("{} takes messages, {}", worker.name, worker.place)});
    } else if (before == known_.end() && waits(worker.state) && !worker.why.empty()) {
      out.push_back({at, "wait", fmt::format("{} waits for a place: {}", worker.name, worker.why)});
    } else if (placed) {
      moved_at_ = at;
      out.push_back({at, "start", fmt::format("{} starts, {}", worker.name, worker.place)});
    }
  }
  for (const model::EndedWorker& ended : view.ended) {
    if (left_.insert(ended.id).second && !first_) {
      out.push_back({at, std::string(end_word(ended.kind)), fmt::format("{}: {}", ended.name, ended.why)});
    }
  }
  if (left_.size() > 100'000) {  // chosen: far more than a fleet remembers; what it shows again is then told again
    left_.clear();
  }
  known_ = std::move(now);
}

std::string line_of(const Told& told, bool colour) {
  return fmt::format("{}  {}  {}", coloured(format_clock(told.at), Colour::dim, colour),
                     coloured(fmt::format("{:<6}", told.word), colour_of(told.word), colour), json_escape(told.text));
}

}  // namespace sluice::app
