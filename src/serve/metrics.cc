// SPDX-License-Identifier: Apache-2.0
#include "serve/metrics.h"

#include <fmt/core.h>

#include <array>

#include "model/json.h"

namespace sluice::serve {
namespace {

using model::Word;

struct Metric {
  std::string_view name, type, unit, labels, help;
  void (*write)(Exposition&, const Board&, Time);
};

Labels labels_of(const PoolWatch& pool) {
  return {{"namespace", pool.space()}, {"pool", pool.name()}};
}

Labels labels_of(const PoolWatch& pool, std::string_view key, std::string_view value) {
  return {{"namespace", pool.space()}, {"pool", pool.name()}, {key, value}};
}

template <class Write>
void each_pool(const Board& board, const Write& write) {
  for (const auto& [id, pool] : board.pools()) {
    write(*pool);
  }
}

// Of the pools that have ticked.
template <class Write>
void each_ticked(const Board& board, const Write& write) {
  each_pool(board, [&](const PoolWatch& pool) {
    if (pool.last() != nullptr) {
      write(pool, *pool.last());
    }
  });
}

// What was `age_ms` old when it was seen, now.
std::int64_t age_now(const control::Snapshot& last, std::int64_t age_ms, Time now) {
  return std::max<std::int64_t>(0, to_ms(now) - last.seen.at_ms) + age_ms;
}

void queue_messages(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    const model::SeenQueue& queue = last.seen.queue;
    const std::pair<std::string_view, const std::optional<model::SeenCount>*> kinds[] = {
        {"ready", &queue.ready},
        {"in_flight", &queue.in_flight},
        {"total", &queue.total},
        {"delayed", &queue.delayed},
        {"dead", &queue.dead}};
    for (const auto& [kind, seen] : kinds) {
      if (*seen) {
        out.value(labels_of(pool, "kind", kind), (*seen)->n);
      }
    }
  });
}

void queue_consumers(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    if (last.seen.queue.consumers) {
      out.value(labels_of(pool), last.seen.queue.consumers->n);
    }
  });
}

void queue_published(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    if (last.seen.queue.published_n) {
      out.value(labels_of(pool), last.seen.queue.published_n->n);
    }
  });
}

void queue_acknowledged(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    if (last.seen.queue.acked_n) {
      out.value(labels_of(pool), last.seen.queue.acked_n->n);
    }
  });
}

void queue_sample_age(Exposition& out, const Board& board, Time now) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    if (last.seen.queue.ready) {
      out.seconds(labels_of(pool), age_now(last, last.seen.queue.ready->age_ms, now));
    }
  });
}

void oldest_message(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    if (const auto& oldest = last.seen.queue.oldest_age) {
      out.seconds(labels_of(pool, "kind", model::word(oldest->kind)), oldest->ms);
    }
  });
}

void pool_accepted(Exposition& out, const Board& board, Time /*now*/) {
  each_pool(board, [&](const PoolWatch& pool) { out.value(labels_of(pool), pool.accepted() ? 1 : 0); });
}

void pool_workers(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    for (std::size_t i = 0; i < model::worker_states && pool.workers_known(); ++i) {
      out.value(labels_of(pool, "state", model::word(static_cast<model::WorkerState>(i))), last.seen.workers[i]);
    }
  });
}

void workers_age(Exposition& out, const Board& board, Time now) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    if (pool.workers_known()) {
      out.seconds(labels_of(pool), age_now(last, *last.seen.fleet.age_ms, now));
    }
  });
}

void desired_workers(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    out.value(labels_of(pool), last.decision.workers);
  });
}

void max_workers(Exposition& out, const Board& board, Time /*now*/) {
  each_pool(board, [&](const PoolWatch& pool) {
    if (pool.accepted()) {
      out.value(labels_of(pool), pool.max());
    }
  });
}

void capacity_full(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot& last) {
    if (pool.workers_known()) {
      out.value(labels_of(pool), last.seen.fleet.capacity == model::Room::full ? 1 : 0);
    }
  });
}

void decisions(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot&) {
    for (std::size_t i = 0; i < decision_words; ++i) {
      const auto word = static_cast<Word>(i);
      out.value(labels_of(pool, "word", model::word(word)), pool.decisions(word));
    }
  });
}

