// SPDX-License-Identifier: Apache-2.0
#pragma once
// A scenario as values: what comes, what it runs on, and which policies are compared. Field by field the file a person
// writes; what each field means and its bounds are in lab/definition.h.
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "pool/types.h"

namespace sluice::lab {

// A span of time that is drawn anew each time. One of: mean (with cv: lognormal), least and most (uniform),
// exponential, quantiles.
struct Times {
  std::optional<Duration> mean;
  pool::Decimal cv;  // standard deviation by mean
  std::optional<Duration> least, most;
  std::optional<Duration> exponential;
  std::optional<std::string> quantiles;  // a file
  std::optional<Duration> unit;          // of the file's sizes
};

// --- what comes; rates are messages a second
struct Constant {
  pool::Decimal rate;
  bool even = false;
};
struct Steps {
  pool::Decimal base, peak;
  Duration first{std::chrono::minutes{10}};
  Duration every{std::chrono::hours{1}};
  Duration lasts{0};
};
struct Ramp {
  pool::Decimal from, to;
  Duration first{0};
  Duration lasts{0};
};
struct Diurnal {
  pool::Decimal least, most;
  Duration period{std::chrono::hours{24}};
};
struct Flash {
  pool::Decimal base, peak;
  Duration first{std::chrono::minutes{10}};
  std::optional<Duration> every;
  Duration rise{std::chrono::minutes{1}};
  Duration decay{std::chrono::minutes{10}};
};
struct Batch {
  std::int64_t size = 0;
  Duration first{0};
  Duration every{0};
  pool::Decimal jitter;  // share of `every`
  Duration spread{0};
};
struct Mmpp {
  pool::Decimal high, low;
  Duration high_lasts{0}, low_lasts{0};
};
struct Trace {
  std::string file;
  Duration from{0};
  std::int64_t compress = 1;
  pool::Decimal scale{1'000'000};
};
using Arrivals = std::variant<Constant, Steps, Ramp, Diurnal, Flash, Batch, Mmpp, Trace>;

struct Load {  // one pool
  std::string name = "orders";
  std::vector<Arrivals> arrivals;
  Times service;
  std::optional<Duration> expiry;
  std::vector<Duration> purge;
  std::optional<pool::Workers> workers;  // else the scenario's
};

// --- what it runs on
struct Nodes {
  std::int64_t min = 0;
  std::int64_t max = 1000;
  std::int64_t slots = 4;
  Times boot;
  Duration removed{std::chrono::minutes{2}};
  std::optional<Duration> spot;
};
enum class Dispatch { in_turn, last_idle };
struct Pods {
  Times start;
  std::int64_t batch = 1;
  std::optional<std::int64_t> prefetch;
  Dispatch dispatch = Dispatch::in_turn;
  Duration redelivery{0};
  std::optional<Duration> crash;
  std::optional<std::int64_t> messages;
};
struct Metrics {
  Duration period{0};
  Duration delay{0};
  pool::Decimal noise;
  pool::Decimal gaps;
  pool::Decimal errors;
  std::optional<Duration> resets;
  bool together = false;
  bool counters = true;
  bool age = true;
  bool in_flight = true;
};
struct Environment {
  Nodes nodes;
  std::optional<std::int64_t> quota;
  Pods pods;
  Metrics metrics;
};

struct Price {  // an hour's
  pool::Decimal node, worker;
};

struct Contender {
  std::optional<std::string> name;
  pool::Policy policy;
  std::optional<pool::Workers> workers;  // else the load's
  std::vector<std::string> without;      // parts of the policy lag, lab/parts.h
};

struct Scenario {
  std::string name;
  std::string about;
  Duration lasts{0};
  Duration late{0};
  std::vector<std::int64_t> seeds{1};
  std::vector<Load> pools;
  pool::Workers workers;
  Environment environment;
  Price price;
  std::vector<Contender> policies;
};

}  // namespace sluice::lab
