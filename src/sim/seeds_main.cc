// SPDX-License-Identifier: Apache-2.0
// sim_seeds: runs many seeds of the simulation, or one in full. Development tool; not part of the sluice binary.
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.h"
#include "sim/world.h"

namespace {

using sluice::sim::Bug;
using sluice::sim::bugs_count;
using sluice::sim::run_seed;
using sluice::sim::Verdict;

constexpr int planted_bug_seeds_max = 2000;  // each planted bug must fail within this many seeds

struct Args {
  std::uint64_t seeds = 1000;
  std::uint64_t first = 1;
  std::string bug;  // "all": every planted bug must be caught
};

bool number(std::string_view text, std::uint64_t& out) {
  const std::optional<std::uint64_t> n = sluice::parse_number<std::uint64_t>(text);
  out = n.value_or(out);
  return n.has_value();
}

bool parse(int argc, char** argv, Args& out) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const std::string_view value = argv[i + 1];
    const bool good = flag == "--seeds"   ? number(value, out.seeds)
                      : flag == "--first" ? number(value, out.first)
                      : flag == "--bug"   ? (out.bug = value, true)
                                          : false;
    if (!good) {
      return false;
    }
  }
  return argc % 2 == 1;
}

int show_failure(const Verdict& verdict) {
  fmt::print("seed {} fails: {}\n  {}\n  again: sim_seeds --first {} --seeds 1\n", verdict.seed, *verdict.violation,
             verdict.plan, verdict.seed);
  return 1;
}

// Every planted bug must be found; which seed found it, and as what.
int hunt(Bug bug, std::uint64_t first) {
  for (std::uint64_t seed = first; seed < first + planted_bug_seeds_max; ++seed) {
    const Verdict verdict = run_seed(seed, bug);
    if (verdict.violation) {
      fmt::print("caught {:<26} by seed {:>4}: {}\n", word(bug), seed, *verdict.violation);
      std::fflush(stdout);
      return 0;
    }
  }
  fmt::print("NOT CAUGHT {} within {} seeds\n", word(bug), planted_bug_seeds_max);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Args args;
  if (!parse(argc, argv, args)) {
    std::fputs("usage: sim_seeds [--seeds N] [--first SEED] [--bug NAME|all]\n", stderr);
    return 2;
  }
  int failed = 0;
  int passed = 0;
  if (!args.bug.empty()) {
    for (std::size_t i = 1; i < bugs_count; ++i) {
      const Bug bug = static_cast<Bug>(i);
      if (args.bug == "all" || args.bug == word(bug)) {
        const int missed = hunt(bug, args.first);
        failed += missed;
        passed += 1 - missed;
      }
    }
    fmt::print("{} passed, {} failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
  }
  fmt::print("seeds {} to {}\n", args.first, args.first + args.seeds - 1);
  std::fflush(stdout);
  std::uint64_t events = 0, messages = 0, workers = 0;
  const auto began = std::chrono::steady_clock::now();
  for (std::uint64_t seed = args.first; seed < args.first + args.seeds; ++seed) {
    const Verdict verdict = run_seed(seed, Bug::none);
    failed += verdict.violation ? show_failure(verdict) : 0;
    passed += verdict.violation ? 0 : 1;
    events += verdict.events;
    messages += static_cast<std::uint64_t>(verdict.messages);
    workers += static_cast<std::uint64_t>(verdict.workers_started);
    if (failed >= 10) {
      break;
    }
  }
  const auto ended = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(ended - began).count();
  fmt::print("{} messages, {} workers, {} events in {:.1f} s: {:.2f} million events a second\n", messages, workers,
             events, seconds, static_cast<double>(events) / seconds / 1e6);
  fmt::print("{} passed, {} failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
