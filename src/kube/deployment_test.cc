// SPDX-License-Identifier: Apache-2.0
#include "kube/deployment.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::kube {
namespace {

TEST(ReadDeployment, AnySelectorIsWrittenAsALabelSelector) {
  const auto is = read_deployment(
      R"({"metadata":{"name":"a","generation":7},"spec":{"selector":{"matchLabels":{"app":"a","team":"b"},)"
      R"("matchExpressions":[{"key":"tier","operator":"In","values":["x","y"]},{"key":"old","operator":"DoesNotExist"},)"
      R"({"key":"zone","operator":"Exists"},{"key":"env","operator":"NotIn","values":["test"]}]}},)"
      R"("status":{"observedGeneration":6,"replicas":3,"updatedReplicas":2,)"
      R"("conditions":[{"type":"ReplicaFailure","status":"True","message":"exceeded quota"}]}})");
  ASSERT_TRUE(is) << is.error().what;
  EXPECT_EQ(is->selector, "app=a,team=b,tier in (x,y),!old,zone,env notin (test)");
  EXPECT_EQ(is->replicas, 1) << "the API's own default";
  EXPECT_EQ(is->generation, 7);
  EXPECT_EQ(is->updated, 2);
  EXPECT_EQ(is->refused, "exceeded quota");
  EXPECT_FALSE(read_deployment(R"({"spec":{"selector":{"matchExpressions":[{"key":"a","operator":"Near"}]}}})"));
}

TEST(GoesBefore, IsTheOrderOfAReplicaSet) {
  DeploymentPod ready;
  ready.node = "n";
  ready.phase = Pod::Phase::running;
  ready.ready = true;
  DeploymentPod marked = ready;
  marked.cost = lowest_cost;
  DeploymentPod unready = ready;
  unready.ready = false;
  DeploymentPod pending = unready;
  pending.phase = Pod::Phase::pending;
  DeploymentPod unplaced = pending;
  unplaced.node.clear();
  unplaced.cost = 1;
  const std::vector<DeploymentPod> order{unplaced, pending, unready, marked, ready};
  for (std::size_t a = 0; a < order.size(); ++a) {
    for (std::size_t b = 0; b < order.size(); ++b) {
      EXPECT_EQ(goes_before(order[a], order[b]), a < b) << a << " and " << b;
    }
  }
}

}  // namespace
}  // namespace sluice::kube
