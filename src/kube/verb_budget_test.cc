// SPDX-License-Identifier: Apache-2.0
#include "kube/verb_budget.h"

#include <gtest/gtest.h>

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using Kind = VerbBudget::Kind;

constexpr Time begin{1000s};

TEST(VerbBudget, ABurstGoesAtOnceAndTheRestAtItsRate) {
  VerbBudget budget;
  for (int n = 0; n < 200; ++n) {
    ASSERT_EQ(budget.turn(Kind::create, begin, Time::max()), begin) << n;
  }
  EXPECT_EQ(budget.turn(Kind::create, begin, Time::max()), begin + 10ms);
  EXPECT_EQ(budget.turn(Kind::create, begin, Time::max()), begin + 20ms);
}

TEST(VerbBudget, AQuietTimeGivesTheBurstBackAndNoMore) {
  VerbBudget budget;
  for (int n = 0; n < 300; ++n) {
    (void)budget.turn(Kind::create, begin, Time::max());
  }
  const Time later = begin + 1h;
  int at_once = 0;
  while (budget.turn(Kind::create, later, Time::max()) == later) {
    ++at_once;
  }
  EXPECT_EQ(at_once, 200);
}

TEST(VerbBudget, WhatWouldComeTooLateTakesNobodysTurn) {
  VerbBudget budget;
  for (int n = 0; n < 25; ++n) {
    (void)budget.turn(Kind::tell, begin, Time::max());
  }
  for (int n = 0; n < 10; ++n) {
    EXPECT_EQ(budget.turn(Kind::tell, begin, begin + 100ms), begin + 200ms);
  }
  EXPECT_EQ(budget.turn(Kind::tell, begin, begin + 1s), begin + 200ms);
}

TEST(VerbBudget, KindsDoNotWaitForEachOther) {
  VerbBudget budget;
  for (int n = 0; n < 1000; ++n) {
    (void)budget.turn(Kind::write, begin, Time::max());
  }
  EXPECT_EQ(budget.turn(Kind::create, begin, Time::max()), begin);
  EXPECT_EQ(budget.turn(Kind::read, begin, Time::max()), begin);
}

TEST(VerbBudget, KnowsTheKindsOfRequests) {
  EXPECT_EQ(VerbBudget::kind("GET", "/api/v1/pods?watch=1"), Kind::read);
  EXPECT_EQ(VerbBudget::kind("POST", "/apis/batch/v1/namespaces/shop/jobs?dryRun=All"), Kind::judge);
  EXPECT_EQ(VerbBudget::kind("POST", "/apis/batch/v1/namespaces/shop/jobs"), Kind::create);
  EXPECT_EQ(VerbBudget::kind("POST", "/api/v1/namespaces/shop/events?x=1"), Kind::tell);
  EXPECT_EQ(VerbBudget::kind("DELETE", "/api/v1/namespaces/shop/pods/orders-w1-x"), Kind::remove);
  EXPECT_EQ(VerbBudget::kind("PATCH", "/apis/sluice.dev/v1alpha1/namespaces/shop/workerpools/orders/status"),
            Kind::write);
  EXPECT_EQ(VerbBudget::kind("PUT", "/apis/apps/v1/namespaces/shop/deployments/orders/scale"), Kind::write);
}

}  // namespace
}  // namespace sluice::kube
