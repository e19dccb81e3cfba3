// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/tables.h"

#include <fmt/core.h>

#include <array>
#include <optional>

#include "queue/rabbit/frame.h"

namespace sluice::queue::rabbit {
namespace {

Error broken(std::string_view why) {
  return Error{Code::invalid, fmt::format("the broker sent a table that cannot be read: {}", why)};
}

constexpr std::string_view cut_short = "it is cut short";

// What follows a field's type when that is always as much, in RabbitMQ's reading of the types.
std::optional<std::size_t> fixed_size(char type) {
  switch (type) {
    case 'V':
      return 0;
    case 't':
    case 'b':
    case 'B':
      return 1;
    case 's':
    case 'u':
      return 2;
    case 'I':
    case 'i':
    case 'f':
      return 4;
    case 'D':
      return 5;
    case 'l':
    case 'L':
    case 'd':
    case 'T':
      return 8;
    default:
      return std::nullopt;
  }
}

// Tables and arrays from the outermost to the one that is being read.
class Walk {
 public:
  explicit Walk(std::string_view bytes) : bytes_(bytes) {}

  Result<void> table() {
    Result<void> good = open(true);
    while (good && depth_ > 0) {
      if (at_ == levels_[depth_ - 1].end) {
        --depth_;
      } else {
        good = entry(levels_[depth_ - 1].named);
      }
    }
    return good;
  }

 private:
  struct Level {
    std::size_t end = 0;
    bool named = false;  // a table, whose entries have names; those of an array have none
  };

  [[nodiscard]] std::size_t left() const { return (depth_ == 0 ? bytes_.size() : levels_[depth_ - 1].end) - at_; }

  Result<void> skip(std::size_t size) {
    if (size > left()) {
      return broken(cut_short);
    }
    at_ += size;
    return {};
  }

  Result<std::size_t> size() {
    if (left() < 4) {
      return broken(cut_short);
    }
    at_ += 4;
    return read_u32(bytes_, at_ - 4);
  }

  Result<void> open(bool named) {
    if (depth_ == depth_max) {
      return broken(fmt::format("it is nested more than {} deep", depth_max));
    }
    const Result<std::size_t> size_of_it = size();
    if (!size_of_it || *size_of_it > left()) {
      return broken(cut_short);
    }
    levels_[depth_] = Level{.end = at_ + *size_of_it, .named = named};
    ++depth_;
    return {};
  }

  // One name and value, or one value. Requires: left() > 0.
  Result<void> entry(bool named) {
    if (named) {
      if (const Result<void> name = skip(1 + static_cast<unsigned char>(bytes_[at_])); !name) {
        return name;
      }
    }
    if (left() == 0) {
      return broken(cut_short);
    }
    const char type = bytes_[at_++];
    if (type == 'F' || type == 'A') {
      return open(type == 'F');
    }
    if (type == 'S' || type == 'x') {
      const Result<std::size_t> text = size();
      return text ? skip(*text) : Result<void>(text.error());
    }
    const std::optional<std::size_t> fixed = fixed_size(type);
    return fixed ? skip(*fixed)
                 : Result<void>(broken(fmt::format("it has a field of the unknown type {:#x}",
                                                   static_cast<unsigned>(static_cast<unsigned char>(type)))));
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  std::array<Level, depth_max> levels_;
  std::size_t depth_ = 0;
};

}  // namespace

Result<void> check_table(std::string_view bytes) {
  return Walk(bytes).table();
}

Result<void> check_properties(std::string_view bytes) {
  constexpr std::uint16_t content_type = 1U << 15U;
  constexpr std::uint16_t content_encoding = 1U << 14U;
  constexpr std::uint16_t headers = 1U << 13U;
  constexpr std::uint16_t more_flags = 1U;
  constexpr std::string_view cut = "the broker sent a content header that is cut short";
  if (bytes.size() < 2) {
    return Error{Code::invalid, std::string(cut)};
  }
  const std::uint16_t flags = read_u16(bytes, 0);
  if ((flags & more_flags) != 0) {
    return Error{Code::invalid, "the broker sent a content header with more properties than there are"};
  }
  bytes.remove_prefix(2);
  for (const std::uint16_t before : {content_type, content_encoding}) {  // each a short text
    if ((flags & before) != 0) {
      const std::size_t size = bytes.empty() ? 0 : 1 + std::size_t{static_cast<unsigned char>(bytes[0])};
      if (bytes.empty() || size > bytes.size()) {
        return Error{Code::invalid, std::string(cut)};
      }
      bytes.remove_prefix(size);
    }
  }
  return (flags & headers) != 0 ? check_table(bytes) : Result<void>{};
}

}  // namespace sluice::queue::rabbit
