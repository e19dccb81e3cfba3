// SPDX-License-Identifier: Apache-2.0
// YAML to a tree, through yaml-cpp's events. What yaml-cpp 0.7 lets pass (a quote that never closes, a second document
// by mere indentation, unknown directives) is caught here by looking at the text again.
#include <fmt/core.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

#include "pool/node.h"

namespace sluice::pool {
namespace {

// Byte offsets of the lines of a text. Lines end as yaml-cpp counts them, at each \n.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {
    for (std::size_t at = 0; at != std::string_view::npos && at <= text.size();) {
      begins_.push_back(at);
      at = text.find('\n', at);
      at += at == std::string_view::npos ? 0 : 1;
    }
  }
  // The text from a mark (0-based) on.
  [[nodiscard]] std::string_view from(const YAML::Mark& mark) const {
    const std::size_t line = static_cast<std::size_t>(std::max(mark.line, 0));
    if (line >= begins_.size()) {
      return {};
    }
    return text_.substr(std::min(begins_[line] + static_cast<std::size_t>(std::max(mark.column, 0)), text_.size()));
  }

 private:
  std::string_view text_;
  std::vector<std::size_t> begins_;
};

// The length of the quoted scalar that begins the text, or npos when it never ends.
std::size_t quoted_length(std::string_view text) {
  const char quote = text.front();
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '\'' && i + 1 < text.size() && text[i + 1] == quote) {
        ++i;
      } else {
        return i + 1;
      }
    }
  }
  return std::string_view::npos;
}

// Where the first quote stands that is never closed, as far as that can be told without reading all of YAML.
std::size_t unclosed_quote(std::string_view text) {
  constexpr std::string_view before_value = " \t\n[{,:";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = i == 0 || before_value.find(text[i - 1]) != std::string_view::npos;
    if (begins && text[i] == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else if (begins && (text[i] == '"' || text[i] == '\'')) {
      const std::size_t length = quoted_length(text.substr(i));
      if (length == std::string_view::npos) {
        return i;
      }
      i += length - 1;
    }
  }
  return std::string_view::npos;
}

class Events final : public YAML::EventHandler {
 public:
  Events(std::string_view text, TreeBuilder& builder) : lines_(text), builder_(builder) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) {
      first_line_ = mark.line + 1;
      return;
    }
    if (!announced(mark)) {
      builder_.refuse(mark.line + 1, mark.column + 1, "a line that does not belong to what stands above it",
                      "the same indentation for all fields of one map");
    } else {
      builder_.refuse(mark.line + 1, mark.column + 1,
                      fmt::format("a second document (the first begins on line {})", first_line_),
                      "one pool a file, so one document");
    }
    throw TreeBuilder::Stop{};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    builder_.scalar(Node::Kind::null, "", mark.line + 1, mark.column + 1);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    builder_.refuse(mark.line + 1, mark.column + 1, "an alias", "the value itself, written out");
    builder_.scalar(Node::Kind::bad, "", mark.line + 1, mark.column + 1);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    const std::string_view here = lines_.from(mark);
    const char first = here.empty() ? '\0' : here.front();
    Node::Kind kind = tag == "?" ? Node::Kind::plain : Node::Kind::quoted;
    if (refuse_tag(mark, tag, first)) {
      kind = Node::Kind::bad;
    } else if ((first == '"' || first == '\'') && kind == Node::Kind::quoted &&
               quoted_length(here) == std::string_view::npos) {
      builder_.refuse(mark.line + 1, mark.column + 1, fmt::format("a quote {} that is never closed", first),
                      "the same quote at the end of the text");
      throw TreeBuilder::Stop{};
    }
    builder_.scalar(kind, value, mark.line + 1, mark.column + 1);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag, '\0');
    builder_.begin(Node::Kind::list, mark.line + 1, mark.column + 1);
  }
  void OnSequenceEnd() override { builder_.end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag, '\0');
    builder_.begin(Node::Kind::map, mark.line + 1, mark.column + 1);
  }
  void OnMapEnd() override { builder_.end(); }

 private:
  // Whether --- or ... announces the document at `mark`; yaml-cpp also begins a new one at a line it cannot place.
  [[nodiscard]] bool announced(YAML::Mark mark) const {
    mark.column = 0;
    for (bool own_line = true; mark.line >= 0; --mark.line, own_line = false) {
      const std::string_view line = lines_.from(mark);
      if (line.starts_with("---") || line.starts_with("...")) {
        return true;
      }
      const bool blank = line.empty() || line.front() == '\n' || line.front() == '\r' || line.front() == '#';
      if (!own_line && !blank) {
        return false;
      }
    }
    return false;
  }
  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) {
      builder_.refuse(mark.line + 1, mark.column + 1, "an anchor", "the value itself, written out where it is used");
    }
  }
  bool refuse_tag(const YAML::Mark& mark, const std::string& tag, char first) {
    if (tag == "?" || tag.empty() || (tag == "!" && first != '!')) {
      return false;
    }
    builder_.refuse(mark.line + 1, mark.column + 1, fmt::format("the tag {}", shown(tag)), "a value without a tag");
    return true;
  }

  Lines lines_;
  TreeBuilder& builder_;
  int documents_ = 0;
  int first_line_ = 1;
};

