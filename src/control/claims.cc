// SPDX-License-Identifier: Apache-2.0
#include "control/claims.h"

#include <algorithm>
#include <vector>

namespace sluice::control {
namespace {

using model::ClaimRung;
using model::WorkerState;
using pool::ClaimBy;

// An older list says nothing of now; RabbitMQ's own is up to 5 s old.
constexpr Duration list_age_max = std::chrono::seconds{30};

bool part_of_a_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool names(const model::ListedConsumer& one, const std::string& worker) {
  return names_worker(one.tag, worker) || names_worker(one.connection, worker);
}

// Chosen: longer than a program takes that connects at once, and no wait that a person would mind.
constexpr Duration after_unsaid = std::chrono::seconds{30};

// It was seen to take messages, so it is no slow start: what it does now is not known.
void lose(model::Worker& worker, const char* why) {
  worker.state = WorkerState::unknown;
  worker.why = why;
}

}  // namespace

bool names_worker(std::string_view text, std::string_view worker) {
  for (std::size_t at = text.find(worker); at != std::string_view::npos; at = text.find(worker, at + 1)) {
    const std::size_t end = at + worker.size();
    if ((at == 0 || !part_of_a_name(text[at - 1])) && (end == text.size() || !part_of_a_name(text[end]))) {
      return true;
    }
  }
  return false;
}

void Claims::mark(model::Worker& worker, Time at) {
  const Time since = since_.try_emplace(worker.id, at).first->second;
  worker.state = WorkerState::busy;
  worker.claimed_at = worker.since = since;
  worker.why.clear();
}

bool Claims::by_list(model::FleetView& view, const Result<model::Sample>& sample, Time now) {
  if (!sample || !sample->consumer_list || now - sample->consumer_list->observed_at > list_age_max) {
    return false;
  }
  const model::ConsumerList& list = *sample->consumer_list;
  for (model::Worker& worker : view.workers) {
    if (!in_question(worker)) {
      continue;
    }
    const auto listed =
        std::ranges::find_if(list.all, [&](const model::ListedConsumer& one) { return names(one, worker.name); });
    if (listed == list.all.end()) {
      if (since_.contains(worker.id)) {
        lose(worker, "the broker no longer lists it among the consumers");
      }
    } else if (listed->active) {
      mark(worker, list.observed_at);
    } else {
      worker.state = WorkerState::ready;
      worker.why = "it waits behind the single active consumer";
    }
  }
  return true;
}

// Of those that say nothing, the ones that are known already come first, and then the oldest.
bool Claims::by_count(model::FleetView& view, const Result<model::Sample>& sample) {
  if (!sample || !sample->consumers) {
    return false;
  }
  std::int64_t left = sample->consumers->n;
  std::vector<model::Worker*> silent;
  for (model::Worker& worker : view.workers) {
    if (in_question(worker)) {
      silent.push_back(&worker);
    } else if (worker.state == WorkerState::ready || worker.state == WorkerState::busy ||
               worker.state == WorkerState::idle) {
      --left;
    }
  }
  std::ranges::sort(silent, {}, [this](const model::Worker* worker) {
    return std::tuple(!since_.contains(worker->id), worker->created_at, worker->slot);
  });
  for (model::Worker* worker : silent) {
    if (left-- > 0) {
      mark(*worker, sample->consumers->observed_at);
    } else if (since_.contains(worker->id)) {
      lose(*worker, "the queue has fewer consumers than there are workers");
    }
  }
  return true;
}

void Claims::by_time(model::FleetView& view, Time now) {
  const bool said = how_.by == ClaimBy::after;
  for (model::Worker& worker : view.workers) {
    const Time at = said ? worker.created_at + how_.after : worker.since + after_unsaid;
    if (in_question(worker) && now >= at) {
      mark(worker, at);
    }
  }
}

bool Claims::in_question(const model::Worker& worker) const {
  return worker.state == WorkerState::starting && (how_.by != ClaimBy::automatic || worker.silent);
}

void Claims::apply(model::FleetView& view, const Result<model::Sample>& sample, Time now) {
  const bool automatic = how_.by == ClaimBy::automatic;
  if (how_.by == ClaimBy::reported || how_.by == ClaimBy::readiness ||
      (automatic && std::ranges::none_of(view.workers, &model::Worker::silent))) {
    return;
  }
  std::erase_if(since_, [&view](const auto& entry) {
    return std::ranges::find(view.workers, entry.first, &model::Worker::id) == view.workers.end();
  });
  const bool timed = how_.by == ClaimBy::after;
  if (!timed && how_.by != ClaimBy::consumers && by_list(view, sample, now)) {
    view.claim = ClaimRung::broker;
  } else if (!timed && by_count(view, sample)) {
    view.claim = ClaimRung::consumers;
  } else if (timed || automatic) {
    view.claim = ClaimRung::after;
    by_time(view, now);
  } else {
    view.claim = how_.by == ClaimBy::broker ? ClaimRung::broker : ClaimRung::consumers;
    for (model::Worker& worker : view.workers) {
      if (in_question(worker) && since_.contains(worker.id)) {
        mark(worker, now);
      }
    }
  }
}

}  // namespace sluice::control
