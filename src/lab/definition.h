// SPDX-License-Identifier: Apache-2.0
#pragma once
// THE definition of a scenario file: every field with its meaning and bounds, read by the pool's own reader, so that
// mistakes are told in the same words. docs/how-to/simulate.md has the same table for people.
#include <algorithm>
#include <array>

#include "lab/scenario.h"
#include "pool/definition.h"
#include "pool/reader.h"

namespace sluice::lab {

using pool::Is;
using pool::wrong_unless;

inline constexpr std::array<std::string_view, 8> arrivals_words = {"constant", "step",  "ramp", "diurnal",
                                                                   "flash",    "batch", "mmpp", "trace"};
inline constexpr std::array<std::string_view, 2> dispatch_words = {"inTurn", "lastIdle"};

inline constexpr Duration instant{0};
inline constexpr Duration millisecond{std::chrono::milliseconds{1}};
inline constexpr Duration longest_run{std::chrono::hours{24 * 400}};
// Ten million a second, in millionths.
inline constexpr std::int64_t rate_limit = 10'000'000'000'000;
inline constexpr std::int64_t one = 1'000'000;  // as millionths

inline constexpr pool::Field rate_field{.doc = "Messages a second.", .required = true, .max = rate_limit};
inline constexpr pool::Field moment_field{
    .doc = "When, from the beginning.", .shortest = instant, .longest = longest_run};
inline constexpr pool::Field span_field{
    .doc = "How long.", .required = true, .shortest = millisecond, .longest = longest_run};
inline constexpr pool::Field times_field{.doc = "A span of time, drawn anew each time."};

template <class V, Is<Times> T>
void describe(V& v, T& o) {
  v.about("A span of time that is drawn anew each time: in exactly one of four ways.");
  const pool::Field part{.doc = "", .shortest = instant, .longest = longest_run};
  v.field("mean", o.mean, part);
  v.field("cv", o.cv, {.doc = "With mean: lognormal with this standard deviation by the mean.", .max = 100 * one});
  v.field("least", o.least, part);
  v.field("most", o.most, part);
  v.field("exponential", o.exponential, part);
  v.field("quantiles", o.quantiles, {.doc = "A CSV file of quantile,size.", .form = pool::Form::path});
  v.field("unit", o.unit, {.doc = "What size 1 of the file is.", .shortest = millisecond, .longest = longest_run});
  v.rule(o,
         {.fields = {"mean", "least", "most", "exponential", "quantiles", "unit", "cv"},
          .accepted = "one of: mean (cv with it or not), least with most, exponential, quantiles with unit",
          .cel = ""},
         [](const Times& t) {
           const int ways = (t.mean ? 1 : 0) + (t.least || t.most ? 1 : 0) + (t.exponential ? 1 : 0) +
                            (t.quantiles || t.unit ? 1 : 0);
           const bool pairs = t.least.has_value() == t.most.has_value() &&
                              t.quantiles.has_value() == t.unit.has_value() && (t.cv.millionths == 0 || t.mean);
           return wrong_unless(ways == 1 && pairs, ways == 0 ? "none of them" : "fields that do not go together");
         });
  v.rule(o, {.fields = {"least", "most"}, .accepted = "least at most most", .cel = ""}, [](const Times& t) {
    return wrong_unless(!t.least || !t.most || *t.least <= *t.most, "least is longer than most");
  });
}

template <class V, Is<Constant> T>
void describe(V& v, T& o) {
  v.about("The same rate all the time.");
  v.field("rate", o.rate, rate_field);
  v.field("even", o.even, {.doc = "One after the other like a clock, instead of by chance (Poisson)."});
}

template <class V, Is<Steps> T>
void describe(V& v, T& o) {
  v.about("From one rate to another at once, and back.");
  v.field("base", o.base, rate_field);
  v.field("peak", o.peak, rate_field);
  v.field("first", o.first, moment_field);
  v.field("every", o.every, {.doc = "From one step to the next.", .shortest = millisecond, .longest = longest_run});
  v.field("for", o.lasts, span_field);
}

template <class V, Is<Ramp> T>
void describe(V& v, T& o) {
  v.about("From one rate to another, evenly.");
  v.field("from", o.from, rate_field);
  v.field("to", o.to, rate_field);
  v.field("first", o.first, moment_field);
  v.field("for", o.lasts, span_field);
}

template <class V, Is<Diurnal> T>
void describe(V& v, T& o) {
  v.about("A sine, least at the beginning.");
  v.field("least", o.least, rate_field);
  v.field("most", o.most, rate_field);
  v.field("period", o.period, {.doc = "A whole day.", .shortest = millisecond, .longest = longest_run});
  v.rule(o, {.fields = {"least", "most"}, .accepted = "least at most most", .cel = ""},
         [](const Diurnal& d) { return wrong_unless(d.least <= d.most, "least is more than most"); });
}

template <class V, Is<Flash> T>
void describe(V& v, T& o) {
  v.about("A crowd that comes in a minute and goes in many.");
  v.field("base", o.base, rate_field);
  v.field("peak", o.peak, rate_field);
  v.field("first", o.first, moment_field);
  v.field("every", o.every, {.doc = "Again and again.", .shortest = millisecond, .longest = longest_run});
  v.field("rise", o.rise, {.doc = "From base to peak, evenly.", .shortest = instant, .longest = longest_run});
  v.field("decay", o.decay,
          {.doc = "Until a 2.718th of the peak is left.", .shortest = millisecond, .longest = longest_run});
}

template <class V, Is<Batch> T>
void describe(V& v, T& o) {
  v.about("Many at once.");
  v.field("size", o.size, {.doc = "Messages.", .required = true, .min = 1, .max = 100'000'000});
  v.field("first", o.first, moment_field);
  v.field("every", o.every, {.doc = "Again and again.", .shortest = millisecond, .longest = longest_run});
  v.field("jitter", o.jitter, {.doc = "Each comes later by up to this share of `every`, by chance.", .max = one});
  v.field("spread", o.spread, moment_field);
}

template <class V, Is<Mmpp> T>
void describe(V& v, T& o) {
  v.about("Two rates that take turns at random: a Markov-modulated Poisson process.");
  v.field("high", o.high, rate_field);
  v.field("low", o.low, rate_field);
  v.field("highFor", o.high_lasts, span_field);
  v.field("lowFor", o.low_lasts, span_field);
}

template <class V, Is<Trace> T>
void describe(V& v, T& o) {
  v.about("A CSV of time_s,arrivals; the arrivals of a bin are spread over it at random.");
  v.field("file", o.file, {.doc = "The file.", .required = true, .form = pool::Form::path});
  v.field("from", o.from, moment_field);
  v.field("compress", o.compress, {.doc = "How many times faster it is played.", .min = 1, .max = 1'000'000});
  v.field("scale", o.scale, {.doc = "How many messages one of the file is.", .max = rate_limit});
}

template <class V, Is<Load> T>
void describe(V& v, T& o) {
  v.about("One pool: what comes, and how long it takes.");
  v.field("name", o.name, {.doc = "The pool's name.", .form = pool::Form::pool_name});
  v.field("arrivals", o.arrivals,
          {.doc = "What comes: the sum of these.", .required = true, .items_max = 16, .words = arrivals_words});
  v.field("service", o.service, {.doc = "How long a worker has one message.", .required = true});
  v.field("expiry", o.expiry,
          {.doc = "A message that has waited this long is dropped.", .shortest = millisecond, .longest = longest_run});
  v.field("purge", o.purge,
          {.doc = "When somebody empties the queue.", .shortest = instant, .longest = longest_run, .items_min = 0});
  v.field("workers", o.workers, {.doc = "Instead of the scenario's."});
}

template <class V, Is<Nodes> T>
void describe(V& v, T& o) {
  v.about("The cluster's nodes.");
  v.field("min", o.min, {.doc = "Up from the start, never removed.", .max = 100'000});
  v.field("max", o.max, {.doc = "Never more.", .min = 1, .max = 100'000});
  v.field("slots", o.slots, {.doc = "Workers on a node.", .min = 1, .max = 10'000});
  v.field("boot", o.boot, times_field);
  v.field("removed", o.removed,
          {.doc = "A node that has been empty for so long goes.", .shortest = instant, .longest = longest_run});
  v.field("spot", o.spot,
          {.doc = "The mean life of a node that may be taken away.", .shortest = millisecond, .longest = longest_run});
  v.rule(o, {.fields = {"min", "max"}, .accepted = "min at most max", .cel = ""},
         [](const Nodes& n) { return pool::at_most(n.min, n.max); });
}

template <class V, Is<Pods> T>
void describe(V& v, T& o) {
  v.about("How workers behave.");
  v.field("start", o.start, times_field);
  v.field("batch", o.batch, {.doc = "Messages taken at once and acknowledged together.", .min = 1, .max = 10'000});
  v.field("prefetch", o.prefetch,
          {.doc = "Messages a worker holds.", .min = 1, .max = 100'000, .default_text = "concurrency times batch"});
  v.field("dispatch", o.dispatch, {.doc = "Who gets the next message.", .words = dispatch_words});
  v.field("redelivery", o.redelivery,
          {.doc = "Until the messages of a dead worker wait again.", .shortest = instant, .longest = longest_run});
  v.field("crash", o.crash,
          {.doc = "The mean life of a worker that may crash.", .shortest = millisecond, .longest = longest_run});
  v.field("messages", o.messages,
          {.doc = "A worker takes so many messages and leaves, as a Job for each message does.",
           .min = 1,
           .max = 1'000'000'000});
}

template <class V, Is<Metrics> T>
void describe(V& v, T& o) {
  v.about("How the queue is seen.");
  v.field("period", o.period, {.doc = "From one reading to the next.", .shortest = instant, .longest = longest_run});
  v.field("delay", o.delay, {.doc = "Until a reading can be seen.", .shortest = instant, .longest = longest_run});
  v.field("noise", o.noise, {.doc = "Of a reading: standard deviation by the value.", .max = one});
  v.field("gaps", o.gaps, {.doc = "Share of readings without a backlog.", .max = one});
  v.field("errors", o.errors, {.doc = "Share of looks that fail.", .max = one});
  v.field(
      "resets", o.resets,
      {.doc = "Mean time between restarts of the broker's counters.", .shortest = millisecond, .longest = longest_run});
  v.field("together", o.together,
          {.doc = "As Pub/Sub does: waiting messages and those in work are one number. Readings may then be 5 minutes "
                  "old, as for a Pub/Sub queue; else they are stale after three looks, or 30 s."});
  v.field("counters", o.counters, {.doc = "The broker counts what was published and acknowledged."});
  v.field("age", o.age, {.doc = "The broker tells the age of the oldest message."});
  v.field("inFlight", o.in_flight, {.doc = "The broker tells what is delivered and not settled."});
}

template <class V, Is<Environment> T>
void describe(V& v, T& o) {
  v.about("What the workers run on, and how it is seen.");
  v.field("nodes", o.nodes, {.doc = "The nodes."});
  v.field("quota", o.quota, {.doc = "Never more workers in all pools together.", .min = 1, .max = 1'000'000});
  v.field("pods", o.pods, {.doc = "The workers."});
  v.field("metrics", o.metrics, {.doc = "The readings."});
}

template <class V, Is<Price> T>
void describe(V& v, T& o) {
  v.about("Money, in whatever currency.");
  v.field("node", o.node, {.doc = "An hour of a node.", .max = rate_limit});
  v.field("worker", o.worker, {.doc = "An hour of a worker.", .max = rate_limit});
}

template <class V, Is<Contender> T>
void describe(V& v, T& o) {
  v.about("A policy to compare.");
  v.field("name", o.name, {.doc = "Its name in tables.", .default_text = "the policy with its numbers"});
  v.field("policy", o.policy, pool::policy_field);
  v.field("workers", o.workers, {.doc = "Instead of the scenario's and the pool's."});
  v.field("without", o.without, {.doc = "Parts of the policy lag that are left out.", .items_max = 16});
}

template <class V, Is<Scenario> T>
void describe(V& v, T& o) {
  v.about("What comes, what it runs on, and which policies are compared.");
  v.field("scenario", o.name, {.doc = "Its name.", .required = true, .form = pool::Form::label});
  v.field("about", o.about, {.doc = "One line for people."});
  v.field("duration", o.lasts,
          {.doc = "How long it runs.", .required = true, .shortest = std::chrono::seconds{1}, .longest = longest_run});
  v.field(
      "late", o.late,
      {.doc = "A message that waits longer is late.", .required = true, .shortest = instant, .longest = longest_run});
  v.field("seeds", o.seeds, {.doc = "One run each.", .items_max = 1000});
  v.field("pools", o.pools, {.doc = "What comes.", .required = true, .items_max = 64});
  v.field("workers", o.workers, pool::workers_field);
  v.field("environment", o.environment, {.doc = "What the workers run on."});
  v.field("price", o.price, {.doc = "What an hour costs."});
  v.field("policies", o.policies, {.doc = "What is compared.", .required = true});
}

}  // namespace sluice::lab
