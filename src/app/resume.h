// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "app/context.h"
#include "app/wiring.h"
#include "control/state.h"

namespace sluice::app {

// What a scaler of this pool begins with: what is in its own journal, where its policy goes on with that; says on
// stderr which. Anew where there is no journal or none that can be used: this never keeps a scaler from starting.
[[nodiscard]] control::ControlState resumed(Context& context, const LoadedPool& loaded);

}  // namespace sluice::app
