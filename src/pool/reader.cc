// SPDX-License-Identifier: Apache-2.0
#include "pool/reader.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/nearest.h"

namespace sluice::pool {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

// The node at "a.b" below `node`, as far as it exists.
const Node* below(const Node& node, std::string_view dotted) {
  const Node* at = &node;
  while (true) {
    const std::size_t dot = dotted.find('.');
    const Entry* entry = at->find(dotted.substr(0, dot));
    if (entry == nullptr || dot == std::string_view::npos) {
      return entry == nullptr ? nullptr : &entry->value;
    }
    at = &entry->value;
    dotted.remove_prefix(dot + 1);
  }
}

}  // namespace

ObjectSpot::ObjectSpot(const Spot& spot, std::vector<std::string> names, const std::vector<std::string>& passed)
    : spot_(spot) {
  names.insert(names.end(), passed.begin(), passed.end());
  for (const Entry& entry : spot.node.entries) {
    if (std::find(names.begin(), names.end(), entry.key) != names.end()) {
      continue;
    }
    std::string found = "unknown field" + suggestion(entry.key, names);
    if (entry.value.kind == Node::Kind::null && entry.key.find(':') != std::string::npos) {
      found = "a field without a value; is a blank missing after the colon?";
    }
    spot.report.add({entry.line, entry.column, child_path(spot.path, entry.key), std::move(found), joined(names)});
    if (const std::optional<std::string> meant = nearest(entry.key, names);
        meant && spot.node.find(*meant) == nullptr) {
      misspelled_.push_back(*meant);
    }
  }
}

bool ObjectSpot::misspelled(std::string_view name) const {
  return std::find(misspelled_.begin(), misspelled_.end(), name) != misspelled_.end();
}

const Entry* ObjectSpot::find(std::string_view name, Kind kind, const Field& field) const {
  const Entry* entry = spot_.node.find(name);
  if (entry == nullptr && field.required && !misspelled(name)) {
    spot_.report.add({spot_.node.line, spot_.node.column, path_of(name), "missing",
                      fmt::format("{}: {}", name, accepted(kind, field))});
  }
  return entry;
}

bool ObjectSpot::judges(const Rule& rule) const {
  return std::none_of(rule.fields.begin(), rule.fields.end(), [&](std::string_view field) {
    return misspelled(field.substr(0, field.find('.'))) ||
           spot_.report.concerns(fmt::format("{}.{}", spot_.path, field), spot_.path.size());
  });
}

void ObjectSpot::broken(const Rule& rule, std::string found) const {
  const Node* place = nullptr;
  std::string path = spot_.path;
  for (std::string_view field : rule.fields) {
    if (place = below(spot_.node, field); place != nullptr) {
      path = fmt::format("{}.{}", spot_.path, field);
      break;
    }
  }
  const Node& at = place == nullptr ? spot_.node : *place;
  spot_.report.add({at.line, at.column, path, std::move(found), std::string(rule.accepted)});
}

}  // namespace sluice::pool
