// SPDX-License-Identifier: Apache-2.0
// sluice status: what is, one line a pool.
#include <fmt/core.h>

#include "app/context.h"
#include "app/look.h"
#include "app/verbs.h"
#include "control/explain.h"

namespace sluice::app {
namespace {

// "3 pools, 2 need you: invoices, render", and what to type next.
void summarize(Context& context, const std::vector<PoolLook>& looks) {
  std::string names;
  const PoolLook* first = nullptr;
  std::size_t count = 0;
  for (const PoolLook& look : looks) {
    if (look.needs_you()) {
      names += (names.empty() ? "" : ", ") + control::printable(look.place.name);
      first = first == nullptr ? &look : first;
      ++count;
    }
  }
  const std::string pools = looks.size() == 1 ? "1 pool" : fmt::format("{} pools", looks.size());
  const std::string need =
      count == 0 ? "nothing needs you" : fmt::format("{} need{} you: {}", count, count == 1 ? "s" : "", names);
  const std::string again = looks.size() == 1 ? looks.front().place.again : "";
  const bool start = first != nullptr && !first->scaler && !first->place.file.empty() && first->errors.empty();
  const std::string next = start              ? "scale" + first->place.again
                           : first != nullptr ? "doctor" + first->place.again
                                              : "explain" + again;
  context.out.line(fmt::format("{}, {}   next: {} {}", pools, need, context.program, next));
}

aio::Task<int> run_status(Context& context, Args args) {
  std::optional<std::vector<Place>> places = find_places(context, args, "status");
  if (!places) {
    co_return exit_usage;
  }
  std::vector<std::unique_ptr<Looker>> lookers = lookers_of(context, std::move(*places));
  const std::vector<PoolLook> looks = co_await look_at_all(context, lookers);
  bool all_read = true;
  for (const PoolLook& look : looks) {
    all_read = all_read && look.errors.empty();
    if (context.json) {
      context.out.line(to_json(look));
    }
    for (const std::string& error : look.errors) {
      context.err.line(fmt::format("{}: {}", control::printable(look.place.id), control::printable(error)));
    }
  }
  if (!context.json) {
    const auto columns = static_cast<std::size_t>(context.out.columns());
    for (const std::string& line : table(looks, columns)) {
      context.out.line(line);
    }
    // With one pool there is room for all of the reason.
    if (const std::string why = control::printable(looks.front().why());
        looks.size() == 1 && control::width(why) > 20) {
      context.out.line("  why: " + why);
    }
    summarize(context, looks);
  }
  co_return all_read ? exit_done : exit_partly;
}

}  // namespace

Verb status_verb() {
  return {.name = "status",
          .summary = "what is: backlog, workers and the reason, one line a pool",
          .about =
              "Looks at the queue and at the workers themselves, now, and at the last decision in the journal.\n"
              "What cannot be read is shown as ? and named on stderr; the exit code is then 3. An age that is\n"
              "an estimate begins with ≈, one that is only a bound with ≤.",
          .examples = {{"sluice status", "the pools of this folder"}, {"sluice status -f orders.yaml -o json", ""}},
          .flags = place_flags(),
          .positionals = place_words(),
          .rest = "",
          .run = run_status};
}

}  // namespace sluice::app
