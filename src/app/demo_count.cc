// SPDX-License-Identifier: Apache-2.0
#include "app/demo_count.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/number.h"
#include "control/journal_read.h"

namespace sluice::app {
namespace {

using model::WorkerState;

std::string number(const std::optional<std::int64_t>& n) {
  return n ? std::to_string(*n) : "null";
}
std::string seconds(const std::optional<double>& s) {
  return s ? fmt::format("{:.3f}", *s) : "null";
}

template <class F>
void each_line(std::string_view text, F f) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    f(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// Nearest rank: of sorted values the smallest that at least `share` of them do not exceed.
std::optional<double> percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) {
    return std::nullopt;
  }
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

bool is_process(WorkerState state) {
  return state != WorkerState::requested && state != WorkerState::unscheduled;
}

}  // namespace

std::optional<std::int64_t> DemoSums::lost() const {
  if (!dead_lettered || !queued || !in_flight) {
    return std::nullopt;
  }
  return confirmed - processed - *dead_lettered - *queued - *in_flight;
}

bool DemoSums::whole() const {
  return confirmed == published && processed == confirmed && duplicates == 0 && lost() == 0 &&
         workers_left == workers_started;
}

std::string to_json(const DemoSums& s) {
  return fmt::format(
      R"({{"event":"summary","published":{},"confirmed":{},"processed":{},"duplicates":{},"lost":{},"dead_lettered":{},)"
      R"("queued":{},"in_flight":{},"workers_started":{},"workers_live_max":{},"workers_left":{},"wait_p50_s":{},)"
      R"("wait_p99_s":{},"worker_seconds":{:.3f},"node_seconds":{:.3f},"seconds":{:.3f}}})",
      s.published, s.confirmed, s.processed, s.duplicates, number(s.lost()), number(s.dead_lettered), number(s.queued),
      number(s.in_flight), s.workers_started, s.workers_live_max, s.workers_left, seconds(s.wait_p50_s),
      seconds(s.wait_p99_s), s.worker_seconds, s.node_seconds, s.seconds);
}

void DemoCount::see(const control::Snapshot& snapshot, Time now) {
  if (snapshot.view) {
    see(*snapshot.view, now);
  }
}

void DemoCount::see(const model::FleetView& view, Time now) {
  std::int64_t live = 0;
  for (const model::Worker& worker : view.workers) {
    if (is_process(worker.state)) {
      ++live;
      lives_.try_emplace(worker.id, Life{.from = now});
    }
  }
  live_max_ = std::max(live_max_, live);
  for (const model::EndedWorker& ended : view.ended) {
    left_.insert(ended.id);
    const auto life = lives_.find(ended.id);
    if (life != lives_.end() && !life->second.to) {
      life->second.to = ended.ended_at;
    }
  }
}

void DemoCount::nodes(const fleet::NodeGroup& group, int nodes_max, Duration span) {
  for (int node = 1; node <= nodes_max; ++node) {
    node_seconds_ += group.state(node) == fleet::NodeState::off ? 0 : to_s(span);
  }
}

void DemoCount::sum(DemoSums& sums, std::string_view ledger, std::string_view journal, Time now) const {
  std::set<std::string> ids;
  std::vector<double> waits;
  std::int64_t lines = 0;
  each_line(ledger, [&](std::string_view line) {
    const std::size_t blank = line.find(' ');
    const std::string id(line.substr(0, blank));
    ++lines;
    const auto at = published_.find(id);
    const std::optional<double> began =
        blank == std::string_view::npos ? std::nullopt : parse_number<double>(line.substr(blank + 1));
    if (ids.insert(id).second && began && at != published_.end()) {
      waits.push_back(*began - std::chrono::duration<double>(at->second.time_since_epoch()).count());
    }
  });
  std::ranges::sort(waits);
  sums.processed = static_cast<std::int64_t>(ids.size());
  sums.duplicates = lines - sums.processed;
  sums.wait_p50_s = percentile(waits, 0.50);
  sums.wait_p99_s = percentile(waits, 0.99);
  each_line(journal, [&](std::string_view line) {
    const Result<control::JournalLine> parsed = control::parse_journal_line(line);
    const auto* act = parsed ? std::get_if<control::ActLine>(&*parsed) : nullptr;
    if (act != nullptr) {
      sums.workers_started += static_cast<std::int64_t>(act->did.started.size());
      sums.workers_started -= static_cast<std::int64_t>(act->did.withdrawn.size());
    }
  });
  sums.workers_live_max = live_max_;
  sums.workers_left = static_cast<std::int64_t>(left_.size());
  sums.node_seconds = node_seconds_;
  for (const auto& [id, life] : lives_) {
    sums.worker_seconds += to_s(life.to.value_or(now) - life.from);
  }
}

std::int64_t count_lines(std::string_view text) {
  return std::count(text.begin(), text.end(), '\n');
}

}  // namespace sluice::app
