// SPDX-License-Identifier: Apache-2.0
// Alone in its file, so that the linker leaves it out of tests/e2e/no_lease.cc, which has another.
#include "kube/lease_keeper.h"

namespace sluice::kube {

Time LeaseKeeper::held_until() const {
  return Time{Duration{held_until_.load()}};
}

}  // namespace sluice::kube
