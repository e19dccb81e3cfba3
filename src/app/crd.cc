// SPDX-License-Identifier: Apache-2.0
// sluice crd: the resource definition of WorkerPool, for an API server.
#include "app/context.h"
#include "app/verbs.h"
#include "pool/pool.h"

namespace sluice::app {
namespace {

aio::Task<int> run_crd(Context& context, Args /*args*/) {
  context.out.write(context.json ? pool::crd_json() + "\n" : pool::crd_yaml());
  co_return exit_done;
}

}  // namespace

Verb crd_verb() {
  return {.name = "crd",
          .summary = "print the resource definition of WorkerPool for Kubernetes",
          .about =
              "By it an API server knows pools, and refuses what a pool file must not say with the same words.\n"
              "The chart installs it too, but Helm never changes one that is there.",
          .examples = {{"sluice crd | kubectl apply --server-side -f -", "install or update it"},
                       {"kubectl explain workerpool.spec.policy", "what it then tells"}},
          .flags = {},
          .positionals = {},
          .rest = "",
          .run = run_crd};
}

}  // namespace sluice::app
