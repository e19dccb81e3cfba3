// SPDX-License-Identifier: Apache-2.0
#include "lab/replay.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "control/decide.h"

namespace sluice::lab {
namespace {

using namespace std::chrono_literals;

constexpr const char* starts_file = "the record";
constexpr const char* services_file = "the record's services";
constexpr std::size_t starts_least = 5;  // chosen: fewer are a mean, not a distribution
// Longer records are looked at every 5 s where the pool looks adaptively: ten looks a second of a week are 6 million.
constexpr Duration adaptive_longest = 2h;
constexpr Duration looks_of_long_records = 5s;
constexpr std::int64_t old_ms = 1'000;  // readings older than this are modelled as late ones
constexpr std::array<Duration, 9> late_steps{15s, 30s, 1min, 2min, 5min, 10min, 30min, 1h, 6h};

std::int64_t quantile(std::vector<std::int64_t> values, double q) {
  if (values.empty()) {
    return 0;
  }
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
}

Duration mean_of(const std::vector<std::int64_t>& ms) {
  std::int64_t sum = 0;
  for (const std::int64_t one : ms) {
    sum += one;
  }
  return ms.empty() ? Duration{0} : std::chrono::milliseconds{sum / static_cast<std::int64_t>(ms.size())};
}

// Makes the scenario part by part, and says what each part rests on.
class Maker {
 public:
  Maker(const Past& past, const ReplayWishes& wishes) : past_(past), wishes_(wishes) {}

  [[nodiscard]] Result<Replayable> make() {
    const std::optional<PastService> service = past_service(past_);
    if (!service && !wishes_.service) {
      return Error{Code::invalid,
                   fmt::format("too few messages are known to have been finished to tell how long one takes; accepted: "
                               "--service TIME beside it, how long a worker has a message{}",
                               past_.workers_known ? ""
                                                   : " (and --workers N, how many there were, where what came is "
                                                     "not counted)")};
    }
    const Duration service_mean = wishes_.service ? *wishes_.service : service->mean;
    const Result<PastArrivals> arrivals = past_arrivals(past_, service_mean);
    if (!arrivals) {
      return arrivals.error();
    }
    const std::string trace = past_.journal ? "journal" : "record";
    Scenario& scenario = out_.scenario;
    scenario.name = past_.pool.substr(past_.pool.find('/') + 1);
    scenario.about = past_.journal ? "what came in the journal" : "what came in the record";
    scenario.lasts = arrivals->lasts;
    scenario.workers = past_.spec.workers;
    scenario.pools = {Load{.name = scenario.name, .arrivals = {Trace{.file = trace}}, .service = {}}};
    out_.files.traces[trace] = arrivals->bins;
    for (const std::string& note : past_.notes) {
      say(note);
    }
    say_arrivals(*arrivals);
    own();
    scenario.pools.front().service = service_times(service);
    starts();
    readings();
    scenario.late = late();
    policies(service_mean);
    return std::move(out_);
  }

 private:
  void say(std::string line) { out_.assumed.push_back(std::move(line)); }

  void say_arrivals(const PastArrivals& arrivals) {
    std::vector<std::int64_t> widths;
    for (std::size_t i = 2; i < arrivals.bins.size(); ++i) {
      widths.push_back(to_ms(arrivals.bins[i].at - arrivals.bins[i - 1].at));
    }
    say(fmt::format("{} messages in {}{}, {}, spread by chance over the {} between two looks (median)",
                    arrivals.messages, humane_duration(arrivals.lasts),
                    arrivals.first > 0 ? fmt::format(", {} of them there at the beginning", arrivals.first) : "",
                    !arrivals.counted ? told_from()
                    : past_.journal   ? "as the queue counted them"
                                      : "as they were counted",
                    humane_duration(std::chrono::milliseconds{quantile(widths, 0.5)})));
    if (arrivals.resets > 0) {
      say(fmt::format("the queue's count began anew {} time{}: what came in between is partly unknown", arrivals.resets,
                      arrivals.resets == 1 ? "" : "s"));
    }
    if (past_.specs > 1) {
      say(fmt::format("the pool changed {} time{}: simulated is the last one", past_.specs - 1,
                      past_.specs == 2 ? "" : "s"));
    }
  }

