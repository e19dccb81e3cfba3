// SPDX-License-Identifier: Apache-2.0
#pragma once
// A YAML or JSON text as a tree that still knows the place of everything and what was quoted.
//
// Not YAML::Node: it keeps the last of duplicate keys without a word, reads 010 as eight, and shares aliased parts,
// which is how a kilobyte becomes a gigabyte.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/problem.h"

namespace sluice::pool {

struct Entry;

struct Node {
  enum class Kind {
    null,
    plain,   // unquoted scalar: what it is depends on who asks
    quoted,  // text for sure
    list,
    map,
    bad,  // refused already; readers pass over it without a second problem
  };
  Kind kind = Kind::null;
  int line = 1;  // from 1
  int column = 1;
  std::string text;            // plain, quoted
  std::vector<Node> items;     // list
  std::vector<Entry> entries;  // map, in the order of the text, keys unique

  [[nodiscard]] const Entry* find(std::string_view key) const;
  [[nodiscard]] bool scalar() const { return kind == Kind::plain || kind == Kind::quoted; }
};

struct Entry {
  std::string key;
  int line = 1;  // of the key
  int column = 1;
  Node value;
};

// Limits for hostile files: nesting, size, and number of values (a byte of text can cost a hundred of memory).
constexpr int depth_max = 32;
constexpr std::size_t text_bytes_max = 1 << 20;
constexpr std::size_t nodes_max = 10'000;

// Builds the tree from the events of either reader. What it can tell without knowing the fields is refused here:
// duplicate keys, keys that are no text, nesting, number of values, credentials inside any text.
class TreeBuilder {
 public:
  struct Stop {};  // thrown after a problem that makes going on useless

  explicit TreeBuilder(Report& report) : report_(report) {}

  void scalar(Node::Kind kind, std::string text, int line, int column);
  void begin(Node::Kind list_or_map, int line, int column);
  void end();
  // Adds a problem at the value that comes next.
  void refuse(int line, int column, std::string found, std::string accepted);

  // The map or list that has begun last and not ended, or null.
  [[nodiscard]] const Node* innermost() const { return stack_.empty() ? nullptr : &stack_.back().node; }
  [[nodiscard]] std::optional<Node> take() { return std::move(root_); }

 private:
  struct Frame {
    Node node;
    std::optional<Entry> key;  // of the value that comes next
    bool key_refused = false;  // drop that value
    bool is_key = false;       // this map or list stands where a key belongs
  };
  [[nodiscard]] std::string path() const;
  [[nodiscard]] bool key_comes_next() const;
  void refuse_key(int line, int column);
  void take_key(Node::Kind kind, std::string text, int line, int column);
  void attach(Node node);
  void count(int line, int column);

  Report& report_;
  std::vector<Frame> stack_;
  std::optional<Node> root_;
  std::size_t nodes_ = 0;
};

// The whole text as one tree, YAML or (first character "{") strict JSON. Empty when the text could not be read to its
// end; then `report` says why. A tree may come with problems as well.
[[nodiscard]] std::optional<Node> read_tree(std::string_view text, Report& report);
// JSON alone: one value and nothing after it.
[[nodiscard]] std::optional<Node> read_json_tree(std::string_view text, Report& report);
// YAML alone. Requires: a text that passed check_text.
[[nodiscard]] std::optional<Node> read_yaml_tree(std::string_view text, Report& report);

// "$.spec.queue" + "path" -> "$.spec.queue.path"; keys that are no plain words come quoted in brackets.
[[nodiscard]] std::string child_path(const std::string& path, std::string_view key);
[[nodiscard]] std::string item_path(const std::string& path, std::size_t index);

}  // namespace sluice::pool
