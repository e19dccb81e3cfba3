// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the definition says about one field, and the one wording of "what is accepted" that problems, schema and
// reference page share.
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace sluice::pool {

// The kinds of text a field may want. Each has a row in field.cc: name, wording, pattern, length, check.
enum class Form {
  text,         // anything printable, at least one character
  argument,     // of a program, or the value of a variable: anything but NUL, also empty
  pool_name,    // DNS-1123 label of at most 52 characters: a Job is NAME-w9999, a pod of it 11 more
  label,        // DNS-1123 label
  name,         // DNS-1123 subdomain
  broker_name,  // a queue, a virtual host
  path,         // of a file; never expanded
  image,        // of a container
  amqp_url,
  http_url,
  host,          // host or host:port
  project,       // Google Cloud
  resource,      // Google Cloud: a subscription or topic, its short name
  quantity,      // Kubernetes, greater than zero
  variable,      // an environment variable's name, not one of sluice's own
  metadata_key,  // of a label or annotation
};

struct Field {
  std::string_view doc = {};  // one sentence or two; the meaning, with its unit
  bool required = false;
  bool sensitive = false;  // a wrong value may be a secret in the wrong place: never shown
  std::int64_t min = 0;    // whole numbers; bytes; millionths of decimals
  std::int64_t max = std::numeric_limits<std::int32_t>::max();
  Duration shortest = std::chrono::milliseconds{100};
  Duration longest = std::chrono::hours{24};
  std::size_t items_min = 1;  // of a list
  std::size_t items_max = 64;
  Form form = Form::text;              // of text, of a list's texts, of a map's values
  Form key_form = Form::metadata_key;  // of a map's keys
  std::span<const std::string_view> words =
      {};  // of an enum, in its order; of a variant: the names of its alternatives
  // Of a variant: alternatives from here on are rivals to compare with. No pool may have one.
  std::size_t rivals_from = std::numeric_limits<std::size_t>::max();
  std::string_view default_text = {};  // where the default is no constant
};

// A rule between fields of one object.
struct Rule {
  std::vector<std::string_view> fields;  // relative paths with dots; the problem is placed at the first that is present
  std::string_view accepted;             // the rule, as a reader may take it
  std::string_view cel;                  // the same for Kubernetes, where CEL can say it
};

enum class Kind {
  boolean,
  whole,
  duration,
  every,
  bytes,
  decimal,
  text,
  word,
  claim,
  job_template,
  list,
  map,
  choice,
  object
};

struct FormRow {
  Form form;
  std::string_view type;      // in the reference page
  std::string_view accepted;  // in problems and in the reference page
  std::string_view pattern;   // ECMA-262, anchored; empty: none
  std::size_t length_max;
  // Describes what is wrong with a text, or empty. Stricter than the pattern where a pattern cannot say it.
  std::optional<std::string> (*check)(std::string_view text);
};
[[nodiscard]] const FormRow& form_row(Form form);

// "a whole number from 1 to 10000", "a duration from 100ms to 1h, such as 90s or 1h30m", ...
[[nodiscard]] std::string accepted(Kind kind, const Field& field);
// The field without its rivals.
[[nodiscard]] Field of_pools(Field field);
// "64KiB" <-> 65536; the largest unit that divides it.
[[nodiscard]] std::string format_bytes(std::int64_t n);
[[nodiscard]] std::optional<std::int64_t> parse_bytes(std::string_view text);
// "99.9" <-> 99'900'000 millionths.
[[nodiscard]] std::string format_decimal(std::int64_t millionths);
[[nodiscard]] std::optional<std::int64_t> parse_decimal(std::string_view text);
// Digits only, no sign, no leading zero but 0 itself; empty also when it does not fit.
[[nodiscard]] std::optional<std::int64_t> parse_whole(std::string_view text);

}  // namespace sluice::pool
