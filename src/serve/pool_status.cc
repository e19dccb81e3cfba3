// SPDX-License-Identifier: Apache-2.0
#include "serve/pool_status.h"

#include <fmt/core.h>

#include <numeric>

#include "model/json.h"

namespace sluice::serve {
namespace {

std::string number(const std::optional<PoolStatus::Count>& count) {
  return count ? std::to_string(count->n) : "null";
}

std::string number(const std::optional<std::int64_t>& n) {
  return n ? std::to_string(*n) : "null";
}

std::string rate(const std::optional<double>& per_s) {
  return per_s ? fmt::format("{:.3f}", *per_s) : "null";
}

std::string seconds(const std::optional<std::int64_t>& ms) {
  return ms ? fmt::format("{}.{:03}", *ms / 1000, *ms % 1000) : "null";
}

std::string text_or_null(std::string_view text) {
  std::string out;
  if (text.empty()) {
    return "null";
  }
  model::append_json_string(out, text);
  return out;
}

void append_workers(std::string& out, const PoolStatus& status) {
  if (!status.workers) {
    out += "null";
    return;
  }
  out += fmt::format("{{\"live\":{}", *status.live());
  for (std::size_t i = 0; i < model::worker_states; ++i) {
    out += fmt::format(",\"{}\":{}", model::word(static_cast<model::WorkerState>(i)), (*status.workers)[i]);
  }
  out += '}';
}

}  // namespace

std::optional<std::int64_t> PoolStatus::live() const {
  return workers ? std::optional(std::accumulate(workers->begin(), workers->end(), std::int64_t{0})) : std::nullopt;
}

std::string PoolStatus::name() const {
  return pool.substr(pool.find('/') + 1);  // npos + 1 is 0
}

bool needs_a_person(std::string_view state, const std::optional<PoolStatus::Count>& dead, bool errors) {
  return state == "blind" || state == "broken" || state == "full" || (dead && dead->n > 0) || errors;
}

std::string to_json(const PoolStatus& status) {
  std::string out = R"({"event":"pool","pool":)";
  model::append_json_string(out, status.pool);
  out += fmt::format(R"(,"at":"{}","state":)", format_wall(status.at));
  model::append_json_string(out, status.state);
  out += fmt::format(R"(,"ready":{},"in_flight":{},"total":{},"delayed":{},"dead":{})", number(status.ready),
                     number(status.in_flight), number(status.total), number(status.delayed), number(status.dead));
  out += fmt::format(R"(,"sample_age_s":{},"stale_after_s":{})", seconds(status.sample_age_ms),
                     seconds(status.stale_after_ms));
  out += fmt::format(R"(,"oldest_age_s":{},"oldest_age_kind":{})", seconds(status.oldest_age_ms),
                     text_or_null(status.oldest_kind));
  out += fmt::format(R"(,"published_n":{},"acked_n":{},"in_per_s":{},"out_per_s":{},"workers":)",
                     number(status.published_n), number(status.acked_n), rate(status.in_per_s), rate(status.out_per_s));
  append_workers(out, status);
  out += fmt::format(R"(,"desired":{},"max":{},"why":)", number(status.desired), number(status.max));
  model::append_json_string(out, status.why);
  out += fmt::format(R"(,"tick":{},"decided_s_ago":{},"scaler":)", text_or_null(status.tick),
                     seconds(status.decided_ms_ago));
  out += status.scaler
             ? fmt::format(R"({{"pid":{},"since":"{}"}})", status.scaler->pid, format_wall(status.scaler->since))
             : "null";
  out += fmt::format(",\"needs_you\":{},\"errors\":[", status.needs_you);
  for (const std::string& error : status.errors) {
    out += out.back() == '[' ? "" : ",";
    model::append_json_string(out, error);
  }
  return out + "]}";
}

std::string to_json(const Answer& answer, WallTime at) {
  std::string out = fmt::format(R"({{"v":1,"at":"{}","role":)", format_wall(at));
  model::append_json_string(out, answer.role);
  out += ",\"version\":";
  model::append_json_string(out, answer.version);
  out += fmt::format(R"(,"installation":{},"pools":[)", text_or_null(answer.installation));
  const char* comma = "";
  for (const PoolStatus& status : answer.pools) {
    out += comma + to_json(status);
    comma = ",";
  }
  return out + "]}\n";
}

}  // namespace sluice::serve
