// SPDX-License-Identifier: Apache-2.0
#include "pool/pool.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "pool/snapshot.h"

namespace sluice::pool {
namespace {

using namespace std::chrono_literals;

constexpr const char* small_pool = R"(apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata: {name: orders}
spec:
  queue: {local: {path: orders.db}}
  policy: {threshold: {messages: 20}}
  workers: {max: 20}
)";

// Every field once, in every form that has its own code.
constexpr const char* rabbit_pool = R"(%YAML 1.2
---
apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata:
  name: orders
  namespace: shop
  labels: {team: a-team, sluice.dev/tier: "1"}
  annotations: {note: "two lines:\nsecond"}
spec:
  paused: true
  queue:
    rabbitmq:
      url: amqps://rabbitmq:5671
      vhost: /prod
      hosts: [rabbit-2, "rabbit-3:5672", 10.0.0.3]
      credentials: {secret: rabbitmq-user}
      queue: orders
      management: https://rabbitmq:15672/api
      tls: {ca: ca.pem, cert: client.pem, key: client.key, serverName: rabbit.example}
      declare: {type: classic}
      maxBody: 512KiB
  policy:
    threshold: {messages: 20, age: 60s, step: 2, every: adaptive}
  workers:
    min: 1
    max: 20
    surge: 3
    startDeadline: 10m
    fullAfter: 5m
    maxRuntime: 1h30m
    idleExit: 30s
    claim: {after: 30s}
    concurrency: 4
    run:
      image: registry.example/worker:1
      command:
        - sluice
        - work
        - --exec
        - ./handle
        - $HOME ${X} größe
      env: {A: "1", B: plain}
    job:
      container: worker
      template:
        metadata: {labels: {a: b}}
        spec:
          backoffLimit: 0
          parallelism: 1
          ttlSecondsAfterFinished: 60
          template:
            spec:
              restartPolicy: Never
              containers: [{name: proxy}, {name: worker, resources: {requests: {cpu: 0.5, memory: 64Mi}}, tty: true}]
    process: {nodes: {min: 0, max: 3, slots: 4, boot: 30s}}
  unknown: {floor: 2, after: 10m}
  deadLetter: {queue: orders.dead, after: 3}
  retry: {delays: [1ms, 5s]}
)";

std::string with_policy(std::string_view policy, std::string_view workers = "max: 20") {
  return fmt::format(
      "apiVersion: sluice.dev/v1alpha1\nkind: WorkerPool\nmetadata: {{name: orders}}\nspec:\n"
      "  queue: {{pubsub: {{project: my-project, subscription: orders-sub, topic: orders, endpoint: "
      "\"http://[::1]:8085\"}}}}\n"
      "  policy: {{{}}}\n  workers: {{{}}}\n",
      policy, workers);
}

std::string problems_of(const std::vector<Problem>& problems) {
  std::string out;
  for (const Problem& problem : problems) {
    out += render(problem, "pool.yaml") + "\n";
  }
  return out;
}

Pool pool_of(std::string_view text) {
  Parsed parsed = parse_pool(text);
  EXPECT_TRUE(parsed.pool) << problems_of(parsed.problems);
  return parsed.pool.value_or(Pool{});
}

TEST(Pool, FillsTheDefaultsOfASmallFile) {
  const Pool pool = pool_of(small_pool);
  EXPECT_EQ(pool.id(), "default/orders");
  const PoolSpec& spec = pool.spec;
  EXPECT_EQ(std::get<LocalQueue>(spec.queue).path, "orders.db");
  const auto& threshold = std::get<ThresholdPolicy>(spec.policy);
  EXPECT_EQ(threshold.messages, 20);
  EXPECT_EQ(threshold.age, std::nullopt);
  EXPECT_EQ(threshold.step, 1);
  EXPECT_EQ(threshold.every, Every{10s});
  EXPECT_EQ(spec.workers.min, 0);
  EXPECT_EQ(spec.workers.start_deadline, 15min);
  EXPECT_EQ(spec.workers.concurrency, 1);
  EXPECT_EQ(idle_exit(spec), 10s);
  EXPECT_EQ(slots_per_node(spec.workers), 20);
  EXPECT_EQ(spec.dead_letter.after, 5);
  EXPECT_EQ(spec.retry.delays, (std::vector<Duration>{1s, 10s, 60s, 600s}));
  EXPECT_FALSE(spec.unknown);
}

