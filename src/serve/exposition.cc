// SPDX-License-Identifier: Apache-2.0
#include "serve/exposition.h"

#include <fmt/core.h>

#include <algorithm>

namespace sluice::serve {
namespace {

// In help text backslash and line end are escaped, in the value of a label the quote too.
void append_escaped(std::string& out, std::string_view text, bool quoted) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quoted) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

}  // namespace

std::string seconds_text(std::int64_t ms) {
  std::string out = fmt::format("{}{}.{:03}", ms < 0 ? "-" : "", std::abs(ms / 1000), std::abs(ms % 1000));
  out.resize(out.find_last_not_of('0') + 1);
  if (out.back() == '.') {
    out.pop_back();
  }
  return out;
}

void Histogram::add(Duration d) {
  for (std::size_t i = 0; i < bounds_ms_.size(); ++i) {
    at_most_[i] += d <= std::chrono::milliseconds{bounds_ms_[i]} ? 1 : 0;
  }
  ++count_;
  sum_ms_ += to_ms(d);
}

void Histogram::add(std::span<const std::int64_t> at_most, std::int64_t count, std::int64_t sum_ms) {
  for (std::size_t i = 0; i < std::min(at_most.size(), at_most_.size()); ++i) {
    at_most_[i] += at_most[i];
  }
  count_ += count;
  sum_ms_ += sum_ms;
}

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  out_ += fmt::format("# HELP {} ", name);
  append_escaped(out_, help, false);
  out_ += fmt::format("\n# TYPE {} {}\n", name, type);
}

void Exposition::series(std::string_view suffix, const Labels& labels, std::string_view value) {
  out_.append(name_).append(suffix);
  char before = '{';
  for (const auto& [key, text] : labels) {
    out_ += before;
    out_.append(key).append("=\"");
    append_escaped(out_, text, true);
    out_ += '"';
    before = ',';
  }
  out_ += labels.empty() ? " " : "} ";
  out_.append(value) += '\n';
}

void Exposition::value(const Labels& labels, std::int64_t n) {
  series("", labels, std::to_string(n));
}

void Exposition::seconds(const Labels& labels, std::int64_t ms) {
  series("", labels, seconds_text(ms));
}

void Exposition::histogram(const Labels& labels, const Histogram& h) {
  Labels with = labels;
  for (std::size_t i = 0; i < h.bounds_ms().size(); ++i) {
    const std::string bound = seconds_text(h.bounds_ms()[i]);
    with.emplace_back("le", bound);
    series("_bucket", with, std::to_string(h.at_most(i)));
    with.pop_back();
  }
  with.emplace_back("le", "+Inf");
  series("_bucket", with, std::to_string(h.count()));
  series("_sum", labels, seconds_text(h.sum_ms()));
  series("_count", labels, std::to_string(h.count()));
}

}  // namespace sluice::serve
