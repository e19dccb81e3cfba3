// SPDX-License-Identifier: Apache-2.0
#include "app/look.h"

#include <fmt/core.h>

#include <algorithm>

namespace sluice::app {
namespace {

using namespace std::chrono_literals;
using fleet::process::ProcessFleet;
using fleet::process::ProcessFleetOptions;
using fleet::process::StateFolder;

// Rates: shorter spans tell nothing, longer ones not of now. Chosen.
constexpr std::int64_t rate_ms_least = 300;
constexpr std::int64_t rate_ms_most = 60'000;
constexpr Duration second_look = 400ms;
constexpr Duration look_timeout = 5s;

std::optional<std::int64_t> count(const std::optional<model::Reading>& reading) {
  return reading ? std::optional(reading->n) : std::nullopt;
}

std::optional<std::int64_t> count(const std::optional<model::SeenCount>& seen) {
  return seen ? std::optional(seen->n) : std::nullopt;
}

std::optional<double> rate(const std::optional<std::int64_t>& before, const std::optional<std::int64_t>& now,
                           std::int64_t ms) {
  if (!before || !now || *now < *before || ms < rate_ms_least || ms > rate_ms_most) {
    return std::nullopt;
  }
  return static_cast<double>(*now - *before) * 1000.0 / static_cast<double>(ms);
}

ProcessFleetOptions observing(const Place& place) {
  return {.pool = place.name,
          .max = static_cast<int>(place.spec ? place.spec->workers.max : 1),
          .nodes = {},
          .command = {},
          .observe_only = true};
}

}  // namespace

std::string PoolLook::state() const {
  if (!scaler) {
    return "off";
  }
  return last ? last->decision.reason.substr(0, last->decision.reason.find(':')) : "new";
}

std::string PoolLook::why() const {
  std::string out = errors.empty() ? "" : errors.front();
  if (queue_missing && errors.empty()) {
    out = "nothing was published yet: the queue file is not there";
  }
  std::string decided;
  if (last) {
    const std::size_t colon = last->decision.reason.find(": ");
    decided = colon == std::string::npos ? "" : last->decision.reason.substr(colon + 2);
  }
  if (!scaler) {
    const std::string ago = last_ms_ago ? fmt::format(", the last look was {} ago",
                                                      humane_duration(std::chrono::milliseconds{*last_ms_ago}))
                                        : "";
    decided = "no scaler runs" + ago;
  } else if (!last) {
    decided = "the scaler has not decided yet";
  }
  return out.empty() ? decided : out + "; " + decided;
}

std::optional<std::int64_t> PoolLook::desired() const {
  return scaler && last ? std::optional(last->decision.workers) : std::nullopt;
}

bool PoolLook::needs_you() const {
  const std::string word = state();
  const bool waiting = sample && sample->ready && sample->ready->n > 0;
  const bool dead = sample && sample->dead && sample->dead->n > 0;
  return word == "blind" || word == "broken" || word == "full" || (word == "off" && waiting) || dead || !errors.empty();
}

Looker::Looker(Context& context, Place place) : context_(context), place_(std::move(place)), tail_(place_.journal()) {}

aio::Task<void> Looker::look_at_queue(PoolLook* out, aio::Deadline deadline) {
  if (!place_.spec) {
    out->errors.push_back(place_.why_no_spec);
    co_return;
  }
  if (!source_) {
    wiring::QueueAccess access{.create = false, .secrets = place_.secrets, .purpose = "sluice status"};
    Result<std::unique_ptr<wiring::QueueClient>> opened =
        co_await context_.queues.open(wiring::queue_spec(*place_.spec), std::move(access), deadline);
    if (!opened) {
      out->queue_missing = opened.error().code == Code::gone;
      if (!out->queue_missing) {
        out->errors.push_back(opened.error().what);
      }
      co_return;
    }
    queue_ = std::move(*opened);
    source_ = queue_->source();
  }
  Result<model::Sample> sample = co_await source_->sample(deadline);
  if (sample) {
    out->sample = std::move(*sample);
    if (!out->sample->missing.empty()) {
      out->errors.push_back(out->sample->missing);
    }
  } else {
    out->errors.push_back(sample.error().what);
    if (std::holds_alternative<pool::LocalQueue>(place_.spec->queue)) {
      source_.reset();  // opened again at the next look: the file may have been replaced
      queue_.reset();
    }
  }
}

aio::Task<void> Looker::look_at_workers(PoolLook* out, aio::Deadline deadline) {
  if (!fleet_) {
    Result<StateFolder> folder = StateFolder::open(place_.state, false);
    if (!folder) {
      if (folder.error().code == Code::gone) {
        out->fleet = model::FleetView{};  // no worker ever lived here
      } else {
        out->errors.push_back(folder.error().what);
      }
      co_return;
    }
    Random random(context_.random.next());
    Result<std::unique_ptr<ProcessFleet>> opened =
        ProcessFleet::open(context_.loop, context_.clock, random, std::move(*folder), observing(place_));
    if (!opened) {
      out->errors.push_back(opened.error().what);
      co_return;
    }
    fleet_ = std::move(*opened);
  }
  Result<model::FleetView> view = co_await fleet_->view(deadline);
  if (view) {
    out->fleet = std::move(*view);
  } else {
    out->errors.push_back(view.error().what);
  }
}

void Looker::look_at_journal(PoolLook& out) {
  if (const Result<void> read = tail_.poll(); !read) {
    if (read.error().code != Code::gone) {
      out.errors.push_back(read.error().what);
    }
    return;
  }
  const Result<std::vector<control::Told>> told = tail_.story().tell(pool::spec_from_json);
  if (!told || told->empty()) {
    return;
  }
  out.last = told->back().tick;
  const std::string& until = told->back().steady_to;  // of the folded ticks after it
  const std::optional<WallTime> at = parse_wall(until.empty() ? out.last->at : until);
  if (at && *at <= out.at) {
    out.last_ms_ago = (out.at - *at).count();
  }
  const std::optional<WallTime> seen_at = parse_wall(out.last->at);
  if (seen_at && !base_) {
    base_ = Base{*seen_at, count(out.last->seen.queue.published_n), count(out.last->seen.queue.acked_n)};
  }
}

void Looker::rates(PoolLook& out) {
  if (!out.sample) {
    return;
  }
  const std::optional<std::int64_t> published = count(out.sample->published_n);
  const std::optional<std::int64_t> acked = count(out.sample->acked_n);
  if (base_) {
    const std::int64_t ms = (out.at - base_->at).count();
    out.in_per_s = rate(base_->published_n, published, ms);
    out.out_per_s = rate(base_->acked_n, acked, ms);
    if (ms >= 0 && ms < 5'000 && (out.in_per_s || out.out_per_s)) {
      return;  // a calm rate is taken over some seconds
    }
  }
  base_ = Base{out.at, published, acked};
}

bool Looker::rates_missing(const PoolLook& look) const {
  return look.sample && look.sample->published_n && (!look.in_per_s || !look.out_per_s);
}

aio::Task<PoolLook> Looker::look(aio::Deadline deadline) {
  PoolLook out{.place = place_, .at = context_.clock.wall()};
  look_at_journal(out);
  co_await look_at_workers(&out, deadline);
  co_await look_at_queue(&out, deadline);
  out.at = context_.clock.wall();
  const Result<std::optional<fleet::process::ScalerHolder>> holder =
      fleet::process::scaler_of(place_.state + "/scaler.lock");
  if (holder) {
    out.scaler = *holder;
  } else if (holder.error().code != Code::gone) {
    out.errors.push_back(holder.error().what);
  }
  rates(out);
  co_return out;
}

std::vector<std::unique_ptr<Looker>> lookers_of(Context& context, std::vector<Place> places) {
  std::vector<std::unique_ptr<Looker>> out;
  for (Place& place : places) {
    out.push_back(std::make_unique<Looker>(context, std::move(place)));
  }
  return out;
}

aio::Task<std::vector<PoolLook>> look_at_all(Context& context, std::vector<std::unique_ptr<Looker>>& all) {
  std::vector<PoolLook> looks;
  bool again = false;
  for (const std::unique_ptr<Looker>& looker : all) {
    const aio::Deadline deadline = context.clock.in(look_timeout);
    PoolLook look = co_await looker->look(deadline);
    again = again || looker->rates_missing(look);
    looks.push_back(std::move(look));
  }
  if (!again) {
    co_return looks;
  }
  co_await context.clock.sleep_for(second_look);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i]->rates_missing(looks[i])) {
      const aio::Deadline deadline = context.clock.in(look_timeout);
      PoolLook look = co_await all[i]->look(deadline);
      looks[i] = std::move(look);
    }
  }
  co_return looks;
}

}  // namespace sluice::app
