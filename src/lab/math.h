// SPDX-License-Identifier: Apache-2.0
#pragma once
// Logarithm, exponential and sine from additions, multiplications and divisions alone: the same bits on every machine
// and with every C library, which std:: does not promise. Exact to about 1e-15, relatively.
namespace sluice::lab {

// Requires: x > 0, finite and not subnormal.
[[nodiscard]] double log_of(double x);
// 0 below -700; Requires: x <= 700.
[[nodiscard]] double exp_of(double x);
// sin(2 pi turns).
[[nodiscard]] double sine(double turns);

}  // namespace sluice::lab
