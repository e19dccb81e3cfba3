// SPDX-License-Identifier: Apache-2.0
#pragma once
// One structured log line: text on a terminal, JSON otherwise. A constant message plus key/value fields, so that lines
// can be counted and searched. Handed in by constructors; there is no global logger.
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/time.h"

namespace sluice {

enum class Level { debug, info, warn, error };

// A field's value, already text. Numbers stay numbers in JSON.
struct LogValue {
  LogValue(std::string_view text) : text(text) {}    // NOLINT: {"key", value} is the point
  LogValue(const char* text) : text(text) {}         // NOLINT
  LogValue(const std::string& text) : text(text) {}  // NOLINT
  template <class N>
    requires std::is_arithmetic_v<N>
  LogValue(N n) : text(std::to_string(n)), bare(true) {}  // NOLINT
  LogValue(Duration d) : text(format_duration(d)) {}      // NOLINT

  std::string text;
  bool bare = false;  // printed without quotes in JSON
};
using LogField = std::pair<std::string_view, LogValue>;

struct LogOptions {
  bool json = true;
  bool colour = false;
  Level least = Level::info;
};

class Log {
 public:
  // `write` gets whole lines without the line end; `wall` is asked for the time of each line.
  Log(LogOptions options, std::function<void(std::string_view)> write, std::function<WallTime()> wall)
      : options_(options), write_(std::move(write)), wall_(std::move(wall)) {}
  // A log that swallows everything, for tests.
  Log() = default;

  void debug(std::string_view from, std::string_view what, std::initializer_list<LogField> fields = {}) const {
    line(Level::debug, from, what, fields);
  }
  void info(std::string_view from, std::string_view what, std::initializer_list<LogField> fields = {}) const {
    line(Level::info, from, what, fields);
  }
  void warn(std::string_view from, std::string_view what, std::initializer_list<LogField> fields = {}) const {
    line(Level::warn, from, what, fields);
  }
  void error(std::string_view from, std::string_view what, std::initializer_list<LogField> fields = {}) const {
    line(Level::error, from, what, fields);
  }

 private:
  void line(Level level, std::string_view from, std::string_view what, std::initializer_list<LogField> fields) const;

  LogOptions options_;
  std::function<void(std::string_view)> write_;
  std::function<WallTime()> wall_;
};

// `text` as the inside of a JSON string: quotes, backslashes and control characters escaped, invalid UTF-8 replaced.
[[nodiscard]] std::string json_escape(std::string_view text);

}  // namespace sluice