void unrecorded(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board,
              [&](const PoolWatch& pool, const control::Snapshot&) { out.value(labels_of(pool), pool.unrecorded()); });
}

void ticks(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board,
              [&](const PoolWatch& pool, const control::Snapshot&) { out.value(labels_of(pool), pool.ticks()); });
}

void tick_duration(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot&) {
    out.histogram(labels_of(pool), pool.tick_durations());
  });
}

void worker_starts(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(board, [&](const PoolWatch& pool, const control::Snapshot&) {
    out.value(labels_of(pool, "outcome", "started"), pool.starts().started);
    out.value(labels_of(pool, "outcome", "failed"), pool.starts().failed);
    out.value(labels_of(pool, "outcome", "refused"), pool.starts().refused);
  });
}

void worker_startup(Exposition& out, const Board& board, Time /*now*/) {
  each_ticked(
      board, [&](const PoolWatch& pool, const control::Snapshot&) { out.histogram(labels_of(pool), pool.startups()); });
}

// Of the pools whose workers have said something.
template <class Write>
void each_told(const Board& board, const Write& write) {
  each_pool(board, [&](const PoolWatch& pool) {
    if (pool.messages_known()) {
      write(pool);
    }
  });
}

void messages(Exposition& out, const Board& board, Time /*now*/) {
  each_told(board, [&](const PoolWatch& pool) {
    const model::Tally& sum = pool.messages();
    out.value(labels_of(pool, "outcome", "done"), sum.done);
    out.value(labels_of(pool, "outcome", "retried"), sum.retried);
    out.value(labels_of(pool, "outcome", "failed"), sum.failed);
    out.value(labels_of(pool, "outcome", "dead_lettered"), sum.dead_lettered);
    out.value(labels_of(pool, "outcome", "requeued"), sum.requeued);
  });
}

void message_wait(Exposition& out, const Board& board, Time /*now*/) {
  each_told(board, [&](const PoolWatch& pool) { out.histogram(labels_of(pool), pool.waits()); });
}

void message_work(Exposition& out, const Board& board, Time /*now*/) {
  each_told(board, [&](const PoolWatch& pool) { out.histogram(labels_of(pool), pool.works()); });
}

void loop_stall(Exposition& out, const Board& board, Time /*now*/) {
  out.histogram({}, board.stalls());
}

void requests(Exposition& out, const Board& board, Time /*now*/) {
  for (const auto& [key, n] : board.requests()) {
    out.value({{"target", key.first}, {"code", key.second}}, n);
  }
}

void ring_bytes(Exposition& out, const Board& board, Time /*now*/) {
  out.value({}, static_cast<std::int64_t>(board.ring().bytes()));
}

void leader(Exposition& out, const Board& board, Time /*now*/) {
  out.value({}, board.standing_by().empty() ? 1 : 0);
}

void build_info(Exposition& out, const Board& board, Time /*now*/) {
  out.value({{"version", board.options().version}, {"role", board.options().role}}, 1);
}

constexpr std::string_view per_pool = "namespace, pool";

