// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "kube/splitter.h"

namespace sluice::kube {

struct Cut {
  std::vector<std::string> items;
  std::string rest;   // of a list
  std::string error;  // empty: none
  friend bool operator==(const Cut&, const Cut&) = default;
};

// What a ListSplitter or LineSplitter makes of `text` in pieces of `step` bytes.
template <class Splitter>
Cut cut(std::string_view text, std::size_t step) {
  Cut out;
  Splitter splitter([&](std::string_view item) {
    out.items.emplace_back(item);
    return Result<void>{};
  });
  for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) {
    if (const Result<void> fed = splitter.feed(text.substr(0, step)); !fed) {
      out.error = fed.error().what;
      return out;
    }
  }
  auto end = splitter.finish();
  out.error = end ? "" : end.error().what;
  if constexpr (std::is_same_v<Splitter, ListSplitter>) {
    out.rest = end.value_or("");
  }
  return out;
}

}  // namespace sluice::kube
