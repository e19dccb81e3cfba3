// SPDX-License-Identifier: Apache-2.0
#pragma once
// The WorkerPool as values: one queue, one policy, one fleet. Field by field the file a user writes, defaults filled
// in.
//
// An empty optional means "not said": the default then depends on other fields, and the helpers at the end know it.
// What each field means, its bounds and its place in the file are in pool/definition.h, the one source of parser,
// writer, schema and reference page.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "pool/types_rivals.h"

namespace sluice::pool {

// --- the queue: exactly one of these
// -----------------------------------------------------------------------------------------

struct Credentials {
  std::string secret;  // a Secret, or the folder of that name under --secrets
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

struct LocalQueue {
  std::string path;  // as written; relative to the pool file's folder
  friend bool operator==(const LocalQueue&, const LocalQueue&) = default;
};

struct Tls {
  std::optional<std::string> ca, cert, key;  // paths
  std::optional<std::string> server_name;
  friend bool operator==(const Tls&, const Tls&) = default;
};

enum class QueueType { quorum, classic };

struct Declare {
  QueueType type = QueueType::quorum;
  friend bool operator==(const Declare&, const Declare&) = default;
};

struct Bytes {
  std::int64_t n = 0;
  friend auto operator<=>(const Bytes&, const Bytes&) = default;
};

struct RabbitQueue {
  std::string url;  // amqp or amqps; never holds credentials
  std::string vhost = "/";
  std::vector<std::string> hosts;  // further nodes of the same cluster, "host" or "host:port"
  std::optional<Credentials> credentials;
  std::string queue;
  std::optional<std::string> management;  // http or https
  std::optional<Tls> tls;
  std::optional<Declare> declare;
  Bytes max_body{16 << 20};
  friend bool operator==(const RabbitQueue&, const RabbitQueue&) = default;
};

struct PubsubQueue {
  std::string project;
  std::string subscription;
  std::optional<std::string> topic;
  std::optional<Credentials> credentials;
  std::optional<std::string> endpoint;
  friend bool operator==(const PubsubQueue&, const PubsubQueue&) = default;
};

using Queue = std::variant<RabbitQueue, PubsubQueue, LocalQueue>;

// --- the policy: exactly one of these; those behind hpa are rivals, which no pool that is scaled may have
// ----------------------------------------------------------------------------------------

using Policy =
    std::variant<ThresholdPolicy, BacklogPerWorkerPolicy, LagPolicy, HpaPolicy, KedaScaledObjectPolicy,
                 KedaScaledJobPolicy, SqsTargetTrackingPolicy, KnativeKpaPolicy, FlinkLikePolicy, DataflowLikePolicy>;
inline constexpr std::size_t rivals_from = 4;

// --- the workers
// -------------------------------------------------------------------------------------------------------------

enum class ClaimBy { automatic, reported, readiness, broker, consumers, after };
struct Claim {
  ClaimBy by = ClaimBy::automatic;
  Duration after{0};  // only with ClaimBy::after
  friend bool operator==(const Claim&, const Claim&) = default;
};

struct Run {
  std::optional<std::string> image;
  std::vector<std::string> command;  // argv; empty: the image's own
  std::map<std::string, std::string> env;
  friend bool operator==(const Run&, const Run&) = default;
};

// A Kubernetes JobTemplateSpec, not interpreted here beyond what would break the promise of one worker a Job.
struct JobTemplate {
  std::string json;  // canonical: compact, keys sorted
  friend bool operator==(const JobTemplate&, const JobTemplate&) = default;
};
struct JobFleet {
  std::optional<JobTemplate> job_template;
  std::optional<std::string> container;  // absent: the first
  friend bool operator==(const JobFleet&, const JobFleet&) = default;
};

struct DeploymentFleet {
  std::string name;
  friend bool operator==(const DeploymentFleet&, const DeploymentFleet&) = default;
};

struct Nodes {  // an imagined node group
  std::int64_t min = 1;
  std::int64_t max = 1;
  std::optional<std::int64_t> slots;  // absent: workers.max
  Duration boot{0};
  friend bool operator==(const Nodes&, const Nodes&) = default;
};
struct ProcessFleet {
  Nodes nodes;
  friend bool operator==(const ProcessFleet&, const ProcessFleet&) = default;
};

struct Workers {
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::optional<std::int64_t> surge;  // absent: by policy
  Duration start_deadline = std::chrono::minutes{15};
  std::optional<Duration> full_after;   // absent: by what was learned
  std::optional<Duration> max_runtime;  // per message; absent: none
  std::optional<Duration> idle_exit;    // absent: see idle_exit()
  Claim claim;
  std::int64_t concurrency = 1;
  std::optional<Run> run;
  std::optional<JobFleet> job;
  std::optional<DeploymentFleet> deployment;  // not beside job
  std::optional<ProcessFleet> process;
  friend bool operator==(const Workers&, const Workers&) = default;
};

// --- the whole
// ---------------------------------------------------------------------------------------------------------------

struct UnknownBacklog {  // what to do while the queue cannot be read; without it: hold for ever
  std::int64_t floor = 0;
  Duration after{0};
  friend bool operator==(const UnknownBacklog&, const UnknownBacklog&) = default;
};

struct DeadLetter {
  std::optional<std::string> queue;  // absent: the source's own default
  std::int64_t after = 5;            // failed attempts
  friend bool operator==(const DeadLetter&, const DeadLetter&) = default;
};

struct Retry {
  std::vector<Duration> delays{std::chrono::seconds{1}, std::chrono::seconds{10}, std::chrono::seconds{60},
                               std::chrono::seconds{600}};
  friend bool operator==(const Retry&, const Retry&) = default;
};

struct PoolSpec {
  bool paused = false;
  Queue queue;
  Policy policy;
  Workers workers;
  std::optional<UnknownBacklog> unknown;
  DeadLetter dead_letter;
  Retry retry;
  friend bool operator==(const PoolSpec&, const PoolSpec&) = default;
};

// A queue that is read without a pool.
struct WatchedQueue {
  std::string name;
  std::string namespace_ = "default";
  Queue queue;
  Every every{std::chrono::seconds{5}};
  [[nodiscard]] std::string id() const { return namespace_ + "/" + name; }
  friend bool operator==(const WatchedQueue&, const WatchedQueue&) = default;
};

struct Pool {
  std::string name;
  std::string namespace_ = "default";
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  PoolSpec spec;
  // "namespace/name", as in the journal.
  [[nodiscard]] std::string id() const { return namespace_ + "/" + name; }
  friend bool operator==(const Pool&, const Pool&) = default;
};

// --- what depends on several fields
// ------------------------------------------------------------------------------------------

// How long a Job's or a process's worker stays on an empty queue. With lag the scaler asks those that it no longer
// needs to leave, and this is only for when there is none. A Deployment's never leave.
[[nodiscard]] std::optional<Duration> idle_exit(const PoolSpec& spec);
// Workers a node of the process fleet holds.
[[nodiscard]] std::int64_t slots_per_node(const Workers& workers);
// The word of the policy as in the file: "threshold", "backlogPerWorker", ..
[[nodiscard]] const char* policy_word(const Policy& policy);
// The time between two looks, whatever the policy.
[[nodiscard]] Every every(const Policy& policy);

}  // namespace sluice::pool
