// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every verb of the program. One file per verb defines VERB_verb(); a new verb is a declaration here and a line in
// verbs.cc.
#include <vector>

#include "app/cli.h"

namespace sluice::app {

// In the order of help.
[[nodiscard]] const std::vector<Verb>& verbs();

[[nodiscard]] Verb status_verb();
[[nodiscard]] Verb explain_verb();
[[nodiscard]] Verb doctor_verb();
[[nodiscard]] Verb demo_verb();
[[nodiscard]] Verb top_verb();
[[nodiscard]] Verb publish_verb();
[[nodiscard]] Verb work_verb();
[[nodiscard]] Verb scale_verb();
[[nodiscard]] Verb controller_verb();
[[nodiscard]] Verb adapter_verb();
[[nodiscard]] Verb decide_verb();
[[nodiscard]] Verb simulate_verb();
[[nodiscard]] Verb advise_verb();
[[nodiscard]] Verb crd_verb();
[[nodiscard]] Verb completion_verb();
[[nodiscard]] Verb man_verb();

}  // namespace sluice::app
