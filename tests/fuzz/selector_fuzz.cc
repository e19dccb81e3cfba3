// SPDX-License-Identifier: Apache-2.0
// links: external
//
// Any bytes as a label selector: what is taken prints as a text that reads back to the same, an error is one line of
// plain characters, and a selector and its opposite never both hold.
#include <algorithm>

#include "base/check.h"
#include "external/selector.h"

using namespace sluice;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result<model::Selector> read = external::parse_selector(bytes);
  if (!read) {
    check(std::ranges::all_of(read.error().what, [](char c) { return c >= ' ' && c < '\x7f'; }), "errors are plain");
    return 0;
  }
  const std::string text = external::format_selector(*read);
  const Result<model::Selector> again = external::parse_selector(text);
  check(again && *again == *read, "the canonical text reads back");
  check(external::format_selector(*again) == text, "the canonical text is stable");
  external::Labels labels;
  for (const model::Requirement& each : *read) {
    if (!each.values.empty()) {
      labels[each.key] = each.values.front();
    }
  }
  for (const model::Requirement& each : *read) {
    model::Requirement opposite = each;
    using enum model::SelectorOperator;
    switch (each.op) {
      case equals:
        opposite.op = not_equals;
        break;
      case in:
        opposite.op = not_in;
        break;
      case exists:
        opposite.op = does_not_exist;
        break;
      default:
        continue;
    }
    check(external::matches({each}, labels) != external::matches({opposite}, labels), "one of the two holds");
  }
  return 0;
}
