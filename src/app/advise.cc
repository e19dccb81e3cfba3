// SPDX-License-Identifier: Apache-2.0
// sluice advise: which policy a pool should have, by its own load.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "app/advise_text.h"
#include "app/context.h"
#include "app/simulate_files.h"
#include "app/simulate_replay.h"
#include "app/simulate_sweep.h"
#include "app/simulate_tune.h"
#include "app/verbs.h"
#include "app/wiring.h"
#include "control/explain.h"
#include "lab/advice.h"

namespace sluice::app {
namespace {

constexpr std::string_view verb_name = "advise";
constexpr std::size_t file_bytes_max = std::size_t{1} << 20U;  // the reader's own limit

// Tunable policies that a pool can have; lag needs no tuning: its number is what is wanted.
constexpr std::array<std::string_view, 3> tuned_words = {"threshold", "backlogPerWorker", "hpa"};
// Coarser than --tune: one number of each, in ten steps a decade. A week is then a matter of minutes, and a setting
// that is exact for one week is not for the next.
lab::Tunable coarse(std::string_view word) {
  lab::Tunable out = *std::ranges::find(lab::tunables(), word, &lab::Tunable::policy);
  out.knobs.resize(1);
  out.knobs.front().finest = 1;
  return out;
}

std::string wrong_flags(const Args& args) {
  const bool tabled = args.has("from-csv") || args.has("from-prometheus");
  if (!tabled && args.positionals.empty()) {
    return "JOURNAL is missing: a pool's journal; accepted too: --from-csv FILE, --from-prometheus FILE";
  }
  if (const auto seeds = args.count("seeds"); seeds && (*seeds < 1 || *seeds > 100)) {
    return fmt::format("--seeds {}; accepted: 1 to 100", *seeds);
  }
  if (const auto jobs = args.count("jobs"); jobs && (*jobs < 1 || *jobs > 256)) {
    return fmt::format("--jobs {}; accepted: 1 to 256", *jobs);
  }
  return wrong_record_flags(args);
}

// The one pool of what was recorded that was asked for; empty, having said why.
std::optional<ReplayedPool> chosen(Context& context, const Args& args, std::vector<ReplayedPool> pools) {
  const std::optional<std::string> wanted = args.text("pool");
  std::string names;
  for (const ReplayedPool& one : pools) {
    names += (names.empty() ? "" : ", ") + control::printable(one.past.pool);
  }
  if (wanted) {
    std::erase_if(pools, [&wanted](const ReplayedPool& one) {
      return one.past.pool != *wanted && !one.past.pool.ends_with("/" + *wanted);
    });
  }
  if (pools.size() != 1) {
    context.err.line(fmt::format("sluice {}: {}; accepted: --pool NAME, one of {}", verb_name,
                                 pools.empty() ? "no such pool in it" : "several pools are in it", names));
    return std::nullopt;
  }
  return std::move(pools.front());
}

// The pool as a whole: of its file, else of the journal.
std::optional<AdvisedPool> advised(Context& context, const Args& args, const lab::Past& past) {
  AdvisedPool out;
  if (const std::optional<std::string> file = args.text("file")) {
    const Result<std::string> text = read_file(*file, file_bytes_max);
    pool::Parsed parsed = text ? pool::parse_pool(*text) : pool::Parsed{};
    if (!parsed.pool) {
      context.err.line(fmt::format("sluice {}: {} changed while it was read", verb_name, *file));
      return std::nullopt;
    }
    out = {.pool = std::move(parsed.pool), .text = *text};
  } else if (past.journal) {
    const std::size_t slash = past.pool.find('/');
    pool::Pool pool;
    pool.namespace_ = past.pool.substr(0, slash);
    pool.name = past.pool.substr(slash + 1);
    pool.spec = past.spec;
    out.pool = std::move(pool);
  }
  return out;
}

// Tries the policies one after the other.
class Adviser {
 public:
  Adviser(Context& context, const ReplayedPool& replayed, std::size_t threads)
      : context_(context), replayed_(replayed), threads_(threads) {}

  aio::Task<lab::Advice> advise() {
    const lab::Scenario& scenario = replayed_.loaded.scenario;
    const lab::Past& past = replayed_.past;
    const bool present = past.pool_known && !scenario.policies.empty() &&
                         scenario.policies.front().policy.index() == past.spec.policy.index() &&
                         lab::name_of(scenario.policies.front()) ==
                             lab::name_of({.name = {}, .policy = past.spec.policy, .workers = {}});
    std::optional<lab::Means> had;
    if (present) {
      std::vector<lab::Candidate> own{{.contender = scenario.policies.front(), .means = {}, .note = "present"}};
      co_await run(std::move(own));
      had = found_.front().means;
    }
    std::vector<lab::Candidate> untuned = lab::untuned_candidates(scenario, had);
    std::erase_if(untuned, [this](const lab::Candidate& one) { return !wanted(one.contender); });
    co_await run(std::move(untuned));
    const double late = had ? std::max(had->late_share, lab::late_share_least) : lab::late_share_max;
    for (const std::string_view word : tuned_words) {
      co_await tune(std::string(word), late);
    }
    co_return lab::advice_of(std::move(found_), present);
  }

 private:
  // A policy that the pool can have, and that is not there yet.
  [[nodiscard]] bool wanted(const lab::Contender& contender) const {
    const std::string name = lab::name_of(contender);
    const bool there =
        std::ranges::any_of(found_, [&name](const lab::Candidate& one) { return lab::name_of(one.contender) == name; });
    return !there && (!replayed_.past.pool_known || lab::can_have(replayed_.past.spec, contender.policy));
  }

