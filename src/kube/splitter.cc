// SPDX-License-Identifier: Apache-2.0
#include "kube/splitter.h"

#include <utility>

namespace sluice::kube {
namespace {

constexpr std::string_view space = " \t\r\n";
// Of what is not an item: kind, version, metadata. Chosen: a continue token is 300 bytes.
constexpr std::size_t rest_max = 64U << 10U;

Error no_list(const char* why) {
  return Error{Code::invalid, std::string("not a list of objects: ") + why};
}

}  // namespace

Result<void> ListSplitter::feed(std::string_view bytes) {
  for (const char c : bytes) {
    Result<void> good = step(c);
    if (!good) {
      return good;
    }
  }
  return {};
}

Result<void> ListSplitter::step(char c) {
  if (done_ || (where_ == Where::items && (space.contains(c) || c == ','))) {
    return done_ && !space.contains(c) ? Result<void>(no_list("there is more behind it")) : Result<void>{};
  }
  const bool item = where_ == Where::item;
  if ((item ? item_.size() : rest_.size()) >= (item ? item_max : rest_max)) {
    return no_list(item ? "an object is larger than 2 MiB" : "its head is larger than 64 KiB");
  }
  if (in_string_) {
    (item ? item_ : rest_) += c;
    in_string_ = escaped_ || c != '"';
    escaped_ = !escaped_ && c == '\\';
    if (depth_ == 1 && key_next_ && in_string_) {
      key_ += c;
    }
    return {};
  }
  return structure(c);
}

Result<void> ListSplitter::structure(char c) {
  if (where_ == Where::items && c != '{' && c != ']') {
    return no_list("an item is no object");
  }
  if (c == '}' || c == ']') {
    return close(c);
  }
  if (c == '{' || c == '[') {
    ++depth_;
    if (where_ == Where::items) {
      where_ = Where::item;
    } else if (where_ == Where::outside && c == '[' && depth_ == 2 && key_ == items_key_) {
      rest_ += c;
      where_ = Where::items;
      return {};
    }
  } else if (depth_ == 0 && !space.contains(c)) {
    return no_list("it does not begin with a brace");
  } else if (c == '"') {
    in_string_ = true;
    if (depth_ == 1 && key_next_) {
      key_.clear();
    }
  } else if (depth_ == 1 && (c == ':' || c == ',')) {
    key_next_ = c == ',';
  }
  (where_ == Where::item ? item_ : rest_) += c;
  return {};
}

Result<void> ListSplitter::close(char c) {
  if (--depth_ < 0) {
    return no_list("it does not begin with a brace");
  }
  (where_ == Where::item ? item_ : rest_) += c;
  done_ = depth_ == 0;
  if (where_ == Where::items) {
    where_ = Where::outside;
  } else if (where_ == Where::item && depth_ == 2) {
    where_ = Where::items;
    const std::string item = std::exchange(item_, {});
    return take_(item);
  }
  return {};
}

Result<std::string> ListSplitter::finish() {
  if (!done_) {
    return Error{Code::retry, "the list was cut off"};
  }
  return std::move(rest_);
}

Result<void> LineSplitter::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (line_.size() + part.size() > item_max) {
      return Error{Code::invalid, "an event is larger than 2 MiB"};
    }
    line_ += part;
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
    if (end == std::string_view::npos) {
      return {};
    }
    const std::string line = std::exchange(line_, {});
    Result<void> good = line.find_first_not_of(space) == std::string::npos ? Result<void>{} : take_(line);
    if (!good) {
      return good;
    }
  }
  return {};
}

Result<void> LineSplitter::finish() const {
  return line_.find_first_not_of(space) == std::string::npos
             ? Result<void>{}
             : Result<void>(Error{Code::retry, "the watch was cut off within an event"});
}

}  // namespace sluice::kube