// The order of /metrics and of the page.
constexpr std::array metrics{
    Metric{"sluice_queue_messages", "gauge", "messages", "namespace, pool, kind",
           "Messages by kind: ready (nobody has it), in_flight (delivered, not settled), total, delayed, dead.",
           queue_messages},
    Metric{"sluice_queue_consumers", "gauge", "consumers", per_pool, "Consumers that the broker counts.",
           queue_consumers},
    Metric{"sluice_queue_published_total", "counter", "messages", per_pool,
           "Messages ever published to the queue, as its broker counts.", queue_published},
    Metric{"sluice_queue_acknowledged_total", "counter", "messages", per_pool,
           "Messages ever acknowledged, as its broker counts.", queue_acknowledged},
    Metric{"sluice_queue_sample_age_seconds", "gauge", "seconds", per_pool,
           "How old the number of ready messages is, now.", queue_sample_age},
    Metric{"sluice_queue_oldest_message_age_seconds", "gauge", "seconds", "namespace, pool, kind",
           "Age of the oldest waiting message; kind says how it is known: exact, reported, estimate, bound.",
           oldest_message},
    Metric{"sluice_pool_accepted", "gauge", "0 or 1", per_pool, "0: the pool cannot be scaled; status says why.",
           pool_accepted},
    Metric{"sluice_pool_workers", "gauge", "workers", "namespace, pool, state",
           "Workers by state; all of them count against max.", pool_workers},
    Metric{"sluice_pool_workers_age_seconds", "gauge", "seconds", per_pool, "How old the number of workers is, now.",
           workers_age},
    Metric{"sluice_pool_desired_workers", "gauge", "workers", per_pool,
           "Workers wanted by the last decision, after every clamp.", desired_workers},
    Metric{"sluice_pool_max_workers", "gauge", "workers", per_pool, "workers.max of the pool.", max_workers},
    Metric{"sluice_pool_capacity_full", "gauge", "0 or 1", per_pool,
           "1: there is no place for another worker, and none is on its way.", capacity_full},
    Metric{"sluice_decisions_total", "counter", "decisions", "namespace, pool, word",
           "Decisions by the first word of their reason.", decisions},
    Metric{"sluice_decisions_unrecorded_total", "counter", "ticks", per_pool,
           "Ticks whose decision the journal could not take; nothing was done in them.", unrecorded},
    Metric{"sluice_ticks_total", "counter", "ticks", per_pool, "Looks at the pool.", ticks},
    Metric{"sluice_tick_duration_seconds", "histogram", "seconds", per_pool,
           "How long a tick took: reading, deciding and acting.", tick_duration},
    Metric{"sluice_worker_starts_total", "counter", "workers", "namespace, pool, outcome",
           "Workers by how their start went: started, failed (ended before), refused (the fleet took none).",
           worker_starts},
    Metric{"sluice_worker_startup_seconds", "histogram", "seconds", per_pool,
           "From asking for a worker until it took messages.", worker_startup},
    Metric{"sluice_messages_total", "counter", "messages", "namespace, pool, outcome",
           "Settled deliveries by outcome, as the workers say: done, retried, failed, dead_lettered, requeued.",
           messages},
    Metric{"sluice_message_wait_seconds", "histogram", "seconds", per_pool,
           "From publish to the first delivery, as the workers say.", message_wait},
    Metric{"sluice_message_work_seconds", "histogram", "seconds", per_pool,
           "How long a handler ran, as the workers say.", message_work},
    Metric{"sluice_loop_stall_seconds", "histogram", "seconds", "",
           "How late the event loop was, looked at ten times a second; more than 0.25 is a bug.", loop_stall},
    Metric{"sluice_requests_total", "counter", "requests", "target, code",
           "Requests made: to the API server (target kubernetes, code the status, none without an answer), readings of "
           "queues (target queue, code ok or error).",
           requests},
    Metric{"sluice_journal_ring_bytes", "gauge", "bytes", "", "Journal lines kept in memory for explain.", ring_bytes},
    Metric{"sluice_leader", "gauge", "0 or 1", "", "1: this process acts on its pools.", leader},
    Metric{"sluice_build_info", "gauge", "1", "version, role", "Always 1; its labels say what runs.", build_info},
};

}  // namespace

std::string metrics_text(const Board& board, Time now) {
  Exposition out;
  for (const Metric& metric : metrics) {
    out.family(metric.name, metric.type, metric.help);
    metric.write(out, board, now);
  }
  return out.take();
}

std::string metrics_page() {
  std::string out =
      "# Metrics\n\n"
      "Generated by `sluice man --markdown metrics` from the code that writes them; a test compares. `sluice "
      "controller` serves\n"
      "them at `/metrics` on port 7171, `sluice scale` where `--listen` says. The format is Prometheus' text, version "
      "0.0.4.\n\n"
      "**What is unknown has no series.** A queue that cannot be read, a worker count that is too old, a number that "
      "the "
      "broker\n"
      "does not give: absent, never 0. Alert on what must not be missing with `absent()`, or on\n"
      "`sluice_decisions_total{word=\"blind\"}`. The series of a pool end when the pool is gone.\n\n"
      "Of several controllers of one lease only the one that acts shows pools: `sluice_leader` is 1 there. Counters "
      "begin "
      "at 0\n"
      "when a process takes a pool on.\n\n"
      "| metric | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const Metric& metric : metrics) {
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", metric.name, metric.type, metric.unit, metric.labels,
                       metric.help);
  }
  return out;
}

}  // namespace sluice::serve