  aio::Task<void> run(std::vector<lab::Candidate> candidates) {
    if (candidates.empty()) {
      co_return;
    }
    std::vector<Loaded> loaded{replayed_.loaded};
    loaded.front().scenario.policies.clear();
    for (const lab::Candidate& one : candidates) {
      loaded.front().scenario.policies.push_back(one.contender);
    }
    Sweep sweep(context_, loaded, std::nullopt);
    co_await sweep.run(threads_);
    const lab::Outcome outcome = std::move(sweep.outcomes().front());
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      candidates[i].means = outcome.means[i];
      found_.push_back(std::move(candidates[i]));
    }
  }

  aio::Task<void> tune(std::string word, double late) {
    const lab::Tunable what = coarse(word);  // outlives what is tuned
    Result<lab::Tuned> policy = lab::tuned_policy(replayed_.loaded.scenario, what);
    if (!policy) {
      co_return;
    }
    lab::Setting first;
    for (const lab::Grid& grid : lab::grids_of(what)) {
      first.push_back(grid.front().value);
    }
    if (replayed_.past.pool_known && !lab::can_have(replayed_.past.spec, lab::contender_of(*policy, first).policy)) {
      co_return;
    }
    TuneRequest request{.what = &what, .target = {.late_share = late}, .threads = threads_};
    TuneOutcome outcome = co_await tuned(context_, replayed_.loaded, std::move(*policy), std::move(request));
    const std::size_t best = outcome.outcome.best;
    lab::Contender contender = outcome.outcome.scenario.policies[best];
    contender.name.reset();
    if (wanted(contender)) {
      found_.push_back({.contender = std::move(contender),
                        .means = outcome.outcome.means[best],
                        .note = fmt::format("the best of {} settings", outcome.settings.size())});
    }
  }

  Context& context_;
  const ReplayedPool& replayed_;
  std::size_t threads_;
  std::vector<lab::Candidate> found_;
};

aio::Task<int> run_advise(Context& context, Args args) {
  if (const std::string wrong = wrong_flags(args); !wrong.empty()) {
    context.err.line(fmt::format("sluice {}: {}", verb_name, wrong));
    co_return exit_usage;
  }
  const std::string verb(verb_name);
  std::optional<ReplayedJournals> journals = replay_journals(context, args, args.positionals, verb);
  std::optional<std::vector<ReplayedPool>> records;
  if (journals) {
    records = replay_records(context, args, verb);
  }
  if (!journals || !records) {
    co_return exit_usage;
  }
  std::ranges::move(*records, std::back_inserter(journals->pools));
  const std::optional<ReplayedPool> one = chosen(context, args, std::move(journals->pools));
  std::optional<AdvisedPool> pool;
  if (one) {
    pool = advised(context, args, one->past);
  }
  if (!one || !pool) {
    co_return exit_usage;
  }
  Adviser adviser(context, *one, static_cast<std::size_t>(args.count("jobs").value_or(1)));
  const lab::Advice advice = co_await adviser.advise();
  if (context.json || !context.out.terminal()) {  // else it is in the comments, before the same eyes
    context.err.write(advice_text(*one, advice, context.err_colour));
  }
  context.out.write(context.json ? advice_json(*one, advice, *pool) : advice_yaml(*one, advice, *pool));
  co_return journals->unread > 0 ? exit_partly : exit_done;
}

std::vector<Flag> advise_flags() {
  std::vector<Flag> out = record_flags();
  std::ranges::copy(replay_flags(), std::back_inserter(out));
  out.push_back({.name = "pool", .kind = Kind::text, .value = "NAME", .help = "which one, where several are recorded"});
  out.push_back({.name = "first", .kind = Kind::duration, .value = "TIME", .help = "only so much of the record"});
  out.push_back({.name = "seeds", .kind = Kind::count, .value = "N", .help = "seeds 1..N, default 1"});
  out.push_back(
      {.name = "jobs", .letter = 'j', .kind = Kind::count, .value = "N", .help = "runs at a time, default 1"});
  return out;
}

}  // namespace

Verb advise_verb() {
  return {.name = "advise",
          .summary = "which policy a pool should have, by the load that it had",
          .about =
              "Runs what a journal recorded through the pool's own policy, through lag, and through the best settings\n"
              "of threshold, backlogPerWorker and, for a Deployment, the stock HPA. Prints the pool's file with the\n"
              "cheapest of them that has no more late messages than the present one, or the file as it is where\n"
              "none costs 2 % less; the evidence is in its comments and on stderr. Nothing is changed but by you:\n"
              "review it, then scale with it.",
          .examples = {{"sluice advise .sluice/orders/journal.jsonl -f orders.yaml > advised.yaml",
                        "the file with another policy; then: sluice scale -f advised.yaml --dry-run"},
                       {"sluice advise .sluice/orders/journal.jsonl", "the pool as the journal has it"},
                       {"sluice advise --from-csv orders.csv --service 2s --start 30s", "only the policy"}},
          .flags = advise_flags(),
          .positionals = {{.name = "JOURNAL",
                           .help = "a pool's journal; rotated ones oldest first",
                           .many = true,
                           .kind = Kind::file}},
          .rest = "",
          .run = run_advise};
}

}  // namespace sluice::app
