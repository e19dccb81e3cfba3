// SPDX-License-Identifier: Apache-2.0
// sluice status: what is, one line a pool.
#include <fmt/core.h>

#include <algorithm>

#include "app/context.h"
#include "app/look.h"
#include "app/remote.h"
#include "app/verbs.h"
#include "control/explain.h"

namespace sluice::app {
namespace {

using serve::PoolStatus;

// "3 pools, 2 need you: invoices, render", and what to type next.
void summarize(Context& context, const std::vector<PoolStatus>& pools, const std::string& next) {
  std::string names;
  std::size_t count = 0;
  for (const PoolStatus& pool : pools) {
    if (pool.needs_you) {
      names += (names.empty() ? "" : ", ") + control::printable(pool.name());
      ++count;
    }
  }
  const std::string all = pools.size() == 1 ? "1 pool" : fmt::format("{} pools", pools.size());
  const std::string need =
      count == 0 ? "nothing needs you" : fmt::format("{} need{} you: {}", count, count == 1 ? "s" : "", names);
  context.out.line(fmt::format("{}, {}   next: {} {}", all, need, context.program, next));
}

void show(Context& context, const std::vector<PoolStatus>& pools, const std::string& next) {
  for (const PoolStatus& pool : pools) {
    if (context.json) {
      context.out.line(serve::to_json(pool));
    }
    for (const std::string& error : pool.errors) {
      context.err.line(fmt::format("{}: {}", control::printable(pool.pool), control::printable(error)));
    }
  }
  if (context.json) {
    return;
  }
  const auto columns = static_cast<std::size_t>(context.out.columns());
  for (const std::string& line : table(pools, columns)) {
    context.out.line(line);
  }
  // With one pool there is room for all of the reason.
  const std::string why = pools.size() == 1 ? control::printable(pools.front().why) : "";
  if (control::width(why) > 20) {
    context.out.line("  why: " + why);
  }
  summarize(context, pools, next);
}

std::string next_of(const std::vector<PoolLook>& looks) {
  const auto first = std::ranges::find_if(looks, &PoolLook::needs_you);
  if (first == looks.end()) {
    return "explain" + (looks.size() == 1 ? looks.front().place.again : "");
  }
  const bool start = !first->scaler && !first->place.file.empty() && first->errors.empty();
  return (start ? "scale" : "doctor") + first->place.again;
}

// What a server says was read whole, whatever it says of its pools: then the exit code is 0.
aio::Task<int> remote_status(Context& context, Args args) {
  const std::unique_ptr<Remote> remote = Remote::open(context, args, "status");
  if (!remote) {
    co_return exit_usage;
  }
  const aio::Deadline deadline = context.clock.in(remote_timeout);
  const Result<std::vector<PoolStatus>> pools = co_await remote->pools(args.positionals, deadline);
  if (!pools) {
    context.err.line("sluice status: " + pools.error().what);
    co_return pools.error().code == Code::invalid ? exit_usage : exit_failed;
  }
  show(context, *pools, "explain" + remote->again());
  co_return exit_done;
}

aio::Task<int> run_status(Context& context, Args args) {
  if (asks_remote(args)) {
    const int code = co_await remote_status(context, std::move(args));
    co_return code;
  }
  std::optional<std::vector<Place>> places = find_places(context, args, "status");
  if (!places) {
    co_return exit_usage;
  }
  std::vector<std::unique_ptr<Looker>> lookers = lookers_of(context, std::move(*places));
  const std::vector<PoolLook> looks = co_await look_at_all(context, lookers);
  std::vector<PoolStatus> pools;
  std::ranges::transform(looks, std::back_inserter(pools), status_of);
  show(context, pools, next_of(looks));
  const bool all_read = std::ranges::all_of(looks, [](const PoolLook& look) { return look.errors.empty(); });
  co_return all_read ? exit_done : exit_partly;
}

}  // namespace

Verb status_verb() {
  return {.name = "status",
          .summary = "what is: backlog, workers and the reason, one line a pool",
          .about =
              "Looks at the queue and at the workers themselves, now, and at the last decision in the journal.\n"
              "What cannot be read is shown as ? and named on stderr; the exit code is then 3. An age that is\n"
              "an estimate begins with ≈, one that is only a bound with ≤.\n"
              "With --server, --context or --namespace it asks who scales the pools instead, and shows what that one\n"
              "saw at its last look. Through a cluster it takes the right to get services/proxy.",
          .examples = {{"sluice status", "the pools of this folder"},
                       {"sluice status -f orders.yaml -o json", ""},
                       {"sluice status --context kind-dev --namespace shop", "those of the controller there"}},
          .flags = place_and_remote_flags(),
          .positionals = place_words(),
          .rest = "",
          .run = run_status};
}

}  // namespace sluice::app
