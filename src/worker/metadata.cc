// SPDX-License-Identifier: Apache-2.0
#include "worker/metadata.h"

#include <fmt/core.h>

#include <cstdint>
#include <iterator>
#include <map>

#include "base/log.h"

namespace sluice::worker {

namespace {

// `text` is valid UTF-8 (json_escape sees to it); characters beyond ASCII become \uXXXX, or a pair of them.
std::string ascii(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80U) {
      out += text[i++];
      continue;
    }
    const std::size_t length = lead >= 0xF0U ? 4 : lead >= 0xE0U ? 3 : 2;
    std::uint32_t point = lead & (0xFFU >> (length + 1));
    for (std::size_t k = 1; k < length && i + k < text.size(); ++k) {
      point = point << 6U | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
    }
    i += length;
    if (point < 0x10000U) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", point);
    } else {
      point -= 0x10000U;
      fmt::format_to(std::back_inserter(out), "\\u{:04x}\\u{:04x}", 0xD800U + (point >> 10U),
                     0xDC00U + (point & 0x3FFU));
    }
  }
  return out;
}

}  // namespace

std::string headers_json(const queue::Delivery& delivery) {
  std::map<std::string, std::string> fields(delivery.message.headers.rbegin(), delivery.message.headers.rend());
  if (delivery.redelivered()) {
    fields["sluice-cause"] = word(delivery.cause);
  }
  std::string out = "{";
  for (const auto& [name, value] : fields) {
    const char* comma = out.size() > 1 ? "," : "";
    fmt::format_to(std::back_inserter(out), "{}\"{}\":\"{}\"", comma, ascii(json_escape(name)),
                   ascii(json_escape(value)));
  }
  return out + "}";
}

std::string field_value(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20U || byte == 0x7FU) {
      fmt::format_to(std::back_inserter(out), "%{:02X}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace sluice::worker
