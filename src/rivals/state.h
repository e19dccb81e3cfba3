// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a rival remembers between ticks, as the journal keeps it: {"knativeKpa":{..}}.
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "rivals/dataflow.h"
#include "rivals/flink.h"
#include "rivals/keda_job.h"
#include "rivals/keda_object.h"
#include "rivals/kpa.h"
#include "rivals/sqs.h"

namespace boost::json {
class value;
}

namespace sluice::rivals {

using RivalState = std::variant<KedaScaledObjectState, KedaScaledJobState, SqsTargetTrackingState, KnativeKpaState,
                                FlinkLikeState, DataflowLikeState>;

void append_json(std::string& out, const RivalState& state);
// The exact inverse. Code::invalid with the path otherwise.
[[nodiscard]] Result<RivalState> state_from_json(const boost::json::value& json, const std::string& path);

}  // namespace sluice::rivals
