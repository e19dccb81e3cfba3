// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/attributes.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "aio/url.h"
#include "base/number.h"

namespace sluice::queue::pubsub {
namespace {

constexpr std::string_view own_prefix = "sluice-";
constexpr std::string_view id_attribute = "sluice-id";
constexpr std::string_view type_attribute = "sluice-type";
constexpr std::string_view priority_attribute = "sluice-priority";
constexpr std::string_view published_attribute = "sluice-published-ms";
constexpr std::string_view headers_attribute = "sluice-headers.";
constexpr std::string_view origin_attribute = "sluice-origin";
constexpr std::string_view origin_id_attribute = "sluice-origin-id";

bool is_ours(std::string_view key) {
  return key.starts_with(own_prefix);
}

// Whether a header may be an attribute as it is. Google keeps "goog" for itself.
bool is_plain(std::string_view key, std::string_view value) {
  return !key.empty() && key.size() <= attribute_key_max && value.size() <= attribute_value_max &&
         !key.starts_with("goog") && !is_ours(key) && is_utf8(key) && is_utf8(value);
}

// Both ways exact: sorted, each key once, all plain.
bool is_map(const Headers& headers) {
  for (std::size_t i = 0; i < headers.size(); ++i) {
    if (!is_plain(headers[i].first, headers[i].second) || (i > 0 && headers[i - 1].first >= headers[i].first)) {
      return false;
    }
  }
  return true;
}

void pack(const Headers& headers, Attributes& out) {
  std::string all;
  for (const auto& [key, value] : headers) {
    all += (all.empty() ? "" : "&") + aio::percent_encoded(key) + "=" + aio::percent_encoded(value);
  }
  std::size_t part = 0;
  for (std::size_t at = 0; at < all.size(); at += attribute_value_max) {
    out[fmt::format("{}{}", headers_attribute, ++part)] = all.substr(at, attribute_value_max);
  }
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text[0] != '%') {
      out.push_back(text[0]);
      text.remove_prefix(1);
      continue;
    }
    unsigned byte = 0;
    const auto [end, error] = text.size() < 3 ? std::from_chars_result{text.data(), std::errc::invalid_argument}
                                              : std::from_chars(text.data() + 1, text.data() + 3, byte, 16);
    if (error != std::errc{} || end != text.data() + 3) {
      return std::nullopt;
    }
    out.push_back(static_cast<char>(byte));
    text.remove_prefix(3);
  }
  return out;
}

// Empty where nothing was packed, or what is there is not of our making.
std::optional<Headers> unpack(const Attributes& attributes) {
  std::string all;
  for (std::size_t part = 1;; ++part) {
    const auto found = attributes.find(fmt::format("{}{}", headers_attribute, part));
    if (found == attributes.end()) {
      break;
    }
    all += found->second;
  }
  if (all.empty()) {
    return std::nullopt;
  }
  Headers out;
  for (std::string_view rest = all; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    const std::size_t equals = one.find('=');
    const auto key = percent_decoded(one.substr(0, equals));
    const auto value = equals == std::string_view::npos ? std::nullopt : percent_decoded(one.substr(equals + 1));
    if (!key || !value) {
      return std::nullopt;
    }
    out.emplace_back(*key, *value);
  }
  return out;
}

// Why Pub/Sub would not take it; empty when it would.
std::string unsendable(const Message& message, const Attributes& attributes) {
  if (message.id.empty() || message.id.size() > attribute_value_max || !is_utf8(message.id)) {
    return fmt::format("its id has {} bytes; accepted: 1 to {}, in UTF-8", message.id.size(), attribute_value_max);
  }
  if (message.type.size() > attribute_value_max || !is_utf8(message.type)) {
    return fmt::format("its type has {} bytes; accepted: at most {}, in UTF-8", message.type.size(),
                       attribute_value_max);
  }
  if (message.ordering_key.size() > attribute_value_max || !is_utf8(message.ordering_key)) {
    return fmt::format("its ordering key has {} bytes; accepted: at most {}, in UTF-8", message.ordering_key.size(),
                       attribute_value_max);
  }
  if (attributes.size() > attributes_max) {
    return fmt::format("its headers make {} attributes; Pub/Sub takes {}", attributes.size(), attributes_max);
  }
  if (const std::size_t size = size_of(attributes, message.body.size()); size > request_bytes_max) {
    return fmt::format("its body has {} bytes, {} with the headers; Pub/Sub takes {}", message.body.size(), size,
                       request_bytes_max);
  }
  return "";
}

template <class N>
std::optional<N> number_of(const Attributes& attributes, std::string_view key) {
  const auto found = attributes.find(key);
  return found == attributes.end() ? std::nullopt : parse_number<N>(found->second);
}

