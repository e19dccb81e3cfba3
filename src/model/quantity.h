// SPDX-License-Identifier: Apache-2.0
#pragma once
// A Kubernetes quantity: "100", "8600m", "1k", "1Ki", "1e3", "0.5". What apimachinery's resource.Quantity reads and
// prints, and the milli value that the HPA computes with.
//
// Decimal digits and a power of ten, not a double and not an int64 of nano units: "0.1" is exact, and so is "1e30".
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::model {

// The family of suffixes a quantity was written with, and is printed with.
enum class QuantityForm {
  decimal,   // n u m - k M G T P E
  binary,    // Ki Mi Gi Ti Pi Ei
  exponent,  // e3
};

// The value is (negative ? -1 : 1) * digits * 10^exponent, at least in whole nano units.
struct Quantity {
  bool negative = false;
  std::string digits = {};  // decimal, without a zero at either end; empty: the value is 0
  int exponent = 0;         // of ten; 0 when the value is
  QuantityForm form = QuantityForm::decimal;

  [[nodiscard]] bool zero() const { return digits.empty(); }
  [[nodiscard]] bool positive() const { return !negative && !zero(); }
  friend bool operator==(const Quantity&, const Quantity&) = default;
};

// At most 64 characters and an exponent of at most 300: more than any value means. Parts of a nano unit count as a
// whole one, as in Kubernetes. Code::invalid with the accepted forms otherwise.
[[nodiscard]] Result<Quantity> parse_quantity(std::string_view text);
[[nodiscard]] Quantity quantity_of_milli(std::int64_t milli);

// The canonical form: the largest suffix that leaves no fraction. NewQuantity(2000) is "2k", 8600 milli are "8600m". A
// binary one that 1024 does not divide has no suffix, as in Kubernetes: "62.5Ki" is "64000", which is read as "64k".
[[nodiscard]] std::string format_quantity(const Quantity& quantity);
// The same of a milli value: 2'000'000 is "2k", 92'000 is "92", 8600 is "8600m".
[[nodiscard]] std::string format_milli(std::int64_t milli);

// In milli units, parts of one rounded away from zero, what an int64 cannot hold at its nearest end.
[[nodiscard]] std::int64_t milli_value(const Quantity& quantity);
// AsApproximateFloat64 of the canonical form, in which the API server stores it: "0.3" is 300 * 0.001.
[[nodiscard]] double approximate(const Quantity& quantity);

}  // namespace sluice::model
