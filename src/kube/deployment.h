// SPDX-License-Identifier: Apache-2.0
#pragma once
// What sluice keeps of a Deployment, of its pods, and of those who would scale it too.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kube/objects.h"

namespace sluice::kube {

// By it Kubernetes chooses among pods that are otherwise alike who goes when a Deployment shrinks: the lowest first.
inline constexpr std::string_view annotation_cost = "controller.kubernetes.io/pod-deletion-cost";
// The lowest that Kubernetes takes.
inline constexpr std::int32_t lowest_cost = -2147483647 - 1;

struct Deployment {
  Meta meta;
  std::int64_t generation = 0;  // with every change of its spec, replicas among them
  std::int64_t observed = 0;    // the generation that the status is of
  int replicas = 1;             // asked for
  int pods = 0;                 // of all its ReplicaSets, by its status
  int updated = 0;              // of the newest one
  std::string selector;         // of its pods, as a labelSelector; it never changes
  std::string refused;          // ReplicaFailure=True: why a pod could not be made
};
[[nodiscard]] Result<Deployment> read_deployment(std::string_view json);
[[nodiscard]] Result<Event<Deployment>> read_deployment_event(std::string_view json);

struct DeploymentPod : Pod {
  std::string replica_set;  // the name of the ReplicaSet that it is of; empty: of none
  std::string hash;         // label pod-template-hash
  std::int32_t cost = 0;    // annotation_cost
};
[[nodiscard]] Result<DeploymentPod> read_deployment_pod(std::string_view json);
[[nodiscard]] Result<Event<DeploymentPod>> read_deployment_pod_event(std::string_view json);

// Its ReplicaSets are named after the Deployment and the hash of their template: pods that only its selector happens to
// match are none of its own.
[[nodiscard]] bool is_of(const DeploymentPod& pod, std::string_view deployment);

// Before `b` when a ReplicaSet shrinks: first what has no node, then by phase, then what is not ready, then the cheaper
// one (pkg/controller/controller_utils.go, ActivePodsWithRanks). False for two that these do not tell apart.
[[nodiscard]] bool goes_before(const DeploymentPod& a, const DeploymentPod& b);

// A HorizontalPodAutoscaler, as far as whom it scales.
struct Autoscaler {
  std::string name;
  std::string kind;  // Deployment ..
  std::string target;
};
[[nodiscard]] Result<Autoscaler> read_autoscaler(std::string_view json);

}  // namespace sluice::kube