std::string text_of(const Attributes& attributes, std::string_view key) {
  const auto found = attributes.find(key);
  return found == attributes.end() ? std::string() : found->second;
}

}  // namespace

// Table 3-7 of the Unicode standard: no overlong form, no surrogate, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t n) { return i + n < text.size() ? static_cast<unsigned char>(text[i + n]) : 0; };
    const unsigned lead = static_cast<unsigned>(byte(0));
    const auto more = [&](std::size_t n) { return (byte(n) & 0xC0) == 0x80; };
    std::size_t length = 0;
    if (lead < 0x80) {
      length = 1;
    } else if (lead >= 0xC2 && lead <= 0xDF) {
      length = more(1) ? 2 : 0;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      const bool good = !(lead == 0xE0 && byte(1) < 0xA0) && !(lead == 0xED && byte(1) > 0x9F);
      length = good && more(1) && more(2) ? 3 : 0;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      const bool good = !(lead == 0xF0 && byte(1) < 0x90) && !(lead == 0xF4 && byte(1) > 0x8F);
      length = good && more(1) && more(2) && more(3) ? 4 : 0;
    }
    if (length == 0) {
      return false;
    }
    i += length;
  }
  return true;
}

std::size_t size_of(const Attributes& attributes, std::size_t body) {
  std::size_t size = body + 32;  // id, time and framing; chosen, more than they take
  for (const auto& [key, value] : attributes) {
    size += key.size() + value.size() + 8;
  }
  return size;
}

Result<Attributes> to_attributes(const Message& message) {
  Attributes out;
  for (const auto& [key, value] : message.headers) {
    if (key.empty() || key.size() > attribute_key_max) {
      return Error{Code::invalid,
                   fmt::format("the name of a header has {} bytes; accepted: 1 to {}", key.size(), attribute_key_max)};
    }
    if (is_plain(key, value)) {
      out[key] = value;
    }
  }
  if (!is_map(message.headers)) {
    pack(message.headers, out);
  }
  out[std::string(id_attribute)] = message.id;
  if (!message.type.empty()) {
    out[std::string(type_attribute)] = message.type;
  }
  if (message.priority != 0) {
    out[std::string(priority_attribute)] = fmt::format("{}", message.priority);
  }
  if (message.published_at) {
    out[std::string(published_attribute)] = fmt::format("{}", message.published_at->time_since_epoch().count());
  }
  if (std::string why = unsendable(message, out); !why.empty()) {
    return Error{Code::invalid, std::move(why)};
  }
  return out;
}

Message from_attributes(const Attributes& attributes) {
  Message out;
  out.id = text_of(attributes, id_attribute);
  out.type = text_of(attributes, type_attribute);
  out.priority = number_of<std::uint8_t>(attributes, priority_attribute).value_or(0);
  if (const auto ms = number_of<std::int64_t>(attributes, published_attribute); ms && *ms >= 0) {
    out.published_at = WallTime{std::chrono::milliseconds{*ms}};
  }
  if (std::optional<Headers> packed = unpack(attributes)) {
    out.headers = std::move(*packed);
  }
  std::set<std::string_view> known;
  for (const auto& [key, value] : out.headers) {
    known.insert(key);
  }
  Headers added;
  for (const auto& [key, value] : attributes) {
    if (!is_ours(key) && !known.contains(key)) {
      added.emplace_back(key, value);
    }
  }
  out.headers.insert(out.headers.end(), added.begin(), added.end());
  return out;
}

Result<Attributes> with_obituary(const Attributes& original, const Obituary& obituary) {
  Attributes out = original;
  std::string why = obituary.why.substr(0, attribute_value_max);
  while (!is_utf8(why)) {
    why.pop_back();  // ends before a letter that was cut; of bytes that are none, before the first
  }
  const auto tell = [&out, &obituary, &why] {
    out[std::string(cause_attribute)] = word(obituary.cause);
    out[std::string(attempts_attribute)] = fmt::format("{}", obituary.attempts);
    out[std::string(why_attribute)] = why;
    out[std::string(origin_attribute)] = obituary.origin;
    out[std::string(origin_id_attribute)] = obituary.origin_id;
  };
  tell();
  if (out.size() > attributes_max) {
    const Headers headers = from_attributes(original).headers;
    std::erase_if(out, [](const auto& one) { return !is_ours(one.first) || one.first.starts_with(headers_attribute); });
    pack(headers, out);
    tell();
  }
  if (out.size() > attributes_max) {
    return Error{Code::invalid,
                 fmt::format("as a dead letter it has {} attributes; Pub/Sub takes {}", out.size(), attributes_max)};
  }
  return out;
}

}  // namespace sluice::queue::pubsub
