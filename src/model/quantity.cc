// SPDX-License-Identifier: Apache-2.0
#include "model/quantity.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/number.h"

namespace sluice::model {
namespace {

constexpr std::size_t text_max = 64;  // chosen: three times the longest int64 in nano units
constexpr int exponent_most = 300;    // chosen: what a double can still hold
constexpr int nano = -9;
constexpr int milli = -3;
constexpr int largest_suffix = 18;  // E
constexpr std::string_view decimal_digits = "0123456789";

struct Suffix {
  std::string_view word;
  QuantityForm form;
  int exponent;  // of 10, and of 1024 where binary
};
constexpr std::array<Suffix, 16> suffixes = {{
    {"n", QuantityForm::decimal, -9},
    {"u", QuantityForm::decimal, -6},
    {"m", QuantityForm::decimal, -3},
    {"", QuantityForm::decimal, 0},
    {"k", QuantityForm::decimal, 3},
    {"M", QuantityForm::decimal, 6},
    {"G", QuantityForm::decimal, 9},
    {"T", QuantityForm::decimal, 12},
    {"P", QuantityForm::decimal, 15},
    {"E", QuantityForm::decimal, 18},
    {"Ki", QuantityForm::binary, 1},
    {"Mi", QuantityForm::binary, 2},
    {"Gi", QuantityForm::binary, 3},
    {"Ti", QuantityForm::binary, 4},
    {"Pi", QuantityForm::binary, 5},
    {"Ei", QuantityForm::binary, 6},
}};

std::string_view suffix_word(QuantityForm form, int exponent) {
  const auto* const found = std::ranges::find_if(
      suffixes, [&](const Suffix& suffix) { return suffix.form == form && suffix.exponent == exponent; });
  return found == suffixes.end() ? "" : found->word;
}

std::optional<Suffix> suffix_of(std::string_view text) {
  const auto* const found = std::ranges::find(suffixes, text, &Suffix::word);
  if (found != suffixes.end()) {
    return *found;
  }
  if (text.size() < 2 || (text.front() != 'e' && text.front() != 'E')) {
    return std::nullopt;
  }
  std::string_view number = text.substr(1);
  if (number.front() == '+') {
    number.remove_prefix(1);
    if (number.starts_with('-')) {
      return std::nullopt;
    }
  }
  const std::optional<int> exponent = parse_number<int>(number);
  if (!exponent || *exponent > exponent_most || *exponent < -exponent_most) {
    return std::nullopt;
  }
  return Suffix{text, QuantityForm::exponent, *exponent};
}

// Arithmetic on decimal digits, the first the most significant.

void trim(Quantity& q) {
  q.digits.erase(0, q.digits.find_first_not_of('0'));
  while (!q.digits.empty() && q.digits.back() == '0') {
    q.digits.pop_back();
    ++q.exponent;
  }
  if (q.digits.empty()) {
    q.exponent = 0;
    q.negative = false;
  }
}

std::string plus_one(std::string digits) {
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    if (*digit != '9') {
      ++*digit;
      return digits;
    }
    *digit = '0';
  }
  return "1" + digits;
}

std::string times_1024(const std::string& digits) {
  std::string out(digits.size() + 4, '0');
  int carry = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {  // from the right
    carry += i < digits.size() ? (digits[digits.size() - 1 - i] - '0') * 1024 : 0;
    out[out.size() - 1 - i] = static_cast<char>('0' + carry % 10);
    carry /= 10;
  }
  return out;
}

// Empty where 1024 does not divide it.
std::optional<std::string> over_1024(const std::string& digits) {
  std::string out;
  int rest = 0;
  for (const char digit : digits) {
    rest = rest * 10 + (digit - '0');
    out += static_cast<char>('0' + rest / 1024);
    rest %= 1024;
  }
  out.erase(0, out.find_first_not_of('0'));
  return rest == 0 && !out.empty() ? std::optional(out) : std::nullopt;
}

// In whole units of 10^unit, parts of one rounded away from zero.
std::string in_units(const Quantity& q, int unit) {
  if (q.zero()) {
    return "0";
  }
  if (q.exponent >= unit) {
    return q.digits + std::string(static_cast<std::size_t>(q.exponent - unit), '0');
  }
  const auto cut = static_cast<std::size_t>(unit - q.exponent);
  return cut >= q.digits.size() ? "1" : plus_one(q.digits.substr(0, q.digits.size() - cut));
}

constexpr std::string_view most_text = "9223372036854775807";

bool more_than_int64(const std::string& whole) {
  return whole.size() != most_text.size() ? whole.size() > most_text.size() : whole > most_text;
}

// What apimachinery does to every quantity it reads: nano units at the least, and binary ones at most an int64.
void settle(Quantity& q) {
  trim(q);
  if (q.exponent < nano) {
    q.digits = in_units(q, nano);
    q.exponent = nano;
    trim(q);
  }
  if (q.form != QuantityForm::binary || q.zero()) {
    return;
  }
  if (more_than_int64(in_units(q, 0))) {
    q.digits = most_text;
    q.exponent = 0;
  }
  const bool below_one = q.exponent < 0 && q.digits.size() <= static_cast<std::size_t>(-q.exponent);
  q.form = below_one ? QuantityForm::decimal : q.form;
}

// A whole number of at least 1024, by the largest power of 1024 that divides it; empty for others.
std::optional<std::string> binary_text(const Quantity& q) {
  if (q.exponent < 0) {
    return std::nullopt;
  }
  std::string whole = in_units(q, 0);
  if (whole.size() < 4 || (whole.size() == 4 && whole < "1024")) {
    return std::nullopt;
  }
  int times = 0;
  for (auto next = over_1024(whole); next && times < 6; next = over_1024(whole)) {
    whole = *next;
    ++times;
  }
  return whole + std::string(times == 0 ? "" : suffix_word(QuantityForm::binary, times));
}

}  // namespace

