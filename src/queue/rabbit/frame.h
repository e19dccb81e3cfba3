// SPDX-License-Identifier: Apache-2.0
#pragma once
// AMQP 0-9-1 frames (specification section 4.2.3): what the bytes of a connection are cut into, without any I/O.
//
//   0      1         3             7                  size+7 size+8
//   | type | channel | size        | payload ...      | 0xCE |      all numbers big-endian
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::queue::rabbit {

enum class FrameType : std::uint8_t { method = 1, header = 2, body = 3, heartbeat = 8 };

inline constexpr char end_octet = '\xce';
inline constexpr std::size_t frame_head_bytes = 7;
inline constexpr std::size_t frame_extra_bytes = 8;  // head and end octet
inline constexpr std::uint32_t frame_min = 4096;     // the least that any peer must take (section 4.2.3)

struct Frame {
  FrameType type = FrameType::heartbeat;
  std::uint16_t channel = 0;
  std::string_view payload;  // into the bytes that were given
};

struct FrameLimits {
  std::uint32_t frame_max = 131072;  // whole frame, head and end octet included; RabbitMQ's own default
  std::uint16_t channel_max = 2047;
};

// The first frame of `bytes`, whose length is then payload.size() + frame_extra_bytes; empty while it is not whole.
// Code::invalid, before anything is waited for, when it never can be one: an unknown type, longer than the limits, a
// channel beyond them, a heartbeat that is not empty or not on channel 0, a method too short for its number, or no end
// octet. Of a peer that speaks no AMQP the error says so.
[[nodiscard]] Result<std::optional<Frame>> first_frame(std::string_view bytes, const FrameLimits& limits);

// Appends a frame. Requires: payload and frame_extra_bytes fit into what the peer takes.
void append_frame(std::string& out, FrameType type, std::uint16_t channel, std::string_view payload);

// Numbers of the wire, for frames and what is in them. The string must be long enough.
[[nodiscard]] std::uint16_t read_u16(std::string_view bytes, std::size_t at);
[[nodiscard]] std::uint32_t read_u32(std::string_view bytes, std::size_t at);
[[nodiscard]] std::uint64_t read_u64(std::string_view bytes, std::size_t at);
template <class T>
void append_number(std::string& out, T n) {
  for (std::size_t i = sizeof(T); i > 0; --i) {
    out += static_cast<char>((n >> (8 * (i - 1))) & 0xffU);
  }
}

}  // namespace sluice::queue::rabbit
