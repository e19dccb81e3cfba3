// SPDX-License-Identifier: Apache-2.0
#include "pool/scalar.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/nearest.h"
#include "pool/job_template.h"

namespace sluice::pool {
namespace {

// Reads one scalar through `parse`; the text is taken whether quoted or not where `quotes` allows it.
template <class T, class Parse>
std::optional<T> scalar(const Spot& spot, Kind kind, bool quotes, Parse parse) {
  const Node& node = spot.node;
  std::optional<T> value;
  if (node.kind == Node::Kind::plain || (quotes && node.kind == Node::Kind::quoted)) {
    value = parse(node.text);
  }
  if (!value) {
    refuse(spot, kind);
  }
  return value;
}

std::optional<Duration> parse_in_bounds(const Field& field, std::string_view text) {
  const Result<Duration> value = parse_duration(text);
  return value && *value >= field.shortest && *value <= field.longest ? std::optional(*value) : std::nullopt;
}

// The signs, digits and points of a number as any YAML reader may take it, beyond what JSON writes.
bool numeric(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) {
    text.remove_prefix(1);
  }
  constexpr std::array<std::string_view, 6> specials = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
  if (std::find(specials.begin(), specials.end(), text) != specials.end()) {
    return true;
  }
  const auto all_in = [](std::string_view t, std::string_view set) {
    return !t.empty() && t.find_first_not_of(set) == std::string_view::npos;
  };
  if (text.size() > 2 && text.front() == '0') {
    const std::string_view rest = text.substr(2);
    const char base = text[1];
    if (((base == 'x' || base == 'X') && all_in(rest, "0123456789abcdefABCDEF_")) ||
        (base == 'o' && all_in(rest, "01234567_")) || (base == 'b' && all_in(rest, "01_"))) {
      return true;
    }
  }
  const std::size_t e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    std::string_view exponent = text.substr(e + 1);
    if (exponent.starts_with('+') || exponent.starts_with('-')) {
      exponent.remove_prefix(1);
    }
    if (!all_in(exponent, "0123456789")) {
      return false;
    }
    text = text.substr(0, e);
  }
  return all_in(text, "0123456789_.") && text.find_first_of("0123456789") != std::string_view::npos &&
         text.front() != '_' && std::count(text.begin(), text.end(), '.') <= 1;
}

bool json_number(std::string_view text) {
  if (text.starts_with('-')) {
    text.remove_prefix(1);
  }
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const auto digits = [](std::string_view t) {
    return !t.empty() && t.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return digits(whole) && (whole.size() == 1 || whole.front() != '0') &&
         (point == std::string_view::npos || digits(text.substr(point + 1)));
}

}  // namespace

