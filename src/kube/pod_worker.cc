// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_worker.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "aio/task_group.h"
#include "base/text.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;

constexpr std::size_t asked_at_once = 64;  // chosen: far fewer open connections than a process may have
constexpr Duration answer_timeout = 500ms;
constexpr Duration ask_busy_each = 2s;  // one that has claimed: only its state may change
constexpr Duration ask_silent_max = 5min;
constexpr Duration words_for = 10s;  // what a worker said holds so long when it answers no more
constexpr std::uint16_t worker_port = 7172;

constexpr std::array broken_for_good{
    "ImagePullBackOff",     "InvalidImageName",  "ErrImageNeverPull", "CreateContainerConfigError",
    "CreateContainerError", "RunContainerError", "CrashLoopBackOff"};

WorkerState running_state(const Pod& pod, const PodWorker& known, bool readiness_is_claim, Time now, std::string& why) {
  const Container* const container = pod.worker();
  if (!pod.ready) {
    if (container != nullptr && container->state == Container::State::waiting) {
      why = reason_with(container->reason, container->message);
      const bool broken = std::ranges::find(broken_for_good, container->reason) != broken_for_good.end();
      return broken ? WorkerState::failing : WorkerState::starting;
    }
    why = known.was_ready
              ? "it is not ready any more"
              : (container != nullptr && container->state == Container::State::running ? "it runs and is not ready yet"
                                                                                       : "its node prepares it");
    return known.was_ready ? WorkerState::unknown : WorkerState::starting;
  }
  if (known.words && (known.silent_n == 0 || now - known.words_at <= words_for)) {
    return known.words->state;
  }
  if (known.words) {
    why = fmt::format("no answer from it for {}", humane_duration(now - known.words_at));
    return WorkerState::unknown;
  }
  if (readiness_is_claim) {
    return WorkerState::ready;
  }
  why = "it runs, and does not say whether it takes messages";
  return WorkerState::starting;
}

aio::Task<void> ask(Cluster* cluster, Question* answer, aio::Deadline deadline) {
  aio::http::Request request{.target = "/worker"};
  const Result<aio::http::Response> response =
      co_await cluster->workers().send(answer->url, std::move(request), deadline);
  answer->at = cluster->clock().now();
  // 503: one that has drained and waits to be taken away, which must not look ready.
  if (response && (response->status == 200 || response->status == 503)) {
    answer->words = fleet::parse_words(response->body);
  }
}

}  // namespace

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

std::string reason_with(std::string_view reason, std::string_view message) {
  return message.empty() ? std::string(reason) : fmt::format("{}: {}", reason, fleet::last_line(message));
}

std::string worker_url(const Pod& pod) {
  return fmt::format(fmt::runtime(pod.ip.contains(':') ? "http://[{}]:{}" : "http://{}:{}"), pod.ip, worker_port);
}

void PodWorker::enter(WorkerState now_in, Time now) {
  if (state != now_in) {
    state = now_in;
    since = now;
  }
}

void PodWorker::note_end(const Pod& pod, Time now) {
  const Container* const container = pod.worker();
  const bool terminated = container != nullptr && container->state == Container::State::terminated;
  if (!terminated && !pod.ended()) {
    return;
  }
  ended_at = ended_at.value_or(now);
  if (pod.node.empty()) {
    return;  // it never ran, so there is no how
  }
  fleet::EndFacts facts{.was_ready = was_ready};
  facts.from_outside =
      !pod.disrupted.empty() ||
      is_one_of(pod.reason, {"Evicted", "NodeLost", "NodeShutdown", "Preempting", "DeadlineExceeded", "Terminated",
                             "NodeAffinity", "UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods"});
  end_why = reason_with(pod.reason, pod.message);
  if (terminated) {
    facts.exit_code = container->exit_code;
    const bool by_signal = container->exit_code > 128 && container->exit_code < 160 && container->reason != "OOMKilled";
    facts.signal = by_signal ? container->exit_code - 128 : 0;
    if (container->started && container->finished) {
      facts.ran = *container->finished - *container->started;
    }
    const std::optional<fleet::WorkerWords> last = fleet::parse_words(container->message);
    facts.settled = last ? last->settled : words ? words->settled : 0;
    tally = last ? last->tally : nullptr;
    const std::string said = fleet::last_line(last ? last->reason : container->message);
    const std::string how =
        container->reason.empty() || container->reason == "Error" || container->reason == "Completed"
            ? fmt::format("exit {}", container->exit_code)
            : fmt::format("{}, exit {}", container->reason, container->exit_code);
    end_why = said.empty() ? how : fmt::format("{}: {}", how, said);
  }
  end = facts;
}

