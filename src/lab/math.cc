// SPDX-License-Identifier: Apache-2.0
#include "lab/math.h"

#include <bit>
#include <cmath>
#include <cstdint>

namespace sluice::lab {
namespace {

constexpr double ln2 = 0.69314718055994530942;
constexpr double pi = 3.14159265358979323846;

}  // namespace

// x = m 2^e with m around 1; ln m = 2 artanh((m - 1) / (m + 1)), whose series in s^2 <= 0.03 ends after 11 terms.
double log_of(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  int e = static_cast<int>(bits >> 52U & 0x7ffU) - 1023;
  double m = std::bit_cast<double>((bits & 0x000f'ffff'ffff'ffffULL) | 0x3ff0'0000'0000'0000ULL);
  if (m > 1.4142135623730951) {
    m /= 2;
    ++e;
  }
  const double s = (m - 1) / (m + 1);
  const double s2 = s * s;
  double sum = 0;
  for (int k = 21; k >= 1; k -= 2) {
    sum = sum * s2 + 1.0 / k;
  }
  return e * ln2 + 2 * s * sum;
}

// x = k ln 2 + r with |r| <= 0.35: 2^k times a Taylor series of 15 terms.
double exp_of(double x) {
  if (x < -700) {
    return 0;
  }
  const double k = std::floor(x / ln2 + 0.5);
  const double r = x - k * ln2;
  double sum = 1;
  for (int n = 15; n >= 1; --n) {
    sum = 1 + sum * r / n;
  }
  return std::ldexp(sum, static_cast<int>(k));
}

// Folded into a quarter turn, then Taylor.
double sine(double turns) {
  double part = turns - std::floor(turns + 0.5);  // -0.5 .. 0.5
  if (part > 0.25) {
    part = 0.5 - part;
  } else if (part < -0.25) {
    part = -0.5 - part;
  }
  const double x = 2 * pi * part;
  const double x2 = x * x;
  double sum = 1;
  for (int n = 21; n >= 3; n -= 2) {
    sum = 1 - sum * x2 / (n * (n - 1));
  }
  return x * sum;
}

}  // namespace sluice::lab