struct Syntax {
  std::string_view says;  // what yaml-cpp's message holds
  std::string_view found;
  std::string_view accepted;
};
// yaml-cpp's words are those of its code. These are the mistakes that people make; the rest keeps its own words.
constexpr Syntax mistakes[] = {
    {"illegal EOF in scalar", "a quote that is never closed", "the same quote at the end of the text"},
    {"illegal map value", "a colon that ends no field's name, here or just above",
     "one `field: value` a line; text that holds \": \" in double quotes"},
    {"end of map not found", "a line that does not belong to what stands above it",
     "the same indentation for all fields of one map"},
    {"end of sequence not found", "a line that does not belong to what stands above it",
     "the same indentation for all items of one list"},
    {"unknown token", "a character that cannot begin a value", "text that begins with @, ` or % in double quotes"},
    {"referenced anchor is not defined", "an alias", "the value itself, written out"},
    {"unknown escape character", "an unknown escape", "an escape such as \\n, \\\" or \\\\; or single quotes"},
};

// yaml-cpp places many of its errors at the begin of the text or one token late.
void refuse_syntax(const YAML::Exception& e, std::string_view text, TreeBuilder& builder) {
  const Node* open = builder.innermost();
  if (open != nullptr && e.msg.find("flow not found") != std::string::npos) {
    const bool list = open->kind == Node::Kind::list;
    builder.refuse(
        open->line, open->column, fmt::format("a {} that is not closed rightly", list ? '[' : '{'),
        list ? "values with commas between them, then ]" : "`field: value` with commas between them, then }");
    return;
  }
  int line = std::max(e.mark.line, 0) + 1;
  int column = std::max(e.mark.column, 0) + 1;
  if (const std::size_t quote = unclosed_quote(text);
      e.msg.find("EOF in scalar") != std::string::npos && quote < text.size()) {
    const std::string_view before = text.substr(0, quote);
    line = static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1;
    column = static_cast<int>(quote - (before.rfind('\n') + 1)) + 1;
  }
  for (const Syntax& mistake : mistakes) {
    if (e.msg.find(mistake.says) != std::string::npos) {
      builder.refuse(line, column, std::string(mistake.found), std::string(mistake.accepted));
      return;
    }
  }
  builder.refuse(line, column, fmt::format("not YAML here or just above: {}", shown(e.msg)),
                 "YAML: `field: value`, indented by spaces");
}

}  // namespace

std::optional<Node> read_yaml_tree(std::string_view text, Report& report) {
  TreeBuilder builder(report);
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    Events events(text, builder);
    while (parser.HandleNextDocument(events)) {
    }
  } catch (const TreeBuilder::Stop&) {
    return std::nullopt;
  } catch (const YAML::Exception& e) {
    refuse_syntax(e, text, builder);
    return std::nullopt;
  }
  return builder.take();
}

}  // namespace sluice::pool
