// SPDX-License-Identifier: Apache-2.0
// The reference page from the definition's shape.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "pool/pool.h"
#include "pool/shape.h"

namespace sluice::pool {
namespace {

constexpr std::string_view introduction =
    R"(# The pool file

<!-- Generated from src/pool/definition.h. To change it: change that, then SNAP_UPDATE=1 build/dev/pool_test -->

A pool is one queue, one policy and one fleet of workers: the only object a user writes. The same text is a file on a laptop and an
object in a cluster.

```yaml
apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata: {name: orders}
spec:
  queue: {local: {path: orders.db}}
  policy: {threshold: {messages: 20, age: 60s}}
  workers:
    max: 20
    run: {command: [sluice, work, --exec, ./handle]}
    process: {nodes: {max: 3, slots: 4, boot: 30s}}
```

## How a file is read

- All problems of a file are listed at once, `FILE:LINE:COL: $.path: what was found; accepted: what would be right`, and nothing is
  started. No wrong value is ever replaced by a default.
- YAML, or JSON when the first character is `{`; UTF-8, with or without byte order mark; at most 1 MiB, 32 levels, 10000 values; one
  document. `%YAML 1.x` is allowed, other directives are not. Line ends may be LF or CR LF.
- Refused: unknown fields, duplicate keys, anchors, aliases, merge keys, tags, tabs that indent, control characters, `null` in place
  of a value (leave the field out instead).
- Whole numbers are decimal digits: no sign, `0x14`, `0o17`, `1_000`, `1e3`. Booleans are `true` and `false`. Durations are whole
  numbers with h, m, s, ms, largest first: `90s`, `1h30m`. Sizes are whole numbers with B, KiB, MiB, GiB.
- Where text is wanted, quotes may be left out unless the text would read as a number, a boolean or null (`1`, `yes`, `null`), which
  a cluster's reader would take for that: write `"1"`.
- Nothing is expanded: `$HOME` and `~` are refused in paths and stay as they are in commands and variables.
- A user or password in a URL is refused wherever it stands, and shown as `***`.
)";

struct Section {
  std::string path;
  const Object* object;
};

std::string anchor(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c >= 'A' && c <= 'Z') {
      out.push_back(static_cast<char>(c + 32));
    } else if (c != '.') {
      out.push_back(c);
    }
  }
  return out;
}

class Page {
 public:
  std::string write() {
    const Shape file = pool_file_shape();
    visit("pool", *file.object);
    std::string out(introduction);
    for (const Section& section : sections_) {
      out += section_text(section);
    }
    return out;
  }

 private:
  // Depth first, each type once: credentials are the same wherever they stand.
  void visit(const std::string& path, const Object& object) {
    if (!paths_.try_emplace(object.about, path).second) {
      return;
    }
    sections_.push_back({path, &object});
    for (const ObjectField& field : object.fields) {
      visit_shape(path == "pool" ? field.name : path + "." + field.name, field.shape);
    }
  }
  void visit_shape(const std::string& path, const Shape& shape) {
    if (shape.kind == Kind::object) {
      visit(path, *shape.object);
    }
    for (std::size_t i = 0; i < shape.parts.size(); ++i) {
      visit_shape(shape.kind == Kind::choice ? fmt::format("{}.{}", path, shape.field.words[i]) : path, shape.parts[i]);
    }
  }

  [[nodiscard]] std::string link(std::string_view text, const Object& object) const {
    return fmt::format("[{}](#{})", text, anchor(paths_.at(object.about)));
  }

  [[nodiscard]] std::string type(const Shape& shape) const {
    switch (shape.kind) {
      case Kind::boolean:
        return "boolean";
      case Kind::whole:
        return "whole number";
      case Kind::duration:
      case Kind::every:
        return "duration";
      case Kind::bytes:
        return "size";
      case Kind::decimal:
        return "number";
      case Kind::text:
        return std::string(form_row(shape.field.form).type);
      case Kind::word:
      case Kind::claim:
        return "word";
      case Kind::job_template:
        return "JobTemplateSpec";
      case Kind::list:
        return "list of " + type(shape.parts.front());
      case Kind::map:
        return "map of texts";
      case Kind::choice:
        return "one of";
      case Kind::object:
        return link("map", *shape.object);
    }
    return "";
  }

  [[nodiscard]] std::string accepted_text(const Shape& shape) const {
    std::string out;
    if (shape.kind == Kind::choice) {
      for (std::size_t i = 0; i < shape.parts.size(); ++i) {
        out += (i == 0 ? "" : ", ") + link(shape.field.words[i], *shape.parts[i].object);
      }
      return out;
    }
    if (shape.kind == Kind::list && shape.parts.front().kind != Kind::object) {
      return fmt::format("{} to {}, each {}", shape.field.items_min, shape.field.items_max,
                         accepted_text(shape.parts.front()));
    }
    if (shape.kind == Kind::map) {
      return fmt::format("at most {}; names: {}", shape.field.items_max, form_row(shape.field.key_form).accepted);
    }
    return shape.kind == Kind::object ? "" : accepted(shape.kind, shape.field);
  }

  [[nodiscard]] static std::string default_text(const ObjectField& field) {
    const Field& f = field.shape.field;
    if (f.required) {
      return "**required**";
    }
    if (!f.default_text.empty()) {
      return std::string(f.default_text);
    }
    if (!field.default_json.empty()) {
      return fmt::format("`{}`", field.default_json);
    }
    return field.shape.kind == Kind::object ? "its fields' defaults" : "none";
  }

  [[nodiscard]] std::string section_text(const Section& section) const {
    std::string out = fmt::format(
        "\n## {}\n\n{}\n\n| field | type | default | accepted | meaning |\n| --- | --- | --- | --- | --- |\n",
        section.path, section.object->about);
    for (const ObjectField& field : section.object->fields) {
      const Field& f = field.shape.field;
      const std::string fallback = default_text(field);
      out += fmt::format("| `{}` | {} | {} | {} | {} |\n", field.name, type(field.shape), fallback,
                         accepted_text(field.shape), f.doc);
    }
    for (const Rule& rule : section.object->rules) {
      out += fmt::format("{}- Rule: {}.\n", &rule == &section.object->rules.front() ? "\n" : "", rule.accepted);
    }
    return out;
  }

  std::vector<Section> sections_;
  std::map<std::string, std::string> paths_;  // by what a type says about itself
};

}  // namespace

std::string reference_page() {
  return Page().write();
}

}  // namespace sluice::pool
