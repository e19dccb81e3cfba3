// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a metric's values come from. From memory: whoever serves an API server must not wait for a broker.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"
#include "external/documents.h"
#include "model/selector.h"

namespace sluice::external {

struct Question {
  std::string space;   // whose HPA asks
  std::string metric;  // lower case
  model::Selector selector;
  std::string selector_text;  // as it came
};

class Source {
 public:
  virtual ~Source() = default;
  // Whether a metric of this name would be here.
  [[nodiscard]] virtual bool knows(std::string_view metric) const = 0;
  // Never empty. The error's text is shown to the HPA's owner: cause and remedy in one line. Code::gone: there is no
  // such metric, or nothing that it is a metric of; invalid: the selector; anything else: not known now.
  [[nodiscard]] virtual aio::Task<Result<std::vector<Item>>> read(Question question, aio::Deadline deadline) = 0;
};

struct Sources {
  std::vector<std::unique_ptr<Source>> known;  // of those that know a name the first that does not say `gone`
  std::unique_ptr<Source> others;              // for names that none of them knows; may be null
};

// Of the sources whose affair it is.
[[nodiscard]] aio::Task<Result<std::vector<Item>>> read(const Sources& sources, Question question,
                                                        aio::Deadline deadline);

}  // namespace sluice::external
