// SPDX-License-Identifier: Apache-2.0
#include "lab/run.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "aio/event.h"
#include "aio/loop.h"
#include "aio/task_group.h"
#include "base/check.h"
#include "base/hash.h"
#include "control/controller.h"
#include "lab/clairvoyant.h"
#include "lab/parts.h"
#include "lab/seams.h"
#include "pool/pool.h"

namespace sluice::lab {
namespace {

using Line = std::function<void(const std::string& pool, std::string_view line)>;

class Lines final : public control::JournalSink {
 public:
  Lines(std::string pool, const Line& line) : pool_(std::move(pool)), line_(line) {}
  Result<void> write(std::string_view line) override {
    hash = fnv1a("\n", fnv1a(line, hash));
    ++count;
    if (line_) {
      line_(pool_, line);
    }
    return {};
  }
  bool at_start_of_file() override { return std::exchange(first_, false); }
  std::uint64_t hash = fnv1a_basis;
  std::int64_t count = 0;

 private:
  std::string pool_;
  const Line& line_;
  bool first_ = true;
};

// The scaler as it ships, unless the policy is to do without some of its parts.
control::ControllerOptions options_of(const Contender& contender) {
  control::ControllerOptions out;
  const Result<policy::LagParts> parts = parts_of(contender);
  if (parts && !contender.without.empty()) {
    out.decide = [parts = *parts](const pool::PoolSpec& spec, const control::ControlState& state,
                                  const model::Observation& seen) {
      return control::decide_without(parts, spec, state, seen);
    };
  }
  return out;
}

// A pool and the scaler that looks after it.
struct Site {
  Site(const Station::Place& place, const Load& load, const pool::Pool& pool, const Contender& contender,
       aio::Loop& loop, LabClock& clock, const Line& line)
      : station(place, load, pool),
        fleet(station, place.cluster, clock),
        source(place.agenda, station, place.scenario.environment.metrics, clock, place.seed, place.number),
        lines(load.name, line),
        journal(lines, pool.id(), pool::to_json(pool.spec), "sim"),
        due(clock),
        controller(loop, clock, due, source, fleet, journal, log, station.pool(), options_of(contender)) {
    controller.after_tick = [this, &place_agenda = place.agenda](const control::Snapshot& snapshot) {
      ++ticks;
      note(place_agenda.now(), snapshot.decision);
    };
  }
  void note(Us at, const model::Decision& decision) {
    const std::string_view word = std::string_view(decision.reason).substr(0, decision.reason.find(':'));
    const bool news = decision.change != 0 || word != last_word;
    if (news && said.size() < said_max) {
      said.push_back({at, decision.workers, decision.reason});
    }
    last_word = word;
  }

  Log log;  // what goes wrong in a run is in its journal
  Station station;
  LabFleet fleet;
  LabSource source;
  Lines lines;
  control::Journal journal;
  aio::Event due;
  control::Controller controller;
  std::vector<Said> said;
  std::string last_word;
  std::int64_t ticks = 0;
};

void say_waits(Marks& marks, const std::vector<std::uint32_t>& waits) {
  std::size_t before = 0;
  for (Mark& mark : marks) {
    const auto begin = waits.begin() + static_cast<std::ptrdiff_t>(before);
    mark.waits = waits_of({begin, waits.begin() + static_cast<std::ptrdiff_t>(mark.begun)});
    before = mark.begun;
  }
}

class World {
 public:
  World(const Bench& bench, const Line& line)
      : bench_(bench), clock_(agenda_), cluster_(agenda_, bench.scenario.environment, bench.files, bench.seed) {
    const Scenario& scenario = bench.scenario;
    for (std::size_t i = 0; i < scenario.pools.size(); ++i) {
      const Station::Place place{agenda_, cluster_, scenario, bench.files, bench.seed, static_cast<std::uint16_t>(i)};
      const Contender& contender = scenario.policies[bench.policy];
      const pool::Pool pool = pool_of(scenario, scenario.pools[i], contender);
      sites_.push_back(std::make_unique<Site>(place, scenario.pools[i], pool, contender, loop_, clock_, line));
      Site& site = *sites_.back();
      site.station.on_change = [this, &site] {
        site.due.notify();
        woken_ = true;
      };
    }
    for (std::size_t i = 1; i <= parts; ++i) {
      agenda_.enter(end_us() * static_cast<Us>(i) / static_cast<Us>(parts), Happens::picture);
    }
  }
  Run run();

 private:
  [[nodiscard]] Us end_us() const { return to_us(bench_.scenario.lasts); }
  aio::Task<void> scale();
  void pass_time();
  void happen(const Event& event);
  void take_picture();
  [[nodiscard]] std::vector<Kept> kept_of(const Run& run) const;

