// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/frame.h"

#include <fmt/core.h>

namespace sluice::queue::rabbit {
namespace {

template <class T>
T read_number(std::string_view bytes, std::size_t at) {
  T out = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out = static_cast<T>((out << 8U) | static_cast<unsigned char>(bytes[at + i]));
  }
  return out;
}

Error broken(std::string_view why) {
  return Error{Code::invalid, fmt::format("the broker sent what is no AMQP 0-9-1: {}", why)};
}

bool known(std::uint8_t type) {
  return type == 1 || type == 2 || type == 3 || type == 8;
}

std::string_view fault_of(const Frame& frame, std::size_t size) {
  switch (frame.type) {
    case FrameType::method:
      return size < 4 ? "a method frame without a method" : "";
    case FrameType::header:
      return size < 14 ? "a content header cut short" : frame.channel == 0 ? "content on channel 0" : "";
    case FrameType::body:
      return frame.channel == 0 ? "content on channel 0" : "";
    case FrameType::heartbeat:
      return frame.channel != 0 ? "a heartbeat on a channel" : size != 0 ? "a heartbeat with content" : "";
  }
  return "";
}

}  // namespace

std::uint16_t read_u16(std::string_view bytes, std::size_t at) {
  return read_number<std::uint16_t>(bytes, at);
}
std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  return read_number<std::uint32_t>(bytes, at);
}
std::uint64_t read_u64(std::string_view bytes, std::size_t at) {
  return read_number<std::uint64_t>(bytes, at);
}

Result<std::optional<Frame>> first_frame(std::string_view bytes, const FrameLimits& limits) {
  if (bytes.empty()) {
    return std::optional<Frame>();
  }
  const auto type = static_cast<std::uint8_t>(bytes[0]);
  if (bytes.starts_with("AMQP") && bytes.size() >= 8) {  // section 4.2.2: what a server says that has no 0-9-1
    const auto number = [&](std::size_t at) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[at])); };
    if (bytes.substr(4, 4) == std::string_view("\x00\x00\x09\x01", 4)) {  // that is what we speak
      return Error{Code::retry, "the broker did not read the beginning of the connection as it was sent"};
    }
    return broken(fmt::format("it asks for protocol {}-{}-{}", number(5), number(6), number(7)));
  }
  if (bytes.size() < 8 && std::string_view("AMQP").starts_with(bytes.substr(0, 4))) {
    return std::optional<Frame>();
  }
  constexpr std::string_view tls_alert = "\x15\x03";  // of any version (RFC 8446, 5.1)
  constexpr std::string_view http = "HTTP";
  if ((tls_alert.starts_with(bytes) && bytes != tls_alert) || (http.starts_with(bytes) && bytes != http)) {
    return std::optional<Frame>();
  }
  if (bytes.starts_with(tls_alert)) {
    return broken("this port speaks TLS, for which the url begins with amqps://");
  }
  if (bytes.starts_with(http)) {
    return broken("this port speaks HTTP");
  }
  if (!known(type)) {
    return broken(fmt::format("a frame of type {}", type));
  }
  if (bytes.size() < frame_head_bytes) {
    return std::optional<Frame>();
  }
  Frame frame{.type = static_cast<FrameType>(type), .channel = read_u16(bytes, 1), .payload = {}};
  const std::size_t size = read_u32(bytes, 3);
  if (size + frame_extra_bytes > limits.frame_max) {
    return broken(
        fmt::format("a frame of {} bytes where {} were agreed on", size + frame_extra_bytes, limits.frame_max));
  }
  if (frame.channel > limits.channel_max) {
    return broken(fmt::format("channel {} where {} is the highest", frame.channel, limits.channel_max));
  }
  if (const std::string_view fault = fault_of(frame, size); !fault.empty()) {
    return broken(fault);
  }
  if (bytes.size() < size + frame_extra_bytes) {
    return std::optional<Frame>();
  }
  if (bytes[size + frame_head_bytes] != end_octet) {
    return broken("a frame without its end octet");
  }
  frame.payload = bytes.substr(frame_head_bytes, size);
  return std::optional<Frame>(frame);
}

void append_frame(std::string& out, FrameType type, std::uint16_t channel, std::string_view payload) {
  out += static_cast<char>(type);
  append_number(out, channel);
  append_number(out, static_cast<std::uint32_t>(payload.size()));
  out += payload;
  out += end_octet;
}

}  // namespace sluice::queue::rabbit
