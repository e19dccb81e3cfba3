// SPDX-License-Identifier: Apache-2.0
#include "pool/pool.h"

#include <fmt/core.h>

#include "pool/reader.h"
#include "pool/text.h"

namespace sluice::pool {
namespace {

constexpr Field root_field{.doc = "", .required = true};

// Reads the whole tree as one T; empty after any problem.
template <class T>
std::optional<T> read_root(const std::optional<Node>& tree, Report& report,
                           const std::vector<std::string>& passed = {}) {
  if (!tree) {
    return std::nullopt;
  }
  T out;
  const std::string path = "$";
  read_object(Spot{*tree, path, root_field, report}, out, passed);
  return report.empty() ? std::optional(std::move(out)) : std::nullopt;
}

std::optional<Node> json_tree(std::string_view text, Report& report) {
  return check_text(text, true, report) ? read_json_tree(text, report) : std::nullopt;
}

}  // namespace

Parsed parse_pool(std::string_view text) {
  Report report;
  Parsed parsed;
  if (std::optional<PoolFile> file = read_root<PoolFile>(read_tree(text, report), report)) {
    Metadata& metadata = file->metadata;
    parsed.pool = Pool{std::move(metadata.name), std::move(metadata.namespace_), std::move(metadata.labels),
                       std::move(metadata.annotations), std::move(file->spec)};
  }
  parsed.problems = report.take();
  return parsed;
}

ParsedQueues parse_queues(std::string_view text) {
  Report report;
  ParsedQueues parsed;
  if (std::optional<QueuesFile> file = read_root<QueuesFile>(read_tree(text, report), report)) {
    parsed.queues = std::move(file->queues);
  }
  parsed.problems = report.take();
  return parsed;
}

ParsedPolicy parse_policy_json(std::string_view text, const std::vector<std::string>& other_keys) {
  Report report;
  report.rivals = true;
  ParsedPolicy parsed;
  if (std::optional<PolicyInput> input = read_root<PolicyInput>(json_tree(text, report), report, other_keys)) {
    parsed.policy = std::move(input->policy);
    parsed.workers = std::move(input->workers);
  }
  parsed.problems = report.take();
  return parsed;
}

ParsedQueue parse_queue_json(std::string_view text) {
  Report report;
  ParsedQueue parsed;
  if (std::optional<QueueInput> input = read_root<QueueInput>(json_tree(text, report), report)) {
    parsed.queue = std::move(input->queue);
    parsed.dead_letter = std::move(input->dead_letter);
    parsed.retry = std::move(input->retry);
  }
  parsed.problems = report.take();
  return parsed;
}

Result<PoolSpec> spec_from_json(std::string_view text) {
  Report report;
  report.rivals = true;  // a journal may be the simulator's
  std::optional<PoolSpec> spec = read_root<PoolSpec>(json_tree(text, report), report);
  if (spec) {
    return std::move(*spec);
  }
  const std::vector<Problem> problems = report.take();
  const Problem& first = problems.front();
  const std::string more = problems.size() > 1 ? fmt::format(" (and {} more)", problems.size() - 1) : "";
  return Error{Code::invalid, fmt::format("{}: {}; accepted: {}{}", first.path, first.found, first.accepted, more)};
}

}  // namespace sluice::pool