  const Bench& bench_;
  Agenda agenda_;
  aio::Loop loop_;
  LabClock clock_;
  Cluster cluster_;
  std::vector<std::unique_ptr<Site>> sites_;
  std::vector<std::vector<Mark>> marks_;
  std::vector<NodeMark> nodes_;
  bool woken_ = false;  // a coroutine may go on
  bool ended_ = false;
};

// The scalers, until the end of the run.
aio::Task<void> World::scale() {
  aio::TaskGroup group(loop_, clock_);
  for (const auto& site : sites_) {
    group.spawn(site->controller.run());
  }
  const Time end = LabClock::time_of(end_us());
  co_await clock_.sleep_until(end);
  group.cancel();
  co_await group.join();
}

void World::pass_time() {
  loop_.poll();
  Us wake = clock_.next_wake();
  while (!ended_) {
    const Us event = agenda_.next_at();
    check(event != never || wake != never, "a simulated world in which nothing will ever happen");
    if (event <= wake && event <= end_us()) {
      happen(agenda_.take());
      if (!woken_) {
        continue;
      }
      woken_ = false;
    } else {
      agenda_.pass(std::max(wake, agenda_.now()));  // a wait may have been for a time that is past
      clock_.wake();
    }
    loop_.poll();
    wake = clock_.next_wake();
  }
}

void World::happen(const Event& event) {
  switch (event.what) {
    case Happens::booted:
      return cluster_.booted(event.subject, event.generation);
    case Happens::node_empty:
      return cluster_.node_empty(event.subject, event.generation);
    case Happens::node_lost:
      return cluster_.node_lost(event.subject, event.generation);
    case Happens::probe:
      return sites_[event.pool]->source.probe();
    case Happens::counters:
      return sites_[event.pool]->source.counters();
    case Happens::picture:
      return take_picture();
    default:
      return sites_[event.pool]->station.happen(event);
  }
}

void World::take_picture() {
  nodes_.push_back({.booting = cluster_.booting(), .up = cluster_.up()});
  marks_.resize(sites_.size());
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Station& station = sites_[i]->station;
    Mark mark{.published = station.measures().published,
              .done = station.measures().done,
              .ready = station.ready(),
              .in_flight = station.in_flight(),
              .begun = station.measures().waits_ms.size()};
    for (const WorkerRow& row : station.workers()) {
      std::int64_t none = 0;
      std::int64_t& count = row.stage == Stage::off        ? none
                            : row.stage == Stage::waiting  ? mark.waiting
                            : row.stage == Stage::starting ? mark.starting
                            : row.draining                 ? mark.draining
                            : row.held > 0                 ? mark.busy
                                                           : mark.idle;
      ++count;
    }
    marks_[i].push_back(mark);
  }
}

// What the policy has kept: so many of a hundred messages began within its p99. One whose worker died may have begun in
// time and been done late.
std::vector<Kept> World::kept_of(const Run& run) const {
  std::vector<Kept> out;
  for (std::size_t i = 0; i < run.pools.size(); ++i) {
    const PoolRun& pool = run.pools[i];
    out.push_back({.within = pool.waits.p99 * 1000,
                   .later = pool.measures.published / 100 + pool.measures.redelivered,
                   .concurrency = sites_[i]->station.pool().spec.workers.concurrency});
  }
  return out;
}

Run World::run() {
  std::exception_ptr failure;
  loop_.start(scale(), [this, &failure](std::exception_ptr e) {
    ended_ = true;
    failure = std::move(e);
  });
  pass_time();
  if (failure) {
    std::rethrow_exception(failure);
  }
  Run out{.policy = name_of(bench_.scenario.policies[bench_.policy]),
          .seed = bench_.seed,
          .node_us = cluster_.node_us(),
          .nodes_peak = cluster_.nodes_peak(),
          .nodes_ordered = cluster_.nodes_ordered(),
          .nodes = std::move(nodes_),
          .events = agenda_.taken()};
  std::vector<std::uint32_t> all_waits;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    Site& site = *sites_[i];
    check(site.journal.flush().has_value(), "a journal in memory takes every line");
    site.station.finish();
    out.ticks += site.ticks;
    // A start of work is no event of the agenda: it happens within an arrival, an end of work or a worker's start.
    out.events += static_cast<std::uint64_t>(site.station.measures().done + site.ticks);
    Measures measures = site.station.measures();
    std::vector<std::uint32_t> waits = std::exchange(measures.waits_ms, {});
    all_waits.insert(all_waits.end(), waits.begin(), waits.end());
    say_waits(marks_[i], waits);
    add(out.all, measures);
    out.pools.push_back({.pool = site.station.pool().name,
                         .measures = measures,
                         .waits = waits_of(std::move(waits)),
                         .marks = std::move(marks_[i]),
                         .said = std::move(site.said),
                         .journal_hash = site.lines.hash,
                         .journal_lines = site.lines.count});
  }
  out.waits = waits_of(std::move(all_waits));
  if (bench_.bound) {
    out.clairvoyant_node_s = clairvoyant_node_s(bench_.scenario, bench_.files, bench_.seed, kept_of(out));
  }
  return out;
}

}  // namespace

Run run(const Bench& bench, const Line& line) {
  World world(bench, line);
  return world.run();
}

}  // namespace sluice::lab
