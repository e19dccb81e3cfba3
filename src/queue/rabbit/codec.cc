// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/codec.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "queue/rabbit/tables.h"

namespace sluice::queue::rabbit {
namespace {

constexpr std::uint16_t basic_class = 60;
constexpr std::size_t head_fixed_bytes = 12;  // class, weight, body size

// Calls `encode` with room for what most methods and headers need, then with all that a frame can hold. The bytes used,
// beginning at `out`'s end; negative is rabbitmq-c's "does not fit".
template <class Encode>
int encode_into(std::string& out, std::size_t most, const Encode& encode) {
  constexpr std::size_t usual = 512;
  int size = -1;
  for (const std::size_t room : {std::min(usual, most), most}) {
    const std::size_t begin = out.size();
    out.resize(begin + room);
    size = encode(to_bytes(std::string_view(out).substr(begin)));
    out.resize(begin + static_cast<std::size_t>(std::max(size, 0)));
    if (size >= 0) {
      break;
    }
  }
  return size;
}

// Begins a frame at the end of `out`; close_frame() writes its size and its end.
std::size_t open_frame(std::string& out, FrameType type, std::uint16_t channel) {
  const std::size_t begin = out.size();
  append_frame(out, type, channel, "");
  out.pop_back();
  return begin;
}
void close_frame(std::string& out, std::size_t begin) {
  const std::size_t size = out.size() - begin - frame_head_bytes;
  for (std::size_t i = 0; i < 4; ++i) {
    out[begin + 3 + i] = static_cast<char>((size >> (8 * (3 - i))) & 0xffU);
  }
  out += end_octet;
}

Error bad_arguments(std::string_view what, int status) {
  return Error{Code::invalid,
               fmt::format("the broker sent {} that cannot be read ({})", what, ::amqp_error_string2(status))};
}

// What a broker's method says in tables, before the decoder sees it. Of those that have any, brokers send one.
Result<void> check_arguments(const Method& method) {
  switch (method.number()) {
    case AMQP_CONNECTION_START_METHOD: {
      constexpr std::size_t version_bytes = 2;
      const std::string_view arguments = method.arguments();
      return check_table(arguments.substr(std::min(version_bytes, arguments.size())));
    }
    case AMQP_CONNECTION_START_OK_METHOD:
    case AMQP_EXCHANGE_DECLARE_METHOD:
    case AMQP_EXCHANGE_BIND_METHOD:
    case AMQP_EXCHANGE_UNBIND_METHOD:
    case AMQP_QUEUE_DECLARE_METHOD:
    case AMQP_QUEUE_BIND_METHOD:
    case AMQP_QUEUE_UNBIND_METHOD:
    case AMQP_BASIC_CONSUME_METHOD:
      return Error{Code::invalid, fmt::format("the broker sent an {}, which only clients send", method.name())};
    default:
      return {};
  }
}

}  // namespace

std::string plain(std::string_view text, std::size_t most) {
  std::string out(text.substr(0, most));
  std::ranges::replace_if(out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > most ? out + "..." : out;
}

std::string_view keep(std::string_view bytes, Pool& pool) {
  if (bytes.empty()) {
    return "";
  }
  void* kept = ::amqp_pool_alloc(pool.get(), bytes.size());
  check(kept != nullptr, "no memory");
  std::memcpy(kept, bytes.data(), bytes.size());
  return {static_cast<const char*>(kept), bytes.size()};
}

std::string Method::name() const {
  const char* known = ::amqp_method_name(number_);
  return known != nullptr ? known : fmt::format("method {:#x}", number_);
}

Result<void*> Method::decode(Pool& pool) const {
  if (const Result<void> readable = check_arguments(*this); !readable) {
    return readable.error();
  }
  void* out = nullptr;
  const int status = ::amqp_decode_method(number_, pool.get(), to_bytes(arguments_), &out);
  if (status != AMQP_STATUS_OK) {
    return bad_arguments("an " + name(), status);
  }
  return out;
}

void append_method(std::string& out, std::uint16_t channel, amqp_method_number_t number, void* arguments,
                   std::uint32_t frame_max) {
  const std::size_t begin = open_frame(out, FrameType::method, channel);
  append_number(out, number);
  const int size = encode_into(out, frame_max - frame_extra_bytes - sizeof number,
                               [&](amqp_bytes_t room) { return ::amqp_encode_method(number, arguments, room); });
  check(size >= 0, "a method does not fit into a frame");
  close_frame(out, begin);
}

Result<ContentHead> decode_head(const Frame& frame, Pool& pool) {
  if (read_u16(frame.payload, 0) != basic_class) {
    return Error{Code::invalid, "the broker sent content of a class that carries none"};
  }
  const std::string_view bytes = frame.payload.substr(head_fixed_bytes);
  if (const Result<void> readable = check_properties(bytes); !readable) {
    return readable.error();
  }
  // Texts are not copied by the decoder: they lie where the bytes lie.
  void* decoded = nullptr;
  const int status = ::amqp_decode_properties(basic_class, pool.get(), to_bytes(keep(bytes, pool)), &decoded);
  if (status != AMQP_STATUS_OK) {
    return bad_arguments("a content header", status);
  }
  return ContentHead{.body_size = read_u64(frame.payload, 4),
                     .properties = static_cast<const amqp_basic_properties_t*>(decoded)};
}

Result<void> append_head(std::string& out, std::uint16_t channel, amqp_basic_properties_t properties,
                         std::uint64_t body_size, std::uint32_t frame_max) {
  const std::size_t begin = open_frame(out, FrameType::header, channel);
  append_number(out, std::uint32_t{basic_class} << 16U);  // class, and a weight that is always 0
  append_number(out, body_size);
  const std::size_t most = frame_max - frame_extra_bytes - head_fixed_bytes;
  const int size = encode_into(
      out, most, [&](amqp_bytes_t room) { return ::amqp_encode_properties(basic_class, &properties, room); });
  if (size < 0) {
    out.resize(begin);
    return Error{
        Code::invalid,
        fmt::format("the message's headers do not fit into the {} bytes that the broker takes for them", most)};
  }
  close_frame(out, begin);
  return {};
}

void append_body(std::string& out, std::uint16_t channel, std::string_view bytes, std::uint32_t frame_max) {
  const std::size_t piece = frame_max - frame_extra_bytes;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    append_frame(out, FrameType::body, channel, bytes.substr(at, piece));
  }
}

Result<void> append_content(std::string& out, std::uint16_t channel, amqp_basic_properties_t properties,
                            std::string_view body, std::uint32_t frame_max) {
  const Result<void> head = append_head(out, channel, properties, body.size(), frame_max);
  if (head) {
    append_body(out, channel, body, frame_max);
  }
  return head;
}

}  // namespace sluice::queue::rabbit
