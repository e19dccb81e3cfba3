// SPDX-License-Identifier: Apache-2.0
#pragma once
// THE definition of the pool: every field with its meaning, bounds and default, every rule between fields.
//
// describe(visitor, object) names each field once, in the order in which files are written. The reader (reader.h), the
// JSON writer (writer.cc) and the shape behind schema and reference page (shape.h) are visitors; none of them knows a
// field by name. A default is what types.h initialises a member with. Visitors offer
//   about(text)                      what the object is
//   field(name, member, Field)       one field
//   rule(object, Rule, check)        check returns what is wrong, or is empty
#include <array>
#include <concepts>
#include <type_traits>

#include "pool/definition_policy.h"
#include "pool/definition_queue.h"
#include "pool/definition_rivals.h"
#include "pool/definition_workers.h"
#include "pool/types.h"

namespace sluice::pool {

enum class ApiVersion { v1alpha1 };
enum class FileKind { worker_pool };

struct Metadata {
  std::string name;
  std::string namespace_ = "default";
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
};

struct PoolFile {
  ApiVersion api_version = ApiVersion::v1alpha1;
  FileKind kind = FileKind::worker_pool;
  Metadata metadata;
  PoolSpec spec;
};

// Queues that an adapter serves without a pool.
enum class QueuesKind { queue_list };
struct QueuesFile {
  ApiVersion api_version = ApiVersion::v1alpha1;
  QueuesKind kind = QueuesKind::queue_list;
  std::vector<WatchedQueue> queues;
};

// What one line of `sluice decide` says about a pool.
struct PolicyInput {
  Policy policy;
  Workers workers;
};

// SLUICE_QUEUE: what a worker is told of its pool.
struct QueueInput {
  Queue queue;
  DeadLetter dead_letter;
  Retry retry;
};

inline constexpr std::array<std::string_view, 1> api_version_words = {"sluice.dev/v1alpha1"};
inline constexpr std::array<std::string_view, 1> kind_words = {"WorkerPool"};
inline constexpr std::array<std::string_view, 1> queues_kind_words = {"QueueList"};
inline constexpr std::array<std::string_view, 3> queue_words = {"rabbitmq", "pubsub", "local"};
inline constexpr std::array<std::string_view, 10> policy_words = {
    "threshold",     "backlogPerWorker",  "lag",        "hpa",       "kedaScaledObject",
    "kedaScaledJob", "sqsTargetTracking", "knativeKpa", "flinkLike", "dataflowLike"};

inline constexpr Field queue_field{.doc = "The queue to watch.", .required = true, .words = queue_words};
inline constexpr Field dead_letter_field{.doc = "Where messages go that cannot be handled."};
inline constexpr Field retry_field{.doc = "When a message is tried again."};
inline constexpr Field policy_field{.doc = "How the number of workers follows the queue.",
                                    .required = true,
                                    .words = policy_words,
                                    .rivals_from = rivals_from};
inline constexpr Field workers_field{.doc = "How many workers, and what they are.", .required = true};

template <class V, Is<UnknownBacklog> T>
void describe(V& v, T& o) {
  v.about("What to do when the queue cannot be read for long. Without it, the workers are held for ever.");
  v.field("floor", o.floor,
          {.doc = "Workers to have at least, once the queue has been unknown for `after`.",
           .required = true,
           .max = workers_limit});
  v.field("after", o.after,
          {.doc = "How long the queue must have been unknown.", .required = true, .longest = std::chrono::hours{720}});
}

template <class V, Is<DeadLetter> T>
void describe(V& v, T& o) {
  v.about("Where messages go that cannot be handled.");
  v.field("queue", o.queue,
          {.doc = "The queue for dead letters. A local queue keeps them in its own file, whatever is said here.",
           .form = Form::broker_name,
           .default_text = "the queue's name with .dead behind it"});
  v.field("after", o.after, {.doc = "Failed attempts after which a message is a dead letter.", .min = 1, .max = 1000});
}

template <class V, Is<Retry> T>
void describe(V& v, T& o) {
  v.about("When a message is tried again that its handler could not take now.");
  v.field("delays", o.delays,
          {.doc = "The wait before the second, third, .. attempt; the last one is used from then on.",
           .shortest = std::chrono::milliseconds{1},
           .items_max = 16});
}

template <class V, Is<PoolSpec> T>
void describe(V& v, T& o) {
  v.about("One queue, one policy, one fleet.");
  v.field("paused", o.paused, {.doc = "Observe and decide, but do not act."});
  v.field("queue", o.queue, queue_field);
  v.field("policy", o.policy, policy_field);
  v.field("workers", o.workers, workers_field);
  v.field("unknown", o.unknown,
          {.doc = "What to do when the queue cannot be read for long.", .default_text = "hold for ever"});
  v.field("deadLetter", o.dead_letter, dead_letter_field);
  v.field("retry", o.retry, retry_field);
  v.rule(o,
         {.fields = {"unknown.floor", "workers.max"},
          .accepted = "unknown.floor at most workers.max",
          .cel = "!has(self.unknown) || self.unknown.floor <= self.workers.max"},
         [](const PoolSpec& s) { return at_most(s.unknown ? s.unknown->floor : 0, s.workers.max); });
  v.rule(o,
         {.fields = {"policy.hpa", "workers.deployment"},
          .accepted = "the policy hpa together with workers.deployment",
          .cel = "!has(self.policy.hpa) || has(self.workers.deployment)"},
         [](const PoolSpec& s) {
           const bool good = !std::holds_alternative<HpaPolicy>(s.policy) || s.workers.deployment;
           return wrong_unless(good, "the policy hpa, which shrinks a Deployment, without workers.deployment");
         });
  describe_limits_of_policy(v, o);
}

template <class V, Is<Metadata> T>
void describe(V& v, T& o) {
  v.about("The name of the pool.");
  v.field("name", o.name,
          {.doc = "The name; workers are called NAME-w0, NAME-w1, ..", .required = true, .form = Form::pool_name});
  v.field("namespace", o.namespace_,
          {.doc = "The Kubernetes namespace; on one machine a part of the pool's name.", .form = Form::label});
  v.field("labels", o.labels, {.doc = "Labels for the cluster.", .form = Form::argument});
  v.field("annotations", o.annotations, {.doc = "Annotations for the cluster.", .form = Form::argument});
}

template <class V, Is<PoolFile> T>
void describe(V& v, T& o) {
  v.about("A worker pool: the one object a user writes, the same on a laptop and in a cluster.");
  v.field("apiVersion", o.api_version,
          {.doc = "The version of this format.", .required = true, .words = api_version_words});
  v.field("kind", o.kind, {.doc = "What the file describes.", .required = true, .words = kind_words});
  v.field("metadata", o.metadata, {.doc = "The name of the pool.", .required = true});
  v.field("spec", o.spec, {.doc = "The pool itself.", .required = true});
}

template <class V, Is<WatchedQueue> T>
void describe(V& v, T& o) {
  v.about("A queue whose numbers are metrics, without a pool.");
  v.field("name", o.name, {.doc = "What a selector calls it: pool=NAME.", .required = true, .form = Form::pool_name});
  v.field("namespace", o.namespace_, {.doc = "Whose HPAs see it.", .form = Form::label});
  v.field("queue", o.queue, queue_field);
  v.field("every", o.every, every_field);
}

template <class V, Is<QueuesFile> T>
void describe(V& v, T& o) {
  v.about("The queues that `sluice adapter` reads itself.");
  v.field("apiVersion", o.api_version,
          {.doc = "The version of this format.", .required = true, .words = api_version_words});
  v.field("kind", o.kind, {.doc = "What the file describes.", .required = true, .words = queues_kind_words});
  v.field("queues", o.queues,
          {.doc = "The queues; a name once in a namespace.", .required = true, .items_min = 1, .items_max = 1000});
}

template <class V, Is<QueueInput> T>
void describe(V& v, T& o) {
  v.about("The queue of a worker.");
  v.field("queue", o.queue, queue_field);
  v.field("deadLetter", o.dead_letter, dead_letter_field);
  v.field("retry", o.retry, retry_field);
}

template <class V, Is<PolicyInput> T>
void describe(V& v, T& o) {
  v.about("The policy and the workers of a decision.");
  v.field("policy", o.policy, policy_field);
  v.field("workers", o.workers, workers_field);
  describe_limits_of_policy(v, o);
}

}  // namespace sluice::pool
