// SPDX-License-Identifier: Apache-2.0
// sluice without its lease: every controller believes that it holds it, for ever. A program of the tests alone, to show
// that two that act side by side make no Job too many. What is shipped links kube/lease_held.cc instead.
#include "app/context.h"
#include "kube/lease_keeper.h"

namespace sluice::kube {

Time LeaseKeeper::held_until() const {
  return Time::max();
}

}  // namespace sluice::kube

int main(int argc, char** argv, char** environment) {
  return sluice::app::run_program(argc, argv, environment);
}
