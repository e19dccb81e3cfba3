// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reading, writing and explaining pool files. All of it comes from one definition (pool/definition.h).
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "pool/problem.h"
#include "pool/types.h"

namespace sluice::pool {

// A pool, or everything that is wrong with the text, in the order of its lines; never both, never neither.
struct Parsed {
  std::optional<Pool> pool;
  std::vector<Problem> problems;
};

// Reads a WorkerPool from YAML or, when the first character is "{", from strict JSON. Never throws, expands nothing,
// and needs little stack whatever the text holds.
[[nodiscard]] Parsed parse_pool(std::string_view text);

// "$.policy" and "$.workers" of one JSON object, in the syntax of a pool's spec.
struct ParsedPolicy {
  std::optional<Policy> policy;
  std::optional<Workers> workers;
  std::vector<Problem> problems;
};
// `other_keys` are left to the caller; further keys are problems.
[[nodiscard]] ParsedPolicy parse_policy_json(std::string_view text, const std::vector<std::string>& other_keys = {});

// The queue and what belongs to it from one JSON object {"queue":{..},"deadLetter":{..},"retry":{..}}: SLUICE_QUEUE.
struct ParsedQueue {
  std::optional<Queue> queue;
  DeadLetter dead_letter;
  Retry retry;
  std::vector<Problem> problems;
};
[[nodiscard]] ParsedQueue parse_queue_json(std::string_view text);

// The queues of `sluice adapter --queues FILE`, YAML or JSON as a pool's file.
struct ParsedQueues {
  std::vector<WatchedQueue> queues;  // empty after any problem
  std::vector<Problem> problems;
};
[[nodiscard]] ParsedQueues parse_queues(std::string_view text);

// A spec alone, as to_json() wrote it into a journal. The error names the first problem, its path beginning with "$",
// and how many more there are.
[[nodiscard]] Result<PoolSpec> spec_from_json(std::string_view text);

// Canonical: compact, fixed order, defaults written out, what is not said left out. parse(to_json(x)) == x.
[[nodiscard]] std::string to_json(const PoolSpec& spec);
[[nodiscard]] std::string to_json(const Pool& pool);
[[nodiscard]] std::string to_json(const Queue& queue);
// The text of parse_queue_json; holds no credentials, since a pool never does.
[[nodiscard]] std::string queue_json(const PoolSpec& spec);
// 16 hexadecimal digits that change when the spec does; the second takes what to_json() gave.
[[nodiscard]] std::string spec_hash(const PoolSpec& spec);
[[nodiscard]] std::string spec_hash(std::string_view spec_json);

// JSON schema (draft 2020-12) of a pool file, with the rules between fields as CEL in x-kubernetes-validations.
[[nodiscard]] std::string json_schema();
// The CustomResourceDefinition, by which an API server judges pools as parse_pool() does: one line of JSON, or YAML.
[[nodiscard]] std::string crd_json();
[[nodiscard]] std::string crd_yaml();
// The reference page in Markdown: a table for every object.
[[nodiscard]] std::string reference_page();

}  // namespace sluice::pool
