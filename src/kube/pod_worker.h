// SPDX-License-Identifier: Apache-2.0
#pragma once
// One worker in one pod, whatever made the pod: how it is, by what its pod shows and what it says of itself. It
// remembers what nobody else can know: when something was first seen, and what was said.
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/ending.h"
#include "fleet/worker_words.h"
#include "kube/cluster.h"

namespace sluice::kube {

struct PodWorker {
  Time first_seen;
  model::WorkerState state = model::WorkerState::requested;
  Time since;
  bool was_ready = false;
  std::optional<Time> ended_at;        // its container has ended
  std::optional<fleet::EndFacts> end;  // how, as the pod told while it was there
  std::string end_why;
  model::SaidTally tally;  // by its last words
  // What the worker says.
  std::optional<fleet::WorkerWords> words;
  Time words_at;
  std::optional<Time> claimed_at;
  Time ask_at = Time::min();  // again
  int silent_n = 0;           // questions in a row without an answer

  void enter(model::WorkerState now_in, Time now);
  // How the worker ended, as long as there is a pod to tell it.
  void note_end(const Pod& pod, Time now);
};

// Of a pod that is not about to go. `why`: what it waits for. `readiness_is_claim`: a pod that is ready takes messages.
[[nodiscard]] model::WorkerState pod_state(const Pod& pod, const PodWorker& worker, bool readiness_is_claim, Time now,
                                           std::string& why);

struct Question {
  std::string uid;  // whom it is about, for the asker
  std::string url;
  std::optional<fleet::WorkerWords> words = {};
  Time at = {};
};
// Where the worker of this pod answers.
[[nodiscard]] std::string worker_url(const Pod& pod);
// GET /worker of all of them, each for half a second at most.
[[nodiscard]] aio::Task<void> ask_all(Cluster& cluster, std::vector<Question>& questions, aio::Deadline deadline);
// Takes in an answer, or that there was none, and says when to ask again.
void hear(PodWorker& worker, const Question& question, Time now, WallTime wall);

// What the cluster last said about this object when it said that there is no place for it; empty: nothing, or that one
// is on its way.
[[nodiscard]] aio::Task<Result<std::string>> full_event(Cluster& cluster, std::string space, std::string uid,
                                                        aio::Deadline deadline);

// "ImagePullBackOff: no such image", in one line.
[[nodiscard]] std::string reason_with(std::string_view reason, std::string_view message);
[[nodiscard]] bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words);

}  // namespace sluice::kube
