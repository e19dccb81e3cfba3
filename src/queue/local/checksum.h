// SPDX-License-Identifier: Apache-2.0
#pragma once
// A 64-bit checksum against damage, not against malice. Every step is a bijection of the state, so a change confined to
// one 8-byte word is always noticed, and any other with probability 1 - 2^-64. Not CRC32C: 32 bits are few for a whole
// disk's life, and this needs no instruction set. Part of the file format: never change it under the same format
// version.
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice::queue::local {

[[nodiscard]] inline std::uint64_t checksum(std::uint64_t salt, std::string_view bytes) {
  constexpr std::uint64_t odd_a = 0x9e3779b97f4a7c15ULL;
  constexpr std::uint64_t odd_b = 0xc2b2ae3d27d4eb4fULL;
  // Two lanes, so that one multiplication need not wait for the other.
  std::uint64_t a = salt ^ odd_b;
  std::uint64_t b = bytes.size() ^ odd_a;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  const auto word = [](const char* from, std::size_t n) {
    std::uint64_t value = 0;
    std::memcpy(&value, from, n);
    return std::endian::native == std::endian::little ? value : std::byteswap(value);
  };
  for (; left >= 16; left -= 16, at += 16) {
    a = std::rotl((a ^ word(at, 8)) * odd_a, 29);
    b = std::rotl((b ^ word(at + 8, 8)) * odd_b, 31);
  }
  if (left >= 8) {
    a = std::rotl((a ^ word(at, 8)) * odd_a, 29);
    at += 8;
    left -= 8;
  }
  if (left > 0) {
    b = std::rotl((b ^ word(at, left)) * odd_b, 31);
  }
  std::uint64_t sum = a ^ std::rotl(b, 32);
  sum = (sum ^ (sum >> 32U)) * odd_a;
  return sum ^ (sum >> 29U);
}

}  // namespace sluice::queue::local