TEST(Pool, ReadsEveryField) {
  const Pool pool = pool_of(rabbit_pool);
  EXPECT_EQ(pool.id(), "shop/orders");
  EXPECT_EQ(pool.annotations.at("note"), "two lines:\nsecond");
  const PoolSpec& spec = pool.spec;
  const auto& queue = std::get<RabbitQueue>(spec.queue);
  EXPECT_EQ(queue.hosts, (std::vector<std::string>{"rabbit-2", "rabbit-3:5672", "10.0.0.3"}));
  EXPECT_EQ(queue.max_body.n, 512 * 1024);
  EXPECT_EQ(queue.declare->type, QueueType::classic);
  EXPECT_TRUE(every(spec.policy).adaptive());
  EXPECT_EQ(spec.workers.claim, (Claim{ClaimBy::after, 30s}));
  EXPECT_EQ(spec.workers.run->command.back(), "$HOME ${X} größe");
  EXPECT_EQ(spec.workers.max_runtime, 90min);
  EXPECT_EQ(spec.workers.process->nodes.slots, 4);
  EXPECT_EQ(
      spec.workers.job->job_template->json,
      R"({"metadata":{"labels":{"a":"b"}},"spec":{"backoffLimit":0,"parallelism":1,"template":{"spec":{"containers":[)"
      R"({"name":"proxy"},{"name":"worker","resources":{"requests":{"cpu":0.5,"memory":"64Mi"}},"tty":true}],)"
      R"("restartPolicy":"Never"}},"ttlSecondsAfterFinished":60}})");
  EXPECT_EQ(idle_exit(spec), 30s);
}

TEST(Pool, ReadsEveryPolicy) {
  const Pool lag = pool_of(with_policy("lag: {max: 60s, percentile: 99.9, reserve: 2}"));
  EXPECT_EQ(std::get<LagPolicy>(lag.spec.policy).percentile.value(), 99.9);
  EXPECT_EQ(idle_exit(lag.spec), 15min);
  const Pool backlog = pool_of(with_policy("backlogPerWorker: {messages: 5, every: 1s}"));
  EXPECT_EQ(std::get<BacklogPerWorkerPolicy>(backlog.spec.policy).messages, 5);
  EXPECT_STREQ(policy_word(backlog.spec.policy), "backlogPerWorker");
  const Pool hpa = pool_of(with_policy(
      "hpa: {target: {type: AverageValue, value: 100}, tolerance: 0.2, behavior: {scaleUp: {selectPolicy: Min, "
      "policies: [{type: Pods, value: 4, periodSeconds: 15}], tolerance: 0.05}, scaleDown: {}}}",
      "max: 5, deployment: {name: orders}"));
  const auto& policy = std::get<HpaPolicy>(hpa.spec.policy);
  EXPECT_EQ(policy.target, (HpaTarget{HpaTargetType::average_value, "100"}));
  EXPECT_EQ(policy.behavior->scale_up->policies, (std::vector<HpaScalingPolicy>{{HpaPolicyType::pods, 4, 15}}));
  EXPECT_EQ(policy.behavior->scale_up->tolerance->value(), 0.05);
  EXPECT_EQ(policy.behavior->scale_down, HpaScalingRules{});
  EXPECT_EQ(policy.every, Every{15s});
}

TEST(Pool, WritesWhatItReads) {
  for (const std::string& text :
       {std::string(small_pool), std::string(rabbit_pool), with_policy("lag: {max: 60s, percentile: 99.9}"),
        with_policy("backlogPerWorker: {messages: 5}"),
        with_policy("hpa: {target: {type: Value, value: 500m}, behavior: {}}", "max: 5, deployment: {name: orders}")}) {
    const Pool pool = pool_of(text);
    const std::string json = to_json(pool);
    EXPECT_EQ(pool_of(json), pool) << json;
    EXPECT_EQ(to_json(pool_of(json)), json);
    const Result<PoolSpec> spec = spec_from_json(to_json(pool.spec));
    ASSERT_TRUE(spec) << spec.error().what;
    EXPECT_EQ(*spec, pool.spec);
    EXPECT_EQ(spec_hash(*spec), spec_hash(pool.spec));
  }
}

TEST(Pool, WritesDefaultsOutAndLeavesOutWhatIsNotSaid) {
  EXPECT_EQ(
      to_json(pool_of(small_pool)),
      R"({"apiVersion":"sluice.dev/v1alpha1","kind":"WorkerPool","metadata":{"name":"orders","namespace":"default"},"spec":{"paused":false,)"
      R"("queue":{"local":{"path":"orders.db"}},"policy":{"threshold":{"messages":20,"step":1,"every":"10s"}},"workers":{"min":0,"max":20,)"
      R"("startDeadline":"15m","claim":"auto","concurrency":1},"deadLetter":{"after":5},"retry":{"delays":["1s","10s","1m","10m"]}}})");
}

