// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string_view>

namespace sluice {

inline constexpr std::uint64_t fnv1a_basis = 0xcbf29ce484222325;

// FNV-1a, 64 bits (Fowler, Noll, Vo): tells changes apart, guards nothing. `from` is the basis, or the hash of what
// comes before.
[[nodiscard]] constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t from = fnv1a_basis) {
  for (const char c : bytes) {
    from = (from ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return from;
}

}  // namespace sluice
