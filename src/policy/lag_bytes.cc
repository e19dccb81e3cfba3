// SPDX-License-Identifier: Apache-2.0
#include "policy/lag_bytes.h"

#include <array>
#include <limits>

namespace sluice::policy {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::int64_t count_most = 1'000'000'000'000'000'000;  // messages that ever came

}  // namespace

void LagWriter::number(std::int64_t n) {
  auto bits = (static_cast<std::uint64_t>(n) << 1U) ^ (n < 0 ? std::numeric_limits<std::uint64_t>::max() : 0);
  while (bits >= 0x80U) {
    bytes_ += static_cast<char>(0x80U | (bits & 0x7fU));
    bits >>= 7U;
  }
  bytes_ += static_cast<char>(bits);
}

void LagWriter::curve(const LagArrivals& arrivals) {
  std::int64_t before = 0;
  std::int64_t zeros = 0;
  const auto end_run = [&] {
    if (zeros > 0) {
      number(0);
      number(zeros);
      zeros = 0;
    }
  };
  for (const std::int64_t upto : arrivals.upto()) {
    if (upto == before) {
      ++zeros;
    } else {
      end_run();
      number(upto - before);
    }
    before = upto;
  }
  end_run();
}

std::string LagWriter::base64() const {
  std::string out;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : bytes_) {
    bits = (bits << 8U) | static_cast<unsigned char>(c);
    for (held += 8; held >= 6; held -= 6) {
      out += alphabet[(bits >> (held - 6)) & 0x3fU];
    }
  }
  if (held > 0) {
    out += alphabet[(bits << (6 - held)) & 0x3fU];
  }
  return out;
}

LagBytes::LagBytes(std::string_view base64) {
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : base64) {
    const std::size_t digit = alphabet.find(c);
    bad_ = bad_ || digit == std::string_view::npos;
    bits = (bits << 6U) | static_cast<std::uint32_t>(digit & 0x3fU);
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes_ += static_cast<char>((bits >> held) & 0xffU);
    }
  }
}

std::int64_t LagBytes::number(std::int64_t least, std::int64_t most) {
  std::uint64_t bits = 0;
  for (unsigned shift = 0; !bad_; shift += 7) {
    if (next_ == bytes_.size() || shift > 63) {
      bad_ = true;
      break;
    }
    const auto byte = static_cast<unsigned char>(bytes_[next_++]);
    bits |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
    if ((byte & 0x80U) == 0) {
      break;
    }
  }
  const auto n = static_cast<std::int64_t>((bits >> 1U) ^ (~(bits & 1U) + 1U));
  bad_ = bad_ || n < least || n > most;
  return bad_ ? 0 : n;
}

void LagBytes::curve(LagArrivals& out) {
  std::array<std::int64_t, LagArrivals::steps> upto{};
  std::int64_t before = 0;
  for (std::size_t i = 0; i < upto.size() && !bad_;) {
    const std::int64_t more = number(0, count_most - before);
    const std::int64_t times = more == 0 ? number(1, static_cast<std::int64_t>(upto.size() - i)) : 1;
    before += more;
    for (std::int64_t j = 0; j < times; ++j) {
      upto[i++] = before;
    }
  }
  out.assign(upto);
}

}  // namespace sluice::policy
