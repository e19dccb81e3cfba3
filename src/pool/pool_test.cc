// SPDX-License-Identifier: Apache-2.0
#include "pool/pool.h"

#include <gtest/gtest.h>

namespace sluice::pool {
namespace {

using namespace std::chrono_literals;

constexpr const char* small_pool =
    "apiVersion: sluice.dev/v1alpha1\n"
    "kind: WorkerPool\n"
    "metadata: {name: orders}\n"
    "spec:\n"
    "  queue: {local: {path: orders.db}}\n"
    "  policy: {threshold: {messages: 20}}\n"
    "  workers: {max: 20}\n";

std::string problems_of(const std::vector<Problem>& problems) {
  std::string out;
  for (const Problem& problem : problems) {
    out += render(problem, "pool.yaml") + "\n";
  }
  return out;
}

TEST(Pool, FillsTheDefaultsOfASmallFile) {
  const Parsed parsed = parse_pool(small_pool);
  ASSERT_TRUE(parsed.pool) << problems_of(parsed.problems);
  EXPECT_EQ(parsed.pool->id(), "default/orders");
  const PoolSpec& spec = parsed.pool->spec;
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

}  // namespace
}  // namespace sluice::pool
