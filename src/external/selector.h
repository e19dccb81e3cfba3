// SPDX-License-Identifier: Apache-2.0
#pragma once
// The text of a label selector, as in the parameter labelSelector: "app=a,tier in (x,y),!old,generation>3". The grammar
// is that of Kubernetes (apimachinery's labels.Parse), so that what an API server takes is taken here and nothing else:
// a key or value that no object could carry is an error, not a selector that selects nothing.
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/selector.h"

namespace sluice::external {

using Labels = std::map<std::string, std::string, std::less<>>;

// Sorted by key, values of `in` and `notin` sorted and each once; "==" is "=". Empty text: everything. Code::invalid
// names the column, counted in bytes from 1, and what is accepted there. At most 8 KiB, as a request's target.
[[nodiscard]] Result<model::Selector> parse_selector(std::string_view text);

// The canonical text: what parse_selector() reads back to the same selector, and what client-go sends for it.
[[nodiscard]] std::string format_selector(const model::Selector& selector);

// All requirements hold. `!=` and `notin` hold for a label that is absent; `>` and `<` for whole numbers alone.
[[nodiscard]] bool matches(const model::Selector& selector, const Labels& labels);

}  // namespace sluice::external
