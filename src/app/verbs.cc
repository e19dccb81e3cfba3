// SPDX-License-Identifier: Apache-2.0
#include "app/verbs.h"

namespace sluice::app {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all{
      status_verb(), explain_verb(), doctor_verb(),     demo_verb(),    top_verb(),    publish_verb(),
      work_verb(),   scale_verb(),   controller_verb(), adapter_verb(), decide_verb(), simulate_verb(),
      advise_verb(), crd_verb(),     completion_verb(), man_verb(),
  };
  return all;
}

}  // namespace sluice::app
