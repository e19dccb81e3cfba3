// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fmt/core.h>

#include <array>

namespace sluice {
namespace {

constexpr std::array<std::string_view, 4> words = {"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 4> colours = {"\x1b[2m", "", "\x1b[33m", "\x1b[31m"};

// Length of the valid UTF-8 sequence at the start of `s`, 0 when there is none (RFC 3629: no overlong forms, no
// surrogates).
std::size_t utf8_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0U; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned b0 = byte(0);
  if (b0 < 0x80) {
    return 1;
  }
  if (b0 >= 0xC2 && b0 <= 0xDF && tail(1)) {
    return 2;
  }
  if (b0 >= 0xE0 && b0 <= 0xEF && tail(1) && tail(2)) {
    const bool overlong = b0 == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = b0 == 0xED && byte(1) >= 0xA0;
    return overlong || surrogate ? 0 : 3;
  }
  if (b0 >= 0xF0 && b0 <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    const bool overlong = b0 == 0xF0 && byte(1) < 0x90;
    const bool beyond = b0 == 0xF4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

}  // namespace

std::string json_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const char c = text.front();
    std::size_t length = 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else if (length = utf8_length(text); length == 0) {
      out += "\xEF\xBF\xBD";  // U+FFFD replacement character
      length = 1;
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

void Log::line(Level level, std::string_view from, std::string_view what,
               std::initializer_list<LogField> fields) const {
  if (!write_ || level < options_.least) {
    return;
  }
  const auto index = static_cast<std::size_t>(level);
  const WallTime now = wall_();
  std::string out;
  if (options_.json) {
    out = fmt::format(R"({{"at":"{}","level":"{}","from":"{}","msg":"{}")", format_wall(now), words[index],
                      json_escape(from), json_escape(what));
    for (const auto& [key, value] : fields) {
      const std::string text = json_escape(value.text);
      out += value.bare ? fmt::format(R"(,"{}":{})", json_escape(key), text)
                        : fmt::format(R"(,"{}":"{}")", json_escape(key), text);
    }
    out += '}';
  } else {
    out = fmt::format("{} {:<5} {}: {}", format_clock(now), words[index], from, what);
    for (const auto& [key, value] : fields) {
      // Escaped on a terminal too: a queue name must not move the cursor or forge a line.
      const std::string text = json_escape(value.text);
      out += value.text.find(' ') == std::string::npos ? fmt::format(" {}={}", key, text)
                                                       : fmt::format(" {}=\"{}\"", key, text);
    }
    if (options_.colour && !colours[index].empty()) {
      out = fmt::format("{}{}\x1b[0m", colours[index], out);
    }
  }
  write_(out);
}

}  // namespace sluice
