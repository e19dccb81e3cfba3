// SPDX-License-Identifier: Apache-2.0
#include "external/selector.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>

#include "base/number.h"

namespace sluice::external {
namespace {

using model::Requirement;
using model::Selector;
using Operator = model::SelectorOperator;

constexpr std::size_t text_max = 8U << 10U;  // no request's target is longer
constexpr std::size_t name_max = 63;         // of a key behind its prefix, and of a value
constexpr std::size_t prefix_max = 253;      // a DNS name
constexpr std::size_t dns_label_max = 63;
constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view specials = "=!(),><";

bool alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Letters, digits, '-', '_' and '.', the first and the last a letter or digit.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= name_max && alphanumeric(text.front()) && alphanumeric(text.back()) &&
         std::ranges::all_of(text, [](char c) { return alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_dns_label(std::string_view text) {
  const auto small = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= dns_label_max && small(text.front()) && small(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return small(c) || c == '-'; });
}

bool is_prefix(std::string_view text) {
  if (text.size() > prefix_max) {
    return false;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    if (!is_dns_label(text.substr(begin, end - begin))) {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

bool is_key(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash == std::string_view::npos ? is_name(text)
                                         : is_prefix(text.substr(0, slash)) && is_name(text.substr(slash + 1));
}

bool is_value(std::string_view text) {
  return text.empty() || is_name(text);
}

struct Token {
  enum class Kind { word, special, end };
  Kind kind = Kind::end;
  std::string_view text;
  std::size_t column = 1;

  [[nodiscard]] bool is(std::string_view special) const { return kind == Kind::special && text == special; }
  [[nodiscard]] bool is_word() const { return kind == Kind::word; }
};

// What was found, for a message. Other than plain characters would make the answer no JSON, or more than one line.
std::string shown(const Token& token) {
  constexpr std::size_t shown_max = 80;
  if (token.kind == Token::Kind::end) {
    return "the end";
  }
  const bool plain = std::ranges::all_of(token.text, [](char c) { return c > ' ' && c < '\x7f'; });
  if (!plain) {
    return "characters that no label has";
  }
  return fmt::format("'{}'{}", token.text.substr(0, shown_max), token.text.size() > shown_max ? " .." : "");
}

Error wrong(const Token& found, std::string_view accepted) {
  return Error{Code::invalid,
               fmt::format("label selector, column {}: found {}, expected {}", found.column, shown(found), accepted)};
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) { advance(); }

  Result<Selector> selector() {
    Selector out;
    if (next_.kind == Token::Kind::end) {
      return out;
    }
    for (;;) {
      Result<Requirement> one = requirement();
      if (!one) {
        return one.error();
      }
      out.push_back(std::move(*one));
      if (next_.kind == Token::Kind::end) {
        break;
      }
      if (!next_.is(",")) {
        return wrong(next_, "',' or the end");
      }
      advance();
    }
    std::ranges::sort(out, {}, [](const Requirement& each) { return std::tie(each.key, each.op, each.values); });
    return out;
  }

 private:
  Result<Requirement> requirement() {
    Requirement out;
    const bool absent = next_.is("!");
    if (absent) {
      advance();
    }
    if (!next_.is_word()) {
      return wrong(next_, absent ? "a key" : "a key or '!'");
    }
    if (!is_key(next_.text)) {
      return wrong(next_,
                   "a key: at most 63 letters, digits, '-', '_' and '.', the first and the last a letter or digit, "
                   "with or without a DNS name and '/' in front");
    }
    out.key = next_.text;
    advance();
    if (absent || next_.kind == Token::Kind::end || next_.is(",")) {
      out.op = absent ? Operator::does_not_exist : Operator::exists;
      return out;
    }
    const std::optional<Operator> op = operation();
    if (!op) {
      return wrong(next_, "one of =, ==, !=, in, notin, >, <");
    }
    out.op = *op;
    advance();
    const bool many = *op == Operator::in || *op == Operator::not_in;
    const Result<void> read = many ? values(out.values) : value(out);
    return read ? Result<Requirement>(std::move(out)) : read.error();
  }

  [[nodiscard]] std::optional<Operator> operation() const {
    constexpr std::pair<std::string_view, Operator> all[] = {
        {"=", Operator::equals},     {"==", Operator::equals},      {"!=", Operator::not_equals}, {"in", Operator::in},
        {"notin", Operator::not_in}, {">", Operator::greater_than}, {"<", Operator::less_than}};
    const auto* const found = std::ranges::find(all, next_.text, &std::pair<std::string_view, Operator>::first);
    return found != std::end(all) ? std::optional(found->second) : std::nullopt;
  }

  // One, which is empty before a comma and at the end.
  Result<void> value(Requirement& out) {
    const Token at = next_;
    std::string_view text;
    if (next_.is_word()) {
      text = next_.text;
      advance();
    } else if (next_.kind != Token::Kind::end && !next_.is(",")) {
      return wrong(next_, "a value");
    }
    if (!is_value(text)) {
      return illegal_value(at);
    }
    const bool ordered = out.op == Operator::greater_than || out.op == Operator::less_than;
    if (ordered && !parse_number<std::int64_t>(text)) {
      return wrong(at, "a whole number of 64 bits");
    }
    out.values.emplace_back(text);
    return {};
  }

  // "(a, b)"; what is empty between two commas is the empty value.
  Result<void> values(std::vector<std::string>& out) {
    if (!next_.is("(")) {
      return wrong(next_, "'('");
    }
    const Token open = next_;
    advance();
    if (next_.is(")")) {
      return Error{Code::invalid,
                   fmt::format("label selector, column {}: found '()', expected at least one value", open.column)};
    }
    for (;;) {
      std::string_view text;
      if (next_.is_word()) {
        text = next_.text;
        if (!is_value(text)) {
          return illegal_value(next_);
        }
        advance();
      }
      out.emplace_back(text);
      if (next_.is(")")) {
        break;
      }
      if (!next_.is(",")) {
        return wrong(next_, "',' or ')'");
      }
      advance();
    }
    advance();
    std::ranges::sort(out);
    const auto repeated = std::ranges::unique(out);
    out.erase(repeated.begin(), repeated.end());
    return {};
  }

  static Error illegal_value(const Token& at) {
    return wrong(at, "a value: at most 63 letters, digits, '-', '_' and '.', the first and the last a letter or digit");
  }

  void advance() {
    const std::size_t begin = std::min(text_.find_first_not_of(blanks, at_), text_.size());
    next_ = Token{.kind = Token::Kind::end, .text = text_.substr(begin, 0), .column = begin + 1};
    at_ = begin;
    if (begin == text_.size()) {
      return;
    }
    if (specials.contains(text_[begin])) {
      const std::string_view two = text_.substr(begin, 2);
      next_.kind = Token::Kind::special;
      at_ += two == "==" || two == "!=" ? 2 : 1;
    } else {
      next_.kind = Token::Kind::word;
      const auto ends = [](char c) { return specials.contains(c) || blanks.contains(c); };
      while (at_ < text_.size() && !ends(text_[at_])) {
        ++at_;
      }
    }
    next_.text = text_.substr(begin, at_ - begin);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Token next_;
};

std::string_view sign(Operator op) {
  switch (op) {
    case Operator::equals:
      return "=";
    case Operator::not_equals:
      return "!=";
    case Operator::in:
      return " in ";
    case Operator::not_in:
      return " notin ";
    case Operator::greater_than:
      return ">";
    case Operator::less_than:
      return "<";
    case Operator::exists:
    case Operator::does_not_exist:
      break;
  }
  return "";
}

bool holds(const Requirement& requirement, const Labels& labels) {
  const auto label = labels.find(requirement.key);
  const bool there = label != labels.end();
  const auto listed = [&] {
    return there && std::ranges::find(requirement.values, label->second) != requirement.values.end();
  };
  switch (requirement.op) {
    case Operator::equals:
    case Operator::in:
      return listed();
    case Operator::not_equals:
    case Operator::not_in:
      return !listed();
    case Operator::exists:
      return there;
    case Operator::does_not_exist:
      return !there;
    case Operator::greater_than:
    case Operator::less_than:
      break;
  }
  const auto has = there ? parse_number<std::int64_t>(label->second) : std::nullopt;
  const auto bound =
      requirement.values.size() == 1 ? parse_number<std::int64_t>(requirement.values.front()) : std::nullopt;
  return has && bound && (requirement.op == Operator::greater_than ? *has > *bound : *has < *bound);
}

}  // namespace

Result<Selector> parse_selector(std::string_view text) {
  if (text.size() > text_max) {
    return Error{Code::invalid,
                 fmt::format("label selector: {} bytes long; accepted: at most {}", text.size(), text_max)};
  }
  return Parser(text).selector();
}

std::string format_selector(const Selector& selector) {
  std::string out;
  for (const Requirement& each : selector) {
    out += out.empty() ? "" : ",";
    out += each.op == Operator::does_not_exist ? "!" : "";
    out += each.key;
    out += sign(each.op);
    const bool many = each.op == Operator::in || each.op == Operator::not_in;
    out += many ? "(" : "";
    for (std::size_t i = 0; i < each.values.size(); ++i) {
      out += i == 0 ? "" : ",";
      out += each.values[i];
    }
    // The empty value alone: "()" would be no value at all, which the grammar has not.
    const bool only_empty = many && each.values.size() == 1 && each.values.front().empty();
    out += only_empty ? "," : "";
    out += many ? ")" : "";
  }
  return out;
}

bool matches(const Selector& selector, const Labels& labels) {
  return std::ranges::all_of(selector, [&](const Requirement& each) { return holds(each, labels); });
}

}  // namespace sluice::external
