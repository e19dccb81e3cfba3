// SPDX-License-Identifier: Apache-2.0
#pragma once
// Result<T>: a value, or an Error that says what the caller can do about it.
//
// Not std::error_code, which cannot carry "which queue, which file"; not exceptions, because a retry needs a co_await
// after the failure, which a catch block cannot hold. Derived from std::expected so that it can be [[nodiscard]].
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

// What to do next, not who failed.
enum class Code {
  retry,      // unreachable, 5xx, deadline: try again with backoff
  throttled,  // told to wait: wait, then try again
  gone,       // 404, 410, deleted: read the whole picture again
  conflict,   // somebody else changed or holds it: re-read
  denied,     // not allowed, full disk, read-only: tell the operator, retry slowly
  invalid,    // wrong input: wait for new input
};

// The lower-case word of a code, as in logs and JSON.
[[nodiscard]] std::string_view code_word(Code code);

struct Error {
  Code code = Code::retry;
  std::string what;  // one line, for people; grows by prefixes as it rises

  // The same error with "where: " in front.
  [[nodiscard]] Error in(std::string_view where) const { return Error{code, std::string(where) + ": " + what}; }
  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
  using Base = std::expected<T, Error>;

 public:
  using Base::Base;
  Result(Error error) : Base(std::unexpect, std::move(error)) {}  // NOLINT: `return Error{..}` is the point
  Result(T value) : Base(std::in_place, std::move(value)) {}      // NOLINT: `return value` is the point
};

template <>
class [[nodiscard]] Result<void> : public std::expected<void, Error> {
  using Base = std::expected<void, Error>;

 public:
  using Base::Base;
  Result() = default;
  Result(Error error) : Base(std::unexpect, std::move(error)) {}  // NOLINT: `return Error{..}` is the point
};

}  // namespace sluice