TEST(Pool, HashesWhatASpecMeansAndNotHowItIsWritten) {
  const std::string hash = spec_hash(pool_of(small_pool).spec);
  EXPECT_EQ(hash.size(), 16u);
  std::string said_aloud = small_pool;
  said_aloud += "  paused: false # the default\n";
  EXPECT_EQ(spec_hash(pool_of(said_aloud).spec), hash);
  std::string other = small_pool;
  other.replace(other.find("20"), 2, "21");
  EXPECT_NE(spec_hash(pool_of(other).spec), hash);
}

TEST(Pool, ReadsJsonYamlAndTheirLineEndsAlike) {
  const Pool pool = pool_of(small_pool);
  EXPECT_EQ(pool_of(R"(  {"apiVersion": "sluice.dev/v1alpha1", "kind": "WorkerPool",
	"metadata": {"name": "orders"},
    "spec": {"queue": {"local": {"path": "orders\u002edb"}}, "policy": {"threshold": {"messages": 20}}, "workers": {"max": 20}}}
)"),
            pool);
  std::string windows = "\xef\xbb\xbf";
  for (const char* c = small_pool; *c != '\0'; ++c) {
    windows += *c == '\n' ? "\r\n" : std::string(1, *c);
  }
  EXPECT_EQ(pool_of(windows), pool);
}

TEST(Pool, ReportsAllTwelveMistakesOfAFileAtOnce) {
  const Parsed parsed = parse_pool(R"(apiVersion: sluice.dev/v1
kind: WorkerPool
metadata: {name: Orders}
spec:
  queue:
    rabbitmq:
      url: amqp://guest:hunter2@rabbitmq:5672
      queu: orders
  policy:
    threshold: {messages: 1_000, age: 5, every: 10}
  workers:
    min: 30
    max: 20
    surge: 1
    surge: 2
    process: {nodes: {boot: -1s}}
    run: {command: [sluice, work, 1]}
  retry: {delays: []}
)");
  EXPECT_FALSE(parsed.pool);
  EXPECT_EQ(problems_of(parsed.problems),
            R"(pool.yaml:1:13: $.apiVersion: sluice.dev/v1; accepted: sluice.dev/v1alpha1
pool.yaml:3:18: $.metadata.name: "Orders"; accepted: at most 52 lower-case letters, digits and -, beginning and ending with a letter or digit
pool.yaml:7:12: $.spec.queue.rabbitmq.url: credentials in "amqp://***@rabbitmq:5672"; accepted: no user and password in a URL; put them into a secret
pool.yaml:8:7: $.spec.queue.rabbitmq.queu: unknown field, did you mean "queue"?; accepted: url, vhost, hosts, credentials, queue, management, tls, declare, maxBody
pool.yaml:10:27: $.spec.policy.threshold.messages: 1_000; accepted: a whole number from 0 to 1000000000, digits only
pool.yaml:10:39: $.spec.policy.threshold.age: 5; accepted: a duration from 100ms to 720h, such as 250ms, 90s or 1h30m
pool.yaml:10:49: $.spec.policy.threshold.every: 10; accepted: adaptive, or a duration from 100ms to 1h, such as 250ms, 90s or 1h30m
pool.yaml:12:10: $.spec.workers.min: 30 is more than 20; accepted: min at most max
pool.yaml:15:5: $.spec.workers.surge: the same key a second time (first on line 14); accepted: each key once
pool.yaml:16:29: $.spec.workers.process.nodes.boot: -1s; accepted: a duration from 0s to 1h, such as 250ms, 90s or 1h30m
pool.yaml:17:35: $.spec.workers.run.command[2]: 1 without quotes; accepted: "1" in double quotes, if text is meant
pool.yaml:18:19: $.spec.retry.delays: an empty list; accepted: a list of 1 to 16
)");
}

TEST(Pool, ShowsNoCredentialInAnyProblem) {
  const std::string secret = "S3CR3T-canary";
  for (const char* place :
       {"amqp://user:S3CR3T-canary@host", "amqp://user:S3CR3T-canary/x@host", "amqp://a:S3CR3T-canary@b@host/",
        "amqp://S3CR3T-canary@host", "http://u:S3CR3T-canary@host:99999/#", "://:S3CR3T-canary@"}) {
    for (const char* field : {"url", "management", "queue", "vhost", "unknown"}) {
      const Parsed parsed =
          parse_pool(fmt::format("apiVersion: sluice.dev/v1alpha1\nkind: WorkerPool\nmetadata: {{name: a}}\nspec:\n  "
                                 "queue: {{rabbitmq: {{{}: \"{}\"}}}}\n",
                                 field, place));
      EXPECT_FALSE(parsed.pool);
      EXPECT_EQ(problems_of(parsed.problems).find(secret), std::string::npos) << problems_of(parsed.problems);
    }
  }
  const Parsed misplaced = parse_pool(
      "spec: {queue: {rabbitmq: {credentials: \"guest:S3CR3T-canary\"}, pubsub: {credentials: {secret: "
      "\"S3CR3T-canary\", "
      "password: S3CR3T-canary}}}}");
  EXPECT_EQ(problems_of(misplaced.problems).find(secret), std::string::npos) << problems_of(misplaced.problems);
}

