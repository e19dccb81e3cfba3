// SPDX-License-Identifier: Apache-2.0
#include "lab/clairvoyant.h"

#include <algorithm>
#include <cmath>

#include "lab/arrivals.h"
#include "lab/band_program.h"
#include "lab/draw.h"

namespace sluice::lab {
namespace {

constexpr double bin_least_s = 10;       // finer ones change the bound by less than 1 %
constexpr std::size_t bins_most = 1500;  // a hundredth of a second each 10 steps or so
constexpr double loose = 1e-7;           // of all work, by which conditions that leave no room are widened

// Sums of ramps at the ends of bins: each grows from `begin` for `size` seconds, by `size` in all.
class Ramps {
 public:
  Ramps(std::size_t bins, double bin_s) : bin_s_(bin_s), slopes_(bins + 1), offsets_(bins + 1) {}
  void grow(double begin_s, double size_s, double weight) {
    turn(begin_s, weight);
    turn(begin_s + size_s, -weight);
  }
  // At the end of each bin.
  [[nodiscard]] std::vector<double> ends() const {
    std::vector<double> out(slopes_.size() - 1);
    double slope = 0, offset = 0;
    for (std::size_t bin = 0; bin < out.size(); ++bin) {
      slope += slopes_[bin];
      offset += offsets_[bin];
      out[bin] = slope * bin_s_ * static_cast<double>(bin + 1) + offset;
    }
    return out;
  }
  // Whose end is the first at or after this moment; the number of bins where there is none.
  [[nodiscard]] std::size_t bin_of(double s) const {
    const double bin = std::ceil(s / bin_s_) - 1;
    return bin <= 0 ? 0 : std::min(static_cast<std::size_t>(bin), slopes_.size() - 1);
  }

 private:
  void turn(double at_s, double weight) {
    const std::size_t bin = bin_of(at_s);
    slopes_[bin] += weight;
    offsets_[bin] -= weight * at_s;
  }
  double bin_s_;
  std::vector<double> slopes_, offsets_;
};

// The messages of all pools, as work in worker-seconds by bin.
struct Work {
  std::vector<double> can;   // have been done by the end of the bin, at most: nobody works before the message is there
  std::vector<double> must;  // have been done by then, at least
  std::vector<double> due;   // work of the messages that are to begin within the bin
  std::vector<double> longest;  // of them
  double later = 0;             // messages that may begin later
};

Work work_of(const Scenario& scenario, const Files& files, std::int64_t seed, const std::vector<Kept>& kept,
             std::size_t bins, double bin_s) {
  Ramps can(bins, bin_s), must(bins, bin_s);
  Work out{.can = {}, .must = {}, .due = std::vector<double>(bins + 1), .longest = std::vector<double>(bins + 1)};
  const Us end = to_us(scenario.lasts);
  for (std::size_t i = 0; i < scenario.pools.size(); ++i) {
    const Load& load = scenario.pools[i];
    Merged arrivals(load, files, seed, i);
    const Draw service(load.service, files);
    Random random = stream(seed, Stream::service, i);
    const double lane = 1 / static_cast<double>(kept[i].concurrency);
    const double within_s = static_cast<double>(kept[i].within) / 1e6;
    for (Us at = arrivals.next(); at != never && at <= end; at = arrivals.next()) {
      const double arrived_s = static_cast<double>(at) / 1e6;
      const double service_s = static_cast<double>(service.next(random)) / 1e6;
      can.grow(arrived_s, service_s, lane);
      must.grow(arrived_s + within_s, service_s, lane);
      const std::size_t bin = must.bin_of(arrived_s + within_s);
      out.due[bin] += service_s * lane;
      out.longest[bin] = std::max(out.longest[bin], service_s * lane);
    }
    out.later += static_cast<double>(kept[i].later);
  }
  out.can = can.ends();
  out.must = must.ends();
  return out;
}

enum : std::size_t { capacity, grown, worked, late, excused };  // the unknowns of a bin

BandVector one_of(std::initializer_list<std::pair<std::size_t, double>> values) {
  BandVector out{};
  for (const auto& [unknown, value] : values) {
    out[unknown] = value;
  }
  return out;
}

// In units of a bin's length: places up in a bin, places that came in it, work done by its end, the share of the
// messages that may be late which are by its end, and the work of those.
//
//   minimise  sum(capacity) + start * sum(grown) - idle * (capacity at the end)
class Plan {
 public:
  Plan(const Work& work, double bin_s, double always) : work_(work), bin_s_(bin_s), always_(always) {}
  [[nodiscard]] BandProgram program(double start_s, double idle_s) const;

