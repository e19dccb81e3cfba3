// SPDX-License-Identifier: Apache-2.0
#include "control/journal_ring.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace sluice::control {
namespace {

// What the policy lag remembers is as large as fifty lines: beside one line of fifty it costs no more than they do, and
// what it was at the others follows from the lines between.
constexpr std::size_t lines_a_memory = 50;
// A tick, what it did, and the ticks folded after it: whatever the bounds, the last decision stays.
constexpr std::size_t kept_least = 3;

bool is(std::string_view line, std::string_view event) {
  constexpr std::string_view begin = "{\"event\":\"";
  return line.starts_with(begin) && line.substr(begin.size()).starts_with(event);
}

// The text of a member near the front of a line that the journal wrote.
std::string_view front_text(std::string_view line, std::string_view key) {
  const std::size_t at = line.substr(0, 200).find(key);
  if (at == std::string_view::npos) {
    return {};
  }
  line.remove_prefix(at + key.size());
  return line.substr(0, line.find('"'));
}

}  // namespace

std::size_t JournalRing::cost(const Entry& entry) {
  const bool learned = entry.before && !entry.before->lag.empty();
  return sizeof(Entry) + entry.line.size() + (learned ? policy::memory_size(entry.before->lag.get()) : 0);
}

std::size_t JournalRing::share() const {
  return std::min(limits_.pool_bytes, limits_.bytes / std::max<std::size_t>(pools_.size(), 1));
}

void JournalRing::trim(Lines& lines) {
  const std::size_t most = share();
  while (lines.entries.size() > kept_least && (lines.bytes > most || lines.entries.size() > limits_.pool_lines)) {
    Entry& front = lines.entries.front();
    const std::size_t freed = cost(front);
    lines.bytes -= freed;
    bytes_ -= freed;
    if (is(front.line, "pool")) {
      bytes_ += front.line.size() - lines.pool_line.size();
      lines.bytes += front.line.size() - lines.pool_line.size();
      lines.pool_line = std::move(front.line);
    }
    lines.entries.pop_front();
  }
}

void JournalRing::add(const std::string& pool, std::string_view line, const std::optional<ControlState>& before) {
  Lines& lines = pools_[pool];
  const bool large = before && !before->lag.empty();
  const bool kept = before && (!large || lines.since_memory >= lines_a_memory || lines.entries.empty());
  lines.since_memory = kept ? 0 : lines.since_memory + 1;
  lines.entries.push_back({.line = std::string(line), .before = kept ? before : std::nullopt});
  const std::size_t more = cost(lines.entries.back());
  lines.bytes += more;
  bytes_ += more;
  trim(lines);
  if (bytes_ > limits_.bytes) {
    for (auto& [name, others] : pools_) {  // the shares have become smaller since they were added to
      trim(others);
    }
  }
}

void JournalRing::forget(const std::string& pool) {
  if (const auto at = pools_.find(pool); at != pools_.end()) {
    bytes_ -= at->second.bytes;
    pools_.erase(at);
  }
}

std::size_t JournalRing::lines() const {
  std::size_t n = 0;
  for (const auto& [name, lines] : pools_) {
    n += lines.entries.size();
  }
  return n;
}

std::string JournalRing::begins_at(const std::string& pool) const {
  const auto at = pools_.find(pool);
  if (at == pools_.end()) {
    return "";
  }
  const auto first =
      std::ranges::find_if(at->second.entries, [](const Entry& entry) { return is(entry.line, "tick"); });
  return first == at->second.entries.end() ? "" : std::string(front_text(first->line, "\"at\":\""));
}

std::optional<Story> JournalRing::story(const std::string& pool, const Ask& ask) const {
  const auto at = pools_.find(pool);
  if (at == pools_.end()) {
    return std::nullopt;
  }
  Story story(ask);
  bool told = at->second.pool_line.empty();
  if (!told) {
    story.feed(at->second.pool_line);
  }
  for (const Entry& entry : at->second.entries) {
    if (!told && entry.before) {  // what the lines that have gone had told of what deciding remembered
      std::string state = fmt::format(R"({{"event":"state","tick":"{}","pool":"{}","state":)",
                                      front_text(entry.line, "\"tick\":\""), json_escape(pool));
      append_json(state, *entry.before);
      story.feed(state + "}");
      told = true;
    }
    if (!story.feed(entry.line)) {
      break;
    }
  }
  return story;
}

Result<void> PoolSink::write(std::string_view line) {
  const std::optional<ControlState> before = std::exchange(before_, std::nullopt);
  const Result<void> written = shared_.sink.write(line);
  if (written && ring_ != nullptr) {
    ring_->add(pool_, line, before);
  }
  return written;
}

bool PoolSink::at_start_of_file() {
  shared_.file += shared_.sink.at_start_of_file() ? 1 : 0;
  return std::exchange(file_, shared_.file) != shared_.file;
}

}  // namespace sluice::control
