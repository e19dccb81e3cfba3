// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the parts of the definition share.
#include <fmt/core.h>

#include <concepts>
#include <optional>
#include <string>
#include <type_traits>

#include "pool/field.h"
#include "pool/types.h"

namespace sluice::pool {

// describe() takes an object to fill as well as one to write.
template <class T, class U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

// Slots 0..9999: a Job's name has four digits for its slot.
inline constexpr std::int64_t workers_limit = 10'000;
// A billion messages: far above any queue that one scaler looks at, far below what sums could overflow.
inline constexpr std::int64_t messages_limit = 1'000'000'000;

template <class T>
inline constexpr Kind kind_of = std::is_enum_v<T> ? Kind::word : Kind::object;
template <>
inline constexpr Kind kind_of<bool> = Kind::boolean;
template <>
inline constexpr Kind kind_of<std::int64_t> = Kind::whole;
template <>
inline constexpr Kind kind_of<Duration> = Kind::duration;
template <>
inline constexpr Kind kind_of<Every> = Kind::every;
template <>
inline constexpr Kind kind_of<Bytes> = Kind::bytes;
template <>
inline constexpr Kind kind_of<Decimal> = Kind::decimal;
template <>
inline constexpr Kind kind_of<std::string> = Kind::text;
template <>
inline constexpr Kind kind_of<Claim> = Kind::claim;
template <>
inline constexpr Kind kind_of<JobTemplate> = Kind::job_template;
template <>
inline constexpr Kind kind_of<std::map<std::string, std::string>> = Kind::map;
template <class T>
inline constexpr Kind kind_of<std::vector<T>> = Kind::list;
template <class... T>
inline constexpr Kind kind_of<std::variant<T...>> = Kind::choice;
template <class T>
inline constexpr Kind kind_of<std::optional<T>> = kind_of<T>;

inline std::optional<std::string> wrong_unless(bool good, std::string found) {
  return good ? std::nullopt : std::optional(std::move(found));
}
inline std::optional<std::string> at_most(std::int64_t smaller, std::int64_t larger) {
  return wrong_unless(smaller <= larger, fmt::format("{} is more than {}", smaller, larger));
}

}  // namespace sluice::pool
