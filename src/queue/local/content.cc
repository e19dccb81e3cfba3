// SPDX-License-Identifier: Apache-2.0
#include "queue/local/content.h"

#include "queue/local/checksum.h"

namespace sluice::queue::local {

namespace {

constexpr std::size_t sum_bytes = 8;

void put_int(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) {
    out.push_back(static_cast<char>(value >> (8 * i)));
  }
}

void put_text(std::string& out, std::string_view text) {
  put_int(out, text.size(), 4);
  out.append(text);
}

// Reads from the front of what is left; stays failed once it ran short.
struct Reader {
  std::string_view left;
  bool failed = false;

  std::string_view bytes(std::uint64_t n) {
    if (failed || n > left.size()) {
      failed = true;
      return {};
    }
    const std::string_view out = left.substr(0, n);
    left.remove_prefix(n);
    return out;
  }
  std::uint64_t number(int n) {
    std::uint64_t value = 0;
    const std::string_view from = bytes(static_cast<std::uint64_t>(n));
    for (std::size_t i = 0; i < from.size(); ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
    }
    return value;
  }
  std::string text() { return std::string(bytes(number(4))); }
};

std::uint64_t sum_of(std::string_view id, std::string_view rest) {
  return checksum(checksum(0, id), rest);
}

}  // namespace

std::string encode_content(const Message& message, WallTime published_at) {
  std::string out(sum_bytes, '\0');
  out.reserve(sum_bytes + 8 + 4 + message.type.size() + 4 + message.headers.size() * 40 + message.body.size());
  put_int(out, static_cast<std::uint64_t>(published_at.time_since_epoch().count()), 8);
  put_text(out, message.type);
  put_int(out, message.headers.size(), 4);
  for (const auto& [key, value] : message.headers) {
    put_text(out, key);
    put_text(out, value);
  }
  out.append(message.body);
  std::string sum;
  put_int(sum, sum_of(message.id, std::string_view(out).substr(sum_bytes)), sum_bytes);
  out.replace(0, sum_bytes, sum);
  return out;
}

std::optional<Message> decode_content(std::string_view id, std::string_view bytes) {
  Reader in{bytes};
  const std::uint64_t sum = in.number(sum_bytes);
  if (in.failed || sum != sum_of(id, in.left)) {
    return std::nullopt;
  }
  Message message;
  message.id = id;
  message.published_at = WallTime{std::chrono::milliseconds{static_cast<std::int64_t>(in.number(8))}};
  message.type = in.text();
  const std::uint64_t headers = in.number(4);
  for (std::uint64_t i = 0; i < headers && !in.failed; ++i) {
    std::string key = in.text();
    std::string value = in.text();
    message.headers.emplace_back(std::move(key), std::move(value));
  }
  if (in.failed) {
    return std::nullopt;
  }
  message.body = in.left;
  return message;
}

}  // namespace sluice::queue::local
