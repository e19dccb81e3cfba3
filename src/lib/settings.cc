// SPDX-License-Identifier: Apache-2.0
#include "lib/settings.h"

#include <fmt/core.h>

#include <filesystem>
#include <utility>

#include "base/number.h"
#include "pool/pool.h"
#include "worker/endpoint.h"

namespace sluice::lib {

namespace {

// A thread a message beyond this is a mistake of units; `sluice work` has the same limit.
constexpr std::int64_t concurrency_max = 1000;

struct Problems {
  void add(std::string line) { text += (text.empty() ? "" : "\n") + std::move(line); }
  std::string text;
};

void read_queue(const std::string& text, const std::string& where, const std::string& folder, Settings& out,
                Problems& problems) {
  if (text.starts_with("{")) {
    const pool::ParsedQueue parsed = pool::parse_queue_json(text);
    for (const pool::Problem& problem : parsed.problems) {
      problems.add(pool::render(problem, where));
    }
    if (!parsed.problems.empty() || !parsed.queue) {
      return;
    }
    out.queue = {.queue = *parsed.queue, .dead_letter = parsed.dead_letter, .retry = parsed.retry};
    out.runtime.dead_letter_after = static_cast<std::uint32_t>(parsed.dead_letter.after);
    out.runtime.retry_delays = parsed.retry.delays;
    if (const auto* const rabbit = std::get_if<pool::RabbitQueue>(&*parsed.queue)) {
      out.runtime.body_max = static_cast<std::size_t>(rabbit->max_body.n);
    }
  } else {
    out.queue.queue = pool::LocalQueue{.path = text};
  }
  wiring::make_absolute(out.queue.queue, folder);
}

void read_duration(const Environment& environment, const std::string& name, bool or_never, std::optional<Duration>& out,
                   Problems& problems) {
  const std::optional<std::string> text = environment(name);
  if (!text || (or_never && *text == "never")) {
    return;
  }
  const Result<Duration> parsed = parse_duration(*text);
  if (parsed) {
    out = *parsed;
  } else {
    const char* accepted = or_never ? "a duration such as 10s, or never" : "a duration such as 90s";
    problems.add(fmt::format("{}: \"{}\"; accepted is {}", name, *text, accepted));
  }
}

std::optional<std::int64_t> read_count(const Environment& environment, const std::string& name, std::int64_t max,
                                       Problems& problems) {
  const std::optional<std::string> text = environment(name);
  if (!text) {
    return std::nullopt;
  }
  const std::optional<std::int64_t> n = parse_number<std::int64_t>(*text);
  if (!n || *n < 1 || *n > max) {
    problems.add(fmt::format("{}: \"{}\"; accepted is 1 to {}", name, *text, max));
    return std::nullopt;
  }
  return n;
}

}  // namespace

Result<Settings> read_settings(const WorkerOptions& options, const Environment& environment, const std::string& folder,
                               const std::string& default_name) {
  Settings out;
  Problems problems;
  const std::optional<std::string> inherited = environment("SLUICE_QUEUE");
  if (!options.queue.empty()) {
    read_queue(options.queue, "WorkerOptions::queue", folder, out, problems);
  } else if (inherited && !inherited->empty()) {
    read_queue(*inherited, "SLUICE_QUEUE", folder, out, problems);
  } else {
    problems.add("no queue: set SLUICE_QUEUE, as a scaler does, or WorkerOptions::queue to the file of a local queue");
  }

  out.secrets = wiring::absolute(folder, environment("SLUICE_SECRETS").value_or("secrets"));
  out.runtime.worker = !options.name.empty() ? options.name : environment("SLUICE_WORKER").value_or(default_name);
  if (options.concurrency < 0 || options.concurrency > concurrency_max) {
    problems.add(
        fmt::format("WorkerOptions::concurrency: {}; accepted is 1 to {}", options.concurrency, concurrency_max));
  }
  const std::optional<std::int64_t> together = read_count(environment, "SLUICE_CONCURRENCY", concurrency_max, problems);
  out.runtime.concurrency =
      static_cast<std::size_t>(options.concurrency > 0 ? options.concurrency : together.value_or(1));

  read_duration(environment, "SLUICE_IDLE_EXIT", true, out.runtime.idle_exit, problems);
  read_duration(environment, "SLUICE_MAX_RUNTIME", false, out.runtime.max_runtime, problems);
  out.runtime.idle_exit = options.idle_exit ? std::optional<Duration>(*options.idle_exit) : out.runtime.idle_exit;
  out.runtime.max_runtime =
      options.max_runtime ? std::optional<Duration>(*options.max_runtime) : out.runtime.max_runtime;
  out.runtime.grace = options.grace;
  const bool negative = options.grace.count() < 0 || options.idle_exit.value_or(options.grace).count() < 0 ||
                        options.max_runtime.value_or(options.grace).count() < 0;
  if (negative) {
    problems.add("WorkerOptions: grace, idle_exit and max_runtime are 0 or more");
  }

  if (const auto port = read_count(environment, "SLUICE_WORKER_PORT", 65535, problems)) {
    out.port = static_cast<std::uint16_t>(*port);
  }
  if (!problems.text.empty()) {
    return Error{Code::invalid, problems.text};
  }
  return out;
}

}  // namespace sluice::lib
