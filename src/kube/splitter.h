// SPDX-License-Identifier: Apache-2.0
#pragma once
// The API server's lists and watches, cut into single objects as their bytes come, so that no more than one object is
// ever kept as text. Sans I/O. Cuts alone: what is cut out is parsed by who gets it, so that a cut at the wrong place
// is an error there.
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::kube {

// Gets the JSON text of one object, which is valid during the call. Its Error ends the reading.
using TakeItem = std::function<Result<void>(std::string_view item)>;

// An object larger than this is not the API server's: etcd takes 1.5 MiB.
inline constexpr std::size_t item_max = 2U << 20U;

// {"kind": "JobList", "metadata": {..}, "items": [{..}, ..]} in any order of its keys.
class ListSplitter {
 public:
  // `items`: the key of the objects.
  explicit ListSplitter(TakeItem take, std::string items = "items")
      : take_(std::move(take)), items_key_(std::move(items)) {}
  // Code::invalid for what is no such list, or when it is beyond the limits; or what `take` said.
  [[nodiscard]] Result<void> feed(std::string_view bytes);
  // At the end of the answer: the list with empty `items`. Code::retry when it was cut off.
  [[nodiscard]] Result<std::string> finish();

 private:
  enum class Where { outside, items, item };
  [[nodiscard]] Result<void> step(char c);
  [[nodiscard]] Result<void> structure(char c);
  [[nodiscard]] Result<void> close(char c);

  TakeItem take_;
  const std::string items_key_;
  Where where_ = Where::outside;
  std::string rest_;  // everything but the items
  std::string item_;  // the one that is coming
  int depth_ = 0;     // of braces and brackets; 1 in the list itself
  bool in_string_ = false;
  bool escaped_ = false;
  bool key_next_ = true;  // of the list itself
  std::string key_;       // of the list itself, the last one
  bool done_ = false;
};

// {"type": "ADDED", "object": {..}} a line.
class LineSplitter {
 public:
  explicit LineSplitter(TakeItem take) : take_(std::move(take)) {}
  [[nodiscard]] Result<void> feed(std::string_view bytes);
  // At the end of the answer. Code::retry when a line was cut off.
  [[nodiscard]] Result<void> finish() const;

 private:
  TakeItem take_;
  std::string line_;
};

}  // namespace sluice::kube