Plain classify_plain(std::string_view text) {
  if (text == "true" || text == "false") {
    return Plain::boolean;
  }
  if (text.size() > 400) {
    return Plain::text;
  }
  if (json_number(text)) {
    return text.find('.') == std::string_view::npos ? Plain::whole : Plain::decimal;
  }
  std::string small(text);
  std::transform(small.begin(), small.end(), small.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  constexpr std::array<std::string_view, 10> words = {"yes", "no", "on", "off", "y", "n", "true", "false", "null", "~"};
  return std::find(words.begin(), words.end(), small) != words.end() || numeric(text) ? Plain::odd : Plain::text;
}

std::string found_at(const Spot& spot) {
  if (spot.field.sensitive) {
    return "a value that is not shown here";
  }
  switch (spot.node.kind) {
    case Node::Kind::null:
      return "nothing (null)";
    case Node::Kind::plain:
      return shown(spot.node.text);
    case Node::Kind::quoted:
      return fmt::format("the text \"{}\"", shown(spot.node.text));
    case Node::Kind::list:
      return spot.node.items.empty() ? "an empty list" : fmt::format("a list of {}", spot.node.items.size());
    case Node::Kind::map:
      return "a map";
    case Node::Kind::bad:
      break;
  }
  return "a refused value";
}

void refuse(const Spot& spot, std::string found, std::string accepted_form) {
  if (spot.node.kind != Node::Kind::bad) {
    spot.report.add({spot.node.line, spot.node.column, spot.path, std::move(found), std::move(accepted_form)});
  }
}

void refuse(const Spot& spot, Kind kind) {
  refuse(spot, found_at(spot), accepted(kind, spot.field));
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates) {
  const std::optional<std::string> best = nearest(word, candidates);
  return best ? fmt::format(", did you mean \"{}\"?", *best) : "";
}

void read(const Spot& spot, bool& out) {
  const auto value = scalar<bool>(spot, Kind::boolean, false, [](std::string_view text) {
    return text == "true" ? std::optional(true) : text == "false" ? std::optional(false) : std::nullopt;
  });
  out = value.value_or(out);
}

void read(const Spot& spot, std::int64_t& out) {
  const auto value = scalar<std::int64_t>(spot, Kind::whole, false, [&](std::string_view text) {
    const std::optional<std::int64_t> n = parse_whole(text);
    return n && *n >= spot.field.min && *n <= spot.field.max ? n : std::nullopt;
  });
  out = value.value_or(out);
}

void read(const Spot& spot, Duration& out) {
  const auto value = scalar<Duration>(spot, Kind::duration, true,
                                      [&](std::string_view text) { return parse_in_bounds(spot.field, text); });
  out = value.value_or(out);
}

void read(const Spot& spot, Every& out) {
  const auto value = scalar<Every>(spot, Kind::every, true, [&](std::string_view text) -> std::optional<Every> {
    if (text == "adaptive") {
      return Every{};
    }
    const std::optional<Duration> period = parse_in_bounds(spot.field, text);
    return period ? std::optional(Every{period}) : std::nullopt;
  });
  out = value.value_or(out);
}

void read(const Spot& spot, Bytes& out) {
  const auto value = scalar<Bytes>(spot, Kind::bytes, true, [&](std::string_view text) -> std::optional<Bytes> {
    const std::optional<std::int64_t> n = parse_bytes(text);
    return n && *n >= spot.field.min && *n <= spot.field.max ? std::optional(Bytes{*n}) : std::nullopt;
  });
  out = value.value_or(out);
}

void read(const Spot& spot, Decimal& out) {
  const auto value = scalar<Decimal>(spot, Kind::decimal, false, [&](std::string_view text) -> std::optional<Decimal> {
    const std::optional<std::int64_t> n = parse_decimal(text);
    return n && *n >= spot.field.min && *n <= spot.field.max ? std::optional(Decimal{*n}) : std::nullopt;
  });
  out = value.value_or(out);
}

void read(const Spot& spot, std::string& out) {
  const Node& node = spot.node;
  if (!node.scalar()) {
    refuse(spot, Kind::text);
    return;
  }
  const FormRow& row = form_row(spot.field.form);
  if (node.kind == Node::Kind::plain && row.form != Form::quantity && classify_plain(node.text) != Plain::text) {
    // Taken as text it would mean one thing here and another in a cluster, whose reader sees a number or a boolean.
    refuse(spot, fmt::format("{} without quotes", found_at(spot)),
           spot.field.sensitive ? std::string(row.accepted)
                                : fmt::format("\"{}\" in double quotes, if text is meant", shown(node.text)));
    return;
  }
  if (node.text.size() > row.length_max) {
    refuse(spot, fmt::format("a text of {} bytes", node.text.size()),
           fmt::format("at most {} bytes: {}", row.length_max, row.accepted));
    return;
  }
  if (std::optional<std::string> found = row.check(node.text)) {
    refuse(spot, spot.field.sensitive ? found_at(spot) : std::move(*found), std::string(row.accepted));
    return;
  }
  out = node.text;
}

std::optional<std::size_t> read_word(const Spot& spot, Kind kind) {
  if (spot.node.scalar()) {
    const auto& words = spot.field.words;
    const auto it = std::find(words.begin(), words.end(), spot.node.text);
    if (it != words.end()) {
      return static_cast<std::size_t>(it - words.begin());
    }
    refuse(spot, found_at(spot) + suggestion(spot.node.text, {words.begin(), words.end()}), accepted(kind, spot.field));
    return std::nullopt;
  }
  refuse(spot, kind);
  return std::nullopt;
}

void read(const Spot& spot, Claim& out) {
  if (spot.node.kind != Node::Kind::map) {
    if (const std::optional<std::size_t> word = read_word(spot, Kind::claim)) {
      out = Claim{static_cast<ClaimBy>(*word), Duration{0}};
    }
    return;
  }
  static constexpr Field after_field{.doc = "", .shortest = Duration{0}};
  const Entry* after = spot.node.find("after");
  if (after == nullptr || spot.node.entries.size() != 1) {
    refuse(spot, Kind::claim);
    return;
  }
  out.by = ClaimBy::after;
  const std::string path = child_path(spot.path, "after");
  read(Spot{after->value, path, after_field, spot.report}, out.after);
}

void read(const Spot& spot, JobTemplate& out) {
  if (is_map(spot)) {
    out = read_job_template(spot.node, spot.path, spot.report).value_or(out);
  }
}

void read(const Spot& spot, std::map<std::string, std::string>& out) {
  if (!is_map(spot)) {
    return;
  }
  if (spot.node.entries.size() > spot.field.items_max) {
    refuse(spot, fmt::format("a map of {}", spot.node.entries.size()), fmt::format("at most {}", spot.field.items_max));
    return;
  }
  const FormRow& key_row = form_row(spot.field.key_form);
  for (const Entry& entry : spot.node.entries) {
    const std::string path = child_path(spot.path, entry.key);
    std::optional<std::string> wrong = key_row.check(entry.key);
    if (!wrong && entry.key.size() > key_row.length_max) {
      wrong = fmt::format("a name of {} bytes", entry.key.size());
    }
    if (wrong) {
      spot.report.add(
          {entry.line, entry.column, path, fmt::format("the name {}", *wrong), std::string(key_row.accepted)});
    }
    read(Spot{entry.value, path, spot.field, spot.report}, out[entry.key]);
  }
}

constexpr std::string_view rival_refused =
    "a rival to compare with, which only `sluice simulate` (a scenario's policies) and `sluice decide` use";

std::optional<std::size_t> read_choice(const Spot& spot, const Node*& chosen) {
  if (!is_map(spot)) {
    return std::nullopt;
  }
  Field field = spot.field;
  if (spot.report.rivals) {
    field.rivals_from = field.words.size();
  }
  field = of_pools(field);
  const auto& words = field.words;
  std::optional<std::size_t> choice;
  bool good = true;
  for (const Entry& entry : spot.node.entries) {
    const auto it = std::find(words.begin(), words.end(), entry.key);
    std::string wrong;
    if (it == words.end()) {
      const bool rival = std::ranges::find(spot.field.words, entry.key) != spot.field.words.end();
      wrong =
          rival ? std::string(rival_refused) : "unknown field" + suggestion(entry.key, {words.begin(), words.end()});
    } else if (choice) {
      wrong = fmt::format("{} beside {}", *it, words[*choice]);
    } else {
      choice = static_cast<std::size_t>(it - words.begin());
      chosen = &entry.value;
    }
    if (!wrong.empty()) {
      good = false;
      spot.report.add(
          {entry.line, entry.column, child_path(spot.path, entry.key), wrong, accepted(Kind::choice, field)});
    }
  }
  if (good && !choice) {
    refuse(spot, "an empty map", accepted(Kind::choice, field));
  }
  return choice;
}

bool is_list(const Spot& spot) {
  const std::size_t size = spot.node.items.size();
  if (spot.node.kind == Node::Kind::list && size >= spot.field.items_min && size <= spot.field.items_max) {
    return true;
  }
  refuse(spot, Kind::list);
  return false;
}

bool is_map(const Spot& spot) {
  if (spot.node.kind != Node::Kind::map) {
    refuse(spot, Kind::object);
    return false;
  }
  return true;
}

}  // namespace sluice::pool
