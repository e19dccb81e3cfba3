// SPDX-License-Identifier: Apache-2.0
#include "pool/problem.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <tuple>

#include "pool/utf8.h"

namespace sluice::pool {
namespace {

constexpr std::size_t problems_max = 500;  // chosen: many screens full; nobody repairs more in one go
constexpr std::size_t shown_max = 60;      // chosen: a problem stays on one line of a terminal

// Where the authority of the URL that begins at `at` (just behind "://") ends.
std::size_t authority_end(std::string_view text, std::size_t at) {
  return std::min(text.find_first_of("/?# \t\r\n\"'", at), text.size());
}

// Hides everything between "://" and the last @ of the same word: a password may hold / or @ that nobody encoded, and
// too much hidden is better than too little.
std::string masked(std::string_view text) {
  std::string out;
  while (true) {
    const std::size_t scheme = text.find("://");
    if (scheme == std::string_view::npos) {
      return out.append(text);
    }
    const std::size_t begin = scheme + 3;
    const std::size_t end = std::min(text.find_first_of(" \t\r\n\"'", begin), text.size());
    const std::size_t at = text.substr(begin, end - begin).rfind('@');
    out.append(text.substr(0, begin));
    out.append(at == std::string_view::npos ? "" : "***");
    out.append(at == std::string_view::npos ? text.substr(begin, end - begin)
                                            : text.substr(begin + at, end - begin - at));
    text.remove_prefix(end);
  }
}

// Characters that would move the cursor, vanish, or turn the direction of the text around them.
bool deceives(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c >= 0xe0000;
}

}  // namespace

std::string render(const Problem& problem, std::string_view file) {
  return fmt::format("{}:{}:{}: {}: {}; accepted: {}", file, problem.line, problem.column, problem.path, problem.found,
                     problem.accepted);
}

std::string shown(std::string_view text) {
  const std::string safe = masked(text);
  std::string out;
  for (std::size_t at = 0; at < safe.size();) {
    if (out.size() >= shown_max) {
      return out + "..";
    }
    const Utf8 next = decode_utf8(safe, at);
    if (next.length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(safe[at]));
      ++at;
      continue;
    }
    if (deceives(next.code)) {
      out += fmt::format("\\u{{{:x}}}", static_cast<std::uint32_t>(next.code));
    } else {
      out.append(safe, at, next.length);
    }
    at += next.length;
  }
  return out;
}

bool holds_credentials(std::string_view text) {
  for (std::size_t at = text.find("://"); at != std::string_view::npos; at = text.find("://", at)) {
    at += 3;
    const std::string_view authority = text.substr(at, authority_end(text, at) - at);
    const std::size_t user_end = authority.rfind('@');
    if (user_end != std::string_view::npos && authority.substr(0, user_end).find(':') != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

void Report::add(Problem problem) {
  if (problems_.size() < problems_max) {
    problems_.push_back(std::move(problem));
  } else {
    ++dropped_;
  }
}

bool Report::concerns(std::string_view path, std::size_t base) const {
  const auto within = [](std::string_view inner, std::string_view outer) {
    return inner.starts_with(outer) &&
           (inner.size() == outer.size() || inner[outer.size()] == '.' || inner[outer.size()] == '[');
  };
  return std::any_of(problems_.begin(), problems_.end(), [&](const Problem& problem) {
    return within(problem.path, path) || (problem.path.size() > base && within(path, problem.path));
  });
}

std::vector<Problem> Report::take() {
  std::sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.line, a.column, a.path, a.found) < std::tie(b.line, b.column, b.path, b.found);
  });
  if (dropped_ > 0) {
    const Problem& last = problems_.back();
    problems_.push_back({last.line, last.column, "$", fmt::format("{} more problems are not listed", dropped_),
                         "a file with the problems above repaired"});
  }
  return std::move(problems_);
}

}  // namespace sluice::pool