 private:
  void rows_of(std::uint32_t bin, BandProgram& to) const;
  const Work& work_;
  double bin_s_, always_;
};

BandProgram Plan::program(double start_s, double idle_s) const {
  const auto bins = static_cast<std::uint32_t>(work_.can.size());
  const double all = work_.can.back() / bin_s_;
  BandProgram out{.cost = std::vector<BandVector>(bins + 1, one_of({{capacity, 1}, {grown, start_s / bin_s_}})),
                  .rows = {},
                  .most = {always_ + all, always_ + all, all, 1, all}};
  for (std::uint32_t bin = 0; bin < bins; ++bin) {
    rows_of(bin, out);
  }
  // What is up at the end has not been idle yet: a bin without length.
  out.cost.back() = one_of({{capacity, -idle_s / bin_s_}, {grown, start_s / bin_s_}});
  const BandVector up = one_of({{capacity, 1}});
  out.rows.push_back({bins, {}, up, always_});
  out.rows.push_back({bins, {}, one_of({{grown, 1}}), 0});
  out.rows.push_back({bins, up, one_of({{grown, 1}, {capacity, -1}}), 0});
  for (const std::size_t rest : {worked, late, excused}) {
    out.rows.push_back({bins, {}, one_of({{rest, 1}}), 0});
    out.rows.push_back({bins, {}, one_of({{rest, -1}}), -1});
  }
  return out;
}

void Plan::rows_of(std::uint32_t bin, BandProgram& to) const {
  const bool first = bin == 0;
  const double slack = loose * std::max(work_.can.back() / bin_s_, 1.0);
  // here * z(bin) + before * z(bin - 1) >= least
  const auto row = [&](const BandVector& before, const BandVector& here, double least) {
    to.rows.push_back({bin, first ? BandVector{} : before, here, least});
  };
  const BandVector nothing{};
  row(nothing, one_of({{capacity, 1}}), always_);
  row(nothing, one_of({{grown, 1}}), 0);
  row(one_of({{capacity, 1}}), one_of({{grown, 1}, {capacity, -1}}), first ? -always_ : 0);
  row(one_of({{worked, 1}}), one_of({{capacity, 1}, {worked, -1}}), 0);
  row(one_of({{worked, -1}}), one_of({{worked, 1}}), 0);
  row(nothing, one_of({{worked, -1}}), -work_.can[bin] / bin_s_ - slack);
  row(nothing, one_of({{worked, 1}, {excused, 1}}), work_.must[bin] / bin_s_);
  // Where no message may be late, or none is due, the share says nothing.
  const bool some = work_.later > 0 && work_.longest[bin] > 0;
  const double longest = some ? work_.longest[bin] / bin_s_ * work_.later + slack : 1;
  row(one_of({{excused, -1}}), one_of({{excused, 1}}), 0);
  row(one_of({{excused, 1}, {late, -longest}}), one_of({{excused, -1}, {late, longest}}), 0);
  row(one_of({{excused, 1}}), one_of({{excused, -1}}), (some ? -work_.due[bin] / bin_s_ : 0) - slack);
  row(nothing, one_of({{late, -1}}), -1);
}

}  // namespace

std::optional<double> clairvoyant_node_s(const Scenario& scenario, const Files& files, std::int64_t seed,
                                         const std::vector<Kept>& kept) {
  const bool goes =
      std::ranges::any_of(scenario.pools, [](const Load& one) { return one.expiry || !one.purge.empty(); });
  if (goes) {
    return std::nullopt;
  }
  const double lasts_s = to_s(scenario.lasts);
  const auto bins = std::clamp<std::size_t>(static_cast<std::size_t>(lasts_s / bin_least_s), 1, bins_most);
  const double bin_s = lasts_s / static_cast<double>(bins);
  const Work work = work_of(scenario, files, seed, kept, bins, bin_s);
  const Environment& around = scenario.environment;
  const auto slots = static_cast<double>(around.nodes.slots);
  const double ready_s = (Draw(around.nodes.boot, files).mean_us() + Draw(around.pods.start, files).mean_us()) / 1e6;
  const double idle_s = around.nodes.spot ? 0 : to_s(around.nodes.removed);
  const double always = static_cast<double>(around.nodes.min) * slots;
  const BandProgram program = Plan(work, bin_s, always).program(ready_s + idle_s, idle_s);
  // Nodes that are always there have never been idle for the last time.
  const double bound = solve(program).bound * bin_s + idle_s * always;
  return std::max(bound, 0.0) / slots;
}

}  // namespace sluice::lab
