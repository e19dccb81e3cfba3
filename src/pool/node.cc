// SPDX-License-Identifier: Apache-2.0
#include "pool/node.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"

namespace sluice::pool {

const Entry* Node::find(std::string_view key) const {
  const auto it = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.key == key; });
  return it == entries.end() ? nullptr : &*it;
}

std::string child_path(const std::string& path, std::string_view key) {
  constexpr std::string_view word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  if (!key.empty() && key.find_first_not_of(word) == std::string_view::npos && key.size() <= 60) {
    return fmt::format("{}.{}", path, key);
  }
  return fmt::format("{}[\"{}\"]", path, shown(key));
}

std::string item_path(const std::string& path, std::size_t index) {
  return fmt::format("{}[{}]", path, index);
}

std::string TreeBuilder::path() const {
  std::string out = "$";
  for (const Frame& frame : stack_) {
    if (frame.node.kind == Node::Kind::list) {
      out = item_path(out, frame.node.items.size());
    } else if (frame.key) {
      out = child_path(out, frame.key->key);
    }
  }
  return out;
}

bool TreeBuilder::key_comes_next() const {
  return !stack_.empty() && stack_.back().node.kind == Node::Kind::map && !stack_.back().key &&
         !stack_.back().key_refused;
}

void TreeBuilder::refuse(int line, int column, std::string found, std::string accepted) {
  report_.add({line, column, path(), std::move(found), std::move(accepted)});
}

void TreeBuilder::count(int line, int column) {
  if (++nodes_ > nodes_max) {
    refuse(line, column, fmt::format("more than {} values", nodes_max), "a smaller file");
    throw Stop{};
  }
}

void TreeBuilder::refuse_key(int line, int column) {
  refuse(line, column, "a key that is no text", "a field's name before the colon");
}

void TreeBuilder::take_key(Node::Kind kind, std::string text, int line, int column) {
  Frame& frame = stack_.back();
  if (kind != Node::Kind::plain && kind != Node::Kind::quoted) {
    frame.key_refused = true;
    refuse_key(line, column);
    return;
  }
  if (const Entry* first = frame.node.find(text)) {
    frame.key_refused = true;
    report_.add({line, column, child_path(path(), text),
                 fmt::format("the same key a second time (first on line {})", first->line), "each key once"});
    return;
  }
  if (text == "<<" && kind == Node::Kind::plain) {
    frame.key_refused = true;
    refuse(line, column, "a merge key <<", "the fields themselves, written out");
    return;
  }
  frame.key = Entry{std::move(text), line, column, {}};
}

void TreeBuilder::scalar(Node::Kind kind, std::string text, int line, int column) {
  count(line, column);
  if (key_comes_next()) {
    take_key(kind, std::move(text), line, column);
    return;
  }
  Node node;
  node.kind = kind;
  node.line = line;
  node.column = column;
  node.text = std::move(text);
  if (kind == Node::Kind::null && !stack_.empty() && stack_.back().key) {
    node.line = stack_.back().key->line;  // nothing stands there, so the key is the place to look at
    node.column = stack_.back().key->column;
  }
  if (node.scalar() && holds_credentials(node.text)) {
    refuse(line, column, fmt::format("credentials in \"{}\"", shown(node.text)),
           "no user and password in a URL; put them into a secret");
    node.kind = Node::Kind::bad;
  }
  attach(std::move(node));
}

void TreeBuilder::begin(Node::Kind list_or_map, int line, int column) {
  count(line, column);
  if (stack_.size() >= depth_max) {
    refuse(line, column, fmt::format("nested deeper than {} levels", depth_max), "fewer levels");
    throw Stop{};
  }
  Frame frame;
  frame.node.kind = list_or_map;
  frame.node.line = line;
  frame.node.column = column;
  if (key_comes_next()) {
    stack_.back().key_refused = true;
    frame.is_key = true;
  }
  stack_.push_back(std::move(frame));
}

void TreeBuilder::end() {
  check(!stack_.empty(), "a map or list ends that never began");
  Frame frame = std::move(stack_.back());
  stack_.pop_back();
  if (frame.is_key) {  // only now: yaml-cpp takes every [ that is never closed for the beginning of a key
    refuse_key(frame.node.line, frame.node.column);
  } else {
    attach(std::move(frame.node));
  }
}

void TreeBuilder::attach(Node node) {
  if (stack_.empty()) {
    root_ = std::move(node);
    return;
  }
  Frame& frame = stack_.back();
  if (frame.node.kind == Node::Kind::list) {
    frame.node.items.push_back(std::move(node));
    return;
  }
  if (frame.key) {
    frame.key->value = std::move(node);
    frame.node.entries.push_back(std::move(*frame.key));
    frame.key.reset();
  }
  frame.key_refused = false;
}

}  // namespace sluice::pool
