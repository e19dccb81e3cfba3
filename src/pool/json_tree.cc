// SPDX-License-Identifier: Apache-2.0
// Strict JSON (RFC 8259) to a tree. Not Boost.JSON: its parser gives neither the place of a value nor duplicate keys.
// The fuzzer holds the two against each other.
#include <fmt/core.h>

#include "pool/node.h"
#include "pool/utf8.h"

namespace sluice::pool {
namespace {

class JsonReader {
 public:
  JsonReader(std::string_view text, TreeBuilder& builder) : text_(text), builder_(builder) {}

  void document() {
    value();
    blanks();
    if (at_ < text_.size()) {
      fail("text after the end of the JSON value", "one JSON value and nothing after it");
    }
  }

 private:
  [[noreturn]] void fail(std::string found, std::string accepted) {
    builder_.refuse(line_, column(), std::move(found), std::move(accepted));
    throw TreeBuilder::Stop{};
  }
  [[noreturn]] void unexpected(std::string_view accepted) {
    if (at_ >= text_.size()) {
      fail("the JSON ends here", std::string(accepted));
    }
    const std::size_t length = std::max<std::size_t>(decode_utf8(text_, at_).length, 1);
    fail(fmt::format("\"{}\"", shown(text_.substr(at_, length))), std::string(accepted));
  }

  [[nodiscard]] int column() const { return static_cast<int>(at_ - line_begin_) + 1; }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void blanks() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n') {
        ++line_;
        line_begin_ = at_ + 1;
      } else if (c != ' ' && c != '\t' && c != '\r') {
        return;
      }
    }
  }

  void value() {
    blanks();
    const char c = peek();
    if (c == '{') {
      object();
    } else if (c == '[') {
      array();
    } else if (c == '"') {
      const int line = line_, begin = column();
      builder_.scalar(Node::Kind::quoted, string(), line, begin);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      number();
    } else if (word("true") || word("false")) {
    } else if (text_.substr(at_).starts_with("null")) {
      builder_.scalar(Node::Kind::null, "", line_, column());
      at_ += 4;
    } else {
      unexpected("a JSON value");
    }
  }

  bool word(std::string_view literal) {
    if (!text_.substr(at_).starts_with(literal)) {
      return false;
    }
    builder_.scalar(Node::Kind::plain, std::string(literal), line_, column());
    at_ += literal.size();
    return true;
  }

  void object() {
    builder_.begin(Node::Kind::map, line_, column());
    ++at_;
    blanks();
    for (bool first = true; first ? peek() != '}' : peek() == ','; first = false) {
      at_ += first ? 0 : 1;
      blanks();
      if (peek() != '"') {
        unexpected("a key in double quotes");
      }
      const int line = line_, begin = column();
      builder_.scalar(Node::Kind::quoted, string(), line, begin);
      blanks();
      if (peek() != ':') {
        unexpected("a colon");
      }
      ++at_;
      value();
      blanks();
    }
    close('}', "a comma or }");
  }

  void array() {
    builder_.begin(Node::Kind::list, line_, column());
    ++at_;
    blanks();
    for (bool first = true; first ? peek() != ']' : peek() == ','; first = false) {
      at_ += first ? 0 : 1;
      value();
      blanks();
    }
    close(']', "a comma or ]");
  }

  void close(char bracket, std::string_view accepted) {
    if (peek() != bracket) {
      unexpected(accepted);
    }
    ++at_;
    builder_.end();
  }

  std::size_t digits() {
    const std::size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') {
      ++at_;
    }
    return at_ - begin;
  }

  void number() {
    const std::size_t begin = at_;
    const int begin_column = column();
    at_ += peek() == '-' ? 1 : 0;
    const bool zero = peek() == '0';
    const std::size_t whole = digits();
    if (whole == 0 || (zero && whole > 1)) {
      unexpected("a number without leading zeros");
    }
    if (peek() == '.') {
      ++at_;
      if (digits() == 0) {
        unexpected("digits after the point");
      }
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      at_ += peek() == '+' || peek() == '-' ? 1 : 0;
      if (digits() == 0) {
        unexpected("digits of the exponent");
      }
    }
    builder_.scalar(Node::Kind::plain, std::string(text_.substr(begin, at_ - begin)), line_, begin_column);
  }

  std::string string() {
    std::string out;
    for (++at_; peek() != '"';) {
      if (at_ >= text_.size()) {
        unexpected("a closing double quote");
      }
      if (static_cast<unsigned char>(peek()) < 0x20) {
        fail("a control character in a string", "an escape such as \\n or \\u0009");
      }
      if (peek() == '\\') {
        ++at_;
        escape(out);
      } else {
        out.push_back(text_[at_++]);
      }
    }
    ++at_;
    return out;
  }

  void escape(std::string& out) {
    constexpr std::string_view letters = "\"\\/bfnrt";
    constexpr std::string_view means = "\"\\/\b\f\n\r\t";
    if (const std::size_t which = letters.find(peek()); peek() != '\0' && which != std::string_view::npos) {
      out.push_back(means[which]);
      ++at_;
      return;
    }
    char32_t code = hex4();
    if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_).starts_with("\\u")) {
      ++at_;
      const char32_t low = hex4();
      code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : 0xd800;
    }
    if (code >= 0xd800 && code < 0xe000) {
      fail("half of a surrogate pair", "a whole character");
    }
    append_utf8(out, code);
  }

  char32_t hex4() {
    if (peek() != 'u') {
      unexpected("an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    }
    ++at_;
    char32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) {
        unexpected("four hexadecimal digits");
      }
      code = code * 16 + static_cast<char32_t>(digit);
    }
    return code;
  }

  std::string_view text_;
  TreeBuilder& builder_;
  std::size_t at_ = 0;
  std::size_t line_begin_ = 0;
  int line_ = 1;
};

}  // namespace

std::optional<Node> read_json_tree(std::string_view text, Report& report) {
  TreeBuilder builder(report);
  try {
    JsonReader(text, builder).document();
  } catch (const TreeBuilder::Stop&) {
    return std::nullopt;
  }
  return builder.take();
}

}  // namespace sluice::pool