WorkerState pod_state(const Pod& pod, const PodWorker& worker, bool readiness_is_claim, Time now, std::string& why) {
  if (pod.phase == Pod::Phase::unknown || pod.reason == "NodeLost") {
    why = fmt::format("node {} does not answer", pod.node);
    return WorkerState::unknown;
  }
  if (pod.node.empty()) {
    why = pod.unscheduled_message.empty() ? "waits for the scheduler" : fleet::last_line(pod.unscheduled_message);
    return pod.unscheduled_reason == "SchedulingGated" ? WorkerState::suspended : WorkerState::unscheduled;
  }
  return running_state(pod, worker, readiness_is_claim, now, why);
}

aio::Task<void> ask_all(Cluster& cluster, std::vector<Question>& questions, aio::Deadline deadline) {
  for (std::size_t begin = 0; begin < questions.size(); begin += asked_at_once) {
    const std::size_t end = std::min(questions.size(), begin + asked_at_once);
    const aio::Deadline limit = deadline.earlier(cluster.clock().in(answer_timeout));
    aio::TaskGroup group(cluster.loop(), cluster.clock());
    for (std::size_t i = begin; i < end; ++i) {
      group.spawn(ask(&cluster, &questions[i], limit));
    }
    co_await group.join();
  }
}

void hear(PodWorker& worker, const Question& question, Time now, WallTime wall) {
  if (!question.words) {
    ++worker.silent_n;
    const Duration again = std::min<Duration>(ask_silent_max, 1s * (1 << std::min(worker.silent_n - 1, 9)));
    worker.ask_at = now + (worker.words ? std::min<Duration>(again, 1s) : again);
    return;
  }
  worker.silent_n = 0;
  worker.words = question.words;
  worker.words_at = question.at;
  const bool busy = question.words->state == WorkerState::busy;
  if (!worker.claimed_at && (question.words->first_claim_at || busy)) {
    const auto ago =
        question.words->first_claim_at ? wall - *question.words->first_claim_at : std::chrono::milliseconds{0};
    worker.claimed_at = std::clamp<Time>(question.at - ago, worker.first_seen, question.at);
  }
  worker.ask_at = worker.claimed_at ? question.at + ask_busy_each : question.at;
}

aio::Task<Result<std::string>> full_event(Cluster& cluster, std::string space, std::string uid,
                                          aio::Deadline deadline) {
  std::string path = fmt::format("/api/v1/namespaces/{}/events", space);
  add_parameter(path, "fieldSelector", "involvedObject.uid=" + uid);
  Note last;
  TakeItem take = [&last](std::string_view item) {
    Result<Note> note = read_note(item);
    const bool tells = note && is_one_of(note->reason, {"FailedCreate", "NotTriggerScaleUp", "TriggeredScaleUp"});
    if (tells && (!last.at || *last.at <= note->at.value_or(*last.at))) {
      last = std::move(*note);
    }
    return Result<void>{};
  };
  const Result<ListHead> head = co_await cluster.api().list(std::move(path), std::move(take), deadline);
  if (!head) {
    co_return head.error();
  }
  co_return last.reason.empty() || last.reason == "TriggeredScaleUp" ? "" : fleet::last_line(last.message);
}

}  // namespace sluice::kube
