// SPDX-License-Identifier: Apache-2.0
#pragma once
// One poll of KEDA's ScaledJob as a line of `sluice decide`.
#include <string>

#include "base/result.h"
#include "rivals/keda_job.h"

namespace boost::json {
class value;
}

namespace sluice::rivals {

struct KedaJobQuestion {
  KedaJobOptions options;
  KedaJobSeen seen;
};

// Of a whole line. Code::invalid with "$.path: what was found; what is accepted".
[[nodiscard]] Result<KedaJobQuestion> keda_job_question_from_json(const boost::json::value& line);
// The answer to it, without a line end. `scale_to` is what KEDA's createJobs makes of it: at most the effective
// maximum, and nothing below 0.
[[nodiscard]] std::string answer_json(const KedaJobAnswer& answer);

}  // namespace sluice::rivals
