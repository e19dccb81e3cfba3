// SPDX-License-Identifier: Apache-2.0
// links: policy
//
// Lines of `sluice decide` for the stock HPA. Whatever they say, nothing crashes or overflows, an error names its
// place, an answer is JSON, the size stays within the bounds or as it is, and the state that comes out can go back in.
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/quantity.h"
#include "policy/hpa_json.h"

namespace {

using namespace sluice;

boost::json::value parse(std::string_view text, boost::system::error_code& failed) {
  boost::json::parse_options options;
  options.max_depth = 32;  // as `sluice decide` reads
  return boost::json::parse(text, failed, {}, options);
}

void quantity(std::string_view text) {
  const Result<model::Quantity> first = model::parse_quantity(text);
  if (!first) {
    return;
  }
  const std::string canonical = model::format_quantity(*first);
  const Result<model::Quantity> second = model::parse_quantity(canonical);
  if (!second) {
    return;  // the text may grow beyond what is read
  }
  check(model::milli_value(*second) == model::milli_value(*first), "a quantity reads back as another");
  // A binary one that prints without a suffix reads back as a decimal one, whose form is another: 62.5Ki, 64000, 64k.
  const bool same_family = second->form == first->form;
  const std::string next = model::format_quantity(*second);
  check(!same_family || next == canonical, "a canonical form that is none");
  const Result<model::Quantity> third = model::parse_quantity(next);
  check(!third || model::format_quantity(*third) == next, "a form that is never canonical");
}

void decide(const boost::json::value& line) {
  const Result<policy::HpaQuestion> question = policy::hpa_question_from_json(line);
  if (!question) {
    check(question.error().what.starts_with("$"), "an error without its place");
    return;
  }
  const policy::HpaOptions& options = question->options;
  const policy::HpaStep step = policy::sync(options, question->state, question->seen);
  const bool within = step.replicas >= options.min_replicas && step.replicas <= options.max_replicas;
  check(within || step.replicas == question->seen.spec_replicas, "a size outside the bounds");
  check(step.rescale == (step.replicas != question->seen.spec_replicas), "a rescale to the same size, or none");

  boost::system::error_code failed;
  const boost::json::value answer = parse(policy::answer_json(*question, step), failed);
  check(!failed, "an answer is not JSON");
  const Result<policy::HpaState> back = policy::hpa_state_from_json(answer.at("state"), "$.state");
  check(back && *back == step.next, "a state reads back as another");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  quantity(bytes);
  boost::system::error_code failed;
  const boost::json::value line = parse(bytes, failed);
  if (!failed) {
    decide(line);
  }
  return 0;
}
