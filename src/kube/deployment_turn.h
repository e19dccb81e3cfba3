// SPDX-License-Identifier: Apache-2.0
#pragma once
// DeploymentFleet's own: who holds it writes.
#include <utility>

#include "kube/deployment_fleet.h"

namespace sluice::kube {

class DeploymentFleet::Turn {
 public:
  explicit Turn(DeploymentFleet& fleet) : fleet_(&fleet) { fleet.writing_ = true; }
  Turn(Turn&& other) noexcept : fleet_(std::exchange(other.fleet_, nullptr)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (fleet_ != nullptr) {
      fleet_->writing_ = false;
      fleet_->turn_ended_.notify();
    }
  }

 private:
  DeploymentFleet* fleet_;
};

}  // namespace sluice::kube