TEST(Pool, ReadsThePolicyOfADecisionLine) {
  const ParsedPolicy good = parse_policy_json(
      R"({"policy":{"threshold":{"messages":20,"age":"1m"}},"workers":{"max":20},"seen":{"x":[1]},"at_ms":5})",
      {"seen", "at_ms"});
  ASSERT_TRUE(good.policy && good.workers) << problems_of(good.problems);
  EXPECT_EQ(std::get<ThresholdPolicy>(*good.policy).age, 60s);
  EXPECT_EQ(good.workers->max, 20);
  const ParsedPolicy bad =
      parse_policy_json(R"({"policy":{"threshold":{"messages":"20"}},"workers":{"max":20},"sen":1})", {"seen"});
  EXPECT_FALSE(bad.policy);
  EXPECT_EQ(problems_of(bad.problems),
            "pool.yaml:1:36: $.policy.threshold.messages: the text \"20\"; accepted: a whole number from 0 to "
            "1000000000, digits only\n"
            "pool.yaml:1:64: $.sen: unknown field, did you mean \"seen\"?; accepted: policy, workers, seen\n");
}

TEST(Pool, TellsAWorkerItsQueueAndReadsItBack) {
  const PoolSpec spec = pool_of(rabbit_pool).spec;
  const ParsedQueue read = parse_queue_json(queue_json(spec));
  ASSERT_TRUE(read.queue) << problems_of(read.problems);
  EXPECT_EQ(*read.queue, spec.queue);
  EXPECT_EQ(read.dead_letter, spec.dead_letter);
  EXPECT_EQ(read.retry, spec.retry);
  EXPECT_FALSE(parse_queue_json("{}").queue);
}

TEST(Pool, NamesTheFirstProblemOfAnUnreadableSpec) {
  const Result<PoolSpec> spec = spec_from_json(R"({"queue":{"local":{"path":"a"}},"policy":{},"workers":{"max":0}})");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().code, Code::invalid);
  EXPECT_EQ(spec.error().what,
            "$.policy: an empty map; accepted: a map with exactly one of threshold, backlogPerWorker, lag, hpa, "
            "kedaScaledObject, kedaScaledJob, sqsTargetTracking, knativeKpa, flinkLike or dataflowLike (and 1 more)");
}

TEST(Pool, ARivalIsRefusedButInAJournalAndADecision) {
  const std::string spec = R"({"queue":{"local":{"path":"a"}},"policy":{"knativeKpa":{}},"workers":{"max":3}})";
  const Parsed pool = parse_pool(
      R"({"apiVersion":"sluice.dev/v1alpha1","kind":"WorkerPool","metadata":{"name":"a"},"spec":)" + spec + "}");
  ASSERT_EQ(pool.problems.size(), 1U);
  EXPECT_EQ(pool.problems[0].path, "$.spec.policy.knativeKpa");
  EXPECT_EQ(pool.problems[0].found,
            "a rival to compare with, which only `sluice simulate` (a scenario's policies) and `sluice decide` use");
  EXPECT_EQ(pool.problems[0].accepted, "a map with exactly one of threshold, backlogPerWorker, lag or hpa");
  const Result<PoolSpec> journal = spec_from_json(spec);
  ASSERT_TRUE(journal) << journal.error().what;
  EXPECT_STREQ(policy_word(journal->policy), "knativeKpa");
  EXPECT_EQ(*spec_from_json(to_json(*journal)), *journal);
  EXPECT_TRUE(parse_policy_json(R"({"policy":{"flinkLike":{"interval":"30s"}},"workers":{"max":3}})").policy);
}

TEST(Pool, SchemaReferencePageAndResourceDefinitionAreThoseThatAreCommitted) {
  expect_file_holds("docs/reference/pool.schema.json", json_schema());
  expect_file_holds("docs/reference/pool.md", reference_page());
  expect_file_holds("deploy/charts/sluice/crds/workerpools.yaml", crd_yaml());
}

}  // namespace
}  // namespace sluice::pool