  // Never without saying so: what came while nothing waited is not in a backlog.
  std::string told_from() const {
    const bool done = std::ranges::any_of(past_.looks, [](const PastLook& look) { return look.acked.has_value(); });
    return done || past_.journal ? "told from the backlog and what was finished"
                                 : "ESTIMATED from the backlog alone: its change and what busy workers finish "
                                   "meanwhile; what came and was done at once while it was 0 is not in it";
  }

  // The pool of a record that has none.
  void own() {
    if (past_.pool_known) {
      return;
    }
    out_.scenario.workers.max = wishes_.workers_max;
    say(fmt::format("no pool is given (-f POOL): at most {} workers", wishes_.workers_max));
  }

  Times service_times(const std::optional<PastService>& service) {
    if (wishes_.service) {
      say(fmt::format("a message takes {} as you say, exponential", humane_duration(*wishes_.service)));
      return {.exponential = wishes_.service};
    }
    const std::string mean = fmt::format("a message takes {} on average, of {} that were finished",
                                         humane_duration(service->mean), service->messages);
    if (!past_.services_ms.empty()) {
      say(fmt::format("a message takes as long as those in the record, {} on average, drawn by chance",
                      humane_duration(service->mean)));
      out_.files.quantiles[services_file] = std::vector<double>(past_.services_ms.begin(), past_.services_ms.end());
      return {.quantiles = services_file, .unit = 1ms};
    }
    if (!service->spread) {
      say(mean + "; exponential, as too little of the record has only busy workers to tell more");
      return {.exponential = service->mean};
    }
    if (*service->spread < 0.3) {
      say(mean + ", always the same");
      return {.mean = service->mean};
    }
    const std::int64_t cv = std::lround(*service->spread * 10);
    say(fmt::format("{}, lognormal with deviation {}.{} of that", mean, cv / 10, cv % 10));
    return {.mean = service->mean, .cv = {cv * 100'000}};
  }

  // Nodes and start-up: a process pool's nodes are in its file; elsewhere workers that waited for a place tell how long
  // a node takes, and how many they were of all, how many a node holds.
  void starts() {
    std::vector<std::int64_t> warm;  // from a place on
    for (const PastStart& one : past_.starts) {
      if (one.place_ms || !one.waited_for_place) {
        warm.push_back(one.took_ms - (one.waited_for_place ? one.place_ms.value_or(0) : 0));
      }
    }
    Environment& environment = out_.scenario.environment;
    const bool imagined = past_.spec.workers.process.has_value() && !past_.spec.workers.job;
    if (wishes_.start) {
      environment.pods.start = {.mean = wishes_.start};
      say(fmt::format("a worker takes {} to start as you say", humane_duration(*wishes_.start)));
    } else if (warm.size() >= starts_least) {
      std::ranges::sort(warm);
      environment.pods.start = {.quantiles = starts_file, .unit = 1ms};
      out_.files.quantiles[starts_file] = std::vector<double>(warm.begin(), warm.end());
      say(fmt::format("a worker with a place starts in {} to {}, as {} did",
                      humane_duration(std::chrono::milliseconds{warm.front()}),
                      humane_duration(std::chrono::milliseconds{warm.back()}), warm.size()));
    } else {
      environment.pods.start = {.mean = mean_of(warm)};
      say(fmt::format("a worker with a place starts in {}, {}", humane_duration(mean_of(warm)),
                      warm.empty() ? "as the record has none: --start TIME says better"
                                   : fmt::format("the mean of the {} in the record", warm.size())));
    }
    imagined ? nodes_of_file(environment.nodes) : nodes_of_record(environment.nodes, mean_of(warm));
    if (past_.full > 0) {
      say(fmt::format("the record has no room for a worker at {} looks: here there is always room up to the limits{}",
                      past_.full, imagined ? "" : ", of workers.max"));
    }
  }

  void nodes_of_file(Nodes& nodes) {
    const pool::Nodes& group = past_.spec.workers.process->nodes;
    nodes = {.min = group.min,
             .max = group.max,
             .slots = pool::slots_per_node(past_.spec.workers),
             .boot = {.mean = group.boot},
             .removed = 60s,
             .spot = {}};
    say(fmt::format("nodes as the pool's file has them: {} to {} of {} workers, {} to boot", nodes.min, nodes.max,
                    nodes.slots, humane_duration(group.boot)));
  }

  void nodes_of_record(Nodes& nodes, Duration start) {
    // Who waited, then those who found room beside: as many as a node holds, while a pool grows.
    std::vector<std::int64_t> boots, together;
    for (const PastStart& one : past_.starts) {
      if (!one.waited_for_place && !together.empty()) {
        ++together.back();
      }
      if (one.waited_for_place) {
        together.push_back(1);
        boots.push_back(one.place_ms.value_or(std::max<std::int64_t>(0, one.took_ms - to_ms(start))));
      }
    }
    const std::int64_t max = out_.scenario.workers.max;
    if (boots.empty() || wishes_.start) {
      const std::int64_t side = wishes_.slots.value_or(1);
      nodes = {.min = 0, .max = (max + side - 1) / side, .slots = side, .boot = {}, .removed = 0s, .spot = {}};
      say(fmt::format("{}a node here {}, there at once, and paid while it is used",
                      boots.empty() ? "no worker waited for a node: " : "",
                      wishes_.slots ? fmt::format("holds {}", side) : "is a worker's share of one"));
      return;
    }
    const auto all = static_cast<std::int64_t>(past_.starts.size());
    const auto waited = static_cast<std::int64_t>(boots.size());
    const std::int64_t slots = wishes_.slots.value_or(std::clamp<std::int64_t>(quantile(together, 0.5), 1, max));
    nodes = {.min = 0, .max = (max + slots - 1) / slots, .slots = slots, .boot = {.mean = mean_of(boots)}, .spot = {}};
    say(fmt::format("{} of {} workers waited for a node: {} on one{}, {} to boot, gone when empty for 2 min", waited,
                    all, slots, wishes_.slots ? " as you say" : " (--slots N says better)",
                    humane_duration(mean_of(boots))));
  }

  void readings() {
    std::vector<std::int64_t> ages;
    bool apart = false, age = false;
    for (const PastLook& look : past_.looks) {
      ages.push_back(look.at_ms - look.queue_ms);
      apart = apart || look.in_flight.has_value();
    }
    age = past_.oldest_ms > 0;
    Metrics& metrics = out_.scenario.environment.metrics;
    metrics.together = std::holds_alternative<pool::PubsubQueue>(past_.spec.queue);
    metrics.in_flight = apart || !past_.journal;
    metrics.age = age || !past_.journal;
    const std::int64_t least = quantile(ages, 0.1), most = quantile(ages, 0.9);
    if (most >= old_ms) {
      metrics.delay = std::chrono::milliseconds{least};
      metrics.period = std::chrono::milliseconds{most - least};
      say(fmt::format("a reading of the queue is {} to {} old", humane_duration(metrics.delay),
                      humane_duration(metrics.delay + metrics.period)));
    }
  }

  // A target that can be held: start-up one and a half times and a look fit into four fifths of it.
  Duration late() {
    if (wishes_.late) {
      return *wishes_.late;
    }
    const pool::Policy none = pool::BacklogPerWorkerPolicy{};
    const pool::Policy& policy = past_.pool_known ? past_.spec.policy : none;
    const auto* lag = std::get_if<pool::LagPolicy>(&policy);
    const auto* threshold = std::get_if<pool::ThresholdPolicy>(&policy);
    if (lag != nullptr || (threshold != nullptr && threshold->age)) {
      const Duration own = lag != nullptr ? lag->max : *threshold->age;
      say(fmt::format("late is more than {}, as the pool's own policy has it", humane_duration(own)));
      return own;
    }
    std::vector<std::int64_t> all;
    for (const PastStart& one : past_.starts) {
      all.push_back(one.took_ms);
    }
    const Duration start = wishes_.start ? *wishes_.start : std::chrono::milliseconds{quantile(all, 0.9)};
    const Duration least = (start * 3 / 2 + looks()) * 5 / 4;
    const auto step =
        std::ranges::find_if(late_steps, [least](Duration d) { return d >= std::max<Duration>(30s, least); });
    const Duration out = step == late_steps.end() ? late_steps.back() : *step;
    say(fmt::format("late is more than {}: what such start-up times allow (--late TIME for your own)",
                    humane_duration(out)));
    return out;
  }

  [[nodiscard]] Duration looks() const { return pool::every(past_.spec.policy).period.value_or(1s); }

  void policies(Duration service) {
    Scenario& scenario = out_.scenario;
    pool::Every every = pool::every(past_.spec.policy);
    pool::Policy own = past_.spec.policy;
    if (every.adaptive() && scenario.lasts > adaptive_longest) {
      every.period = looks_of_long_records;
      std::visit(
          [&every](auto& policy) {
            if constexpr (requires { policy.every; }) {
              policy.every = every;
            }
          },
          own);
      say("adaptive policies look every 5 s here, as the record is long");
    }
    const std::int64_t each = std::clamp<std::int64_t>(
        to_ms(scenario.late) * past_.spec.workers.concurrency / 2 / std::max<std::int64_t>(to_ms(service), 1), 1,
        100'000);
    if (past_.pool_known) {
      add(own);
    }
    const bool shrinks = past_.spec.workers.deployment || !past_.pool_known;
    add(pool::LagPolicy{.max = scenario.late, .every = every});
    add(pool::LagPolicy{.max = 2 * scenario.late, .every = every});
    const auto* threshold = std::get_if<pool::ThresholdPolicy>(&own);
    const std::int64_t few = threshold != nullptr && threshold->messages == 20 ? 5 : 20;
    add(pool::ThresholdPolicy{.messages = few, .age = {}, .every = every});
    add(pool::ThresholdPolicy{.messages = {}, .age = scenario.late / 2, .every = every});
    add(pool::BacklogPerWorkerPolicy{.messages = each, .every = every});
    if (shrinks) {
      add(pool::HpaPolicy{.target = {.value = fmt::format("{}", each)}, .behavior = {}});
      pool::KedaScaledObjectPolicy keda;
      keda.target.value = fmt::format("{}", each);
      add(keda);
    }
    if (!past_.spec.workers.deployment) {
      pool::KedaScaledJobPolicy keda;
      keda.target.millionths = each * 1'000'000;
      add(keda);
    }
    if (!dropped_.empty()) {
      say("left out, as this queue does not tell what they need: " + dropped_);
    }
  }

  void add(pool::Policy policy) {
    Contender one{.name = {}, .policy = std::move(policy), .workers = {}};
    const std::string name = name_of(one);
    Scenario& scenario = out_.scenario;
    if (std::ranges::any_of(scenario.policies, [&name](const Contender& c) { return name_of(c) == name; })) {
      return;
    }
    if (!control::decidable(pool_of(scenario, scenario.pools.front(), one).spec)) {
      dropped_ += (dropped_.empty() ? "" : ", ") + name;
      return;
    }
    scenario.policies.push_back(std::move(one));
  }

  const Past& past_;
  const ReplayWishes& wishes_;
  Replayable out_;
  std::string dropped_;
};

}  // namespace

Result<Replayable> replayable(const Past& past, const ReplayWishes& wishes) {
  return Maker(past, wishes).make();
}

}  // namespace sluice::lab
