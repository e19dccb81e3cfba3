// SPDX-License-Identifier: Apache-2.0
#include "model/json.h"

#include <array>
#include <charconv>

#include "base/log.h"

namespace sluice::model {
namespace {

void number(std::string& out, std::int64_t n) {
  std::array<char, 24> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), n).ptr;
  out.append(buffer.data(), end);
}

void key(std::string& out, std::string_view name) {
  if (out.back() != '{') {
    out += ',';
  }
  out += '"';
  out += name;
  out += "\":";
}

void field(std::string& out, std::string_view name, std::int64_t n) {
  key(out, name);
  number(out, n);
}

void field(std::string& out, std::string_view name, std::string_view text) {
  key(out, name);
  append_json_string(out, text);
}

void field(std::string& out, std::string_view name, const std::optional<std::string>& text) {
  key(out, name);
  if (text) {
    append_json_string(out, *text);
  } else {
    out += "null";
  }
}

void field(std::string& out, std::string_view name, const std::optional<std::int64_t>& n) {
  key(out, name);
  if (n) {
    number(out, *n);
  } else {
    out += "null";
  }
}

void field(std::string& out, std::string_view name, const std::optional<SeenCount>& count) {
  key(out, name);
  if (!count) {
    out += "null";
    return;
  }
  out += "{\"n\":";
  number(out, count->n);
  out += ",\"age_ms\":";
  number(out, count->age_ms);
  out += '}';
}

void queue_json(std::string& out, const SeenQueue& queue) {
  out += '{';
  field(out, "ready", queue.ready);
  field(out, "in_flight", queue.in_flight);
  field(out, "total", queue.total);
  field(out, "delayed", queue.delayed);
  field(out, "dead", queue.dead);
  field(out, "consumers", queue.consumers);
  key(out, "oldest_age");
  if (queue.oldest_age) {
    out += '{';
    field(out, "ms", queue.oldest_age->ms);
    field(out, "kind", word(queue.oldest_age->kind));
    field(out, "age_ms", queue.oldest_age->age_ms);
    out += '}';
  } else {
    out += "null";
  }
  field(out, "published_n", queue.published_n);
  field(out, "acked_n", queue.acked_n);
  if (queue.workers_max) {
    field(out, "workers_max", *queue.workers_max);
  }
  field(out, "error", queue.error);
  out += '}';
}

void slots_json(std::string& out, std::string_view name, const std::vector<int>& slots) {
  key(out, name);
  out += '[';
  for (const int slot : slots) {
    if (out.back() != '[') {
      out += ',';
    }
    number(out, slot);
  }
  out += ']';
}

}  // namespace

std::string_view word(AgeKind kind) {
  switch (kind) {
    case AgeKind::exact:
      return "exact";
    case AgeKind::reported:
      return "reported";
    case AgeKind::estimate:
      return "estimate";
    case AgeKind::bound:
      return "bound";
  }
  return "bound";
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  out += json_escape(text);
  out += '"';
}

void append_json(std::string& out, const Observation& seen) {
  out += '{';
  key(out, "queue");
  queue_json(out, seen.queue);
  key(out, "workers");
  out += '{';
  for (std::size_t i = 0; i < worker_states; ++i) {
    field(out, word(static_cast<WorkerState>(i)), seen.workers[i]);
  }
  out += '}';
  key(out, "fleet");
  out += '{';
  field(out, "age_ms", seen.fleet.age_ms);
  field(out, "error", seen.fleet.error);
  field(out, "capacity", word(seen.fleet.capacity));
  field(out, "why", std::string_view(seen.fleet.why));
  field(out, "claim", word(seen.fleet.claim));
  if (seen.fleet.hold) {
    field(out, "hold", seen.fleet.hold);
  }
  if (seen.fleet.deaf != 0) {
    field(out, "deaf", seen.fleet.deaf);
  }
  out += '}';
  key(out, "waiting");
  out += '[';
  for (const SeenWaiting& waiting : seen.waiting) {
    out += out.back() == '[' ? "{" : ",{";
    field(out, "worker", std::string_view(waiting.worker));
    field(out, "state", word(waiting.state));
    field(out, "why", std::string_view(waiting.why));
    field(out, "for_ms", waiting.for_ms);
    out += '}';
  }
  out += ']';
  key(out, "starts");
  out += '{';
  field(out, "last_ms_ago", seen.starts.last_ms_ago);
  field(out, "failed_in_a_row", seen.starts.failed_in_a_row);
  field(out, "ready_ms_ago", seen.starts.ready_ms_ago);
  field(out, "ended", seen.starts.ended);
  field(out, "failed", seen.starts.failed);
  field(out, "why", std::string_view(seen.starts.why));
  out += "}}";
}

void append_json(std::string& out, const Decision& decision) {
  out += '{';
  field(out, "workers", decision.workers);
  field(out, "change", decision.change);
  field(out, "reason", std::string_view(decision.reason));
  key(out, "clamps");
  out += '[';
  for (const Clamp& clamp : decision.clamps) {
    out += out.back() == '[' ? "{" : ",{";
    field(out, "by", std::string_view(clamp.by));
    field(out, "from", clamp.from);
    field(out, "to", clamp.to);
    out += '}';
  }
  out += "]}";
}

void append_json(std::string& out, const Plan& plan) {
  out += '{';
  slots_json(out, "start", plan.start);
  slots_json(out, "withdraw", plan.withdraw);
  slots_json(out, "drain", plan.drain);
  out += '}';
}

}  // namespace sluice::model
