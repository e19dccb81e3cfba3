// SPDX-License-Identifier: Apache-2.0
// YAML to a tree, through yaml-cpp's events. What yaml-cpp 0.7 lets pass (a quote that never closes, a second document
// by mere indentation, unknown directives) is caught here by looking at the text again.
#include <fmt/core.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

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

// Whether the quoted scalar that begins the text also ends in it.
bool closes(std::string_view text) {
  const char quote = text.front();
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '\'' && i + 1 < text.size() && text[i + 1] == quote) {
        ++i;
      } else {
        return true;
      }
    }
  }
  return false;
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
    } else if ((first == '"' || first == '\'') && kind == Node::Kind::quoted && !closes(here)) {
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

// yaml-cpp places many of its errors at the begin of the text or one token late.
void refuse_syntax(const YAML::Exception& e, TreeBuilder& builder) {
  const Node* open = builder.innermost();
  if (open != nullptr && e.msg.find("flow not found") != std::string::npos) {
    const bool list = open->kind == Node::Kind::list;
    builder.refuse(
        open->line, open->column, fmt::format("a {} that is not closed rightly", list ? '[' : '{'),
        list ? "values with commas between them, then ]" : "`field: value` with commas between them, then }");
    return;
  }
  builder.refuse(std::max(e.mark.line, 0) + 1, std::max(e.mark.column, 0) + 1,
                 fmt::format("not YAML here or just above: {}", shown(e.msg)),
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
    refuse_syntax(e, builder);
    return std::nullopt;
  }
  return builder.take();
}

}  // namespace sluice::pool