Result<Quantity> parse_quantity(std::string_view text) {
  const Error bad{Code::invalid, fmt::format("\"{}\"; accepted: a Kubernetes quantity such as \"100\", \"8600m\", "
                                             "\"0.5\", \"1k\", \"1Ki\" or \"1e3\"",
                                             text.substr(0, 40))};
  if (text.size() > text_max) {
    return bad;
  }
  Quantity out;
  out.negative = text.starts_with('-');
  std::string_view rest = text.substr(text.starts_with('-') || text.starts_with('+') ? 1 : 0);
  const std::size_t whole = std::min(rest.find_first_not_of(decimal_digits), rest.size());
  out.digits = rest.substr(0, whole);
  rest.remove_prefix(whole);
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    const std::size_t part = std::min(rest.find_first_not_of(decimal_digits), rest.size());
    out.digits += rest.substr(0, part);
    out.exponent = -static_cast<int>(part);
    rest.remove_prefix(part);
  }
  const std::optional<Suffix> suffix = suffix_of(rest);
  if (out.digits.empty() || !suffix) {
    return bad;
  }
  out.form = suffix->form;
  if (suffix->form == QuantityForm::binary) {
    for (int i = 0; i < suffix->exponent; ++i) {
      out.digits = times_1024(out.digits);
    }
  } else {
    out.exponent += suffix->exponent;
  }
  settle(out);
  return out;
}

Quantity quantity_of_milli(std::int64_t value) {
  const auto magnitude = static_cast<std::uint64_t>(value);
  Quantity out{.negative = value < 0,
               .digits = std::to_string(value < 0 ? 0 - magnitude : magnitude),
               .exponent = milli,
               .form = QuantityForm::decimal};
  trim(out);
  return out;
}

std::string format_quantity(const Quantity& quantity) {
  const std::string sign = quantity.negative ? "-" : "";
  if (quantity.zero()) {
    return "0";
  }
  if (quantity.form == QuantityForm::binary) {
    if (const std::optional<std::string> text = binary_text(quantity)) {
      return sign + *text;
    }
  }
  std::string digits = quantity.digits;
  int exponent = quantity.exponent;
  for (; exponent % 3 != 0; --exponent) {
    digits += '0';
  }
  if (quantity.form == QuantityForm::exponent) {
    return sign + digits + (exponent == 0 ? "" : fmt::format("e{}", exponent));
  }
  for (; exponent > largest_suffix; exponent -= 3) {
    digits += "000";
  }
  return sign + digits + std::string(suffix_word(QuantityForm::decimal, exponent));
}

std::string format_milli(std::int64_t value) {
  return format_quantity(quantity_of_milli(value));
}

std::int64_t milli_value(const Quantity& quantity) {
  const std::string whole = in_units(quantity, milli);
  if (more_than_int64(whole)) {
    return quantity.negative ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
  }
  const std::int64_t magnitude = parse_number<std::int64_t>(whole).value_or(0);
  return quantity.negative ? -magnitude : magnitude;
}

double approximate(const Quantity& quantity) {
  std::string digits = quantity.digits.empty() ? "0" : quantity.digits;
  int exponent = quantity.exponent;
  for (; exponent % 3 != 0 || (quantity.form == QuantityForm::binary && exponent > 0); --exponent) {
    digits += '0';
  }
  const double base = parse_number<double>(digits).value_or(0);
  const double power = parse_number<double>(fmt::format("1e{}", exponent < 0 ? -exponent : exponent)).value_or(0);
  const double scale = exponent < 0 ? 1.0 / power : power;
  const double value = exponent == 0 ? base : base * scale;
  return quantity.negative ? -value : value;
}

}  // namespace sluice::model
