// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads JSON objects strictly: every key is either asked for or an error, and every error names its path. Include in
// .cc files only.
#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::model {

class JsonReader {
 public:
  // `error` collects the first problem; readers made by object() share it.
  JsonReader(const boost::json::value& json, std::string path, std::optional<Error>& error);

  // The member, or null when it is absent or JSON null. Marks the key as known.
  const boost::json::value* get(std::string_view key);
  // Absent or null leaves `out` as it is. Integers must be >= least.
  void integer(std::string_view key, std::int64_t& out, std::int64_t least = 0);
  void integer(std::string_view key, std::optional<std::int64_t>& out, std::int64_t least = 0);
  void text(std::string_view key, std::string& out);
  void text(std::string_view key, std::optional<std::string>& out);
  void boolean(std::string_view key, bool& out);
  // The nested object's reader; nullopt when absent or null.
  std::optional<JsonReader> object(std::string_view key);
  // Fails when the object holds a key nobody asked for.
  void end();
  void fail(std::string_view key, std::string_view found, std::string_view accepted);
  [[nodiscard]] std::string at(std::string_view key) const { return path_ + "." + std::string(key); }

 private:
  const boost::json::object* object_ = nullptr;
  std::string path_;
  std::optional<Error>& error_;
  std::set<std::string, std::less<>> known_;
};

// "a string", "3", "null", "an array": what was found, for messages.
[[nodiscard]] std::string kind_of(const boost::json::value& json);

}  // namespace sluice::model
