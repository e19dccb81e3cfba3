// SPDX-License-Identifier: Apache-2.0
// links: base model pool policy aio queue fleet control lab
//
// How fast `sluice simulate` is. An event is an arrival, a start or an end of work, a change of a worker or a node, or
// a tick of the scaler. First the model with a scaler that looks once a minute, so that the events are the messages';
// beside it the bare agenda, the least that an event could cost. Then a week of one pool at ticks of 10 s with a
// million messages, of which the scaler's own work is a third.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "lab/agenda.h"
#include "lab/run.h"

namespace sluice::lab {
namespace {

constexpr int rounds = 5;
constexpr double wanted_events = 3;  // million a second
constexpr double wanted_week_s = 2;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Read scenario(const std::string& lasts, const std::string& rate, const std::string& policy) {
  Read out = read_scenario(
      "scenario: bench\nduration: " + lasts + "\nlate: 60s\npools: [{arrivals: [{constant: {rate: " + rate +
          "}}], service: {exponential: 2s}}]\nworkers: {max: 100}\n"
          "environment: {nodes: {boot: {mean: 60s}}, pods: {start: {mean: 4s}}}\npolicies: [{policy: {" +
          policy + "}}]\n",
      [](const std::string&) -> Result<std::string> { return Error{}; });
  check(out.scenario.has_value(), "the scenario is good");
  return out;
}

struct Figure {
  double seconds = 0;
  double events = 0;  // million
  double messages = 0;
  double ticks = 0;
};

Figure measure(const Read& read) {
  const auto start = std::chrono::steady_clock::now();
  const Run one = run({.scenario = *read.scenario, .files = read.files, .policy = 0, .seed = 1});
  return {.seconds = seconds_since(start),
          .events = static_cast<double>(one.events) / 1e6,
          .messages = static_cast<double>(one.all.published),
          .ticks = static_cast<double>(one.ticks)};
}

Figure median(const Read& read) {
  std::vector<Figure> all;
  for (int i = 0; i < rounds; ++i) {
    all.push_back(measure(read));
  }
  std::ranges::sort(all, {}, &Figure::seconds);
  return all[rounds / 2];
}

// Events put in and taken out, fifty at a time in the heap, as many as there are workers at work.
double agenda_rate() {
  constexpr int n = 5'000'000;
  Agenda agenda;
  Random random(1);
  const auto start = std::chrono::steady_clock::now();
  for (std::uint32_t i = 0; i < 50; ++i) {
    agenda.enter(static_cast<Us>(random.below(4'000'000)), Happens::lane, 0, i);
  }
  for (int i = 0; i < n; ++i) {
    const Event event = agenda.take();
    agenda.enter(event.at + static_cast<Us>(random.below(4'000'000)), Happens::lane, 0, event.subject);
  }
  return n / seconds_since(start) / 1e6;
}

int print() {
  const Figure model = median(scenario("24h", "20", "backlogPerWorker: {messages: 5, every: 1m}"));
  fmt::print("simulate, the model    {:6.2f} million events a second (wanted: {:.0f}); the bare agenda {:.2f}\n",
             model.events / model.seconds, wanted_events, agenda_rate());
  const Figure week = median(scenario("168h", "1.6535", "backlogPerWorker: {messages: 5, every: 10s}"));
  fmt::print("simulate, a week       {:6.2f} s for {:.2f} million messages and {:.0f} ticks (wanted: {:.0f} s)\n",
             week.seconds, week.messages / 1e6, week.ticks, wanted_week_s);
  return 0;
}

}  // namespace
}  // namespace sluice::lab

int main() {
  return sluice::lab::print();
}
