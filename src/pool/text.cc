// SPDX-License-Identifier: Apache-2.0
#include "pool/text.h"

#include <fmt/core.h>

#include <array>
#include <cstdint>
#include <optional>

#include "pool/node.h"
#include "pool/utf8.h"

namespace sluice::pool {
namespace {

constexpr std::string_view bom = "\xef\xbb\xbf";

// UTF-16 and UTF-32 betray themselves by a mark or by the zero bytes beside ASCII letters.
bool wide(std::string_view text) {
  const auto zero = [&](std::size_t i) { return i < text.size() && text[i] == '\0'; };
  return text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff") ||
         (text.size() >= 4 && zero(0) != zero(1) && zero(2) != zero(3));
}

struct Bad {
  std::string found;
  std::string accepted;
};

std::optional<Bad> bad_character(std::string_view text, std::size_t at, const Utf8& next) {
  if (next.length == 0) {
    return Bad{fmt::format("the byte 0x{:02x}, which is not UTF-8", static_cast<unsigned char>(text[at])),
               "text in UTF-8"};
  }
  if (next.code == '\r' && (at + 1 == text.size() || text[at + 1] != '\n')) {
    return Bad{"a carriage return without a line feed", "lines that end with a line feed"};
  }
  const bool control = (next.code < 0x20 && next.code != '\t' && next.code != '\n' && next.code != '\r') ||
                       (next.code >= 0x7f && next.code < 0xa0) || next.code == 0xfeff || next.code == 0xfffe;
  if (control) {
    return Bad{fmt::format("the control character U+{:04X}", static_cast<std::uint32_t>(next.code)),
               "printable text; in double quotes an escape such as \\t"};
  }
  return std::nullopt;
}

bool check_characters(std::string_view text, Report& report) {
  int line = 1;
  std::size_t line_begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8 next = decode_utf8(text, at);
    if (const std::optional<Bad> bad = bad_character(text, at, next)) {
      report.add({line, static_cast<int>(at - line_begin) + 1, "$", bad->found, bad->accepted});
      return false;
    }
    at += next.length;
    if (next.code == '\n') {
      ++line;
      line_begin = at;
    }
  }
  return true;
}

// One line that begins with % before the document: only %YAML 1.x is known, and means nothing here.
bool known_directive(std::string_view line) {
  const std::string_view version = "%YAML 1.";
  return line.starts_with(version) && line.size() == version.size() + 1 && line.back() >= '0' && line.back() <= '9';
}

bool check_lines(std::string_view text, Report& report) {
  bool good = true;
  bool before_document = true;
  int number = 1;
  for (std::size_t at = 0; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    at = end + 1;
    if (line.empty()) {
      continue;
    }
    if (const std::size_t indent = std::min(line.find_first_not_of(' '), line.size()); line[indent] == '\t') {
      report.add({number, static_cast<int>(indent) + 1, "$", "a tab in the indentation", "spaces"});
      good = false;
    }
    if (before_document && line.front() == '%' && !known_directive(line)) {
      report.add({number, 1, "$", fmt::format("the directive {}", shown(line)), "%YAML 1.2 or no directive"});
      good = false;
    }
    before_document = before_document && (line.front() == '%' || line[line.find_first_not_of(" \t")] == '#');
  }
  return good;
}

}  // namespace

std::string_view without_bom(std::string_view text) {
  return text.starts_with(bom) ? text.substr(bom.size()) : text;
}

bool check_text(std::string_view text, bool json, Report& report) {
  if (text.size() > text_bytes_max) {
    report.add(
        {1, 1, "$", fmt::format("{} bytes", text.size()), fmt::format("at most {} bytes (1 MiB)", text_bytes_max)});
    return false;
  }
  if (wide(text)) {
    report.add({1, 1, "$", "text in UTF-16 or UTF-32", "text in UTF-8 (in the editor: save with encoding UTF-8)"});
    return false;
  }
  return check_characters(text, report) && (json || check_lines(text, report));
}

std::optional<Node> read_tree(std::string_view text, Report& report) {
  text = without_bom(text);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && text[first] == '{';
  if (!check_text(text, json, report)) {
    return std::nullopt;
  }
  std::optional<Node> tree = json ? read_json_tree(text, report) : read_yaml_tree(text, report);
  if (!tree && report.empty()) {
    report.add({1, 1, "$", "nothing", "a WorkerPool: apiVersion, kind, metadata, spec"});
  }
  return tree;
}

}  // namespace sluice::pool
